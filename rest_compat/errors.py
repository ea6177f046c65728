"""Translates failures for the REST door, in one place."""

import logging

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from resolvers.errors import InvalidInputError, NotFoundError
from storage.errors import StoreUnavailableError

log = logging.getLogger("netsessions")

_KNOWN = {
    404: ("There is nothing at this path; GET /openapi.json lists what there is.", "not_found"),
    405: ("This path does not answer that method; the Allow header names those that it does.", "method_not_allowed"),
}


def failure(status: int, message: str, error: str, headers: dict[str, str] | None = None) -> Response:
    """The body that every failure has."""
    content = orjson.dumps({"success": False, "message": message, "error": error})
    return Response(content, status, headers, media_type="application/json")


def unauthenticated() -> Response:
    """The answer to a request without a right token."""
    message = "A token is needed: send it as Authorization: Bearer <API_TOKEN>."
    return failure(401, message, "unauthenticated", {"WWW-Authenticate": "Bearer"})


def answer(_: Request, cause: Exception) -> Response:
    """What a caller is told of an exception."""
    match cause:
        case InvalidInputError():
            return failure(400, str(cause), "invalid_input")
        case NotFoundError():
            return failure(404, str(cause), "not_found")
        case StoreUnavailableError():
            log.error("store unavailable: %s", cause)
            message = "The store cannot be used now; nothing of this was stored. Try again."
            return failure(503, message, "unavailable", {"Retry-After": "5"})
        case HTTPException():
            message, error = _KNOWN.get(cause.status_code, (cause.detail, "refused"))
            return failure(cause.status_code, message, error, dict(cause.headers or {}))
        case _:
            log.error("request failed", exc_info=cause)
            return failure(500, "The server could not answer; its log has the cause.", "internal")


HANDLERS = dict.fromkeys((InvalidInputError, NotFoundError, StoreUnavailableError, HTTPException, Exception), answer)
