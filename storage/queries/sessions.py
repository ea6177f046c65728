"""Named questions about sessions. Each answers a statement for its shape; values come later, as parameters.

Parameters of every filter: `mac`, `macs`, `ips`, `states` (JSON arrays), `started_since`, `ended_until`, `since`, `until`
(instants), `now` (the instant of asking), `needle` (see `clauses.like`).
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.sql.selectable import GenerativeSelect

from storage.queries.clauses import (
    COLUMNS,
    ROW_ADDRESS,
    among,
    between,
    constant,
    contains,
    counted,
    duration,
    in_order,
    known_end,
    number,
    of_classes,
    ordered,
    overlapping,
    text,
    united,
)
from storage.queries.json_objects import SHAPES, Selection, as_json
from storage.queries.writes import WRITTEN
from storage.tables import CLASSES, DEVICES, HOUR, LONGER, NO_END, NO_START, OPEN, SESSIONS, SPANS, device, session

Condition = Literal[
    "mac", "macs", "ips", "states", "started_since", "ended_until", "overlapping", "search", "search_unicode"
]
Key = Literal["start", "longest", "shortest"]


WIDTH = len(COLUMNS)


class SessionRow(NamedTuple):
    """One session as storage answers it, its fields `COLUMNS`; instants in microseconds since 1970-01-01T00:00Z."""

    mac: str
    id: int
    ip: str
    connected_at: int | None
    disconnected_at: int | None
    connection_event: str
    disconnection_event: str | None
    info: str
    state: str


class SpannedRow(NamedTuple):
    """A session, the two instants between which a calendar draws it, and its device's name, if asked for."""

    session: SessionRow
    drawn_from: int
    drawn_until: int
    name: str | None = None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        """A row of `drawn`."""
        return cls(SessionRow._make(row[:WIDTH]), *row[WIDTH:])


def _condition(name: Condition, n: int | None) -> ColumnElement[bool]:
    match name:
        case "mac":
            return session.mac == text("mac")
        case "macs" | "ips" | "states":
            return among(session[name[:-1]], name)
        case "started_since":
            return session.starts_at >= number("started_since")
        case "ended_until":
            return and_(session.span != constant(OPEN), known_end() < number("ended_until"))
        case "overlapping":
            return or_(*map(overlapping, CLASSES)) if n is None else overlapping(n)
        case "search" | "search_unicode":
            searched = (session.info, session.connection_event, session.disconnection_event)
            return contains(searched, name)


def _under(conditions: frozenset[Condition], n: int | None = None) -> list[ColumnElement[bool]]:
    """The conditions, for sessions of class `n` or of any."""
    found = [_condition(name, n) for name in sorted(conditions)]
    return found if n is None else [of_classes(session.span, n), *found]


def key_of(key: Key) -> ColumnElement[int]:
    """What a list is ordered by, before the id: never null, sessions without a duration last."""
    match key:
        case "start":
            return session.starts_at
        case "longest":
            return func.coalesce(duration(session), constant(-1))
        case "shortest":
            return func.coalesce(duration(session), constant(2**62))


class Listing(NamedTuple):
    """The shape of a list: under which conditions, ordered by what, between which of two places, of which length."""

    conditions: frozenset[Condition] = frozenset()
    key: Key = "start"
    descending: bool = True
    after: bool = False
    before: bool = False
    backward: bool = False
    limited: bool = False
    offset: bool = False

    @property
    def keyed(self) -> bool:
        """Whether an index leads to its first rows, without passing by many that are not of it."""
        return self.key == "start" and (self.conditions <= {"mac"} or self.conditions == {"mac", "overlapping"})


def _listed(columns: Sequence[ColumnElement[Any]], listing: Listing, *, merges: bool) -> GenerativeSelect:
    conditions, key, descending, after, before, backward, limited, offset = listing
    by = key_of(key)
    # By start, each class lies in order in its index; by duration none does, and one sort is less than one a class. Where
    # merging costs more than a second index, the classes serve overlaps alone.
    classes: list[int | None] = [n for n in CLASSES if n != OPEN or "ended_until" not in conditions]
    if key != "start" or not (merges or "overlapping" in conditions):
        classes = [None]
    branches = [
        between(
            select(*columns, by.label("key")).where(*_under(conditions, n)),
            {"key": by, "id": session.id},
            descending=descending,
            after=after,
            before=before,
        )
        for n in classes
    ]
    place, falls = ("key", "id"), descending != backward
    if not merges and len(branches) > 1:
        reach = number("limit") + number("offset") if offset else number("limit") if limited else None
        branches = [ordered(branch, place, falls=falls, limit=reach) for branch in branches]
    statement = in_order(united(branches), place, falls=falls)
    if limited:
        statement = statement.limit(number("limit"))
    if offset:
        statement = statement.offset(number("offset"))
    return statement


@cache
def sessions(listing: Listing, *, merges: bool = True) -> GenerativeSelect:
    """Sessions as rows, each with its order key last; see `Store.merges`."""
    return _listed(COLUMNS, listing, merges=merges)


