"""Errors of the resolvers. `resolvers.failures` maps them to HTTP statuses and codes."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MAX_ECHO_LENGTH = 100  # characters of a value that a message repeats


class InvalidInputError(Exception):
    """A field of the input is invalid. Both APIs report it with the same message."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class FieldError(ValueError):
    """An error that a validator of several fields reports for one of them."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


class NotFoundError(Exception):
    """The object to change does not exist."""


class UnauthenticatedError(Exception):
    """The caller sent no valid token. The message says how to send one."""


class ForbiddenError(Exception):
    """The caller's scope does not allow the operation. The message names the scope that does."""


class TooManyRequestsError(Exception):
    """A limit per address or token is reached. `retry_after` is in seconds."""

    def __init__(self, problem: str, retry_after: int) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


def short_repr(value: object) -> str:
    """Return the repr of a value, shortened to the length that a message may repeat."""
    try:
        text = repr(value)
    except RecursionError:
        text = "a deeply nested value"
    return text if len(text) <= MAX_ECHO_LENGTH else text[: MAX_ECHO_LENGTH - 1] + "…"


def to_invalid_input_error(error: ValidationError, fields: Mapping[str, Any]) -> InvalidInputError:
    """Convert the first error of a pydantic validation. `fields` are those of the model."""
    first = error.errors(include_url=False)[0]
    path = [*first["loc"]]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        path.append(cause.field)
    return InvalidInputError(".".join(map(str, path))[:MAX_ECHO_LENGTH], _problem(first, fields))


def _problem(details: ErrorDetails, fields: Mapping[str, Any]) -> str:
    match details["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return f"is not a known field. Known fields: {', '.join(fields)}."
        case "value_error":
            return str(details["ctx"]["error"])
        case _:
            return f"{short_repr(details['input'])}: {details['msg'].lower()}"
