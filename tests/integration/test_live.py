"""Sessions that are reported as they happen: every rule of start, stop, heartbeat and sweep, in whatever order they come."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.testclient import TestClient

from netsessions.cli import main
from netsessions.settings import Settings
from resolvers import heartbeats as sightings
from resolvers import live, sessions
from resolvers.context import Context
from resolvers.validation.addresses import INFO_LENGTH
from resolvers.validation.clock import Clock, parse_period
from resolvers.validation.models import NewSession, Seen, StartReport, StopReport, read
from rest_compat.app import rest_door
from storage.queries.sessions import SessionRow, written_of_device
from storage.store import Transaction
from storage.tables import SECOND
from tests.conftest import MAC, NOW, Ask, at, client_of, run, sql
from tests.support.server import Server, running

DAY = "2025-08-20T"
OTHER = "AA:BB:CC:DD:EE:00"
Rows = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def client(context: Context) -> TestClient:
    return client_of(rest_door(context))


async def report(context: Context, text: str, mac: str = MAC) -> None:
    """Carries out `start 10:00`, `stop 12:00 10.0.0.2` or `seen 11:00`; without an address it is 10.0.0.1."""
    what, when, *more = text.split()
    told: dict[str, Any] = {"mac": mac, "ip": more[0] if more else "10.0.0.1", "at": f"{DAY}{when}"}
    if what == "start":
        await live.start(context, read(StartReport, told, context.clock))
    elif what == "stop":
        await live.stop(context, read(StopReport, told, context.clock))
    else:
        seen = read(Seen, {"mac": mac, "ip": told["ip"]}, context.clock)
        await sightings.heartbeat(context, [seen], context.clock.parse(told["at"]))


async def reports(context: Context, text: str) -> None:
    for one in text.split(", "):
        await report(context, one)


def stays(url: str, columns: str = "") -> list[Any]:
    """All sessions as `10:00-12:00`, in the order of their starts; `?` for an end never seen, nothing for one to come."""

    def shown(instant: int | None, missing: str) -> str:
        seconds = 0 if instant is None else (instant - at(f"{DAY}00:00:00")) // SECOND
        return missing if instant is None else f"{seconds // 3600:02}:{seconds // 60 % 60:02}"

    found = sql(
        url,
        f"SELECT connected_at, disconnected_at, disconnection_event {columns} FROM session ORDER BY starts_at, state",
    )
    made = [(f"{shown(a, '?')}-{shown(b, '?' if event else '')}", *more) for a, b, event, *more in found]
    return made if columns else [stay for (stay,) in made]


# What is reported, in the order of arrival, and the sessions that it makes.
STORIES = {
    "start 10:00": "10:00-",
    "start 10:00, stop 12:00": "10:00-12:00",
    # Whoever is connected does not connect again.
    "start 10:00, start 11:00": "10:00-",
    "start 10:00, start 11:00, stop 12:00": "10:00-12:00",
    # The connection was missed.
    "stop 12:00": "?-12:00",
    "start 09:00, stop 11:00, stop 12:00": "09:00-11:00 ?-12:00",
    # Overtaken by the end, by a later start, by a whole session.
    "stop 12:00, start 10:00": "10:00-12:00",
    "start 11:00, start 10:00": "10:00-? 11:00-",
    "start 11:00, start 10:00, stop 10:30": "10:00-10:30 11:00-",
    # A start told again turns out to have been another session's.
    "start 10:00, start 11:00, stop 10:30": "10:00-10:30 11:00-",
    "start 09:00, start 11:00, stop 10:30, stop 12:00": "09:00-10:30 11:00-12:00",
    "start 11:00, stop 12:00, start 10:00": "10:00-? 11:00-12:00",
    "start 11:00, stop 12:00, stop 10:30, start 10:00": "10:00-10:30 11:00-12:00",
    "start 10:00, stop 12:00, start 11:00": "10:00-12:00",
    "start 10:00, stop 12:00, stop 11:00": "10:00-12:00 ?-11:00",
    "start 11:00, stop 10:00": "?-10:00 11:00-",
    # One instant: a stay of no length, or an end and a new start.
    "start 10:00, stop 10:00": "10:00-10:00",
    "start 10:00, stop 11:00, start 11:00": "10:00-11:00 11:00-",
    "stop 11:00, start 11:00": "11:00- ?-11:00",
    "stop 12:00, stop 11:00, start 11:00": "11:00-12:00 ?-11:00",
    "start 10:00:00.000001, stop 12:00, start 10:00:00": "10:00-? 10:00-12:00",
    # A heartbeat opens what is not open, and a stop ends it.
    "seen 10:00": "10:00-",
    "seen 10:00, seen 11:00": "10:00-",
    "seen 10:00, stop 11:00": "10:00-11:00",
    "seen 10:00, stop 11:00, seen 11:00": "10:00-11:00 11:00-",
    "start 10:00, stop 12:00, seen 11:00": "10:00-12:00",
    "start 10:00, stop 10:00, seen 10:00": "10:00-10:00",
    "stop 12:00, seen 11:00": "11:00-12:00",
    # Late ones are all of the one session of which no end was seen.
    "start 12:00, seen 10:00, seen 11:00": "10:00-? 12:00-",
    # What was seen after a stop that comes late has come back since.
    "start 10:00, seen 12:00, stop 11:00": "10:00-11:00 12:00-",
    "seen 10:00, start 12:00, stop 11:00": "10:00-11:00 12:00-",
    "start 12:00, start 09:00, seen 11:00, stop 10:00": "09:00-10:00 11:00-? 12:00-",
}


@pytest.mark.parametrize("story", STORIES)
def test_reports_make_sessions(context: Context, url: str, rows: Rows, story: str) -> None:
    """In whatever order they arrive, and no more of them when all are sent a second time."""
    run(reports(context, story))
    assert sorted(stays(url)) == sorted(STORIES[story].split())
    assert sql(url, "SELECT DISTINCT live, info FROM session") == [(1, "")]
    before = rows()
    run(reports(context, story))
    assert rows() == before


def test_a_new_address_becomes_the_sessions_and_the_old_one_is_noted(ask: Ask) -> None:
    """With the instant until which it was; what was in the info stays."""
    start = (
        """mutation($ip: IPAddress!, $at: DateTime) { startSession(mac: "%s", ip: $ip, at: $at, info: "desk 7") {
        message session { ip info state connectedAt } } }"""
        % MAC
    )
    first = ask(start, ip="10.0.0.1", at=f"{DAY}10:00:00")["data"]["startSession"]
    assert first["message"] == f"Session started for MAC {MAC}"
    second = ask(start, ip="10.0.0.2", at=f"{DAY}11:00:00")["data"]["startSession"]
    assert second == {
        "message": f"MAC {MAC} is connected already",
        "session": {
            "ip": "10.0.0.2",
            "info": "desk 7; IP was 10.0.0.1 until 2025-08-20T11:00:00Z",
            "state": "CONNECTED",
            "connectedAt": "2025-08-20T10:00:00Z",
        },
    }
    assert ask(start, ip="10.0.0.2", at=f"{DAY}11:00:00")["data"]["startSession"] == second


@pytest.mark.parametrize(
    ("story", "ip"),
    [
        ("start 10:00 10.0.0.1, start 11:00 10.0.0.2, start 10:00 10.0.0.1", "10.0.0.2"),  # sent again
        ("start 10:00 10.0.0.1, seen 12:00 10.0.0.1, start 11:00 10.0.0.2", "10.0.0.1"),  # late
        ("seen 10:00 10.0.0.1, seen 12:00 10.0.0.2, seen 11:00 10.0.0.1", "10.0.0.2"),  # late
        ("seen 10:00 10.0.0.1, seen 11:00 10.0.0.2, seen 11:00 10.0.0.1", "10.0.0.2"),  # told twice for one instant
        ("start 10:00 10.0.0.1, seen 11:00 10.0.0.2", "10.0.0.2"),
        ("start 11:00 10.0.0.1, start 10:00 10.0.0.2", "10.0.0.1"),  # of another session
    ],
)
def test_an_older_report_does_not_bring_an_address_back(context: Context, url: str, story: str, ip: str) -> None:
    """The address is that of the latest instant that is known, not of the last report to arrive."""
    run(reports(context, story))
    [(found,)] = sql(url, "SELECT ip FROM session WHERE disconnection_event IS NULL")
    assert found == ip


def test_what_is_before_1970_has_an_order_too(context: Context, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later address is the session's, and a stop that comes late leaves what was told after it."""
    monkeypatch.setattr("tests.integration.test_live.DAY", "1969-07-20T")
    run(reports(context, "start 10:00 10.0.0.1, start 11:00 10.0.0.2, stop 10:30"))
    assert sql(url, "SELECT ip, connected_at, disconnected_at FROM session ORDER BY starts_at") == [
        ("10.0.0.2", at("1969-07-20T10:00"), at("1969-07-20T10:30")),
        ("10.0.0.2", at("1969-07-20T11:00"), None),
    ]


