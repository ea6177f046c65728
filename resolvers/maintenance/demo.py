"""An invented network to look at: devices with names, and three months of their comings and goings."""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from resolvers.context import Context
from resolvers.sessions import new_ids
from storage.queries.sessions import any_session
from storage.store import Transaction
from storage.tables import DAY, HOUR, MISSING

DEVICES, DAYS = 50, 90
SEED = 20_250_801
OWNERS = ("Ada", "Ben", "Chloe", "Dmitri", "Household")
KINDS = ("phone", "laptop", "tablet", "watch", "television", "printer", "speaker", "camera", "thermostat", "console")
PORTABLE = ("phone", "laptop", "tablet", "watch")
MINUTE = HOUR // 60


class NotEmptyError(Exception):
    """The store holds sessions; invented ones are not mixed with them."""


@dataclass(frozen=True)
class Made:
    """What was invented."""

    devices: int
    sessions: int
    connected: int
    missing_connection: int
    missing_disconnection: int
    event_types: dict[str, int]


def _stays(random: Random, mac: str, ip: str, *, portable: bool, now: int) -> list[dict[str, Any]]:
    """One device's sessions, oldest first: portable ones stay for hours, the others for days."""
    stays: list[dict[str, Any]] = []
    at = now - DAYS * DAY + random.randrange(24 * 60) * MINUTE
    opening = "New Device"
    while at < now:
        minutes = random.randint(10, 10 * 60) if portable else random.randint(12 * 60, 12 * 24 * 60)
        end = at + minutes * MINUTE
        down = random.random() < 0.08
        stay = {
            "mac": mac,
            "ip": ip,
            "connected_at": at,
            "disconnected_at": end,
            "connection_event": opening,
            "disconnection_event": "Device Down" if down else "Disconnected",
            "info": "",
            "live": 0,
            "seen_at": None,
        }
        chance = random.random()
        if end >= now:
            stay |= {"disconnected_at": None, "disconnection_event": None}
        elif chance < 0.01 and opening == "Connected":
            stay |= {"connected_at": None, "connection_event": MISSING}
        elif chance < 0.02:
            stay |= {"disconnected_at": None, "disconnection_event": MISSING}
            down = False
        elif chance < 0.04 and opening == "Connected":
            stay |= {"connection_event": "VOIDED - Connected", "disconnection_event": "VOIDED - Disconnected"}
            down = False
        stays.append(stay)
        opening = "Down Reconnected" if down else "Connected"
        away = random.randint(15, 14 * 60) if portable else random.randint(2, 180)
        at = end + away * MINUTE
    return stays


def _network(now: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Devices and sessions; the same for the same hour."""
    random = Random(SEED)  # noqa: S311, invented data, nothing secret
    devices, stays = [], []
    for n in range(DEVICES):
        kind, owner = KINDS[n % len(KINDS)], OWNERS[n // len(KINDS)]
        mac = f"02:00:5E:{random.randrange(256):02X}:{random.randrange(256):02X}:{n:02X}"
        ip = f"192.168.1.{10 + n}" if n % 10 else f"2001:db8::{10 + n:x}"
        devices.append({"mac": mac, "name": f"{owner}'s {kind}", "owner": owner})
        stays += _stays(random, mac, ip, portable=kind in PORTABLE, now=now)
    return devices, stays


async def make_demo(context: Context) -> Made:
    """Fills an empty store up to now, by the hour; raises NotEmptyError where it holds sessions already."""
    devices, stays = _network(context.clock.now() // HOUR * HOUR)
    rows = [stay | {"id": i} for stay, i in zip(stays, new_ids(context.clock, len(stays)), strict=True)]

    async def change(transaction: Transaction) -> None:
        if await transaction.fetch(any_session(), {}):
            raise NotEmptyError
        await transaction.name(devices)
        await transaction.record(rows)

    await context.store.write(change, alone=True)
    context.on_written(len(rows))
    ends = [row[name] for row in rows for name in ("connection_event", "disconnection_event")]
    return Made(
        devices=len(devices),
        sessions=len(rows),
        connected=sum(row["disconnection_event"] is None for row in rows),
        missing_connection=sum(row["connected_at"] is None for row in rows),
        missing_disconnection=sum(row["disconnection_event"] == MISSING for row in rows),
        event_types=dict(Counter(event for event in ends if event is not None and event != MISSING)),
    )
