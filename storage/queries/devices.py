"""Queries for devices. A page of devices takes two: the devices, then what their sessions say about them."""

from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, and_, case, func, literal_column, or_, select

from storage.queries.clauses import (
    between_cursors,
    casefold,
    contains,
    in_json_array,
    in_span_classes,
    integer_literal,
    integer_param,
    last_known_end,
    order_by_names,
)
from storage.tables import DEVICES, LONGEST, OPEN, SESSIONS, SPAN_CLASSES, SPAN_LIMITS, device, session

DeviceCondition = Literal["connected", "disconnected", "search", "search_unicode"]
DeviceOrder = Literal["MAC", "NAME", "LAST_SEEN"]

NEVER = 2**61  # an instant after all others


class DeviceRow(NamedTuple):
    """A device with the name and owner that a person entered."""

    mac: str
    name: str | None
    owner: str | None


_ROW_COLUMNS = (device.mac, device.name, device.owner)


def _connected_macs() -> Select[Any]:
    return select(session.mac).where(session.span == OPEN)


def _last_seen() -> ColumnElement[int | None]:
    """Return the last observed end of the device, by a few index lookups per class for any number of sessions.

    In each class, a session that started a whole span before the newest one ended before the newest one started.
    """
    other = SESSIONS.alias().c

    def is_near_newest(n: int) -> ColumnElement[bool]:
        of_device = and_(other.mac == device.mac, in_span_classes(other.span, n))
        newest = select(func.max(other.starts_at)).where(of_device).correlate(DEVICES).scalar_subquery()
        limit = integer_literal(SPAN_LIMITS[n] if n < LONGEST else 0)
        return and_(in_span_classes(session.span, n), session.starts_at >= newest - limit)

    candidates = or_(in_span_classes(session.span, LONGEST), *(is_near_newest(n) for n in SPAN_CLASSES if n != LONGEST))
    last = select(func.max(last_known_end())).where(session.mac == device.mac, candidates)
    return last.correlate(DEVICES).scalar_subquery()


def _sort_key(order: Literal["NAME", "LAST_SEEN"]) -> ColumnElement[Any]:
    """Return the first sort column of a page, in ascending order, before the MAC."""
    if order == "NAME":
        unnamed, named = literal_column("'1'", Text), literal_column("'0'", Text)
        return case((device.name.is_(None), unnamed), else_=named + casefold(device.name))
    is_connected = device.mac.in_(_connected_macs())
    return case((is_connected, integer_literal(-NEVER)), else_=func.coalesce(-_last_seen(), integer_literal(NEVER)))


def _filter(statement: Select[Any], conditions: frozenset[DeviceCondition]) -> Select[Any]:
    for name in sorted(conditions):
        match name:
            case "connected":
                statement = statement.where(device.mac.in_(_connected_macs()))
            case "disconnected":
                statement = statement.where(device.mac.not_in(_connected_macs()))
            case "search" | "search_unicode":
                statement = statement.where(contains(_ROW_COLUMNS, name))
    return statement


@cache
def device_page(
    conditions: frozenset[DeviceCondition], order: DeviceOrder = "MAC", *, after: bool, before: bool, backward: bool
) -> Select[Any]:
    """Select a page of `limit` devices by cursor. The sort key is the first column, unless the order is by MAC.

    By name, devices without one are last. By last seen, connected devices are first and devices without sessions last.
    """
    columns: dict[str, Any] = {"mac": device.mac}
    statement = _filter(select(*_ROW_COLUMNS), conditions)
    text_columns = {"mac"}
    if order != "MAC":
        devices = statement.with_only_columns(_sort_key(order).label("key"), *_ROW_COLUMNS).subquery()
        columns = {"key": devices.c.key, "mac": devices.c.mac}
        statement = select(*devices.c)
        text_columns |= {"key"} if order == "NAME" else set()
    statement = between_cursors(
        statement, columns, descending=False, after=after, before=before, text_columns=text_columns
    )
    return order_by_names(statement, columns, descending=backward).limit(integer_param("limit"))


@cache
def count_devices(conditions: frozenset[DeviceCondition]) -> Select[Any]:
    """Count the devices that meet the conditions."""
    return _filter(select(func.count()).select_from(DEVICES), conditions)


@cache
def all_devices() -> Select[Any]:
    """Select all devices."""
    return select(*_ROW_COLUMNS)


@cache
def devices_by_macs() -> Select[Any]:
    """Select the devices of `macs` (a JSON array)."""
    return select(*_ROW_COLUMNS).where(in_json_array(device.mac, "macs"))


@cache
def activity_by_macs() -> Select[Any]:
    """Select the activity of each of `macs` (a JSON array) that has sessions.

    Columns: MAC, first and last observed instant in microseconds, number of open sessions.
    """
    return (
        select(
            session.mac,
            func.min(session.starts_at),
            func.max(last_known_end()),
            func.count().filter(session.span == OPEN),
        )
        .where(in_json_array(session.mac, "macs"))
        .group_by(session.mac)
    )