def test_a_note_that_does_not_fit_is_left_to_the_journal(context: Context, url: str) -> None:
    """An info of the greatest length stays as it is, and the address changes nevertheless."""
    full = "x" * 10_000
    told = {"mac": MAC, "ip": "10.0.0.1", "at": f"{DAY}10:00:00", "info": full}
    run(live.start(context, read(StartReport, told, context.clock)))
    run(report(context, "start 11:00 10.0.0.2"))
    assert sql(url, "SELECT ip, info FROM session") == [("10.0.0.2", full)]
    [(before,)] = sql(url, "SELECT before FROM change WHERE kind = 'UPDATED'")
    assert '"10.0.0.1"' in before


def test_rest_starts_and_stops_by_its_own_names(client: TestClient, url: str) -> None:
    """The same sentences, now where no instant is told, and the event types as given."""
    begin = {"mac": "aabb.ccdd.eeff", "ip": "10.0.0.1", "event_type": "Down Reconnected", "info": "desk 7"}
    answer = client.post("/start", json=begin)
    assert answer.json() == {"success": True, "message": f"Session started for MAC {MAC}"}
    assert client.post("/start", json=begin).json()["message"] == f"MAC {MAC} is connected already"
    ended = client.post("/stop", json={"mac": MAC, "event_type": "Device Down"})
    assert ended.json() == {"success": True, "message": f"Session ended for MAC {MAC}"}
    assert client.post("/stop", json={"mac": MAC}).json()["message"] == f"Session of MAC {MAC} has ended already"
    columns = "connected_at, disconnected_at, connection_event, disconnection_event, info, live"
    assert sql(url, f"SELECT {columns} FROM session") == [
        (at(NOW), at(NOW), "Down Reconnected", "Device Down", "desk 7", 1)
    ]


