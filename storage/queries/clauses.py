"""SQL expressions that several queries share, and those that SQLite and PostgreSQL write differently."""

import operator
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.sql.selectable import GenerativeSelect
from sqlalchemy.types import NullType

from storage.tables import LONGEST, NO_END, NO_START, OPEN, SESSIONS, SPAN_LIMITS, session

Statement = TypeVar("Statement", bound=GenerativeSelect)

# SQLite's row number: the fastest way to read a row again.
ROWID: ColumnElement[int] = literal_column("session.rowid", BigInteger)


def in_json_array(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Return whether the column is one of the strings in a parameter: one JSON array for any number of strings."""
    return _InJSONArray(column, text_param(name))


def in_large_json_array(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Return the same for thousands of strings, for which PostgreSQL must not plan to compare every row with each."""
    return _InLargeJSONArray(column, text_param(name))


class _InJSONArray(FunctionElement[Any]):
    type = NullType()  # SQLite would compare a Boolean with 1, and use no index
    inherit_cache = True


class _InLargeJSONArray(FunctionElement[Any]):
    type = NullType()
    inherit_cache = True


@compiles(_InJSONArray, "sqlite")
@compiles(_InLargeJSONArray, "sqlite")
def _in_json_array_sqlite(element: _InJSONArray, compiler: SQLCompiler, **kw: Any) -> str:
    column, strings = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({strings}))"  # noqa: S608, parameter placeholders


@compiles(_InJSONArray, "postgresql")
def _in_json_array_postgresql(element: _InJSONArray, compiler: SQLCompiler, **kw: Any) -> str:
    column, strings = (compiler.process(clause, **kw) for clause in element.clauses)
    # An array is built once. A subquery would become a join, whose size the planner guesses.
    return f"{column} = ANY (ARRAY(SELECT json_array_elements_text(CAST({strings} AS json))))"


@compiles(_InLargeJSONArray, "postgresql")
def _in_large_json_array_postgresql(element: _InLargeJSONArray, compiler: SQLCompiler, **kw: Any) -> str:
    column, strings = (compiler.process(clause, **kw) for clause in element.clauses)
    return f'{column} IN (SELECT json_array_elements_text(CAST({strings} AS json)) COLLATE "C")'


class ip_order(FunctionElement[str]):  # noqa: N801
    """The sort key of an IP address: by number, IPv4 before IPv6. As text, `10.0.0.9` would follow `10.0.0.10`."""

    type = Text()
    inherit_cache = True


@compiles(ip_order, "sqlite")
def _ip_order_sqlite(element: ip_order, compiler: SQLCompiler, **kw: Any) -> str:
    return f"ip_order({compiler.process(element.clauses, **kw)})"


@compiles(ip_order, "postgresql")
def _ip_order_postgresql(element: ip_order, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS inet)"


class casefold(FunctionElement[str]):  # noqa: N801
    """A text with its case removed: `str.casefold` on SQLite, and the closest equivalent on PostgreSQL."""

    type = Text()
    inherit_cache = True


@compiles(casefold, "sqlite")
def _casefold_sqlite(element: casefold, compiler: SQLCompiler, **kw: Any) -> str:
    return f"fold({compiler.process(element.clauses, **kw)})"


@compiles(casefold, "postgresql")
def _casefold_postgresql(element: casefold, compiler: SQLCompiler, **kw: Any) -> str:
    # PostgreSQL has `casefold` only since version 18. Of the letters that fold to two, only ß is common.
    text = compiler.process(element.clauses, **kw)
    return f"""replace(lower({text} COLLATE "default"), 'ß', 'ss') COLLATE "C\""""


class _Contains(FunctionElement[bool]):
    """Whether a text matches a LIKE pattern, ignoring the case of ASCII letters."""

    type = Boolean()
    inherit_cache = True


@compiles(_Contains, "sqlite")
def _contains_sqlite(element: _Contains, compiler: SQLCompiler, **kw: Any) -> str:
    column, pattern = element.clauses
    return f"{compiler.process(column, **kw)} LIKE {compiler.process(pattern, **kw)} ESCAPE '\\'"


@compiles(_Contains, "postgresql")
def _contains_postgresql(element: _Contains, compiler: SQLCompiler, **kw: Any) -> str:
    column, pattern = element.clauses
    return f"{compiler.process(column, **kw)} ILIKE {compiler.process(pattern, **kw)} ESCAPE '\\'"


def integer_param(name: str) -> ColumnElement[int]:
    """Return an integer parameter: an instant, a limit or a key."""
    return bindparam(name, type_=BigInteger)


def text_param(name: str) -> ColumnElement[str]:
    """Return a text parameter."""
    return bindparam(name, type_=Text)


def table_parameters(table: Table, names: Iterable[str]) -> dict[str, ColumnElement[Any]]:
    """Return a parameter for each named column of a table, as the values of an insert or update."""
    return {
        name: integer_param(name) if isinstance(table.c[name].type, Integer) else text_param(name) for name in names
    }


def integer_literal(value: int) -> ColumnElement[int]:
    """Return an integer that is part of the statement's text."""
    return literal_column(str(value), BigInteger)


def in_span_classes(span: ColumnElement[int], *classes: int) -> ColumnElement[bool]:
    """Return whether a session belongs to one of the span classes. An index on the column is searched once per class."""
    if len(classes) == 1:
        return span == integer_literal(*classes)
    return span.in_([integer_literal(n) for n in classes])


SearchCondition = Literal["search", "search_unicode"]


def search_condition(text: str) -> SearchCondition:
    """Return the condition that searches for a text. SQLite's LIKE ignores the case of ASCII letters only."""
    return "search" if text.isascii() else "search_unicode"


