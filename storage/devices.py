"""Named questions about devices. A page of devices takes two: its MACs, then what their sessions tell."""

from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Select, func, select

from storage.clauses import among, between, contains, in_order, known_end, number
from storage.tables import DEVICES, OPEN, device, session

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


_DEVICE = (device.mac, device.name, device.owner)


def _filtered(statement: Select[Any], conditions: frozenset[Condition]) -> Select[Any]:
    online = select(session.mac).where(session.span == OPEN)
    for name in sorted(conditions):
        match name:
            case "connected":
                statement = statement.where(device.mac.in_(online))
            case "disconnected":
                statement = statement.where(device.mac.not_in(online))
            case "search" | "search_unicode":
                searched = (device.mac, device.name, device.owner)
                statement = statement.where(contains(searched, name))
    return statement


@cache
def page(conditions: frozenset[Condition], *, after: bool, before: bool, backward: bool) -> Select[Any]:
    """A keyset page of devices by MAC, `limit` long."""
    statement = _filtered(select(*_DEVICE), conditions)
    statement = between(statement, {"mac": device.mac}, descending=False, after=after, before=before)
    return in_order(statement, ("mac",), falls=backward).limit(number("limit"))


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