def test_a_stop_without_a_connection_says_so_at_both_doors(ask: Ask, client: TestClient, url: str) -> None:
    """It needs an address only where no session of the device tells one."""
    stop = """mutation($mac: MAC!, $ip: IPAddress, $at: DateTime) { stopSession(mac: $mac, ip: $ip, at: $at) {
        message session { state ip } } }"""
    [error] = ask(stop, mac=MAC)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "ip"}
    assert error["message"] == "ip: is required, as no session of the device is known"
    refused = client.post("/stop", json={"mac": MAC})
    assert (refused.status_code, refused.json()["message"]) == (400, error["message"])
    assert sql(url, "SELECT * FROM device") == []
    done = ask(stop, mac=MAC, ip="10.0.0.7", at=f"{DAY}10:00:00")["data"]["stopSession"]
    assert done["message"] == f"Missing connection recorded for MAC {MAC}"
    assert done["session"] == {"state": "MISSING_CONNECTION", "ip": "10.0.0.7"}
    for time in ("11:00:00", "09:00:00"):
        assert ask(stop, mac=MAC, at=f"{DAY}{time}")["data"]["stopSession"]["session"]["ip"] == "10.0.0.7"


@pytest.mark.parametrize(
    ("path", "changed", "field"),
    [
        ("start", {"mac": "x"}, "mac"),
        ("start", {"ip": None}, "ip"),
        ("start", {"at": "soon"}, "at"),
        ("start", {"at": "2025-08-20T12:05:01Z"}, "at"),  # it is 12:00
        ("stop", {"at": "2031-01-01T00:00:00Z"}, "at"),
        ("start", {"event_type": "<missing event>"}, "event_type"),
        ("start", {"event_type": " "}, "event_type"),
        ("start", {"start_time": "2025-08-20T10:00:00"}, "start_time"),
        ("start", {"info": "a\0"}, "info"),
        ("stop", {"mac": None}, "mac"),
        ("stop", {"ip": "here"}, "ip"),
        ("stop", {"at": "2025-02-30T10:00:00"}, "at"),
        ("stop", {"event_type": "<missing event>"}, "event_type"),
        ("stop", {"info": "x"}, "info"),
    ],
)
def test_a_mistaken_report_is_refused_by_its_field(
    client: TestClient, rows: Rows, path: str, changed: dict[str, Any], field: str
) -> None:
    """And changes nothing."""
    answer = client.post(f"/{path}", json={"mac": MAC, "ip": "10.0.0.1"} | changed)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{field}: ")
    assert rows() == []


