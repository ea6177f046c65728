"""The catalogue of failures: what clients of each API receive for a kind of error, and what is logged.

`python -m resolvers.failures > docs/errors.md` writes the page for clients.
"""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from resolvers.broadcast import SubscriberTooSlowError
from resolvers.errors import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from storage.errors import OutcomeUnknownError, QueryTimeoutError, StoreFullError, StoreUnavailableError

log = logging.getLogger("netsessions")


@dataclass(frozen=True)
class Failure:
    """A kind of failure. `message` is None where the exception carries the message for the client."""

    code: str  # GraphQL `extensions.code`
    status: int | None  # HTTP status; None if it can only happen after the response has started
    name: str | None  # REST `error`; None if it cannot happen there
    meaning: str
    remedy: str
    retryable: bool = False
    message: str | None = None
    log_level: int = logging.NOTSET  # NOTSET: not logged
    log_message: str = ""
    header: str | None = None  # a response header with details
    close_code: int = 0  # WebSocket close code; 0 if the failure does not close a WebSocket
    sets_graphql_status: bool = False  # even if other fields of a GraphQL response succeeded

    def message_for(self, error: Exception) -> str:
        """Return the message for the client."""
        return str(error) if self.message is None else self.message

    def headers_for(self, error: Exception) -> Mapping[str, str]:
        """Return the response headers that the exception determines."""
        match self.header:
            case "WWW-Authenticate":
                return {self.header: "Bearer"}
            case "Retry-After":
                return {self.header: str(getattr(error, "retry_after"))}  # noqa: B009, checked by a test
            case _:
                return {}

    def log(self, error: Exception, path: object = None) -> None:
        """Log the failure at its level. An internal error is logged with its traceback."""
        if self.log_level:
            details = {"path": path, "cause": None if self is INTERNAL else str(error)}
            text = "".join(f", {key}: {value}" for key, value in details.items() if value)
            log.log(self.log_level, "%s%s", self.log_message, text, exc_info=error if self is INTERNAL else None)


INVALID_INPUT = Failure(
    code="BAD_USER_INPUT",
    status=400,
    name="invalid_input",
    meaning="The input is invalid. The message names the field. Nothing was changed.",
    remedy="Correct the field. GraphQL also names it in `extensions.field`.",
)
QUERY_TOO_COMPLEX = Failure(
    code="QUERY_TOO_COMPLEX",
    status=400,
    name=None,
    meaning="The GraphQL query exceeds a limit. The message names the limit.",
    remedy="Request smaller pages or fewer fields, or pass long input as variables.",
)
UNAUTHENTICATED = Failure(
    code="UNAUTHENTICATED",
    status=401,
    name="unauthenticated",
    meaning="The bearer token is missing or not valid.",
    remedy="Send `Authorization: Bearer <token>` with a token that is neither expired nor revoked.",
    header="WWW-Authenticate",
    close_code=4401,
)
FORBIDDEN = Failure(
    code="FORBIDDEN",
    status=403,
    name="forbidden",
    meaning="The token is valid, but its scope does not allow this.",
    remedy="Use a token with the scope that the message names.",
    close_code=4403,
    sets_graphql_status=True,
)
NOT_FOUND = Failure(
    code="NOT_FOUND",
    status=404,
    name="not_found",
    meaning="The path, or the object to change, does not exist.",
    remedy="Check the path or the ID.",
)
METHOD_NOT_ALLOWED = Failure(
    code="BAD_USER_INPUT",
    status=405,
    name="method_not_allowed",
    meaning="The path does not accept this method.",
    remedy="Use a method from the `Allow` header.",
    message="This path does not accept this method. The Allow header lists the methods that it accepts.",
    header="Allow",
)
NOT_ACCEPTABLE = Failure(
    code="BAD_USER_INPUT",
    status=406,
    name=None,
    meaning="The `Accept` header of a GraphQL request allows no media type that the server can send.",
    remedy="Accept `application/json` or `application/graphql-response+json`; for subscriptions, `text/event-stream`.",
)
QUERY_TIMEOUT = Failure(
    code="QUERY_TIMEOUT",
    status=408,
    name="query_timeout",
    meaning="The query took longer than `QUERY_SECONDS` and was cancelled.",
    remedy="Request a shorter period, smaller pages or fewer fields.",
    message=QueryTimeoutError.advice,
    log_level=logging.WARNING,
    log_message="query cancelled after QUERY_SECONDS",
    sets_graphql_status=True,
)
TOO_LARGE = Failure(
    code="BAD_USER_INPUT",
    status=413,
    name="too_large",
    meaning="The request body is larger than `MAX_BODY`.",
    remedy="Send the data in parts.",
    message="The body is larger than MAX_BODY. Send the data in parts.",
)
UNSUPPORTED_MEDIA_TYPE = Failure(
    code="BAD_USER_INPUT",
    status=415,
    name="unsupported_media_type",
    meaning="The request body is not `application/json`.",
    remedy="Send JSON with `Content-Type: application/json`.",
    message="The body is not JSON. Send JSON with Content-Type: application/json.",
)
TOO_MANY = Failure(
    code="TOO_MANY",
    status=429,
    name="too_many",
    meaning="The address sent too many wrong tokens, or the token has too many open connections.",
    remedy="Wait for the seconds in `Retry-After`.",
    retryable=True,
    header="Retry-After",
    close_code=4429,
)
INTERNAL = Failure(
    code="INTERNAL_SERVER_ERROR",
    status=500,
    name="internal",
    meaning="The server failed unexpectedly.",
    remedy="Look at the server log and report the error.",
    message="The server failed to process the request. The server log has the cause.",
    log_level=logging.ERROR,
    log_message="request failed",
)
UNAVAILABLE = Failure(
    code="SERVICE_UNAVAILABLE",
    status=503,
    name="unavailable",
    meaning="The database is locked or unreachable. Nothing was stored.",
    remedy="Wait for the seconds in `Retry-After`.",
    retryable=True,
    message=f"The database is unavailable. {StoreUnavailableError.advice}",
    log_level=logging.WARNING,
    log_message="store unavailable",
    header="Retry-After",
    close_code=1013,
    sets_graphql_status=True,
)
OUTCOME_UNKNOWN = replace(
    UNAVAILABLE,
    meaning="If the message says so, the connection was lost during the commit, and the change may have been stored.",
    remedy="Check whether the change was stored before you repeat it, or repeat it with the same `Idempotency-Key`.",
    retryable=False,
    message=f"The database is unavailable. {OutcomeUnknownError.advice}",
)
INSUFFICIENT_STORAGE = replace(
    UNAVAILABLE,
    code="INSUFFICIENT_STORAGE",
    status=507,
    name="insufficient_storage",
    meaning="The disk of the database is full. Nothing was stored. Reads continue to work.",
    remedy="Free disk space, then repeat the request.",
    message=f"The database is unavailable. {StoreFullError.advice}",
)
TOO_SLOW = Failure(
    code="TOO_SLOW",
    status=None,
    name=None,
    meaning="A subscriber did not read its messages fast enough.",
    remedy="Subscribe again, with the last cursor that you received as `after`.",
    retryable=True,
    close_code=4508,
)

