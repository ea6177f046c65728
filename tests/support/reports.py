"""Start and stop reports and heartbeats for tests, in short form."""

from typing import Any

from resolvers import heartbeats, live
from resolvers.context import Context
from resolvers.validation.models import HeartbeatDevice, StartReport, StopReport, validate
from storage.tables import SECOND
from tests.conftest import MAC, at, sql

DAY = "2025-08-20T"
OTHER = "AA:BB:CC:DD:EE:00"


async def send_report(context: Context, text: str, mac: str = MAC, day: str = DAY) -> None:
    """Apply a report such as `start 10:00`, `stop 12:00 10.0.0.2` or `seen 11:00`. The default address is 10.0.0.1."""
    kind, time, *ips = text.split()
    fields: dict[str, Any] = {"mac": mac, "ip": ips[0] if ips else "10.0.0.1", "at": f"{day}{time}"}
    if kind == "start":
        await live.start(context, validate(StartReport, fields, context.clock))
    elif kind == "stop":
        await live.stop(context, validate(StopReport, fields, context.clock))
    else:
        device = validate(HeartbeatDevice, {"mac": mac, "ip": fields["ip"]}, context.clock)
        await heartbeats.heartbeat(context, [device], context.clock.parse_time(fields["at"]))


async def send_reports(context: Context, text: str, mac: str = MAC, day: str = DAY) -> None:
    """Apply comma-separated reports of one device."""
    for report in text.split(", "):
        await send_report(context, report, mac, day)


def spans(url: str, columns: str = "") -> list[Any]:
    """Return all sessions as `10:00-12:00`, oldest first. `?` is a missing end, and an open session has no end."""

    def format_end(instant: int | None, missing: str) -> str:
        seconds = 0 if instant is None else (instant - at(f"{DAY}00:00:00")) // SECOND
        return missing if instant is None else f"{seconds // 3600:02}:{seconds // 60 % 60:02}"

    rows = sql(
        url,
        f"SELECT connected_at, disconnected_at, disconnection_event {columns} FROM session ORDER BY starts_at, state",
    )
    result = [
        (f"{format_end(start, '?')}-{format_end(end, '?' if event else '')}", *more)
        for start, end, event, *more in rows
    ]
    return result if columns else [span for (span,) in result]


# Reports in the order of their arrival, and the resulting sessions.
def macs(n: int) -> list[str]:
    """Return the MAC addresses of n devices."""
    return [f"AA:BB:CC:00:{i >> 8:02X}:{i & 255:02X}" for i in range(n)]
