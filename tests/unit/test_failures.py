"""The catalogue of failures, and what both APIs make of it."""

import logging
from pathlib import Path

import orjson
import pytest
from graphql import GraphQLError
from starlette.responses import Response

import rest_compat.errors
import schema.errors
from resolvers import failures
from resolvers.broadcast import SubscriberTooSlowError
from resolvers.errors import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from resolvers.failures import CATALOGUE, Failure, failure_of
from storage.errors import OutcomeUnknownError, QueryTimeoutError, StoreFullError, StoreUnavailableError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ERRORS = [
    InvalidInputError("mac", "is required"),
    UnauthenticatedError("A valid token is required."),
    ForbiddenError("This needs another scope."),
    NotFoundError("There is no such device."),
    TooManyRequestsError("Too many.", 7),
    QueryTimeoutError(),
    StoreUnavailableError("locked at /secret"),
    OutcomeUnknownError("lost at /secret"),
    StoreFullError("full at /secret"),
    RuntimeError("secret"),
]


def test_errors_page_is_generated_from_the_catalogue() -> None:
    command = ".venv/bin/python -m resolvers.failures > docs/errors.md"
    assert PAGE.read_text(encoding="utf-8") == failures.page(), f"docs/errors.md is out of date. Run: {command}"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_both_apis_report_the_same_status_message_and_headers(error: Exception) -> None:
    rest, graphql = rest_compat.errors.error_response(error), schema.errors.error_response(error)
    assert rest.status_code == graphql.status_code == failure_of(error).status
    names = ("retry-after", "www-authenticate")
    assert [rest.headers.get(name) for name in names] == [graphql.headers.get(name) for name in names]
    rest_body, graphql_body = orjson.loads(rest.body), orjson.loads(graphql.body)["errors"][0]
    assert rest_body["message"] == graphql_body["message"]
    assert (rest_body["error"], graphql_body["extensions"]["code"]) == (failure_of(error).name, failure_of(error).code)
    assert b"secret" not in bytes(rest.body) + bytes(graphql.body)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_both_apis_log_the_same(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "netsessions")
    rest_compat.errors.error_response(error)
    schema.errors.format_error(GraphQLError("failed", original_error=error))
    expected = failure_of(error).log_level
    assert [record.levelno for record in caplog.records] == [expected] * (2 if expected else 0)
    assert len({(record.message, bool(record.exc_info)) for record in caplog.records}) == bool(expected)


@pytest.mark.parametrize("error", [*ERRORS, SubscriberTooSlowError()], ids=lambda error: type(error).__name__)
def test_errors_of_fields_have_the_code_and_message_of_the_catalogue(error: Exception) -> None:
    failure = failure_of(error)
    formatted = schema.errors.format_error(GraphQLError(str(error), original_error=error))
    assert formatted["extensions"]["code"] == failure.code
    assert formatted["message"] == failure.message_for(error)


def test_store_failure_sets_the_status_of_a_graphql_response() -> None:
    for error, status, retry_after in (
        (StoreUnavailableError("locked"), 503, "5"),
        (StoreFullError("full"), 507, "60"),
        (QueryTimeoutError(), 408, None),
        (ForbiddenError("no"), 403, None),
        (NotFoundError("no"), 200, None),
        (RuntimeError("defect"), 200, None),
    ):
        response = Response()
        schema.errors.apply_status(response, [GraphQLError("failed", original_error=error)])
        assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)


@pytest.mark.parametrize("failure", CATALOGUE, ids=lambda failure: f"{failure.code} {failure.status}")
def test_entry_is_complete(failure: Failure) -> None:
    """Retryable failures with a status have `Retry-After`, and logged ones a text and a constant message."""
    assert failure.meaning
    assert failure.remedy
    if failure.retryable and failure.status:
        assert failure.header == "Retry-After"
    assert bool(failure.log_level) == bool(failure.log_message)
    if failure.log_level:
        assert failure.message
        assert failure.log_level in (logging.WARNING, logging.ERROR)


def test_subclasses_have_the_failure_of_their_base_class() -> None:
    class LockedError(StoreUnavailableError):
        pass

    assert failure_of(LockedError()) is failures.UNAVAILABLE
    assert failure_of(KeyError("x")) is failures.INTERNAL
