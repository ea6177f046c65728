"""Named questions about devices. A page of devices takes two: its MACs, then what their sessions tell."""

from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, func, select

from storage.clauses import contains, in_json, known_end, number, text
from storage.tables import OPEN, Device, Session

Condition = Literal["connected", "disconnected", "search", "search_unicode"]


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


_DEVICE = (Device.mac, Device.name, Device.owner)


def _filtered(statement: Select[Any], conditions: frozenset[Condition]) -> Select[Any]:
    online = select(Session.mac).where(Session.span == OPEN)
    for name in sorted(conditions):
        match name:
            case "connected":
                statement = statement.where(Device.mac.in_(online))
            case "disconnected":
                statement = statement.where(Device.mac.not_in(online))
            case "search" | "search_unicode":
                searched = (Device.mac, Device.name, Device.owner)
                statement = statement.where(contains(searched, ascii_needle=name == "search"))
    return statement


@cache
def page(
    conditions: frozenset[Condition], *, descending: bool, after: bool, before: bool
) -> Select[tuple[object, ...]]:
    """Devices by MAC, beyond `after_mac`, ahead of `before_mac`, `limit` of them."""
    statement = _filtered(select(*_DEVICE), conditions)
    if after:
        mark = text("after_mac")
        statement = statement.where(Device.mac < mark if descending else Device.mac > mark)
    if before:
        mark = text("before_mac")
        statement = statement.where(Device.mac > mark if descending else Device.mac < mark)
    return statement.order_by(Device.mac.desc() if descending else Device.mac.asc()).limit(number("limit"))


@cache
def count(conditions: frozenset[Condition]) -> Select[tuple[int]]:
    """How many devices there are under the conditions."""
    return _filtered(select(func.count()).select_from(Device), conditions)


@cache
def named() -> Select[tuple[object, ...]]:
    """The devices of `macs` (a JSON array)."""
    return select(*_DEVICE).where(in_json(Device.mac, text("macs")))


@cache
def sightings() -> Select[tuple[object, ...]]:
    """What the sessions of `macs` (a JSON array) tell."""
    return (
        select(
            Session.mac,
            func.min(Session.starts_at),
            func.max(known_end()),
            func.count().filter(Session.span == OPEN),
        )
        .where(in_json(Session.mac, text("macs")))
        .group_by(Session.mac)
    )
