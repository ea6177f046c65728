"""Shared arguments, and the conversion of arguments into what the models of the resolvers validate."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any

import strawberry
from strawberry import UNSET, argument
from strawberry.utils.str_converters import to_snake_case

from resolvers.context import Context
from resolvers.errors import InvalidInputError, short_repr
from resolvers.validation import models
from resolvers.validation.models import Page
from schema.scalars import MAC, DateTime, IPAddress, Period

# The format of `device_id` and `session_id`.
ID_PATTERN = re.compile(r"[DS](?P<mac>(?::[0-9A-F]{2}){6})(?::(?P<session>\d{1,19}))?", re.ASCII)
MAX_SESSION_ID = 2**63 - 1

First = Annotated[
    int | None, argument(description="Number of rows from the start of the list, or after `after`. Default 50.")
]
After = Annotated[str | None, argument(description="A cursor. The page starts after it.")]
Last = Annotated[int | None, argument(description="Number of rows from the end of the list, or before `before`.")]
Before = Annotated[str | None, argument(description="A cursor. The page ends before it.")]
DeviceMac = Annotated[MAC, argument(description="MAC address of the device.")]
SessionId = Annotated[strawberry.ID, argument(description="Id of the session.")]
LastPeriod = Annotated[Period | None, argument(description="Period back from now.")]
EventTime = Annotated[
    DateTime | None, argument(description="When it happened. Default now. Must not be in the future.")
]
DeviceIp = Annotated[IPAddress, argument(description="IP address of the device.")]


def to_dict(value: Any) -> Any:
    """Return an input object as a dict, an enum as its value, and a list member by member. Unset fields are left out."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [to_dict(member) for member in value]
    if is_dataclass(value) and not isinstance(value, type):
        items = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name.rstrip("_"): to_dict(member) for name, member in items if member is not UNSET}
    return value


_to_snake_case = lru_cache(256)(to_snake_case)


def to_snake_case_keys(value: Any) -> Any:
    """Return arguments as coerced by graphql-core with snake_case keys at every level, and enums as their values."""
    if isinstance(value, dict):
        return {_to_snake_case(name): to_snake_case_keys(member) for name, member in value.items()}
    if isinstance(value, list):
        return [to_snake_case_keys(member) for member in value]
    return value.value if isinstance(value, Enum) else value


def provided_args(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that are neither unset nor null."""
    return {name: to_dict(value) for name, value in arguments.items() if value is not None and value is not UNSET}


def read_page(context: Context, arguments: Mapping[str, Any]) -> Page:
    """Return the page that `first`, `after`, `last` and `before` select. Raise InvalidInputError."""
    return models.validate_page(arguments, context.clock, context.limits.page)


def parse_id(text: str) -> tuple[str, int | None]:
    """Return the MAC in a global id and the number of the session, or None for a device. Raise InvalidInputError."""
    if not (match := ID_PATTERN.fullmatch(text)) or (text[0] == "D") != (match["session"] is None):
        raise InvalidInputError(
            "id", f"{short_repr(str(text))} is not an id of this server. Pass an id that it returned."
        )
    number = match["session"]
    return match["mac"][1:], None if number is None else min(int(number), MAX_SESSION_ID)


def parse_session_id(text: str) -> tuple[str, int]:
    """Return the MAC and the number in the id of a session. Raise InvalidInputError."""
    mac, number = parse_id(text)
    if number is None:
        raise InvalidInputError("id", f"{short_repr(str(text))} is the id of a device. Pass the id of a session.")
    return mac, number