CATALOGUE = (
    INVALID_INPUT,
    QUERY_TOO_COMPLEX,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    NOT_ACCEPTABLE,
    QUERY_TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    TOO_MANY,
    INTERNAL,
    UNAVAILABLE,
    OUTCOME_UNKNOWN,
    INSUFFICIENT_STORAGE,
    TOO_SLOW,
)

# An HTTP library raises these statuses before a resolver is called.
BY_STATUS = {
    404: replace(NOT_FOUND, message="This path does not exist. GET /openapi.json describes the paths."),
    405: METHOD_NOT_ALLOWED,
    406: NOT_ACCEPTABLE,
    413: TOO_LARGE,
    415: UNSUPPORTED_MEDIA_TYPE,
}

_BY_TYPE: Mapping[type, Failure] = {
    InvalidInputError: INVALID_INPUT,
    UnauthenticatedError: UNAUTHENTICATED,
    ForbiddenError: FORBIDDEN,
    NotFoundError: NOT_FOUND,
    TooManyRequestsError: TOO_MANY,
    QueryTimeoutError: QUERY_TIMEOUT,
    StoreUnavailableError: UNAVAILABLE,
    OutcomeUnknownError: OUTCOME_UNKNOWN,
    StoreFullError: INSUFFICIENT_STORAGE,
    SubscriberTooSlowError: TOO_SLOW,
}


def failure_of(error: BaseException) -> Failure:
    """Return the kind of an exception. Exceptions that are not in the catalogue are internal errors."""
    return next((_BY_TYPE[cls] for cls in type(error).__mro__ if cls in _BY_TYPE), INTERNAL)


_PAGE = """# Errors

The REST API responds to a failure with its HTTP status and `{{"success": false, "message": …, "error": …}}`.
The GraphQL API returns errors with `message` and `extensions.code`. WebSocket is the close code of a connection.
Clients can rely on statuses, codes and short names; messages may change.
This page is generated from `resolvers/failures.py`.

| GraphQL code | HTTP status | REST `error` | WebSocket | Meaning | What to do | Retry |
|---|---|---|---|---|---|---|
{rows}

A GraphQL response in `application/json` has status 200 even if it contains errors, except for requests that cannot
be read and for the statuses {statuses}. In `application/graphql-response+json` it has status 400 if nothing was executed.
"""


def page() -> str:
    """Return `docs/errors.md`."""
    rows = []
    for kind in CATALOGUE:
        name = f"`{kind.name}`" if kind.name else "-"
        columns = (
            f"`{kind.code}`",
            kind.status or "-",
            name,
            kind.close_code or "-",
            kind.meaning,
            kind.remedy,
            "yes" if kind.retryable else "no",
        )
        rows.append(f"| {' | '.join(map(str, columns))} |")
    statuses = sorted({str(kind.status) for kind in CATALOGUE if kind.sets_graphql_status})
    return _PAGE.format(rows="\n".join(rows), statuses=", ".join(statuses))


if __name__ == "__main__":
    sys.stdout.write(page())
