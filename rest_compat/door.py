"""The documented paths. Each endpoint parses, calls a resolver and translates; whoever mounts them has checked the token."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import orjson
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from resolvers import events, sessions
from resolvers.context import Context
from resolvers.inputs import CalendarQuery, DeviceQuery, ListQuery, NewSession, OneDevice
from rest_compat import rows
from rest_compat.errors import HANDLERS
from rest_compat.requests import from_body, from_query
from rest_compat.table import TableQuery

Row = TypeVar("Row")
NAMES = ("create", "delete", "list", "calendar", "session-events")


class _Address(Convertor[str]):
    """What may stand where a MAC is expected: anything but the names of the other paths."""

    regex = f"(?!(?:{'|'.join(NAMES)})$)[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("address", _Address())


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


async def _streamed(
    start: bytes, chunks: AsyncIterator[list[Row]], row: Callable[[Row], Any], end: bytes
) -> StreamingResponse:
    """A JSON array in bounded memory. What can fail fails with its first chunk, before the answer has begun."""
    first = await anext(chunks, None)

    async def content() -> AsyncIterator[bytes]:
        yield start
        if first is not None:
            yield _members(map(row, first))
            async for chunk in chunks:
                yield b"," + _members(map(row, chunk))
        yield end

    return StreamingResponse(content(), media_type="application/json")


def _members(found: Iterable[Any]) -> bytes:
    return orjson.dumps(list(found))[1:-1]


class _Door:
    """The endpoints over one context."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clock = context.clock

    async def create(self, request: Request) -> Response:
        new = await from_body(request, NewSession, self._clock)
        await sessions.create(self._context, [new])
        return _json({"success": True, "message": sessions.created_message(new.mac)})

    async def delete(self, request: Request) -> Response:
        mac = (await from_body(request, OneDevice, self._clock)).mac
        await sessions.delete(self._context, mac)
        return _json({"success": True, "message": sessions.deleted_message(mac)})

    async def list(self, request: Request) -> Response:
        query = from_query(request, ListQuery, self._clock)
        now = self._clock.now()
        found = sessions.every(self._context, query)
        return await _streamed(
            b'{"success":true,"sessions":[', found, lambda row: rows.session(row, self._clock, now), b"]}"
        )

    async def calendar(self, request: Request) -> Response:
        query = from_query(request, CalendarQuery, self._clock)
        found = sessions.calendar(self._context, query)
        return await _streamed(
            b'{"success":true,"sessions":[', found, lambda row: rows.calendar_entry(row, self._clock), b"]}"
        )

    async def device(self, request: Request) -> Response:
        query = from_query(request, DeviceQuery, self._clock, mac=request.path_params["mac"])
        now = self._clock.now()
        found = await sessions.of_device(self._context, query)
        return _json({"success": True, "sessions": [rows.session(row, self._clock, now) for row in found]})

    async def events(self, request: Request) -> Response:
        query = from_query(request, TableQuery, self._clock)
        now = self._clock.now()
        total = await events.count(self._context, query)
        filtered = await events.count(self._context, query, query.search) if query.search else total
        found = events.table(
            self._context,
            query,
            sort=query.sortCol,
            descending=query.sortDir == "desc",
            search=query.search,
            limit=query.rows,
            offset=query.offset,
        )
        shown = rows.table_row if query.format == "datatables" else rows.event
        end = b'],"total":%d,"recordsFiltered":%d}' % (total, filtered)
        return await _streamed(b'{"success":true,"data":[', found, lambda row: shown(row, self._clock, now), end)


def rest_door(context: Context) -> ASGIApp:
    """The six paths, to be mounted at /sessions."""
    door = _Door(context)
    paths: tuple[tuple[str, str, Callable[[Request], Awaitable[Response]]], ...] = (
        ("/create", "POST", door.create),
        ("/delete", "DELETE", door.delete),
        ("/list", "GET", door.list),
        ("/calendar", "GET", door.calendar),
        ("/session-events", "GET", door.events),
        ("/{mac:address}", "GET", door.device),
    )
    routes = [Route(path, endpoint, methods=[method]) for path, method, endpoint in paths]
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return app