def contains(columns: Sequence[Any], search: SearchCondition) -> ColumnElement[bool]:
    """Return whether one of the columns contains the text of parameter `needle` (see `like_pattern`), ignoring case."""
    fold = casefold if search == "search_unicode" else (lambda column: column)
    return or_(*(_Contains(fold(column), text_param("needle")) for column in columns))


def like_pattern(text: str) -> str:
    """Return the parameter `needle` of `contains` for a text."""
    escaped = text.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def last_known_end() -> ColumnElement[int]:
    """Return the last observed end of a closed session."""
    return func.coalesce(session.disconnected_at, session.connected_at)


def duration(row: Any) -> ColumnElement[int | None]:
    """Return the duration in microseconds: until parameter `now` if connected, never negative; null if an end is missing."""
    now, zero = integer_param("now"), integer_literal(0)
    return case(
        (row.disconnected_at.is_not(None), row.disconnected_at - row.connected_at),
        (row.disconnection_event.is_(None), case((row.connected_at < now, now - row.connected_at), else_=zero)),
    )


def starts_in_window(n: int) -> ColumnElement[bool]:
    """Return whether a session of class `n` starts in the half-open window of the parameters `since` and `until`."""
    since, until = integer_param("since"), integer_param("until")
    return and_(in_span_classes(session.span, n), session.starts_at >= since, session.starts_at < until)


def ends_in_window(
    n: int, since: ColumnElement[int] | None = None, until: ColumnElement[int] | None = None
) -> ColumnElement[bool]:
    """Return whether a session of class `n`, which has both ends, ends in a half-open window.

    The window defaults to the parameters `since` and `until`.
    """
    since = integer_param("since") if since is None else since
    until = integer_param("until") if until is None else until
    ends_after = or_(session.starts_at >= since, session.disconnected_at >= since)
    if n == LONGEST:
        return and_(
            in_span_classes(session.span, n), session.starts_at < until, ends_after, session.disconnected_at < until
        )
    span = integer_literal(SPAN_LIMITS[n])
    # A session that started a whole span before the window's end has ended by then, which the index alone shows.
    ends_before = or_(session.starts_at < until - span, session.disconnected_at < until)
    in_reach = and_(session.starts_at >= since - span, session.starts_at < until)
    return and_(in_span_classes(session.span, n), in_reach, ends_after, ends_before)


def overlaps_window(n: int, *, margin: int = 0) -> ColumnElement[bool]:
    """Return whether a session of class `n` overlaps the window, extended by `margin` microseconds on both sides.

    The window is given by the parameters `since` and `until`; an open session ends at `now`. A session without a duration
    (its ends are equal, or one is missing) overlaps a window that contains its instant.
    """
    since = integer_param("since") - integer_literal(margin)
    until = integer_param("until") + integer_literal(margin)
    starts_inside, starts_before = session.starts_at >= since, session.starts_at < until
    if n in (NO_START, NO_END):
        return and_(in_span_classes(session.span, n), starts_inside, starts_before)
    if n == OPEN:
        is_reached = or_(starts_inside, integer_param("now") > since)
        return and_(in_span_classes(session.span, n), starts_before, is_reached)
    is_reached = or_(starts_inside, session.disconnected_at > since)
    if n == LONGEST:
        return and_(in_span_classes(session.span, n), starts_before, is_reached)
    in_reach = session.starts_at >= since - integer_literal(SPAN_LIMITS[n])
    return and_(in_span_classes(session.span, n), in_reach, starts_before, is_reached)


def between_cursors(
    statement: Select[Any],
    columns: Mapping[str, Any],
    *,
    descending: bool,
    after: bool,
    before: bool,
    text_columns: Container[str] = ("mac",),
) -> Select[Any]:
    """Restrict a list to the rows between two cursors, so that a page costs the same wherever it is in the list.

    A cursor consists of the named columns in the order of the list. `after` and `before` say which cursors are given, as
    the parameters `after_NAME` and `before_NAME`. They are integers, except those of `text_columns`.
    """
    position = tuple_(*columns.values())
    for is_given, prefix, is_less in ((after, "after", descending), (before, "before", not descending)):
        if is_given:
            parameters = (
                (text_param if name in text_columns else integer_param)(f"{prefix}_{name}") for name in columns
            )
            cursor = tuple_(*parameters)
            statement = statement.where(position < cursor if is_less else position > cursor)
    return statement


def order_by_names(statement: Statement, names: Iterable[str], *, descending: bool) -> Statement:
    """Order a statement by the columns with these names, all in the same direction."""
    columns: Iterable[ColumnElement[Any]] = map(literal_column, names)
    return statement.order_by(*(column.desc() if descending else column.asc() for column in columns))


def union_branches(branches: Sequence[Select[Any]]) -> GenerativeSelect:
    """Return the rows of all branches. If an index orders each branch, the database merges them without sorting."""
    return union_all(*branches) if len(branches) > 1 else branches[0]


def ordered_branch(
    branch: Select[Any], names: Iterable[str], *, descending: bool, limit: ColumnElement[int] | None = None
) -> Select[Any]:
    """Return a branch with its own order, and at most `limit` rows.

    PostgreSQL merges only branches with an order of their own, SQLite only branches without one.
    """
    statement = order_by_names(branch, names, descending=descending)
    # Inside a union, a statement with an order must be a subquery.
    return select((statement if limit is None else statement.limit(limit)).subquery())


def count_sessions_where(conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[int]:
    """Count the sessions that meet one of the conditions, which must exclude each other."""
    counts = (select(func.count()).select_from(SESSIONS).where(condition).scalar_subquery() for condition in conditions)
    return reduce(operator.add, counts)
