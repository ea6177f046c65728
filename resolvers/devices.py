"""Devices: found, paged through, named."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from resolvers.context import Context
from resolvers.errors import InvalidInputError, NotFoundError, shown
from resolvers.paging import Slice, cursor, cut
from resolvers.scopes import require
from resolvers.validation.addresses import NAME_LENGTH, parse_mac, parse_text
from resolvers.validation.models import DeviceNames, Page
from storage.queries import devices as ask
from storage.queries import writes as changes
from storage.queries.clauses import like, search_for
from storage.queries.devices import DeviceRow, Order
from storage.store import Transaction

LONGEST_KEY = 3 * NAME_LENGTH + 1  # of a folded name, with what stands before it


class Sighting(NamedTuple):
    """What a device's sessions tell; instants in microseconds. A device that is connected is seen now."""

    first_seen: int | None
    last_seen: int | None
    connected: bool


async def get_many(context: Context, macs: Sequence[str]) -> dict[str, DeviceRow]:
    """Those of the devices that are known, by MAC."""
    rows = await context.store.fetch(ask.named(), {"macs": json.dumps(list(macs))})
    return {row[0]: DeviceRow._make(row) for row in rows}


async def sightings(context: Context, macs: Sequence[str]) -> dict[str, Sighting]:
    """What the sessions of the devices tell, by MAC; for all of them in one statement."""
    found = dict.fromkeys(macs, Sighting(None, None, connected=False))
    for mac, first, last, open_sessions in await context.store.fetch(ask.sightings(), {"macs": json.dumps(list(macs))}):
        seen = max(last, context.clock.now()) if open_sessions else last
        found[mac] = Sighting(first, seen, connected=open_sessions > 0)
    return found


def _asked(search: str | None, connected: bool | None) -> tuple[frozenset[ask.Condition], dict[str, Any]]:
    conditions: set[ask.Condition] = set()
    parameters: dict[str, Any] = {}
    if search:
        conditions.add(search_for(search))
        parameters["needle"] = like(search)
    if connected is not None:
        conditions.add("connected" if connected else "disconnected")
    return frozenset(conditions), parameters


def _cursor(order: Order, *place: Any) -> str:
    """The place of a device; by MAC it is that."""
    if order == "MAC":
        return str(place[0])
    key, mac = place
    # A name may hold anything.
    return cursor(order, key.encode().hex() if order == "NAME" else key, mac)


def _place(order: Order, given: str) -> dict[str, Any]:
    """What `_cursor` wrote; raises ValueError."""
    if order == "MAC":
        return {"mac": parse_mac(given)}
    _, written, mac = given.split(".")
    key = parse_text(bytes.fromhex(written).decode(), LONGEST_KEY) if order == "NAME" else int(written)
    if _cursor(order, key, parse_mac(mac)) != given or (isinstance(key, int) and abs(key) > ask.NEVER):
        raise ValueError
    return {"key": key, "mac": mac}


async def page(
    context: Context, search: str | None, connected: bool | None, order: Order, page: Page
) -> Slice[DeviceRow]:
    """A keyset page of devices."""
    conditions, parameters = _asked(search, connected)
    for name, given in page.cursors():
        try:
            parameters |= {f"{name}_{part}": value for part, value in _place(order, given).items()}
        except ValueError:
            raise InvalidInputError(name, f"{shown(given)} is not a cursor of this list") from None
    question = ask.page(
        conditions, order, after="after_mac" in parameters, before="before_mac" in parameters, backward=page.backward
    )
    found = await context.store.fetch(question, parameters | {"limit": page.size + 1})
    return cut(page, found, lambda row: DeviceRow._make(row[-3:]), lambda row: _cursor(order, *row[:-2]))


async def count(context: Context, search: str | None, connected: bool | None) -> int:
    """How many devices the list has."""
    conditions, parameters = _asked(search, connected)
    rows = await context.store.fetch(ask.count(conditions), parameters)
    return int(rows[0][0])


async def name(context: Context, names: DeviceNames) -> DeviceRow:
    """Names a device; a null takes a name or owner away, one that is not set stays. Raises NotFoundError."""
    require("admin")
    given = {column: getattr(names, column) for column in sorted(names.model_fields_set - {"mac"})}

    async def change(transaction: Transaction) -> list[Any]:
        if given:
            await transaction.execute(changes.update_device(*given), given | {"of": names.mac})
        named = await transaction.fetch(ask.named(), {"macs": json.dumps([names.mac])})
        await transaction.execute(changes.delete_bare_device(), {"mac": names.mac})
        return named

    rows = await context.store.write(change)
    if not rows:
        raise NotFoundError(f"mac: {names.mac} is not known; a device is known by its first session")
    return DeviceRow._make(rows[0])
