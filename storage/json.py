"""Sessions as JSON objects, made by the database: one text a row, where a row of columns would be taken apart and encoded.

What each name stands for is what `schema/types.py` answers for the field; a property test holds the two against each other.
"""

from typing import Any

from sqlalchemy import ColumnElement, Text, case, func, literal_column, null

from storage.clauses import constant, duration, number
from storage.tables import SECOND, session

SHAPES = 256  # selections of which the statement is kept
LARGEST = (2**31 - 1) * SECOND  # the duration that GraphQL's Int still holds in seconds

# Names of the answer in their order, each with what it stands for: a key of FIELDS, or (a tuple of one) a constant.
Selection = tuple[tuple[str, str | tuple[str]], ...]


def _instant(column: Any) -> ColumnElement[str]:
    """ISO 8601 in UTC with Z; a fraction of a second only where there is one."""
    second, zero = constant(SECOND), constant(0)
    fraction = (column % second + second) % second

    def moment(seconds: Any) -> ColumnElement[str]:
        # `datetime` takes a third of the time of `strftime`, and leaves only a blank to be replaced.
        return func.replace(func.datetime(seconds, _quoted("unixepoch")), _quoted(" "), _quoted("T"))

    with_fraction = moment((column - fraction) // second).concat(func.printf(_quoted(".%06dZ"), fraction))
    return case((column % second == zero, moment(column // second).concat(_quoted("Z"))), else_=with_fraction)


def _quoted(text: str) -> ColumnElement[str]:
    """A text of this module or a name of GraphQL's, neither of which holds a quote, written into the statement."""
    assert "'" not in text  # noqa: S101, a program error, not an input
    return literal_column(f"'{text}'", Text)


FIELDS: dict[str, Any] = {
    "id": _quoted("S:").concat(session.mac).concat(_quoted(":")).concat(session.id),
    "mac": session.mac,
    "ip": session.ip,
    "state": session.state,
    "connected_at": _instant(session.connected_at),
    "disconnected_at": _instant(session.disconnected_at),
    "connection_event": session.connection_event,
    "disconnection_event": session.disconnection_event,
    "duration_seconds": duration(session) // constant(SECOND),
    "info": session.info,
}


def as_json(selection: Selection) -> ColumnElement[str | None]:
    """The selected fields of a session as a JSON object; null where GraphQL would answer an error instead of a field."""
    parts: list[Any] = []
    for name, what in selection:
        parts += (_quoted(name), FIELDS[what] if isinstance(what, str) else _quoted(what[0]))
    made = func.json_object(*parts)
    if any(what == "duration_seconds" for _, what in selection):
        too_long = func.coalesce(session.disconnected_at, number("now")) - session.connected_at > constant(LARGEST)
        return case((too_long, null()), else_=made)
    return made