def test_what_was_recorded_otherwise_is_not_taken_for_a_report(context: Context, url: str) -> None:
    """A start does not complete a session of `create` of which an end is missing, and a stop does not either."""
    for ends in ({"end_time": f"{DAY}12:00:00", "event_type_conn": "<missing event>"},
                 {"start_time": f"{DAY}08:00:00", "event_type_disc": "<missing event>"}):  # fmt: skip
        new = read(NewSession, {"mac": MAC, "ip": "10.0.0.1"} | ends, context.clock)
        run(sessions.create_one(context, new))
    run(reports(context, "start 11:00, stop 09:00"))
    assert sorted(stays(url)) == sorted(["08:00-?", "?-09:00", "11:00-?", "?-12:00"])


def test_what_was_last_seen_at_its_end_has_not_come_back(context: Context, url: str) -> None:
    """Only what was seen later goes on."""
    run(reports(context, "start 10:00, seen 11:00, stop 11:00"))
    assert stays(url) == ["10:00-11:00"]


def test_what_goes_on_after_a_late_stop_was_not_seen_before_it_began(context: Context, url: str) -> None:
    """Or a sweep would end it then."""
    run(reports(context, "start 10:00, start 12:00, seen 11:00, stop 11:00"))
    assert stays(url, ", seen_at") == [("10:00-11:00", at(f"{DAY}11:00:00")), ("12:00-", None)]


def test_a_report_that_a_session_has_in_it_answers_that(context: Context) -> None:
    """With a sentence of its own."""
    run(reports(context, "start 10:00, stop 12:00"))
    told = {"mac": MAC, "ip": "10.0.0.1"}
    begun = run(live.start(context, read(StartReport, told | {"at": f"{DAY}11:00:00"}, context.clock)))
    ended = run(live.stop(context, read(StopReport, told | {"at": f"{DAY}12:00:00"}, context.clock)))
    assert begun.message == f"MAC {MAC} was connected already"
    assert ended.message == f"Session of MAC {MAC} has ended already"
    assert begun.session == ended.session
    assert ended.session.disconnected_at == at(f"{DAY}12:00:00")


def test_a_start_that_was_overtaken_keeps_what_it_says(context: Context) -> None:
    """And its end, which comes later still, is told as any."""
    run(reports(context, "start 11:00"))
    told = {"mac": MAC, "ip": "10.0.0.1", "at": f"{DAY}10:00:00", "info": "desk 7"}
    run(live.start(context, read(StartReport, told, context.clock)))
    ended = run(live.stop(context, read(StopReport, {"mac": MAC, "at": f"{DAY}10:30:00"}, context.clock)))
    assert (ended.message, ended.session.info) == (f"Session ended for MAC {MAC}", "desk 7")


def test_the_journal_tells_of_an_end_and_of_what_goes_on_after_it(context: Context, url: str) -> None:
    """As two changes."""
    run(reports(context, "start 10:00, seen 12:00, stop 11:00"))
    assert sql(url, "SELECT kind FROM change ORDER BY seq") == [("CREATED",), ("UPDATED",), ("CREATED",)]


def test_a_session_that_was_created_open_is_the_devices_open_session(context: Context, url: str) -> None:
    """A start answers it, a stop ends it."""
    new = read(NewSession, {"mac": MAC, "ip": "10.0.0.1", "start_time": f"{DAY}08:00:00"}, context.clock)
    run(sessions.create_one(context, new))
    run(reports(context, "start 09:00, seen 11:00, stop 10:00"))
    assert stays(url) == ["08:00-10:00"]


HEARTBEAT = "mutation($devices: [SeenInput!]!, $at: DateTime) { heartbeat(devices: $devices, at: $at) { seen opened } }"


def test_a_heartbeat_opens_what_is_new_and_remembers_when_each_was_seen(ask: Ask, url: str) -> None:
    """Each device once, however often it is named; a second heartbeat opens nothing."""
    devices = [{"mac": MAC, "ip": "10.0.0.1"}, {"mac": OTHER, "ip": "10.0.0.2"}, {"mac": MAC, "ip": "::1"}]
    told = ask(HEARTBEAT, devices=devices, at=f"{DAY}10:00:00")["data"]["heartbeat"]
    assert told == {"seen": 2, "opened": 2}
    told = ask(HEARTBEAT, devices=devices)["data"]["heartbeat"]
    assert told == {"seen": 2, "opened": 0}
    assert sql(url, "SELECT mac, ip, connected_at, seen_at, info FROM session ORDER BY mac") == [
        (OTHER, "10.0.0.2", at(f"{DAY}10:00:00"), at(NOW), ""),
        (MAC, "::1", at(f"{DAY}10:00:00"), at(NOW), ""),
    ]