@lru_cache(SHAPES)
def sessions_as_json(listing: Listing, selection: Selection, *, merges: bool) -> Select[Any]:
    """The same sessions, each as the JSON object of a selection, then its id and its order key.

    First the rows, in order, then what is selected of each: so the selection is written once, not once a class. Where
    they are merged, only their addresses are carried along.
    """
    order, falls = ("found.key", "found.id"), listing.descending != listing.backward
    if merges:
        found = _listed((ROW_ADDRESS.label("address"), session.id), listing, merges=True).subquery("found")
        rows = found.join(SESSIONS, found.c.address == ROW_ADDRESS)
        made = select(as_json(selection, session).label("json"), found.c.id, found.c.key).select_from(rows)
        return in_order(made, order, falls=falls)
    found = _listed(COLUMNS, listing, merges=False).subquery("found")
    made = select(as_json(selection, found.c).label("json"), found.c.id, found.c.key)
    # One row of arrays: on the way from PostgreSQL, a row costs more than what is in it.
    return select(*map(func.array_agg, in_order(made, order, falls=falls).subquery().c))


def objects(found: list[Any], *, merges: bool) -> list[Any]:
    """The rows that `sessions_as_json` stands for, of what it was answered."""
    return found if merges else list(zip(*(column or () for column in found[0]), strict=True))


@cache
def count(conditions: frozenset[Condition]) -> Select[Any]:
    """How many sessions there are under the conditions."""
    if "overlapping" in conditions:
        return select(counted(and_(*_under(conditions, n)) for n in CLASSES))
    return select(func.count()).select_from(SESSIONS).where(*_under(conditions))


@cache
def by_id() -> Select[Any]:
    """The session of `mac` and `id`."""
    return select(*COLUMNS).where(session.mac == text("mac"), session.id == number("id"))


@cache
def of_device() -> Select[Any]:
    """All sessions of `mac`, oldest first."""
    return select(*COLUMNS).where(session.mac == text("mac")).order_by(session.starts_at, session.id)


@cache
def written() -> Select[Any]:
    """What was written of every session, in the order of `changes.WRITTEN`."""
    return select(*(session[name] for name in WRITTEN))


@cache
def written_of_device() -> Select[Any]:
    """The same of the sessions of `mac`."""
    return written().where(session.mac == text("mac"))


@cache
def any_session() -> Select[Any]:
    """One row if the store holds a session at all."""
    return select(session.id).limit(1)


def _previous_end(mac: ColumnElement[str]) -> ColumnElement[int | None]:
    """The last end of the device within the hour before the session's end: a seek a class, as ends have no index."""
    earlier, at = SESSIONS.alias().c, session.disconnected_at
    reached = [
        and_(of_classes(earlier.span, n), earlier.starts_at >= at - constant(HOUR + span), earlier.starts_at < at)
        for n, span in (*enumerate(SPANS), (NO_START, 0))
    ]
    reached.append(and_(of_classes(earlier.span, LONGER), earlier.starts_at < at))
    return (
        select(func.max(earlier.disconnected_at))
        .where(
            earlier.mac == mac,
            or_(*reached),
            earlier.disconnected_at < at,
            earlier.disconnected_at >= at - constant(HOUR),
        )
        .scalar_subquery()
    )


def _next_start(mac: ColumnElement[str]) -> ColumnElement[int | None]:
    """The first start of the device within the hour after the session's."""
    later, at = SESSIONS.alias().c, session.starts_at
    return (
        select(func.min(later.starts_at))
        .where(
            later.mac == mac,
            of_classes(later.span, *(n for n in CLASSES if n != NO_START)),
            later.starts_at > at,
            later.starts_at <= at + constant(HOUR),
        )
        .scalar_subquery()
    )


@cache
def drawn(*, one_device: bool, named: bool = False) -> Select[Any]:
    """Sessions whose drawing overlaps the window, with the ends that a calendar draws; in order of time.

    An end never seen is estimated: a start from the same device's previous end, an end from its next start, an hour
    away at most. Where `named`, the device's name is the last column.
    """
    # Named by its value where it is known: what shards the table by MAC can then ask one shard.
    mac = text("mac") if one_device else session.mac
    now = number("now")
    at: ColumnElement[Any] = session.starts_at
    ends: dict[int, tuple[Any, Any]] = {
        NO_START: (func.coalesce(_previous_end(mac), at - constant(HOUR)), at),
        NO_END: (at, func.coalesce(_next_start(mac), at + constant(HOUR))),
        OPEN: (at, case((at > now, at), else_=now)),
    }

    def branch(n: int) -> Select[Any]:
        start, end = ends.get(n, (at, session.disconnected_at))
        # What is drawn reaches at most an hour beyond what was seen.
        found = select(*COLUMNS, start.label("drawn_from"), end.label("drawn_until")).where(overlapping(n, margin=HOUR))
        return found.where(session.mac == text("mac")) if one_device else found

    row = united([branch(n) for n in CLASSES]).subquery().c
    since, until = number("since"), number("until")
    inside = and_(row.drawn_from < until, or_(row.drawn_until > since, row.drawn_from >= since))
    found = select(*row).where(inside).order_by(row.drawn_from, row.id)
    if not named:
        return found
    named_so = device.mac == row.mac
    if one_device:
        named_so = and_(named_so, device.mac == text("mac"))
    return found.add_columns(device.name).join(DEVICES, named_so, isouter=True)
