"""Devices: reading, listing and naming them."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError, NotFoundError, short_repr
from resolvers.paging import Slice, encode_cursor, paginate
from resolvers.scopes import require_scope
from resolvers.validation.addresses import NAME_LENGTH, parse_mac, parse_text
from resolvers.validation.models import DeviceUpdate, Page
from storage.queries import devices as device_queries
from storage.queries import writes
from storage.queries.clauses import like_pattern, search_condition
from storage.queries.devices import DeviceOrder as DeviceOrder
from storage.queries.devices import DeviceRow as DeviceRow
from storage.store import Transaction

MAX_KEY_LENGTH = 3 * NAME_LENGTH + 1  # case folding can triple a name's length; one character is a prefix


class DeviceActivity(NamedTuple):
    """First and last sighting of a device, in microseconds since 1970. A connected device counts as seen now."""

    first_seen: int | None
    last_seen: int | None
    connected: bool


async def get_devices(context: Context, macs: Sequence[str]) -> dict[str, DeviceRow]:
    """Return the stored devices among the addresses, by MAC."""
    rows = await context.store.fetch(device_queries.devices_by_macs(), {"macs": json.dumps(list(macs))})
    return {row[0]: DeviceRow._make(row) for row in rows}


async def get_activity(context: Context, macs: Sequence[str]) -> dict[str, DeviceActivity]:
    """Return the activity of each device by MAC, read in one statement."""
    activities = dict.fromkeys(macs, DeviceActivity(None, None, connected=False))
    for mac, first, last, open_sessions in await context.store.fetch(
        device_queries.activity_by_macs(), {"macs": json.dumps(list(macs))}
    ):
        last_seen = max(last, context.clock.now()) if open_sessions else last
        activities[mac] = DeviceActivity(first, last_seen, connected=open_sessions > 0)
    return activities


def _filter_query(
    search: str | None, connected: bool | None
) -> tuple[frozenset[device_queries.DeviceCondition], dict[str, Any]]:
    conditions: set[device_queries.DeviceCondition] = set()
    parameters: dict[str, Any] = {}
    if search:
        conditions.add(search_condition(search))
        parameters["needle"] = like_pattern(search)
    if connected is not None:
        conditions.add("connected" if connected else "disconnected")
    return frozenset(conditions), parameters


def _encode_cursor(order: DeviceOrder, *position: Any) -> str:
    """Return the cursor of a device: its MAC, preceded by the sort key unless the order is MAC."""
    if order == "MAC":
        return str(position[0])
    key, mac = position
    # Encoded as hexadecimal, because a name may contain the separator.
    return encode_cursor(order, key.encode().hex() if order == "NAME" else key, mac)


def _decode_cursor(order: DeviceOrder, cursor: str) -> dict[str, Any]:
    """Return the sort key and MAC of a cursor. Raise ValueError if it is not a cursor of this order."""
    if order == "MAC":
        return {"mac": parse_mac(cursor)}
    _, key_text, mac = cursor.split(".")
    key = parse_text(bytes.fromhex(key_text).decode(), MAX_KEY_LENGTH) if order == "NAME" else int(key_text)
    is_canonical = _encode_cursor(order, key, parse_mac(mac)) == cursor
    if not is_canonical or (isinstance(key, int) and abs(key) > device_queries.NEVER):
        raise ValueError
    return {"key": key, "mac": mac}


async def list_devices(
    context: Context, search: str | None, connected: bool | None, order: DeviceOrder, page: Page
) -> Slice[DeviceRow]:
    """Return a page of devices. Raise InvalidInputError for an invalid cursor."""
    conditions, parameters = _filter_query(search, connected)
    for name, cursor in page.cursors():
        try:
            parameters |= {f"{name}_{part}": value for part, value in _decode_cursor(order, cursor).items()}
        except ValueError:
            raise InvalidInputError(name, f"{short_repr(cursor)} is not a cursor of this list") from None
    query = device_queries.device_page(
        conditions, order, after="after_mac" in parameters, before="before_mac" in parameters, backward=page.backward
    )
    rows = await context.store.fetch(query, parameters | {"limit": page.size + 1})
    return paginate(page, rows, lambda row: DeviceRow._make(row[-3:]), lambda row: _encode_cursor(order, *row[:-2]))


async def count_devices(context: Context, search: str | None, connected: bool | None) -> int:
    """Return the number of devices in the list."""
    conditions, parameters = _filter_query(search, connected)
    rows = await context.store.fetch(device_queries.count_devices(conditions), parameters)
    return int(rows[0][0])


async def update_device(context: Context, update: DeviceUpdate) -> DeviceRow:
    """Set or remove a device's name and owner. Raise NotFoundError if the device is not stored."""
    require_scope("admin")
    values = {column: getattr(update, column) for column in sorted(update.model_fields_set - {"mac"})}

    async def update_transaction(transaction: Transaction) -> list[Any]:
        if values:
            await transaction.execute(writes.update_device(*values), values | {"where_mac": update.mac})
        updated = await transaction.fetch(device_queries.devices_by_macs(), {"macs": json.dumps([update.mac])})
        await transaction.execute(writes.delete_unused_device(), {"mac": update.mac})
        return updated

    rows = await context.store.write(update_transaction)
    if not rows:
        raise NotFoundError(f"mac: {update.mac} does not exist; a device is added with its first session")
    return DeviceRow._make(rows[0])