@pytest.mark.parametrize(
    ("devices", "when", "message"),
    [
        ([{"mac": MAC, "ip": "10.0.0.1"}, {"mac": "x", "ip": "10.0.0.1"}], None, "devices.1.mac: 'x' is not a MAC"),
        ([{"mac": MAC, "ip": "x"}], None, "devices.0.ip: 'x' is not an IP"),
        ([{"mac": MAC, "ip": "10.0.0.1"}], "now", "at: 'now' is not a time"),
        ([{"mac": MAC, "ip": "10.0.0.1"}], "2025-08-20T12:05:01Z", "at: '2025-08-20T12:05:01Z' has not come yet"),
        ([{"mac": MAC, "ip": "10.0.0.1"}] * 10_001, None, "devices: has 10001 members; at most 10000"),
    ],
)
def test_a_mistaken_heartbeat_opens_nothing(
    ask: Ask, rows: Rows, devices: list[Any], when: str | None, message: str
) -> None:
    """The message names which device."""
    [error] = ask(HEARTBEAT, devices=devices, at=when)["errors"]
    assert error["message"].startswith(message)
    assert rows() == []


def test_a_heartbeat_of_nobody_is_answered(ask: Ask, rows: Rows) -> None:
    """A scan that found nothing is no mistake."""
    assert ask(HEARTBEAT, devices=[])["data"]["heartbeat"] == {"seen": 0, "opened": 0}
    assert rows() == []


def test_a_heartbeat_tells_of_each_device(context: Context, url: str) -> None:
    """Of two that have another address, two that are known from later on, and a new one: in the journal, and as written."""
    for n, mac in enumerate(macs(4)):
        run(report(context, "start 10:00" if n < 2 else "start 11:30", mac))
    counted: list[int] = []
    seen = [Seen(mac=mac, ip="10.0.0.2") for mac in macs(5)]
    run(sightings.heartbeat(replace(context, on_written=counted.append), seen, at(f"{DAY}11:00:00")))
    assert counted == [3]
    kinds = " ".join(kind for (kind,) in sql(url, "SELECT kind FROM change ORDER BY mac, seq"))
    assert kinds == "CREATED UPDATED CREATED UPDATED CREATED CREATED CREATED CREATED CREATED"


def test_a_sweep_ends_what_was_not_seen_at_its_last_sighting(context: Context, url: str) -> None:
    """And nothing else: neither what was seen since, nor what no heartbeat ever told of."""
    for n, story in enumerate(["seen 11:29", "seen 10:00, seen 11:31", "start 08:00", "start 08:00, seen 09:00"]):
        for one in story.split(", "):
            run(report(context, one, mac=f"AA:BB:CC:DD:EE:{n:02}"))
    assert run(sightings.sweep(context, parse_period("30 minutes"))) == 2
    assert stays(url, ", disconnection_event") == [
        ("08:00-09:00", "Disconnected"),
        ("08:00-", None),
        ("10:00-", None),
        ("11:29-11:29", "Disconnected"),
    ]
    assert sql(url, "SELECT count(*) FROM device") == [(4,)]
    assert run(sightings.sweep(context, parse_period("30 minutes"))) == 0


def test_a_report_that_comes_after_the_sighting_is_swept_at_its_own_instant(context: Context, url: str) -> None:
    """A device that said that it is there is not ended before it said so."""
    run(reports(context, "seen 10:00, start 11:00"))
    assert run(sightings.sweep(context, parse_period("30 minutes"))) == 1
    assert stays(url) == ["10:00-11:00"]


