"""Named questions about devices. A page of devices takes two: its MACs, then what their sessions tell."""

from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, and_, case, func, literal_column, or_, select

from storage.queries.clauses import among, between, constant, contains, fold, in_order, known_end, number, of_classes
from storage.tables import CLASSES, DEVICES, LONGER, OPEN, SESSIONS, SPANS, device, session

Condition = Literal["connected", "disconnected", "search", "search_unicode"]
Order = Literal["MAC", "NAME", "LAST_SEEN"]

NEVER = 2**61  # beyond every instant


class DeviceRow(NamedTuple):
    """A device as a person named it."""

    mac: str
    name: str | None
    owner: str | None


class SightingRow(NamedTuple):
    """What a device's sessions tell: first and last instant seen (microseconds), and how many are open."""

    mac: str
    first_seen: int
    last_seen: int
    open: int


_DEVICE = (device.mac, device.name, device.owner)


def _online() -> Select[Any]:
    return select(session.mac).where(session.span == OPEN)


def _last_seen() -> ColumnElement[int | None]:
    """The last end of the device that was seen, by a few seeks a class, however many sessions it has.

    What started a whole span before the newest of its class ended before that one began.
    """
    other = SESSIONS.alias().c

    def near_the_newest(n: int) -> ColumnElement[bool]:
        of_device = and_(other.mac == device.mac, of_classes(other.span, n))
        newest = select(func.max(other.starts_at)).where(of_device).correlate(DEVICES).scalar_subquery()
        return and_(of_classes(session.span, n), session.starts_at >= newest - constant(SPANS[n] if n < LONGER else 0))

    reached = or_(of_classes(session.span, LONGER), *(near_the_newest(n) for n in CLASSES if n != LONGER))
    last = select(func.max(known_end())).where(session.mac == device.mac, reached)
    return last.correlate(DEVICES).scalar_subquery()


def _key(order: Literal["NAME", "LAST_SEEN"]) -> ColumnElement[Any]:
    """What devices rise by before their MAC."""
    if order == "NAME":
        unnamed, named = literal_column("'1'", Text), literal_column("'0'", Text)
        return case((device.name.is_(None), unnamed), else_=named + fold(device.name))
    return case((device.mac.in_(_online()), constant(-NEVER)), else_=func.coalesce(-_last_seen(), constant(NEVER)))


def _filtered(statement: Select[Any], conditions: frozenset[Condition]) -> Select[Any]:
    for name in sorted(conditions):
        match name:
            case "connected":
                statement = statement.where(device.mac.in_(_online()))
            case "disconnected":
                statement = statement.where(device.mac.not_in(_online()))
            case "search" | "search_unicode":
                searched = (device.mac, device.name, device.owner)
                statement = statement.where(contains(searched, name))
    return statement


@cache
def page(
    conditions: frozenset[Condition], order: Order = "MAC", *, after: bool, before: bool, backward: bool
) -> Select[Any]:
    """A keyset page of devices, `limit` long; unless by MAC, with the key of each, by which they rise, in front.

    By name, those without one come last. Last seen are those that are connected, never those without sessions.
    """
    place: dict[str, Any] = {"mac": device.mac}
    statement = _filtered(select(*_DEVICE), conditions)
    texts = {"mac"}
    if order != "MAC":
        found = statement.with_only_columns(_key(order).label("key"), *_DEVICE).subquery()
        place = {"key": found.c.key, "mac": found.c.mac}
        statement = select(*found.c)
        texts |= {"key"} if order == "NAME" else set()
    statement = between(statement, place, descending=False, after=after, before=before, texts=texts)
    return in_order(statement, place, falls=backward).limit(number("limit"))


@cache
def count(conditions: frozenset[Condition]) -> Select[Any]:
    """How many devices there are under the conditions."""
    return _filtered(select(func.count()).select_from(DEVICES), conditions)


@cache
def every() -> Select[Any]:
    """All devices."""
    return select(*_DEVICE)


@cache
def named() -> Select[Any]:
    """The devices of `macs` (a JSON array)."""
    return select(*_DEVICE).where(among(device.mac, "macs"))


@cache
def sightings() -> Select[Any]:
    """What the sessions of `macs` (a JSON array) tell."""
    return (
        select(
            session.mac,
            func.min(session.starts_at),
            func.max(known_end()),
            func.count().filter(session.span == OPEN),
        )
        .where(among(session.mac, "macs"))
        .group_by(session.mac)
    )
