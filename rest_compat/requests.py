"""Parsing of requests: a query string or a JSON body becomes a validated model."""

from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from resolvers.context import Context
from resolvers.errors import MAX_ECHO_LENGTH, InvalidInputError
from resolvers.idempotency import HEADER, IdempotencyKey, parse_key
from resolvers.validation.clock import Clock
from resolvers.validation.models import Input, Model, validate

CACHE_BUSTER = "_"  # added by browser libraries, ignored


def parse_query(model: type[Model], request: Request, clock: Clock, **path_params: str) -> Model:
    """Return the validated query string and path parameters. Raise InvalidInputError."""
    params = query_params(request)
    for name in path_params:
        if name in params:
            raise InvalidInputError(name, "is part of the path. Remove it from the query string.")
    return _validate(model, path_params | params, clock)


def query_params(request: Request) -> dict[str, str]:
    """Return the parameters of the query string by name. Raise InvalidInputError for a repeated parameter."""
    params: dict[str, str] = {}
    for part in request.scope.get("query_string", b"").split(b"&"):
        if not part:
            continue
        encoded_name, _, encoded_value = part.replace(b"+", b" ").partition(b"=")
        name = unquote_to_bytes(encoded_name).decode("utf-8", "replace")
        if name == CACHE_BUSTER:
            continue
        if len(name) > MAX_ECHO_LENGTH:
            raise _unknown_field(name)
        if name in params:
            raise InvalidInputError(name, "is repeated. Send it once.")
        try:
            params[name] = unquote_to_bytes(encoded_value).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInputError(name, "is not UTF-8. Percent-encode its bytes in UTF-8.") from None
    return params


async def parse_body(model: type[Model], request: Request, context: Context) -> tuple[Model, IdempotencyKey | None]:
    """Return the validated JSON body, and the idempotency key if there is one.

    Raise InvalidInputError, or HTTPException with 413 or 415.
    """
    for name in query_params(request):
        raise InvalidInputError(name, "is not a known parameter. This path reads its input from the body.")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("", "application/json"):
        raise HTTPException(415)
    content = await _read_body(request, context.limits.body)
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError("body", f"is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise InvalidInputError("body", f"is not a JSON object. Send an object like {_example(model)}.")
    return _validate(model, data, context.clock), _idempotency_key(request, data)


async def _read_body(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
        raise HTTPException(413)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise HTTPException(413)
    return bytes(body)


def _idempotency_key(request: Request, data: dict[str, Any]) -> IdempotencyKey | None:
    headers = request.headers.getlist(HEADER)
    if not headers:
        return None
    if len(headers) > 1:
        raise InvalidInputError(HEADER, "is repeated. Send it once.")
    # The order of the fields does not matter: the same fields are the same request.
    content = request.scope["path"].encode() + orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    return IdempotencyKey(parse_key(headers[0]), sha256(content).hexdigest())


def _validate(model: type[Model], data: dict[str, Any], clock: Clock) -> Model:
    for name in data:
        # Checked here, because the model's own message would repeat the whole name.
        if len(name) > MAX_ECHO_LENGTH:
            raise _unknown_field(name)
    try:
        return validate(model, data, clock)
    except RecursionError:
        raise InvalidInputError("body", "is nested too deeply") from None


def _unknown_field(name: str) -> InvalidInputError:
    return InvalidInputError(name[: MAX_ECHO_LENGTH - 1] + "…", "is not a known field")


def _example(model: type[Input]) -> str:
    first = next(iter(model.model_fields))
    return f'{{"{first}": …}}'