def test_a_sweep_ends_more_than_one_batch(context: Context, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and tells of each in the journal."""
    monkeypatch.setattr("resolvers.heartbeats.BATCH", 3)
    seen = [Seen(mac=mac, ip="10.0.0.1") for mac in macs(7)]
    run(sightings.heartbeat(context, seen, at(f"{DAY}10:00:00")))
    assert run(sightings.sweep(context, parse_period("1 hour"))) == 7
    assert sql(url, "SELECT count(*) FROM session WHERE state = 'COMPLETE'") == [(7,)]
    assert sql(url, "SELECT count(DISTINCT mac) FROM change WHERE kind = 'UPDATED'") == [(7,)]


def test_the_sweep_command_tells_how_many_it_ended(context: Context, url: str) -> None:
    """In the journal it goes by its own name."""
    run(reports(context, "seen 10:00"))
    done = CliRunner().invoke(main, ["sweep", "--unseen-for", "PT10M"], env={"DATABASE_URL": url})
    assert done.output == "Ended 1 sessions.\n"
    assert sql(url, "SELECT kind, who FROM change ORDER BY seq") == [("CREATED", "netsessions"), ("UPDATED", "sweep")]


def test_a_sweep_that_reaches_back_too_far_is_a_mistake_of_usage(url: str) -> None:
    """Told in a sentence, by the command and by the server's setting."""
    done = CliRunner().invoke(main, ["sweep", "--unseen-for", "9999 years"], env={"DATABASE_URL": url})
    assert done.exit_code == 2
    assert "--unseen-for: reaches back too far; at most to the year 1900." in done.output
    with pytest.raises(ValidationError, match="reaches back too far"):
        Settings(unseen_for="9999 years")


def macs(n: int) -> list[str]:
    """The addresses of some devices."""
    return [f"AA:BB:CC:00:{i >> 8:02X}:{i & 255:02X}" for i in range(n)]


@pytest.mark.parametrize("overtaken", ["start", "seen"])
def test_now_is_when_a_report_is_carried_out(context: Context, url: str, overtaken: str) -> None:
    """Of two without an instant of their own, the one that came first may be the second: it finds the device connected."""
    ticks = count(at(NOW))
    ticking = Context(context.store, Clock(ZoneInfo("UTC"), time=lambda: next(ticks)))
    told = read(StartReport, {"mac": MAC, "ip": "10.0.0.1"}, ticking.clock)
    first: Any = live.starting(ticking, told)
    if overtaken == "seen":
        first = sightings.seeing(ticking, [Seen(mac=MAC, ip="10.0.0.1")], None)
    second = live.starting(ticking, told)
    run(context.store.write(second))
    run(context.store.write(first))
    assert sql(url, "SELECT state FROM session") == [("CONNECTED",)]


def test_clocks_of_two_servers_may_differ(context: Context, url: str) -> None:
    """What the one that is ahead has begun is open for the other, too: it is seen, started once, and ended."""
    ahead = Context(context.store, Clock(ZoneInfo("UTC"), time=lambda: at(NOW) + SECOND))
    told = {"mac": MAC, "ip": "10.0.0.1"}
    run(live.start(ahead, read(StartReport, told, ahead.clock)))
    run(live.start(context, read(StartReport, told, context.clock)))
    run(sightings.heartbeat(context, [read(Seen, told, context.clock)], None))
    assert sql(url, "SELECT state FROM session") == [("CONNECTED",)]
    run(live.stop(context, read(StopReport, told, context.clock)))
    assert sql(url, "SELECT connected_at, disconnected_at FROM session") == [(at(NOW) + SECOND,) * 2]


class Told(NamedTuple):
    """A report of a property test: what, and how many seconds after ten."""

    what: str
    second: int

    @property
    def at(self) -> int:
        return at(f"{DAY}10:00:00") + self.second * SECOND


@pytest.mark.parametrize(
    ("info", "after"),
    [
        ("", "IP was 192.168.1.1 until 2025-08-20T12:00:00Z"),
        ("seen", "seen; IP was 192.168.1.1 until 2025-08-20T12:00:00Z"),
        ("x" * (INFO_LENGTH - 47), "x" * (INFO_LENGTH - 47) + "; IP was 192.168.1.1 until 2025-08-20T12:00:00Z"),
        ("x" * (INFO_LENGTH - 46), "x" * (INFO_LENGTH - 46)),
    ],
)
def test_info_tells_of_the_old_address_where_it_has_room(info: str, after: str) -> None:
    """Up to the last character that it may have."""
    row = SessionRow(MAC, 1, "192.168.1.1", at(NOW) - SECOND, None, "Connected", None, info, "CONNECTED")
    assert live.moved(row, "192.168.1.2", at(NOW)) == {"ip": "192.168.1.2", "info": after}


def test_what_is_recorded_is_counted_and_what_reports_find_open_is_not(context: Context) -> None:
    """As sessions written."""
    counted: list[int] = []
    telling = replace(context, on_written=counted.append)
    report = read(StartReport, {"mac": MAC, "ip": "192.168.1.1"}, context.clock)
    for _ in range(2):
        run(live.start(telling, report))
    run(live.stop(telling, read(StopReport, {"mac": MAC}, context.clock)))
    new = read(NewSession, {"mac": OTHER, "ip": "192.168.1.1", "start_time": NOW}, context.clock)
    assert run(sessions.create_one(telling, new)).new == 1
    run(sessions.create(telling, [new, new]))
    assert counted == [1, 0, 0, 1, 2]


TOLD = st.builds(Told, st.sampled_from(["start", "stop", "seen"]), st.integers(0, 6))
numbers = count()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TOLD, max_size=9))
def test_in_any_order_and_however_often_nothing_is_lost_or_doubled(context: Context, told: list[Told]) -> None:
    """No end before its start, one open session at most, every start and stop an end or inside, and once more is as once.

    One thing may be forgotten: that a device was reported more than once more while it was connected, when a stop of an
    earlier instant comes only after that: then it is back from the last of these on.
    """
    mac = f"AA:BB:CC:{(n := next(numbers)) >> 16:02X}:{n >> 8 & 255:02X}:{n & 255:02X}"

    async def carry_out(transaction: Transaction) -> None:
        remembered: list[Told] = []
        for one in told:
            if one.what == "stop" and any(goes_on(row, one.at) for row in await stored(transaction)):
                last = max((other.second for other in remembered if other.what != "stop"), default=0)
                remembered = [
                    other
                    for other in remembered
                    if other.what == "stop" or other.second < one.second or other.second == last > one.second
                ]
            remembered.append(one)
            await changed(one)(transaction)
            before = await stored(transaction)
            assert_possible(before)
            assert one.what == "seen" or any(is_in(row, one.at) for row in before), one
            await changed(one)(transaction)
            assert await stored(transaction) == before, one
        for one in remembered:
            assert one.what == "seen" or any(is_in(row, one.at) for row in before), one
            await changed(one)(transaction)
            # A sighting that was forgotten in favour of an older report of its like may be remembered now.
            assert [row[:-1] for row in await stored(transaction)] == [row[:-1] for row in before], one

    def changed(one: Told) -> Callable[[Transaction], Any]:
        if one.what == "seen":
            return sightings.seeing(context, [Seen(mac=mac, ip="10.0.0.1")], one.at)
        common: dict[str, Any] = {"mac": mac, "ip": "10.0.0.1", "at": one.at}
        if one.what == "start":
            return live.starting(context, StartReport.model_construct(**common, event_type="Connected", info=""))
        return live.stopping(context, StopReport.model_construct(**common, event_type="Disconnected"))

    async def stored(transaction: Transaction) -> list[tuple[Any, ...]]:
        return sorted(map(tuple, await transaction.fetch(written_of_device(), {"mac": mac})), key=lambda row: row[1])

    run(context.store.write(carry_out))


