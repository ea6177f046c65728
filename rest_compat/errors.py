"""Error responses of the REST API: an exception becomes a status and the documented error body."""

from collections.abc import Mapping

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from resolvers.errors import InvalidInputError
from resolvers.failures import BY_STATUS, INTERNAL, Failure, failure_of


def error_response(error: Exception) -> Response:
    """Return the response to a request that failed, and log the failure if its kind is logged."""
    if isinstance(error, HTTPException) and error.status_code in BY_STATUS:
        return _response(BY_STATUS[error.status_code], error, error.headers or {})
    if isinstance(error, ClientDisconnect):
        # The client is gone: this only prevents that an internal error is logged.
        error = InvalidInputError("body", "ended early")
    failure = failure_of(error)
    failure.log(error)
    return _response(failure, error, failure.headers_for(error))


def internal_error_response() -> Response:
    """Return the response to a request that failed with an unexpected exception, which the caller logs."""
    return _response(INTERNAL, Exception(), {})


def _response(failure: Failure, error: Exception, headers: Mapping[str, str]) -> Response:
    body = {"success": False, "message": failure.message_for(error), "error": failure.name or "internal"}
    return Response(orjson.dumps(body), failure.status or 500, headers, media_type="application/json")
