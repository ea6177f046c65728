"""Heartbeats and sweeps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from netsessions.cli import main
from netsessions.settings import Settings
from resolvers import heartbeats
from resolvers.context import Context
from resolvers.validation.models import HeartbeatDevice
from resolvers.validation.periods import parse_period
from tests.conftest import MAC, NOW, Execute, at, run, sql
from tests.support.reports import DAY, OTHER, macs, send_report, send_reports, spans

Rows = Callable[[], list[tuple[Any, ...]]]


HEARTBEAT = "mutation($devices: [SeenInput!]!, $at: DateTime) { heartbeat(devices: $devices, at: $at) { seen opened } }"


def test_heartbeat_opens_sessions_and_updates_last_seen(execute: Execute, url: str) -> None:
    """A device named twice counts once. A second heartbeat opens nothing."""
    devices = [{"mac": MAC, "ip": "10.0.0.1"}, {"mac": OTHER, "ip": "10.0.0.2"}, {"mac": MAC, "ip": "::1"}]
    result = execute(HEARTBEAT, devices=devices, at=f"{DAY}10:00:00")["data"]["heartbeat"]
    assert result == {"seen": 2, "opened": 2}
    result = execute(HEARTBEAT, devices=devices)["data"]["heartbeat"]
    assert result == {"seen": 2, "opened": 0}
    assert sql(url, "SELECT mac, ip, connected_at, last_seen_at, info FROM session ORDER BY mac") == [
        (OTHER, "10.0.0.2", at(f"{DAY}10:00:00"), at(NOW), ""),
        (MAC, "::1", at(f"{DAY}10:00:00"), at(NOW), ""),
    ]


@pytest.mark.parametrize(
    ("devices", "time", "message"),
    [
        ([{"mac": MAC, "ip": "10.0.0.1"}, {"mac": "x", "ip": "10.0.0.1"}], None, "devices.1.mac: 'x' is not a MAC"),
        ([{"mac": MAC, "ip": "x"}], None, "devices.0.ip: 'x' is not an IP"),
        ([{"mac": MAC, "ip": "10.0.0.1"}], "now", "at: 'now' is not a time"),
        ([{"mac": MAC, "ip": "10.0.0.1"}], "2025-08-20T12:05:01Z", "at: '2025-08-20T12:05:01Z' is in the future"),
        ([{"mac": MAC, "ip": "10.0.0.1"}] * 10_001, None, "devices: has 10001 items; at most 10000 are allowed"),
    ],
)
def test_invalid_heartbeat_opens_nothing(
    execute: Execute, rows: Rows, devices: list[Any], time: str | None, message: str
) -> None:
    """The message names the device."""
    [error] = execute(HEARTBEAT, devices=devices, at=time)["errors"]
    assert error["message"].startswith(message)
    assert rows() == []


def test_empty_heartbeat_is_valid(execute: Execute, rows: Rows) -> None:
    """A scan may find nothing."""
    assert execute(HEARTBEAT, devices=[])["data"]["heartbeat"] == {"seen": 0, "opened": 0}
    assert rows() == []


def test_heartbeat_writes_a_journal_entry_for_each_device(context: Context, url: str) -> None:
    """Two devices have a new address, two have later sessions, and one is new. New sessions count as written."""
    for n, mac in enumerate(macs(4)):
        run(send_report(context, "start 10:00" if n < 2 else "start 11:30", mac))
    counted: list[int] = []
    devices = [HeartbeatDevice(mac=mac, ip="10.0.0.2") for mac in macs(5)]
    run(heartbeats.heartbeat(replace(context, on_written=counted.append), devices, at(f"{DAY}11:00:00")))
    assert counted == [3]
    kinds = " ".join(kind for (kind,) in sql(url, "SELECT kind FROM change ORDER BY mac, seq"))
    assert kinds == "CREATED UPDATED CREATED UPDATED CREATED CREATED CREATED CREATED CREATED"


def test_sweep_ends_unseen_sessions_at_their_last_heartbeat(context: Context, url: str) -> None:
    """Sessions that were seen since, or never had a heartbeat, stay open."""
    for n, reports in enumerate(["seen 11:29", "seen 10:00, seen 11:31", "start 08:00", "start 08:00, seen 09:00"]):
        run(send_reports(context, reports, mac=f"AA:BB:CC:DD:EE:{n:02}"))
    assert run(heartbeats.sweep(context, parse_period("30 minutes"))) == 2
    assert spans(url, ", disconnection_event") == [
        ("08:00-09:00", "Disconnected"),
        ("08:00-", None),
        ("10:00-", None),
        ("11:29-11:29", "Disconnected"),
    ]
    assert sql(url, "SELECT count(*) FROM device") == [(4,)]
    assert run(heartbeats.sweep(context, parse_period("30 minutes"))) == 0


def test_sweep_does_not_end_a_session_before_its_last_report(context: Context, url: str) -> None:
    """A start report after the last heartbeat counts as a sighting."""
    run(send_reports(context, "seen 10:00, start 11:00"))
    assert run(heartbeats.sweep(context, parse_period("30 minutes"))) == 1
    assert spans(url) == ["10:00-11:00"]


def test_sweep_ends_more_than_one_batch(context: Context, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each end is in the journal."""
    monkeypatch.setattr("resolvers.heartbeats.BATCH", 3)
    devices = [HeartbeatDevice(mac=mac, ip="10.0.0.1") for mac in macs(7)]
    run(heartbeats.heartbeat(context, devices, at(f"{DAY}10:00:00")))
    assert run(heartbeats.sweep(context, parse_period("1 hour"))) == 7
    assert sql(url, "SELECT count(*) FROM session WHERE state = 'COMPLETE'") == [(7,)]
    assert sql(url, "SELECT count(DISTINCT mac) FROM change WHERE kind = 'UPDATED'") == [(7,)]


def test_sweep_command_prints_the_number_of_ended_sessions(context: Context, url: str) -> None:
    """The journal names the command as the actor."""
    run(send_reports(context, "seen 10:00"))
    result = CliRunner().invoke(main, ["sweep", "--unseen-for", "PT10M"], env={"DATABASE_URL": url})
    assert result.output == "Ended 1 sessions.\n"
    assert sql(url, "SELECT kind, who FROM change ORDER BY seq") == [("CREATED", "netsessions"), ("UPDATED", "sweep")]


def test_sweep_period_out_of_range_is_a_usage_error(url: str) -> None:
    """The command and the server's setting reject it."""
    result = CliRunner().invoke(main, ["sweep", "--unseen-for", "9999 years"], env={"DATABASE_URL": url})
    assert result.exit_code == 2
    assert "--unseen-for: reaches back too far; at most to the year 1900." in result.output
    with pytest.raises(ValidationError, match="reaches back too far"):
        Settings(unseen_for="9999 years")


def test_ten_thousand_devices_in_one_heartbeat(context: Context, url: str) -> None:
    """Each session is opened once and then confirmed."""
    devices = [HeartbeatDevice(mac=mac, ip="10.0.0.1") for mac in macs(10_000)]
    assert run(heartbeats.heartbeat(context, devices, at(f"{DAY}10:00:00"))) == (10_000, 10_000)
    assert run(heartbeats.heartbeat(context, devices, at(f"{DAY}11:00:00"))) == (10_000, 0)
    statement = "SELECT count(*), count(DISTINCT mac), min(last_seen_at) FROM session WHERE state = 'CONNECTED'"
    assert sql(url, statement) == [(10_000, 10_000, at(f"{DAY}11:00:00"))]
