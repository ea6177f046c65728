"""The few SQL pieces that are spelled differently on each database, and the ones that every question shares."""

import operator
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Select,
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

from storage.tables import LONGER, NO_END, NO_START, OPEN, SESSIONS, SPANS, session

Ordered = TypeVar("Ordered", bound=GenerativeSelect)

# What a row of the session table is to Python; `any_session` below selects just these.
COLUMNS = (
    session.mac,
    session.id,
    session.ip,
    session.connected_at,
    session.disconnected_at,
    session.connection_event,
    session.disconnection_event,
    session.info,
    session.state,
)

# Where a row lies: the shortest way back to it.
ROW_ADDRESS: ColumnElement[int] = literal_column("session.rowid", BigInteger)


def among(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether the column is one of the strings of a parameter, a JSON array: one parameter however many there are."""
    return _Among(column, text(name))


def among_many(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """The same for thousands of strings, where comparing each row with each of them might be what is planned."""
    return _AmongMany(column, text(name))


class _Among(FunctionElement[Any]):
    type = NullType()  # as a Boolean it would be compared with 1 on SQLite, and no index found by it
    inherit_cache = True


class _AmongMany(FunctionElement[Any]):
    type = NullType()
    inherit_cache = True


@compiles(_Among, "sqlite")
@compiles(_AmongMany, "sqlite")
def _among_sqlite(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, strings = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({strings}))"  # noqa: S608, places for parameters


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, strings = (compiler.process(clause, **kw) for clause in element.clauses)
    # An array, made once: a subquery would be joined, and the planner would guess how long it is.
    return f"{column} = ANY (ARRAY(SELECT json_array_elements_text(CAST({strings} AS json))))"


@compiles(_AmongMany, "postgresql")
def _among_many_postgresql(element: _AmongMany, compiler: SQLCompiler, **kw: Any) -> str:
    column, strings = (compiler.process(clause, **kw) for clause in element.clauses)
    return f'{column} IN (SELECT json_array_elements_text(CAST({strings} AS json)) COLLATE "C")'


class ip_order(FunctionElement[str]):  # noqa: N801
    """Orders addresses by number, IPv4 before IPv6; as text `10.0.0.9` would follow `10.0.0.10`."""

    type = Text()
    inherit_cache = True


@compiles(ip_order, "sqlite")
def _ip_order_sqlite(element: ip_order, compiler: SQLCompiler, **kw: Any) -> str:
    return f"ip_order({compiler.process(element.clauses, **kw)})"


@compiles(ip_order, "postgresql")
def _ip_order_postgresql(element: ip_order, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS inet)"


class fold(FunctionElement[str]):  # noqa: N801
    """A text without its case: Python's `str.casefold`, or what comes nearest to it."""

    type = Text()
    inherit_cache = True


@compiles(fold, "sqlite")
def _fold_sqlite(element: fold, compiler: SQLCompiler, **kw: Any) -> str:
    return f"fold({compiler.process(element.clauses, **kw)})"


@compiles(fold, "postgresql")
def _fold_postgresql(element: fold, compiler: SQLCompiler, **kw: Any) -> str:
    # Of the letters that fold to two, the one that people write; `casefold` is in PostgreSQL 18 alone.
    text = compiler.process(element.clauses, **kw)
    return f"""replace(lower({text} COLLATE "default"), 'ß', 'ss') COLLATE "C\""""


class _Contains(FunctionElement[bool]):
    """Whether a text contains another, written as a pattern; in any case of ASCII letters."""

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


def number(name: str) -> ColumnElement[int]:
    """A parameter that is a whole number: an instant, a limit, a key."""
    return bindparam(name, type_=BigInteger)


def text(name: str) -> ColumnElement[str]:
    """A parameter that is text."""
    return bindparam(name, type_=Text)


def constant(value: int) -> ColumnElement[int]:
    """A whole number written into the statement."""
    return literal_column(str(value), BigInteger)


def of_classes(span: ColumnElement[int], *classes: int) -> ColumnElement[bool]:
    """Sessions of one of the span classes: an index whose column it is sought once for each."""
    return span == constant(*classes) if len(classes) == 1 else span.in_([constant(n) for n in classes])


Search = Literal["search", "search_unicode"]


def search_for(needle: str) -> Search:
    """How a needle is searched for: SQLite's LIKE folds ASCII only."""
    return "search" if needle.isascii() else "search_unicode"


def contains(columns: Sequence[Any], search: Search) -> ColumnElement[bool]:
    """Any of the columns contains the parameter `needle` (see `like`), in any case; `fold` is Python's `str.casefold`."""
    folded = fold if search == "search_unicode" else (lambda column: column)
    return or_(*(_Contains(folded(column), text("needle")) for column in columns))


def like(needle: str) -> str:
    """The parameter `needle` for `contains`."""
    escaped = needle.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def known_end() -> ColumnElement[int]:
    """The last end of a closed session that was seen."""
    return func.coalesce(session.disconnected_at, session.connected_at)


def duration(row: Any) -> ColumnElement[int | None]:
    """Microseconds between a row's ends; until `now` while connected, never negative; null when an end is missing."""
    now, zero = number("now"), constant(0)
    return case(
        (row.disconnected_at.is_not(None), row.disconnected_at - row.connected_at),
        (row.disconnection_event.is_(None), case((row.connected_at < now, now - row.connected_at), else_=zero)),
    )


def started_inside(n: int) -> ColumnElement[bool]:
    """Sessions of class `n` that start in the half-open window of the parameters `since`, `until`."""
    since, until = number("since"), number("until")
    return and_(of_classes(session.span, n), session.starts_at >= since, session.starts_at < until)


def ended_inside(
    n: int, since: ColumnElement[int] | None = None, until: ColumnElement[int] | None = None
) -> ColumnElement[bool]:
    """Sessions of class `n`, one with both ends, whose end lies in the window of the parameters, or in another."""
    since = number("since") if since is None else since
    until = number("until") if until is None else until
    inside = or_(session.starts_at >= since, session.disconnected_at >= since)
    if n == LONGER:
        return and_(of_classes(session.span, n), session.starts_at < until, inside, session.disconnected_at < until)
    span = constant(SPANS[n])
    # What started a whole span before the window's end has ended by then: the index alone tells.
    over = or_(session.starts_at < until - span, session.disconnected_at < until)
    began = and_(session.starts_at >= since - span, session.starts_at < until)
    return and_(of_classes(session.span, n), began, inside, over)


def overlapping(n: int, *, margin: int = 0) -> ColumnElement[bool]:
    """Sessions of class `n` that overlap the window, made wider by a margin at both sides, seen at the instant `now`.

    A session that is an instant (both ends equal, or one never seen) overlaps the window that holds it; one still
    connected ends now.
    """
    since, until = number("since") - constant(margin), number("until") + constant(margin)
    inside, started = session.starts_at >= since, session.starts_at < until
    if n in (NO_START, NO_END):
        return and_(of_classes(session.span, n), inside, started)
    if n == OPEN:
        return and_(of_classes(session.span, n), started, or_(inside, number("now") > since))
    reached = or_(inside, session.disconnected_at > since)
    if n == LONGER:
        return and_(of_classes(session.span, n), started, reached)
    return and_(of_classes(session.span, n), session.starts_at >= since - constant(SPANS[n]), started, reached)


def between(
    statement: Select[Any],
    place: Mapping[str, Any],
    *,
    descending: bool,
    after: bool,
    before: bool,
    texts: Container[str] = ("mac",),
) -> Select[Any]:
    """The rows of a list between two places of its order: a page costs the same wherever it lies.

    `after` and `before` say which of the two are given, as parameters `after_NAME` and `before_NAME` for each column,
    numbers but for those that are `texts`.
    """
    columns = tuple_(*place.values())
    for given, name, beyond in ((after, "after", descending), (before, "before", not descending)):
        if given:
            mark = tuple_(*(text(f"{name}_{c}") if c in texts else number(f"{name}_{c}") for c in place))
            statement = statement.where(columns < mark if beyond else columns > mark)
    return statement


def in_order(statement: Ordered, place: Iterable[str], *, falls: bool) -> Ordered:
    """The rows by the columns of their place, all falling or all rising."""
    columns: Iterable[ColumnElement[Any]] = map(literal_column, place)
    return statement.order_by(*(column.desc() if falls else column.asc() for column in columns))


def united(branches: Sequence[Select[Any]]) -> GenerativeSelect:
    """The rows of all branches. Ordered as each of them is by its index, they are merged and not sorted."""
    return union_all(*branches) if len(branches) > 1 else branches[0]


def ordered(
    branch: Select[Any], place: Iterable[str], *, falls: bool, limit: ColumnElement[int] | None = None
) -> Select[Any]:
    """A branch that is told its order, and how many of its rows are wanted at most.

    PostgreSQL merges only what is ordered by itself; SQLite merges only what is not.
    """
    told = in_order(branch, place, falls=falls)
    # A statement with an order of its own must be a subquery within a union.
    return select((told if limit is None else told.limit(limit)).subquery())


def counted(conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[int]:
    """How many sessions there are under the conditions, of which no two hold for the same one."""
    counts = (select(func.count()).select_from(SESSIONS).where(each).scalar_subquery() for each in conditions)
    return reduce(operator.add, counts)
