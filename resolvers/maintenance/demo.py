"""Demo data: named devices of an invented network, and three months of their sessions."""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from resolvers.context import Context
from resolvers.sessions import new_session_ids
from storage.queries.sessions import any_session
from storage.store import Transaction
from storage.tables import DAY, HOUR, MISSING_EVENT, SESSION_DEFAULTS

DEVICES, DAYS = 50, 90
SEED = 20_250_801
OWNERS = ("Ada", "Ben", "Chloe", "Dmitri", "Household")
KINDS = ("phone", "laptop", "tablet", "watch", "television", "printer", "speaker", "camera", "thermostat", "console")
PORTABLE = ("phone", "laptop", "tablet", "watch")
MINUTE = HOUR // 60


class NotEmptyError(Exception):
    """The database already has sessions. Demo data is not mixed with them."""


@dataclass(frozen=True)
class DemoResult:
    """The numbers of created devices, sessions and events."""

    devices: int
    sessions: int
    connected: int
    missing_connection: int
    missing_disconnection: int
    event_types: dict[str, int]


def _device_sessions(random: Random, mac: str, ip: str, *, portable: bool, now: int) -> list[dict[str, Any]]:
    """Return a device's sessions, oldest first. Those of portable devices last hours, those of others days."""
    sessions: list[dict[str, Any]] = []
    at = now - DAYS * DAY + random.randrange(24 * 60) * MINUTE
    start_event = "New Device"
    while at < now:
        minutes = random.randint(10, 10 * 60) if portable else random.randint(12 * 60, 12 * 24 * 60)
        end = at + minutes * MINUTE
        down = random.random() < 0.08
        session = {
            **SESSION_DEFAULTS,
            "mac": mac,
            "ip": ip,
            "connected_at": at,
            "disconnected_at": end,
            "connection_event": start_event,
            "disconnection_event": "Device Down" if down else "Disconnected",
            "info": "",
        }
        chance = random.random()
        if end >= now:
            session |= {"disconnected_at": None, "disconnection_event": None}
        elif chance < 0.01 and start_event == "Connected":
            session |= {"connected_at": None, "connection_event": MISSING_EVENT}
        elif chance < 0.02:
            session |= {"disconnected_at": None, "disconnection_event": MISSING_EVENT}
            down = False
        elif chance < 0.04 and start_event == "Connected":
            session |= {"connection_event": "VOIDED - Connected", "disconnection_event": "VOIDED - Disconnected"}
            down = False
        sessions.append(session)
        start_event = "Down Reconnected" if down else "Connected"
        away = random.randint(15, 14 * 60) if portable else random.randint(2, 180)
        at = end + away * MINUTE
    return sessions


def _network(now: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of devices and sessions. They depend only on `now`."""
    random = Random(SEED)  # noqa: S311, demo data, not a secret
    devices, sessions = [], []
    for n in range(DEVICES):
        kind, owner = KINDS[n % len(KINDS)], OWNERS[n // len(KINDS)]
        mac = f"02:00:5E:{random.randrange(256):02X}:{random.randrange(256):02X}:{n:02X}"
        ip = f"192.168.1.{10 + n}" if n % 10 else f"2001:db8::{10 + n:x}"
        devices.append({"mac": mac, "name": f"{owner}'s {kind}", "owner": owner})
        sessions += _device_sessions(random, mac, ip, portable=kind in PORTABLE, now=now)
    return devices, sessions


async def make_demo(context: Context) -> DemoResult:
    """Fill an empty database with sessions up to the current hour. Raise NotEmptyError if it has sessions."""
    devices, sessions = _network(context.clock.now() // HOUR * HOUR)
    ids = new_session_ids(context.clock, len(sessions))
    rows = [session | {"id": session_id} for session, session_id in zip(sessions, ids, strict=True)]

    async def create_transaction(transaction: Transaction) -> None:
        if await transaction.fetch(any_session(), {}):
            raise NotEmptyError
        await transaction.insert_devices(devices)
        await transaction.insert_sessions(rows)

    await context.store.write(create_transaction, exclusive=True)
    context.on_written(len(rows))
    ends = [row[name] for row in rows for name in ("connection_event", "disconnection_event")]
    return DemoResult(
        devices=len(devices),
        sessions=len(rows),
        connected=sum(row["disconnection_event"] is None for row in rows),
        missing_connection=sum(row["connected_at"] is None for row in rows),
        missing_disconnection=sum(row["disconnection_event"] == MISSING_EVENT for row in rows),
        event_types=dict(Counter(event for event in ends if event is not None and event != MISSING_EVENT)),
    )
