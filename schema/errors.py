"""Translates failures for the GraphQL door, in one place: a sentence for the client, the cause for the log."""

import logging
import re
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.responses import Response
from strawberry.utils.str_converters import to_camel_case

from resolvers.broadcast import TooSlowError
from resolvers.errors import ForbiddenError, InvalidInputError, NotFoundError, TooManyError, UnauthenticatedError
from storage.errors import StoreFullError, StoreUnavailableError, TookTooLongError

# graphql-core says what it refuses in words alone; a test holds these to them.
_TOO_COMPLEX = re.compile(r"nested too deeply|introspection depth|Validation aborted|contains more than \d+ tokens")

log = logging.getLogger("netsessions")


def body(
    message: str, code: str, status: int, headers: dict[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """A refusal of the whole request."""
    content = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
    return Response(content, status, headers, media_type)


def refused(problem: Exception) -> Response:
    """The answer to a request that is refused for who asks, or how often."""
    match problem:
        case UnauthenticatedError():
            return body(str(problem), "UNAUTHENTICATED", 401, {"WWW-Authenticate": "Bearer"})
        case ForbiddenError():
            return body(str(problem), "FORBIDDEN", 403)
        case TooManyError():
            return body(str(problem), "TOO_MANY", 429, {"Retry-After": str(problem.retry_after)})
        case StoreUnavailableError():
            log.error("store unavailable: %s", problem)
            message = f"The store cannot be used at the moment. {problem.advice}"
            return body(message, "INTERNAL_SERVER_ERROR", 503, {"Retry-After": str(problem.retry_after)})
        case _:
            raise problem


def public_name(field: str) -> str:
    """A field as the schema spells it: `start_time` is `startTime`."""
    return ".".join(to_camel_case(part) for part in field.split("."))


def cause_of(error: GraphQLError) -> Exception | None:
    """The failure behind an error; None where the query itself is mistaken."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def formatted(error: GraphQLError) -> dict[str, Any]:
    """An error as the client sees it, with `extensions.code`."""
    cause = cause_of(error)
    answer: dict[str, Any] = dict(error.formatted)
    extensions: dict[str, Any] = dict(error.extensions or {})
    match cause:
        case InvalidInputError():
            extensions |= {"code": "BAD_USER_INPUT", "field": public_name(cause.field)}
        case NotFoundError():
            extensions["code"] = "NOT_FOUND"
        case ForbiddenError():
            extensions["code"] = "FORBIDDEN"
        case StoreUnavailableError():
            answer["message"] = f"The store cannot be used at the moment. {cause.advice}"
            full = isinstance(cause, StoreFullError)
            extensions["code"] = "INSUFFICIENT_STORAGE" if full else "INTERNAL_SERVER_ERROR"
            log.error("store unavailable: %s", cause)
        case TookTooLongError():
            answer["message"] = cause.advice
            extensions["code"] = "QUERY_TIMEOUT"
            log.warning("given up after QUERY_SECONDS: %s", error.path)
        case TooSlowError():
            extensions["code"] = "TOO_SLOW"
        case RecursionError():
            answer["message"] = "The query is nested too deeply."
            extensions["code"] = "QUERY_TOO_COMPLEX"
        case None if "code" not in extensions:
            extensions["code"] = "QUERY_TOO_COMPLEX" if _TOO_COMPLEX.search(error.message) else "BAD_USER_INPUT"
        case None:
            pass
        case _:
            answer["message"] = "The server could not answer; its log has the cause."
            extensions["code"] = "INTERNAL_SERVER_ERROR"
            log.error("resolver failed at %s", error.path, exc_info=cause)
    return answer | {"extensions": extensions}
