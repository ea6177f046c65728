"""Translates failures for the GraphQL door, in one place: a sentence for the client, the cause for the log."""

import logging
import re
from collections.abc import Iterable
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.responses import Response
from strawberry.utils.str_converters import to_camel_case

from resolvers.broadcast import TooSlowError
from resolvers.errors import InvalidInputError, NotFoundError
from storage.errors import StoreFullError, StoreUnavailableError

# The limiters of the schema say what they refuse in words alone; a test holds these to them.
_TOO_COMPLEX = re.compile(
    r"aliases found|nested too deeply|introspection depth|Validation aborted|contains more than \d+ tokens"
)

log = logging.getLogger("netsessions")


def body(message: str, code: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """A refusal of the whole request."""
    content = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
    return Response(content, status, headers, media_type="application/json")


def unauthenticated() -> Response:
    """The answer to a request without a right token."""
    return body(
        "A token is needed: send it as Authorization: Bearer <API_TOKEN>.",
        "UNAUTHENTICATED",
        401,
        {"WWW-Authenticate": "Bearer"},
    )


def public_name(field: str) -> str:
    """A field as the schema spells it: `start_time` is `startTime`."""
    return ".".join(to_camel_case(part) for part in field.split("."))


def unavailable(errors: Iterable[GraphQLError] | None) -> StoreUnavailableError | None:
    """The first failure of the store among errors."""
    return next((cause for cause in map(_cause, errors or ()) if isinstance(cause, StoreUnavailableError)), None)


def _cause(error: GraphQLError) -> Exception | None:
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def formatted(error: GraphQLError) -> dict[str, Any]:
    """An error as the client sees it, with `extensions.code`."""
    cause = _cause(error)
    answer: dict[str, Any] = dict(error.formatted)
    extensions: dict[str, Any] = dict(error.extensions or {})
    match cause:
        case InvalidInputError():
            extensions |= {"code": "BAD_USER_INPUT", "field": public_name(cause.field)}
        case NotFoundError():
            extensions["code"] = "NOT_FOUND"
        case StoreUnavailableError():
            answer["message"] = f"The store cannot be used at the moment. {cause.advice}"
            full = isinstance(cause, StoreFullError)
            extensions["code"] = "INSUFFICIENT_STORAGE" if full else "INTERNAL_SERVER_ERROR"
            log.error("store unavailable: %s", cause)
        case TooSlowError():
            extensions["code"] = "TOO_SLOW"
        case RecursionError():
            answer["message"] = "The query is nested too deeply."
            extensions["code"] = "QUERY_TOO_COMPLEX"
        case None:
            extensions["code"] = "QUERY_TOO_COMPLEX" if _TOO_COMPLEX.search(error.message) else "BAD_USER_INPUT"
        case _:
            answer["message"] = "The server could not answer; its log has the cause."
            extensions["code"] = "INTERNAL_SERVER_ERROR"
            log.error("resolver failed at %s", error.path, exc_info=cause)
    return answer | {"extensions": extensions}
