"""Responses of the REST API: messages and rows, in one piece or streamed."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import TypeVar, cast

import orjson
from starlette.responses import Response, StreamingResponse

JSON = "application/json"

Row = TypeVar("Row")


def message_response(message: str) -> Response:
    """Return the response to a write."""
    return Response(orjson.dumps({"success": True, "message": message}), media_type=JSON)


async def json_rows(
    name: str,
    chunks: AsyncIterator[list[Row]],
    write_row: Callable[[Row], str],
    totals: dict[str, int] | None = None,
) -> Response:
    """Return a JSON response with the rows under `name`, followed by `totals`."""
    head = f'{{"success":true,"{name}":['
    tail = "]," + orjson.dumps(totals).decode()[1:] if totals else "]}"
    return await stream(chunks, lambda rows: ",".join(map(write_row, rows)), head=head, separator=",", tail=tail)


async def stream(
    chunks: AsyncIterator[list[Row]],
    write_rows: Callable[[list[Row]], str],
    *,
    head: str,
    separator: str = "",
    tail: str = "",
    media_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the serialized rows. A single chunk is sent in one piece, several chunks are streamed."""
    # Both are awaited before the response starts, so that a failure still gets its status.
    first, second = await anext(chunks, None), await anext(chunks, None)
    beginning = head + write_rows(first or [])
    if second is None:
        return Response(beginning + tail, headers=headers, media_type=media_type)

    async def body() -> AsyncIterator[str]:
        # Closed explicitly, so that a client that disconnects does not leave a database connection open.
        async with aclosing(cast("AsyncGenerator[list[Row], None]", chunks)):
            yield beginning
            yield separator + write_rows(second)
            async for rows in chunks:
                yield separator + write_rows(rows)
            yield tail

    return StreamingResponse(body(), headers=headers, media_type=media_type)