def goes_on(row: tuple[Any, ...], instant: int) -> bool:
    """Whether a session that began by then has no end yet."""
    return row[3] is not None and row[3] <= instant and row[4] is None


def is_in(row: tuple[Any, ...], instant: int) -> bool:
    """Whether an instant is an end of a session or lies within it."""
    _, _, _, began, ended, _, event, *_ = row
    if instant in (began, ended):
        return True
    return began is not None and began < instant and (event is None or (ended is not None and instant < ended))


def assert_possible(rows: Iterable[tuple[Any, ...]]) -> None:
    """No end before its start, and one open session at most."""
    assert all(began <= ended for _, _, _, began, ended, *_ in rows if began is not None and ended is not None)
    assert sum(event is None for _, _, _, _, _, _, event, *_ in rows) <= 1


@pytest.fixture
def servers(tmp_path: Path, url: str) -> Any:
    """Two servers on one store, each a process of its own; on PostgreSQL one of them with two workers."""
    workers = ["--workers", "2"] if url.startswith("postgresql") else []
    with ExitStack() as stack:
        yield [stack.enter_context(running(tmp_path, *more, DATABASE_URL=url)) for more in (workers, [])]


def at_once(servers: list[Server], requests: list[tuple[str, str, dict[str, Any]]]) -> list[Any]:
    """The answers to requests (method, path, body) that are sent at the same time, to one server after the other."""

    def send(n: int, method: str, path: str, body: dict[str, Any]) -> Any:
        with servers[n % len(servers)].client() as client:
            return client.request(method, path, json=body)

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda asked: send(asked[0], *asked[1]), enumerate(requests)))


