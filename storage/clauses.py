"""The few SQL pieces that are spelled differently on each database, and the ones that every question shares."""

from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Select, Text, and_, bindparam, case, func, or_, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from storage.tables import COMPLETE, CONNECTED, LONGER, OPEN, SPANS, session

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


def members(name: str) -> Select[tuple[str]]:
    """The strings of the parameter, a JSON array: one parameter however long the list is."""
    return select(func.json_each(text(name)).table_valued("value").c.value)


class ip_order(FunctionElement[str]):  # noqa: N801
    """Orders addresses by number, IPv4 before IPv6; as text `10.0.0.9` would follow `10.0.0.10`."""

    type = Text()
    inherit_cache = True


@compiles(ip_order, "sqlite")
def _ip_order_sqlite(element: ip_order, compiler: SQLCompiler, **kw: Any) -> str:
    return f"ip_order({compiler.process(element.clauses, **kw)})"


def number(name: str) -> ColumnElement[int]:
    """A parameter that is a whole number: an instant, a limit, a key."""
    return bindparam(name, type_=BigInteger)


def text(name: str) -> ColumnElement[str]:
    """A parameter that is text."""
    return bindparam(name, type_=Text)


Search = Literal["search", "search_unicode"]


def search_for(needle: str) -> Search:
    """How a needle is searched for: SQLite's LIKE folds ASCII only."""
    return "search" if needle.isascii() else "search_unicode"


def contains(columns: tuple[Any, ...], search: Search) -> ColumnElement[bool]:
    """Any of the columns contains the parameter `needle` (see `like`), in any case; `fold` is Python's `str.casefold`."""
    fold = func.fold if search == "search_unicode" else (lambda column: column)
    return or_(*(fold(column).like(text("needle"), escape="\\") for column in columns))


def like(needle: str) -> str:
    """The parameter `needle` for `contains`."""
    escaped = needle.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def known_end() -> ColumnElement[int]:
    """The last end of a closed session that was seen."""
    return func.coalesce(session.disconnected_at, session.connected_at)


def duration(row: Any) -> ColumnElement[int | None]:
    """Microseconds between a row's ends; until `now` while connected, never negative; null when an end is missing."""
    now = number("now")
    return case(
        (row.state == COMPLETE, row.disconnected_at - row.connected_at),
        (row.state == CONNECTED, case((row.connected_at < now, now - row.connected_at), else_=0)),
    )


def overlapping(*, ended_inside: bool = False, margin: int = 0) -> ColumnElement[bool]:
    """Sessions that overlap the half-open window of the parameters `since`, `until`, seen at the instant `now`.

    One seek a span class, joined by OR. A session that is an instant (both ends equal, or one never seen) overlaps the
    window that holds it; one still connected ends now. With `ended_inside`, only those whose end lies in the window;
    with a `margin`, the window is wider at both sides by that much.
    """
    since, until = number("since") - margin, number("until") + margin
    if ended_inside:
        closed = and_(session.disconnected_at >= since, session.disconnected_at < until)
    else:
        closed = or_(session.starts_at >= since, known_end() > since)
    started = session.starts_at < until
    classes = [
        and_(session.span == n, session.starts_at >= since - span, started, closed) for n, span in enumerate(SPANS)
    ]
    classes.append(and_(session.span == LONGER, started, closed))
    if not ended_inside:
        still = or_(session.starts_at >= since, number("now") > since)
        classes.append(and_(session.span == OPEN, started, still))
    return or_(*classes)


def keyset(
    statement: Select[Any], position: dict[str, Any], *, descending: bool, after: bool, before: bool, backward: bool
) -> Select[Any]:
    """The statement in the order of `position`, between two places of it: a page costs the same wherever it lies.

    `after` and `before` say which of the two are given, as parameters `after_NAME` and `before_NAME` for each column;
    `backward` reads from the end of the list.
    """
    columns = tuple_(*position.values())
    for given, name, beyond in ((after, "after", descending), (before, "before", not descending)):
        if given:
            mark = tuple_(*(text(f"{name}_{c}") if c == "mac" else number(f"{name}_{c}") for c in position))
            statement = statement.where(columns < mark if beyond else columns > mark)
    falls = descending != backward
    return statement.order_by(*(column.desc() if falls else column.asc() for column in position.values()))
