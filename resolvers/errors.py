"""The few ways in which a request can fail; each door translates them in one place."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

SHOWN = 100  # characters of a refused value that are echoed


class InvalidInputError(Exception):
    """Bad input: which field, and what to write instead. The same sentence at every door."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class FieldError(ValueError):
    """A mistake that is seen only with several fields together; it is reported as that of the one named."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


class NotFoundError(Exception):
    """What was to be changed is not there."""


class UnauthenticatedError(Exception):
    """Nobody knows who asks; one sentence on how to say it."""


class ForbiddenError(Exception):
    """Who asks may not have it; one sentence on who may."""


class TooManyError(Exception):
    """More than one may have at a time; in how many seconds to try again."""

    def __init__(self, problem: str, retry_after: int) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


def shown(value: object) -> str:
    """A refused value as a message may carry it."""
    try:
        text = repr(value)
    except RecursionError:
        text = "what is nested so deeply"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def invalid_input(error: ValidationError, known: Mapping[str, Any]) -> InvalidInputError:
    """The first mistake that a model found; `known` are the fields that it has."""
    first = error.errors(include_url=False)[0]
    path = [*first["loc"]]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        path.append(cause.field)
    return InvalidInputError(".".join(map(str, path))[:SHOWN], _problem(first, known))


def _problem(mistake: ErrorDetails, known: Mapping[str, Any]) -> str:
    match mistake["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return f"is not known here; known are: {', '.join(known)}"
        case "value_error":
            return str(mistake["ctx"]["error"])
        case _:
            return f"{shown(mistake['input'])}: {mistake['msg'].lower()}"
