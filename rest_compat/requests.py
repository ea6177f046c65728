"""What comes in over REST: bodies and query strings, to the resolvers' inputs."""

from collections import Counter
from typing import Any, TypeVar

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from resolvers.clock import Clock
from resolvers.errors import InvalidInputError
from resolvers.inputs import Input, read

MAX_BODY = 1024 * 1024  # bytes
IGNORED = "_"  # browser libraries add it against caching

Model = TypeVar("Model", bound=Input)


async def from_body(request: Request, model: type[Model], clock: Clock) -> Model:
    """The JSON body as an input; raises InvalidInputError, or HTTPException 413 or 415."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Send the body as JSON, with Content-Type: application/json.")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise HTTPException(413, f"The body is larger than {MAX_BODY} bytes.")
    try:
        data: Any = orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        raise InvalidInputError("body", f"is not JSON: {problem}") from None
    if not isinstance(data, dict):
        raise InvalidInputError("body", 'is not a JSON object; write it as {"mac": "AA:BB:CC:DD:EE:FF", ...}')
    return read(model, data, clock)


def from_query(request: Request, model: type[Model], clock: Clock, **path: str) -> Model:
    """The query string, and what the path named, as an input; raises InvalidInputError."""
    given = [(name, value) for name, value in request.query_params.multi_items() if name != IGNORED]
    for name, times in Counter([*path, *(name for name, _ in given)]).items():
        if times > 1:
            raise InvalidInputError(name, "is given more than once")
    return read(model, dict(given) | path, clock)
