"""Validation of inputs and its error messages."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from resolvers.errors import InvalidInputError, short_repr
from resolvers.validation.clock import Clock
from resolvers.validation.models import Input, NewSession, NewToken, Page, StartReport, validate
from rest_compat.datatables import TableQuery
from tests.conftest import MAC, NOW, at

DEVICE = {"mac": MAC, "ip": "10.0.0.1"}
TOKEN = {"name": "phone", "scope": "read"}
RANGE = "is out of range; at least 1, at most 1000"
AT_NOON = Clock(ZoneInfo("UTC"), time=lambda: at(NOW))


def test_a_value_of_a_wrong_type_is_rejected_with_its_field() -> None:
    """The scalars of both APIs prevent such values today."""
    with pytest.raises(InvalidInputError, match=r"^after: 5: input should be a valid string$"):
        validate(Page, {"after": 5}, Clock(ZoneInfo("UTC")))


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (TableQuery, {"limit": "ten"}, "limit: 'ten' is not a whole number"),
        (TableQuery, {"limit": "5-"}, "limit: '5-' is not a whole number"),
        (TableQuery, {"limit": True}, "limit: True is not a whole number"),
        (TableQuery, {"limit": "-1"}, f"limit: '-1' {RANGE}"),
        (TableQuery, {"limit": "9" * 5000}, f"limit: '{'9' * 98}… {RANGE}"),
        (TableQuery, {"sortDir": "up"}, "sortDir: 'up' is not a known value; use one of: asc, desc"),
        (
            NewSession,
            DEVICE | {"event_type_conn": " "},
            "event_type_conn: is empty; leave it out or name an event type",
        ),
        (
            StartReport,
            DEVICE | {"event_type": "<missing event>"},
            "event_type: cannot be <missing event> in a report; leave it out or name an event type",
        ),
        (
            StartReport,
            DEVICE | {"at": "2025-08-20T12:05:01"},
            "at: '2025-08-20T12:05:01' is in the future; a time without an offset is local time in UTC",
        ),
        (
            NewToken,
            TOKEN | {"name": "a b"},
            "name: 'a b' is not a valid token name; use printable characters without spaces",
        ),
        (NewToken, TOKEN | {"expires": NOW}, f"expires: '{NOW}' is in the past"),
        (StartReport, {"ip": "10.0.0.1"}, "mac: is required"),
        (StartReport, DEVICE | {"when": 1}, "when: is not a known field. Known fields: mac, ip, at, event_type, info."),
    ],
)
def test_an_error_message_names_the_field_the_value_and_the_fix(
    model: type[Input], fields: dict[str, object], message: str
) -> None:
    """It is the same in both APIs."""
    with pytest.raises(InvalidInputError) as rejected:
        validate(model, fields, AT_NOON)
    assert str(rejected.value) == message


@pytest.mark.parametrize(
    ("model", "fields", "field", "value"),
    [
        (TableQuery, {"limit": "1"}, "limit", 1),
        (TableQuery, {"limit": "1000"}, "limit", 1000),
        (StartReport, DEVICE | {"at": "2025-08-20T12:05:00"}, "at", at("2025-08-20T12:05:00")),
        (NewToken, TOKEN | {"expires": "2025-08-20T12:00:01"}, "expires", at("2025-08-20T12:00:01")),
    ],
)
def test_a_value_at_its_bound_is_accepted(
    model: type[Input], fields: dict[str, object], field: str, value: int
) -> None:
    """The minimum, the maximum, and times relative to the clock."""
    assert getattr(validate(model, fields, AT_NOON), field) == value


def test_null_selects_the_default() -> None:
    """Some clients send all fields."""
    nulls = {"event_type_conn": None, "event_type_disc": None, "info": None}
    session = validate(NewSession, DEVICE | nulls | {"start_time": NOW}, AT_NOON)
    assert (session.event_type_conn, session.event_type_disc, session.info) == ("Connected", "Disconnected", "")
    assert validate(StartReport, DEVICE | {"event_type": None, "info": "x"}, AT_NOON).event_type == "Connected"


def test_messages_show_at_most_a_hundred_characters_of_a_value() -> None:
    """A value that is nested too deeply for repr is described."""
    assert short_repr("x" * 98) == f"'{'x' * 98}'"
    assert short_repr("x" * 99) == f"'{'x' * 98}…"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert short_repr(deep) == "a deeply nested value"