def test_simultaneous_starts_and_stops_of_one_device(servers: list[Server], url: str) -> None:
    """From several processes, without an instant of their own: one session opens, and one ends."""
    body = {"mac": MAC, "ip": "10.0.0.1"}
    answers = at_once(servers, [("POST", "/sessions/start", body)] * 32)
    assert [answer.status_code for answer in answers] == [200] * 32
    messages = [answer.json()["message"] for answer in answers]
    assert messages.count(f"Session started for MAC {MAC}") == 1
    assert sql(url, "SELECT state, live FROM session") == [("CONNECTED", 1)]
    assert sql(url, "SELECT kind FROM change") == [("CREATED",)]
    # Without an instant each would be of its own, and all but one without a connection.
    later = {"at": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    answers = at_once(servers, [("POST", "/sessions/stop", body | later)] * 16)
    assert sorted({answer.json()["message"] for answer in answers}) == [
        f"Session ended for MAC {MAC}",
        f"Session of MAC {MAC} has ended already",
    ]
    assert sql(url, "SELECT state FROM session") == [("COMPLETE",)]
    # Every start now finds what a delete has left of it: the session is there whole or not at all.
    mixed = [("POST", "/sessions/start", body), ("DELETE", "/sessions/delete", {"mac": MAC})]
    answers = at_once(servers, mixed * 16)
    assert {answer.status_code for answer in answers} == {200}
    assert sql(url, "SELECT count(*) FROM session WHERE state = 'CONNECTED'")[0][0] <= 1
    assert sql(url, "SELECT count(*) FROM session WHERE mac NOT IN (SELECT mac FROM device)") == [(0,)]
    assert at_once(servers, [("DELETE", "/sessions/delete", {"mac": MAC})])[0].status_code == 200
    assert sql(url, "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM device)") == [(0, 0)]


def test_ten_thousand_devices_in_one_heartbeat(context: Context, url: str) -> None:
    """All of them are opened once, and seen."""
    seen = [Seen(mac=mac, ip="10.0.0.1") for mac in macs(10_000)]
    assert run(sightings.heartbeat(context, seen, at(f"{DAY}10:00:00"))) == (10_000, 10_000)
    assert run(sightings.heartbeat(context, seen, at(f"{DAY}11:00:00"))) == (10_000, 0)
    found = "SELECT count(*), count(DISTINCT mac), min(seen_at) FROM session WHERE state = 'CONNECTED'"
    assert sql(url, found) == [(10_000, 10_000, at(f"{DAY}11:00:00"))]


def test_heartbeats_of_overlapping_sets_do_not_lock_each_other_out(context: Context, url: str) -> None:
    """Nor sweeps, starts, stops and deletions of the same devices meanwhile: all are answered, and each device is open
    once at most."""
    devices = macs(60)

    def seen(n: int) -> list[Seen]:
        chosen = devices[n * 5 % 40 :][:20]
        return [Seen(mac=mac, ip="10.0.0.1") for mac in (chosen if n % 2 else reversed(chosen))]

    async def everything() -> list[Any]:
        work: list[Any] = []
        for n in range(24):
            body = {"mac": devices[n * 7 % 60], "ip": "10.0.0.1"}
            work += [
                sightings.heartbeat(context, seen(n), at(f"{DAY}10:{n:02}:00")),
                live.start(context, read(StartReport, body, context.clock)),
                live.stop(context, read(StopReport, body | {"at": f"{DAY}10:{n:02}:30"}, context.clock)),
                sightings.sweep(context, parse_period("1 hour")),
                sessions.delete(context, devices[n * 11 % 60]),
            ]
        return await asyncio.gather(*work)

    assert len(run(everything())) == 120
    assert sql(url, "SELECT mac FROM session WHERE state = 'CONNECTED' GROUP BY mac HAVING count(*) > 1") == []
    assert sql(url, "SELECT count(*) FROM session WHERE mac NOT IN (SELECT mac FROM device)") == [(0,)]


def test_what_is_seen_while_a_sweep_waits_is_not_ended(context: Context, url: str) -> None:
    """A sweep looks again when it holds the devices."""
    run(reports(context, "seen 10:00"))

    async def at_once() -> int:
        _, ended = await asyncio.gather(report(context, "seen 11:59"), sightings.sweep(context, parse_period("1 hour")))
        return ended

    ended = run(at_once())
    # Whichever came first, the device is connected: seen anew, or once more after it was ended.
    assert stays(url) == (["10:00-10:00", "11:59-"] if ended else ["10:00-"])
