"""Sessions as JSON objects, made by the database: one text a row, where a row of columns would be taken apart and encoded.

What each name stands for is what `schema/types.py` answers for the field; a property test holds the two against each other.
"""

from typing import Any

from sqlalchemy import ColumnElement, Text, case, func, literal_column, null, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from storage.queries.clauses import constant, duration, number
from storage.tables import SECOND

SHAPES = 256  # selections of which the statement is kept
LARGEST = (2**31 - 1) * SECOND  # the duration that GraphQL's Int still holds in seconds

# Names of the answer in their order, each with what it stands for: one of FIELDS, or (a tuple of one) a constant.
Selection = tuple[tuple[str, str | tuple[str]], ...]


_QUOTE = '"'


class instant(FunctionElement[str]):  # noqa: N801
    """Microseconds as ISO 8601 in UTC with Z; a fraction of a second only where there is one."""

    type = Text()
    inherit_cache = True


class json_object(FunctionElement[str]):  # noqa: N801
    """Names and values in turn as a JSON object without blanks."""

    type = Text()
    inherit_cache = True


class free(FunctionElement[str]):  # noqa: N801
    """A text in which anything may stand; others hold nothing that JSON would write otherwise."""

    type = Text()
    inherit_cache = True


@compiles(instant, "sqlite")
def _instant_sqlite(element: instant, compiler: SQLCompiler, **kw: Any) -> str:
    at = compiler.process(element.clauses, **kw)
    fraction = f"(({at} % {SECOND}) + {SECOND}) % {SECOND}"

    def moment(seconds: str) -> str:
        # `datetime` takes a third of the time of `strftime`, and leaves only a blank to be replaced.
        return f"replace(datetime({seconds}, 'unixepoch'), ' ', 'T')"

    return (
        f"CASE WHEN {at} % {SECOND} = 0 THEN {moment(f'{at} / {SECOND}')} || 'Z' "
        f"ELSE {moment(f'({at} - {fraction}) / {SECOND}')} || printf('.%06dZ', {fraction}) END"
    )


@compiles(instant, "postgresql")
def _instant_postgresql(element: instant, compiler: SQLCompiler, **kw: Any) -> str:
    at = compiler.process(element.clauses, **kw)
    fraction = f"(({at} % {SECOND}) + {SECOND}) % {SECOND}"

    def moment(seconds: str) -> str:
        # As JSON it is written faster than by `to_char`: "2025-08-01T10:00:00+00:00".
        return f"left(to_json(to_timestamp({seconds}))::text, 20)"

    return (
        f"CASE WHEN {at} % {SECOND} = 0 THEN {moment(f'{at} / {SECOND}')} || 'Z\"' "
        f"ELSE {moment(f'({at} - {fraction}) / {SECOND}')} || '.' || lpad(({fraction})::text, 6, '0') || 'Z\"' END"
    )


@compiles(free, "sqlite")
def _free_sqlite(element: free, compiler: SQLCompiler, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(json_object, "sqlite")
def _json_object_sqlite(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_object({compiler.process(element.clauses, **kw)})"


@compiles(json_object, "postgresql")
def _json_object_postgresql(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    """Texts put together, as few as can be: `json_build_object` takes twice the time, and writes blanks."""
    clauses = list(element.clauses)
    made: list[str] = []
    text = "{"  # what stands between two values
    for name, value in zip(clauses[::2], clauses[1::2], strict=True):
        text += f'{"," * bool(made)}"{compiler.process(name)[1:-1]}":'
        sql = compiler.process(value.clauses if isinstance(value, free) else value, **kw)
        quoted = isinstance(value.type, Text) and not isinstance(value, free | instant)
        if isinstance(value, free):
            sql = f"coalesce(to_json({sql})::text, 'null')"
        elif isinstance(value, instant):
            sql = f"coalesce({sql}, 'null')"  # it has its quotes
        elif not quoted:
            sql = f"coalesce(({sql})::text, 'null')"
        made += [f"'{text}{_QUOTE * quoted}'", sql]
        text = _QUOTE * quoted
    return " || ".join([*made, f"'{text}}}'"]).join("()")


def _quoted(text: str) -> ColumnElement[str]:
    """A text of this module or a name of GraphQL's, neither of which holds a quote, written into the statement."""
    assert "'" not in text  # noqa: S101, a program error, not an input
    return literal_column(f"'{text}'", Text)


def _field(row: Any, name: str) -> ColumnElement[Any]:
    match name:
        case "id":
            made = _quoted("S:").concat(row.mac).concat(_quoted(":")).concat(row.id)
            return type_coerce(made, Text())
        case "connected_at" | "disconnected_at":
            return instant(row[name])
        case "duration_seconds":
            return duration(row) // constant(SECOND)
        case "connection_event" | "disconnection_event" | "info":
            return free(row[name])
        case _:
            return row[name]


FIELDS = (
    "id",
    "mac",
    "ip",
    "state",
    "connected_at",
    "disconnected_at",
    "connection_event",
    "disconnection_event",
    "duration_seconds",
    "info",
)


def as_json(selection: Selection, row: Any) -> ColumnElement[str | None]:
    """The selected fields of a session as a JSON object; null where GraphQL would answer an error instead of a field."""
    parts: list[Any] = []
    for name, what in selection:
        parts += (_quoted(name), _field(row, what) if isinstance(what, str) else _quoted(what[0]))
    made: Any = json_object(*parts)
    if any(what == "duration_seconds" for _, what in selection):
        too_long = func.coalesce(row.disconnected_at, number("now")) - row.connected_at > constant(LARGEST)
        return case((too_long, null()), else_=made)
    return made
