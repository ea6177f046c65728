"""The one place where a failure becomes an HTTP status and the error body; every handler's exceptions end here."""

import logging
from collections.abc import Mapping

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from resolvers.errors import ForbiddenError, InvalidInputError, NotFoundError, TooManyError, UnauthenticatedError
from storage.errors import StoreFullError, StoreUnavailableError, TookTooLongError

log = logging.getLogger("netsessions")

# What to do about a status that the HTTP side of a request leads to, and its short name.
_HTTP = {
    404: ("not_found", "There is nothing at this path; the paths are listed in the API's description."),
    405: ("method_not_allowed", "This path does not take this method; the Allow header says which it takes."),
    413: ("too_large", "The body is larger than MAX_BODY allows; send less at once."),
    415: ("unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."),
}


def failure(status: int, message: str, error: str, headers: Mapping[str, str] | None = None) -> Response:
    """The error body that every failure answers."""
    body = orjson.dumps({"success": False, "message": message, "error": error})
    return Response(body, status, headers, media_type="application/json")


def translated(problem: Exception) -> Response:
    """What a caller is told of an exception; the cause of an internal one goes to the log only."""
    match problem:
        case InvalidInputError():
            return failure(400, str(problem), "invalid_input")
        case NotFoundError():
            return failure(404, str(problem), "not_found")
        case UnauthenticatedError():
            return failure(401, str(problem), "unauthenticated", {"WWW-Authenticate": "Bearer"})
        case ForbiddenError():
            return failure(403, str(problem), "forbidden")
        case TooManyError():
            return failure(429, str(problem), "too_many", {"Retry-After": str(problem.retry_after)})
        case StoreUnavailableError():
            log.warning("The store cannot be used: %s", problem)
            message = f"The store cannot be used at the moment. {problem.advice}"
            full = isinstance(problem, StoreFullError)
            status, error = (507, "insufficient_storage") if full else (503, "unavailable")
            return failure(status, message, error, {"Retry-After": str(problem.retry_after)})
        case TookTooLongError():
            log.warning("A list was given up after QUERY_SECONDS")
            return failure(408, problem.advice, "query_timeout")
        case HTTPException(status_code=status) if status in _HTTP:
            error, message = _HTTP[status]
            return failure(status, message, error, problem.headers)
        case ClientDisconnect():
            # Nobody is left to read this, and it is no failure of ours that the log should carry.
            return failure(400, "body: ended early", "invalid_input")
        case _:
            log.error("A request failed", exc_info=problem)
            return failure(500, "Something went wrong on the server; its log says what.", "internal")
