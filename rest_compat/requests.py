"""The first move of every endpoint: what came in over HTTP, read into one of the models that validate it."""

from hashlib import sha256
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

import orjson
from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.requests import Request

from resolvers.context import Context
from resolvers.errors import SHOWN, InvalidInputError, shown
from resolvers.idempotency import FIELD, Key, parse_key
from resolvers.validation.clock import Clock
from resolvers.validation.fields import Needle, one_of, whole
from resolvers.validation.models import EventsQuery, Input, Model, read
from storage.queries.events import Sort

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
MAX_PAGE = 10**15  # times the largest limit it still is a number that the store can count to
CACHE_BUSTER = "_"

SORTS_BY_KEY: dict[str, Sort] = {
    "ses_MAC": "mac",
    "ses_Connection": "connected_at",
    "ses_Disconnection": "disconnected_at",
    "ses_Duration": "duration",
    "ses_IP": "ip",
    "ses_Info": "info",
    "eve_DateTime": "occurred_at",
    "eve_EventType": "event_type",
}
# By position in a DataTables row. The last position is constant; ordering by it is ordering by nothing.
SORTS_BY_POSITION: tuple[Sort, ...] = (
    "order", "name", "owner", "occurred_at", "event_type", "connected_at", "disconnected_at", "duration", "duration",
    "ip", "ip", "info", "connected", "mac", "order",
)  # fmt: skip
SORTS: dict[str, Sort] = SORTS_BY_KEY | {str(n): sort for n, sort in enumerate(SORTS_BY_POSITION)}


def _sort_column(value: object) -> str:
    for name in SORTS:
        if isinstance(value, str) and value.lower() == name.lower():
            return name
    raise ValueError(f"{shown(value)} is not known here; known are: {', '.join(SORTS_BY_KEY)}, and 0 to 14")


class TableQuery(EventsQuery):
    """Which events to answer, which part of them, in which order and shape."""

    page: Annotated[int, *whole(1, MAX_PAGE)] | None = Field(
        default=None, description="Which page, from 1; without page and limit everything is answered."
    )
    limit: Annotated[int, *whole(1, MAX_LIMIT)] | None = Field(
        default=None, description=f"Rows on a page; {DEFAULT_LIMIT} where only page is given."
    )
    search: Needle = Field(default="", description="Only rows that contain this text, in any case.")
    sortCol: Annotated[  # noqa: N815, named as the parameter is
        str, BeforeValidator(_sort_column), WithJsonSchema({"type": "string", "enum": list(SORTS)})
    ] = Field(default="0", description="A key of a row, or a position in a DataTables row; the order time by default.")
    sortDir: Annotated[Literal["asc", "desc"], *one_of("asc", "desc")] = Field(  # noqa: N815
        default="desc", description="Rising or falling."
    )
    format: Annotated[Literal["json", "datatables"], *one_of("json", "datatables")] = Field(
        default="json", description="Rows as objects, or as the 15 positions that NetAlertX's table reads."
    )

    @property
    def page_size(self) -> int | None:
        """How many rows to answer; None for all."""
        return DEFAULT_LIMIT if self.limit is None and self.page is not None else self.limit

    @property
    def offset(self) -> int:
        """How many rows the earlier pages hold."""
        return ((self.page or 1) - 1) * (self.page_size or 0)


def _unknown(name: str) -> InvalidInputError:
    return InvalidInputError(name if len(name) <= SHOWN else name[: SHOWN - 1] + "…", "is not known here")


def _parsed(model: type[Model], data: dict[str, Any], clock: Clock) -> Model:
    for name in data:
        # Models name what they do not know in full; a message has no room for a name of a megabyte.
        if len(name) > SHOWN:
            raise _unknown(name)
    try:
        return read(model, data, clock)
    except RecursionError:
        raise InvalidInputError("body", "is nested too deeply") from None


def parameters(request: Request) -> dict[str, str]:
    """The query string's parameters by name; raises InvalidInputError for one that is given twice."""
    found: dict[str, str] = {}
    for part in request.scope.get("query_string", b"").split(b"&"):
        if not part:
            continue
        encoded_name, _, encoded_value = part.replace(b"+", b" ").partition(b"=")
        name = unquote_to_bytes(encoded_name).decode("utf-8", "replace")
        if name == CACHE_BUSTER:
            continue
        if len(name) > SHOWN:
            raise _unknown(name)
        if name in found:
            raise InvalidInputError(name, "is given twice; give it once")
        try:
            found[name] = unquote_to_bytes(encoded_value).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInputError(name, "is not UTF-8; percent-encode its bytes in UTF-8") from None
    return found


def query(model: type[Model], request: Request, clock: Clock, **path: str) -> Model:
    """The validated query string, together with what the path holds."""
    given = parameters(request)
    for name in path:
        # What the path says, the query string must not say otherwise.
        if name in given:
            raise InvalidInputError(name, "is taken from the path here; leave it out of the query string")
    return _parsed(model, path | given, clock)


async def body(model: type[Model], request: Request, context: Context) -> tuple[Model, Key | None]:
    """The validated JSON body of a path that takes no parameters, and the key of a request that may be sent again."""
    for name in parameters(request):
        raise InvalidInputError(name, "is not known here; this path takes its input in the body")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("", "application/json"):
        raise HTTPException(415)
    content = await _read(request, context.limits.body)
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        raise InvalidInputError("body", f"is not JSON: {problem}") from None
    if not isinstance(data, dict):
        raise InvalidInputError("body", f"is not a JSON object; write it as {_example(model)}")
    return _parsed(model, data, context.clock), _key(request, data)


def _key(request: Request, data: Any) -> Key | None:
    given = request.headers.getlist(FIELD)
    if not given:
        return None
    if len(given) > 1:
        raise InvalidInputError(FIELD, "is given twice; give it once")
    # The same fields in another order are the same request.
    meant = request.scope["path"].encode() + orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    return Key(parse_key(given[0]), sha256(meant).hexdigest())


async def _read(request: Request, most: int) -> bytes:
    """The body, as long as it may be: a larger one is refused before it is held."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):
        raise HTTPException(413)
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) > most:
            raise HTTPException(413)
    return bytes(held)


def _example(model: type[Input]) -> str:
    first = next(iter(model.model_fields))
    return f'{{"{first}": …}}'
