"""Errors of the GraphQL API: an exception becomes a message and `extensions.code`."""

from collections.abc import Iterable
from typing import Any

import orjson
from graphql import GraphQLError
from graphql.validation.validate import ValidationAbortedError
from starlette.responses import Response
from strawberry.utils.str_converters import to_camel_case

from resolvers.errors import InvalidInputError
from resolvers.failures import INVALID_INPUT, QUERY_TOO_COMPLEX, failure_of


def error_body(
    message: str, code: str, status: int, headers: dict[str, str] | None = None, media_type: str = "application/json"
) -> Response:
    """Return a response without data, with one error."""
    content = orjson.dumps({"errors": [{"message": message, "extensions": {"code": code}}]})
    return Response(content, status, headers, media_type)


def error_response(error: Exception) -> Response:
    """Return the response to a request that failed before its query was read, and log the failure if needed."""
    failure = failure_of(error)
    failure.log(error)
    return error_body(failure.message_for(error), failure.code, failure.status or 500, dict(failure.headers_for(error)))


def public_name(field: str) -> str:
    """Return the name of a field in the schema: `start_time` is `startTime`."""
    return ".".join(to_camel_case(part) for part in field.split("."))


def cause_of(error: GraphQLError) -> Exception | None:
    """Return the exception behind an error, or None if the query itself is invalid."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def format_error(error: GraphQLError) -> dict[str, Any]:
    """Return an error as the client receives it, with `extensions.code`, and log it if its kind is logged."""
    cause = cause_of(error)
    formatted: dict[str, Any] = dict(error.formatted)
    extensions: dict[str, Any] = dict(error.extensions or {})
    if cause is None:
        aborted = isinstance(error, ValidationAbortedError)
        extensions.setdefault("code", (QUERY_TOO_COMPLEX if aborted else INVALID_INPUT).code)
    elif isinstance(cause, RecursionError):
        formatted["message"] = "The query is nested too deeply."
        extensions["code"] = QUERY_TOO_COMPLEX.code
    else:
        failure = failure_of(cause)
        failure.log(cause, error.path)
        extensions["code"] = failure.code
        if failure.message is not None:
            formatted["message"] = failure.message
        if isinstance(cause, InvalidInputError):
            extensions["field"] = public_name(cause.field)
    return formatted | {"extensions": extensions}


def apply_status(response: Response, errors: Iterable[GraphQLError]) -> None:
    """Set the HTTP status that the errors call for, so that proxies and retrying clients notice them."""
    for cause in map(cause_of, errors):
        if cause is None or not (failure := failure_of(cause)).sets_graphql_status:
            continue
        response.status_code = failure.status or response.status_code
        if headers := failure.headers_for(cause):
            response.headers.update(headers)
            return
