"""The few SQL pieces that are spelled differently on each database, and the ones that every question shares."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, Text, and_, bindparam, case, func, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from storage.tables import LONGER, OPEN, SPANS, Session

# What a row of the session table is to Python; `any_session` below selects just these.
COLUMNS = (
    Session.mac,
    Session.id,
    Session.ip,
    Session.connected_at,
    Session.disconnected_at,
    Session.connection_event,
    Session.disconnection_event,
    Session.info,
    Session.state,
)


class in_json(FunctionElement[bool]):  # noqa: N801, named like the SQL function it stands for
    """`column IN (the members of a JSON array of strings)`: one parameter however long the list is."""

    type = Boolean()
    inherit_cache = True


@compiles(in_json, "sqlite")
def _in_json_sqlite(element: in_json, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"


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


def contains(columns: tuple[Any, ...], *, ascii_needle: bool) -> ColumnElement[bool]:
    """Any of the columns contains the parameter `needle` (folded, LIKE-escaped, `%` at both sides), in any case.

    SQLite's LIKE folds ASCII only, so another needle goes through `fold`, which is Python's `str.casefold`.
    """
    fold = (lambda c: c) if ascii_needle else func.fold
    return or_(*(fold(column).like(text("needle"), escape="\\") for column in columns))


def like(needle: str) -> str:
    """The parameter `needle` for `contains`."""
    escaped = needle.casefold().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def known_end() -> ColumnElement[int]:
    """The last end of a closed session that was seen."""
    return func.coalesce(Session.disconnected_at, Session.connected_at)


def duration(now: ColumnElement[int]) -> ColumnElement[int | None]:
    """Microseconds; until now while connected, and never negative; null when an end is missing."""
    return case(
        (Session.state == "COMPLETE", Session.disconnected_at - Session.connected_at),
        (Session.state == "CONNECTED", case((Session.connected_at < now, now - Session.connected_at), else_=0)),
    )


def overlapping(*, ended_inside: bool = False) -> ColumnElement[bool]:
    """Sessions that overlap the half-open window of the parameters `since`, `until`, seen at the instant `now`.

    One seek a span class, joined by OR. A session that is an instant (both ends equal, or one never seen) overlaps the
    window that holds it; one still connected ends now. With `ended_inside`, only those whose end lies in the window.
    """
    since, until = number("since"), number("until")
    if ended_inside:
        closed = and_(Session.disconnected_at >= since, Session.disconnected_at < until)
    else:
        closed = or_(Session.starts_at >= since, known_end() > since)
    started = Session.starts_at < until
    classes = [
        and_(Session.span == n, Session.starts_at >= since - span, started, closed) for n, span in enumerate(SPANS)
    ]
    classes.append(and_(Session.span == LONGER, started, closed))
    if not ended_inside:
        still = or_(Session.starts_at >= since, number("now") > since)
        classes.append(and_(Session.span == OPEN, started, still))
    return or_(*classes)
