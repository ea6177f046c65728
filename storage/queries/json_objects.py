"""SQL expressions that build the JSON object of a session in the database.

One text per row replaces a row of columns that Python would have to convert and encode. Each field has the value that
`schema/types.py` returns for it; a property test compares them.
"""

from typing import Any

from sqlalchemy import ColumnElement, Text, case, func, literal_column, null, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from storage.queries.clauses import duration, integer_literal, integer_param
from storage.tables import SECOND, SESSION_COLUMNS

CACHED_SELECTIONS = 256  # selections whose statement is cached
MAX_DURATION = (2**31 - 1) * SECOND  # the longest duration that GraphQL's Int can represent in seconds

# Fields that a selection can contain.
JSON_FIELDS = (*(column.name for column in SESSION_COLUMNS), "duration_seconds")

# Pairs of response name and content, in order. The content is one of JSON_FIELDS, or a constant in a tuple of one.
Selection = tuple[tuple[str, str | tuple[str]], ...]


_QUOTE = '"'


class iso_instant(FunctionElement[str]):  # noqa: N801
    """Microseconds as ISO 8601 in UTC with Z, with a fraction of a second only if it is not zero."""

    type = Text()
    inherit_cache = True


class json_object(FunctionElement[str]):  # noqa: N801
    """A JSON object without whitespace, from alternating names and values."""

    type = Text()
    inherit_cache = True


class escaped_text(FunctionElement[str]):  # noqa: N801
    """A text that may contain characters that JSON escapes. Other texts must not contain any."""

    type = Text()
    inherit_cache = True


@compiles(iso_instant, "sqlite")
def _iso_instant_sqlite(element: iso_instant, compiler: SQLCompiler, **kw: Any) -> str:
    at = compiler.process(element.clauses, **kw)
    fraction = f"(({at} % {SECOND}) + {SECOND}) % {SECOND}"

    def format_seconds(seconds: str) -> str:
        # `datetime` takes a third of the time of `strftime`, and only one space has to be replaced.
        return f"replace(datetime({seconds}, 'unixepoch'), ' ', 'T')"

    return (
        f"CASE WHEN {at} % {SECOND} = 0 THEN {format_seconds(f'{at} / {SECOND}')} || 'Z' "
        f"ELSE {format_seconds(f'({at} - {fraction}) / {SECOND}')} || printf('.%06dZ', {fraction}) END"
    )


@compiles(iso_instant, "postgresql")
def _iso_instant_postgresql(element: iso_instant, compiler: SQLCompiler, **kw: Any) -> str:
    at = compiler.process(element.clauses, **kw)
    fraction = f"(({at} % {SECOND}) + {SECOND}) % {SECOND}"

    def format_seconds(seconds: str) -> str:
        # `to_json` is faster than `to_char`. It returns "2025-08-01T10:00:00+00:00" with an opening quote.
        return f"left(to_json(to_timestamp({seconds}))::text, 20)"

    return (
        f"CASE WHEN {at} % {SECOND} = 0 THEN {format_seconds(f'{at} / {SECOND}')} || 'Z\"' "
        f"ELSE {format_seconds(f'({at} - {fraction}) / {SECOND}')} || '.' || lpad(({fraction})::text, 6, '0') || 'Z\"' END"
    )


@compiles(escaped_text, "sqlite")
def _escaped_text_sqlite(element: escaped_text, compiler: SQLCompiler, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(json_object, "sqlite")
def _json_object_sqlite(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    return f"json_object({compiler.process(element.clauses, **kw)})"


@compiles(json_object, "postgresql")
def _json_object_postgresql(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    """Concatenate as few texts as possible: `json_build_object` takes twice the time, and adds whitespace."""
    clauses = list(element.clauses)
    parts: list[str] = []
    text = "{"  # the literal text before the next value
    for name, value in zip(clauses[::2], clauses[1::2], strict=True):
        text += f'{"," * bool(parts)}"{compiler.process(name)[1:-1]}":'
        sql = compiler.process(value.clauses if isinstance(value, escaped_text) else value, **kw)
        needs_quotes = isinstance(value.type, Text) and not isinstance(value, escaped_text | iso_instant)
        if isinstance(value, escaped_text):
            sql = f"coalesce(to_json({sql})::text, 'null')"
        elif isinstance(value, iso_instant):
            sql = f"coalesce({sql}, 'null')"  # it includes its quotes
        elif not needs_quotes:
            sql = f"coalesce(({sql})::text, 'null')"
        parts += [f"'{text}{_QUOTE * needs_quotes}'", sql]
        text = _QUOTE * needs_quotes
    return " || ".join([*parts, f"'{text}}}'"]).join("()")


def _literal(text: str) -> ColumnElement[str]:
    """Return a text literal. The text is part of this module or a GraphQL name, which cannot contain a quote."""
    assert "'" not in text  # noqa: S101, a program error, not an input
    return literal_column(f"'{text}'", Text)


def _field(row: Any, name: str) -> ColumnElement[Any]:
    match name:
        case "id":
            global_id = _literal("S:").concat(row.mac).concat(_literal(":")).concat(row.id)
            return type_coerce(global_id, Text())
        case "mac" | "ip" | "state":
            return row[name]
        case "connected_at" | "disconnected_at":
            return iso_instant(row[name])
        case "duration_seconds":
            return duration(row) // integer_literal(SECOND)
        case _:
            return escaped_text(row[name])


def session_json(selection: Selection, row: Any) -> ColumnElement[str | None]:
    """Return the JSON object of a session, or null if GraphQL would return an error for a field."""
    arguments: list[Any] = []
    for name, content in selection:
        arguments += (_literal(name), _field(row, content) if isinstance(content, str) else _literal(content[0]))
    result: Any = json_object(*arguments)
    if any(content == "duration_seconds" for _, content in selection):
        until = func.coalesce(row.disconnected_at, integer_param("now"))
        return case((until - row.connected_at > integer_literal(MAX_DURATION), null()), else_=result)
    return result
