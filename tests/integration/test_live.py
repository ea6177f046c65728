"""Start and stop reports, which may arrive late and in any order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from resolvers import live, sessions
from resolvers.context import Context
from resolvers.validation.addresses import INFO_LENGTH
from resolvers.validation.models import NewSession, StartReport, StopReport, validate
from rest_compat.app import rest_app
from storage.tables import SECOND, SessionRow
from tests.conftest import MAC, NOW, Execute, at, make_client, run, sql
from tests.support.reports import DAY, OTHER, send_report, send_reports, spans

Rows = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def client(context: Context) -> TestClient:
    return make_client(rest_app(context))


REPORTS = {
    "start 10:00": "10:00-",
    "start 10:00, stop 12:00": "10:00-12:00",
    # A connected device does not connect again.
    "start 10:00, start 11:00": "10:00-",
    "start 10:00, start 11:00, stop 12:00": "10:00-12:00",
    # The start was not reported.
    "stop 12:00": "?-12:00",
    "start 09:00, stop 11:00, stop 12:00": "09:00-11:00 ?-12:00",
    # The start arrives after the end, a later start, or a whole session.
    "stop 12:00, start 10:00": "10:00-12:00",
    "start 11:00, start 10:00": "10:00-? 11:00-",
    "start 11:00, start 10:00, stop 10:30": "10:00-10:30 11:00-",
    # A late stop shows that the second start belongs to another session.
    "start 10:00, start 11:00, stop 10:30": "10:00-10:30 11:00-",
    "start 09:00, start 11:00, stop 10:30, stop 12:00": "09:00-10:30 11:00-12:00",
    "start 11:00, stop 12:00, start 10:00": "10:00-? 11:00-12:00",
    "start 11:00, stop 12:00, stop 10:30, start 10:00": "10:00-10:30 11:00-12:00",
    "start 10:00, stop 12:00, start 11:00": "10:00-12:00",
    "start 10:00, stop 12:00, stop 11:00": "10:00-12:00 ?-11:00",
    "start 11:00, stop 10:00": "?-10:00 11:00-",
    # One instant: a session without duration, or an end and a new start.
    "start 10:00, stop 10:00": "10:00-10:00",
    "start 10:00, stop 11:00, start 11:00": "10:00-11:00 11:00-",
    "stop 11:00, start 11:00": "11:00- ?-11:00",
    "stop 12:00, stop 11:00, start 11:00": "11:00-12:00 ?-11:00",
    "start 10:00:00.000001, stop 12:00, start 10:00:00": "10:00-? 10:00-12:00",
    # A heartbeat opens a session, and a stop ends it.
    "seen 10:00": "10:00-",
    "seen 10:00, seen 11:00": "10:00-",
    "seen 10:00, stop 11:00": "10:00-11:00",
    "seen 10:00, stop 11:00, seen 11:00": "10:00-11:00 11:00-",
    "start 10:00, stop 12:00, seen 11:00": "10:00-12:00",
    "start 10:00, stop 10:00, seen 10:00": "10:00-10:00",
    "stop 12:00, seen 11:00": "11:00-12:00",
    # Late heartbeats belong to the session with the missing end.
    "start 12:00, seen 10:00, seen 11:00": "10:00-? 12:00-",
    # A heartbeat after the time of a late stop starts a new session.
    "start 10:00, seen 12:00, stop 11:00": "10:00-11:00 12:00-",
    "seen 10:00, start 12:00, stop 11:00": "10:00-11:00 12:00-",
    "start 12:00, start 09:00, seen 11:00, stop 10:00": "09:00-10:00 11:00-? 12:00-",
}


@pytest.mark.parametrize("reports", REPORTS)
def test_reports_become_sessions(context: Context, url: str, rows: Rows, reports: str) -> None:
    """Reports may arrive in any order. Sending all of them a second time changes nothing."""
    run(send_reports(context, reports))
    assert sorted(spans(url)) == sorted(REPORTS[reports].split())
    assert sql(url, "SELECT DISTINCT live, info FROM session") == [(1, "")]
    before = rows()
    run(send_reports(context, reports))
    assert rows() == before


def test_new_address_replaces_the_old_one_and_leaves_a_note(execute: Execute) -> None:
    """The note holds the time of the change. The rest of `info` stays."""
    start = (
        """mutation($ip: IPAddress!, $at: DateTime) { startSession(mac: "%s", ip: $ip, at: $at, info: "desk 7") {
        message session { ip info state connectedAt } } }"""
        % MAC
    )
    first = execute(start, ip="10.0.0.1", at=f"{DAY}10:00:00")["data"]["startSession"]
    assert first["message"] == f"Session started for MAC {MAC}"
    second = execute(start, ip="10.0.0.2", at=f"{DAY}11:00:00")["data"]["startSession"]
    assert second == {
        "message": f"MAC {MAC} is connected already",
        "session": {
            "ip": "10.0.0.2",
            "info": "desk 7; IP was 10.0.0.1 until 2025-08-20T11:00:00Z",
            "state": "CONNECTED",
            "connectedAt": "2025-08-20T10:00:00Z",
        },
    }
    assert execute(start, ip="10.0.0.2", at=f"{DAY}11:00:00")["data"]["startSession"] == second


@pytest.mark.parametrize(
    ("reports", "ip"),
    [
        ("start 10:00 10.0.0.1, start 11:00 10.0.0.2, start 10:00 10.0.0.1", "10.0.0.2"),  # repeated
        ("start 10:00 10.0.0.1, seen 12:00 10.0.0.1, start 11:00 10.0.0.2", "10.0.0.1"),  # late
        ("seen 10:00 10.0.0.1, seen 12:00 10.0.0.2, seen 11:00 10.0.0.1", "10.0.0.2"),  # late
        ("seen 10:00 10.0.0.1, seen 11:00 10.0.0.2, seen 11:00 10.0.0.1", "10.0.0.2"),  # two addresses at one instant
        ("start 10:00 10.0.0.1, seen 11:00 10.0.0.2", "10.0.0.2"),
        ("start 11:00 10.0.0.1, start 10:00 10.0.0.2", "10.0.0.1"),  # another session
    ],
)
def test_older_report_does_not_restore_an_address(context: Context, url: str, reports: str, ip: str) -> None:
    """The address is that of the latest known instant, not of the last report to arrive."""
    run(send_reports(context, reports))
    [(stored_ip,)] = sql(url, "SELECT ip FROM session WHERE disconnection_event IS NULL")
    assert stored_ip == ip


def test_reports_before_1970_are_ordered(context: Context, url: str) -> None:
    """A later address wins, and a late stop keeps what was reported after it."""
    run(send_reports(context, "start 10:00 10.0.0.1, start 11:00 10.0.0.2, stop 10:30", day="1969-07-20T"))
    assert sql(url, "SELECT ip, connected_at, disconnected_at FROM session ORDER BY starts_at") == [
        ("10.0.0.2", at("1969-07-20T10:00"), at("1969-07-20T10:30")),
        ("10.0.0.2", at("1969-07-20T11:00"), None),
    ]


def test_note_that_does_not_fit_is_only_in_the_journal(context: Context, url: str) -> None:
    """The longest possible `info` stays unchanged, but the address changes."""
    info = "x" * 10_000
    fields = {"mac": MAC, "ip": "10.0.0.1", "at": f"{DAY}10:00:00", "info": info}
    run(live.start(context, validate(StartReport, fields, context.clock)))
    run(send_report(context, "start 11:00 10.0.0.2"))
    assert sql(url, "SELECT ip, info FROM session") == [("10.0.0.2", info)]
    [(before,)] = sql(url, "SELECT before FROM change WHERE kind = 'UPDATED'")
    assert '"10.0.0.1"' in before


def test_rest_start_and_stop(client: TestClient, url: str) -> None:
    """Messages are the same as in GraphQL. Without `at`, the time is now. Event types are stored as given."""
    body = {"mac": "aabb.ccdd.eeff", "ip": "10.0.0.1", "event_type": "Down Reconnected", "info": "desk 7"}
    response = client.post("/start", json=body)
    assert response.json() == {"success": True, "message": f"Session started for MAC {MAC}"}
    assert client.post("/start", json=body).json()["message"] == f"MAC {MAC} is connected already"
    response = client.post("/stop", json={"mac": MAC, "event_type": "Device Down"})
    assert response.json() == {"success": True, "message": f"Session ended for MAC {MAC}"}
    assert client.post("/stop", json={"mac": MAC}).json()["message"] == f"Session of MAC {MAC} has ended already"
    columns = "connected_at, disconnected_at, connection_event, disconnection_event, info, live"
    assert sql(url, f"SELECT {columns} FROM session") == [
        (at(NOW), at(NOW), "Down Reconnected", "Device Down", "desk 7", 1)
    ]


def test_stop_without_a_session_has_the_same_error_in_both_apis(execute: Execute, client: TestClient, url: str) -> None:
    """An IP is required only if the device has no session."""
    stop = """mutation($mac: MAC!, $ip: IPAddress, $at: DateTime) { stopSession(mac: $mac, ip: $ip, at: $at) {
        message session { state ip } } }"""
    [error] = execute(stop, mac=MAC)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "ip"}
    assert error["message"] == "ip: is required, because the device has no session yet"
    response = client.post("/stop", json={"mac": MAC})
    assert (response.status_code, response.json()["message"]) == (400, error["message"])
    assert sql(url, "SELECT * FROM device") == []
    payload = execute(stop, mac=MAC, ip="10.0.0.7", at=f"{DAY}10:00:00")["data"]["stopSession"]
    assert payload["message"] == f"Missing connection recorded for MAC {MAC}"
    assert payload["session"] == {"state": "MISSING_CONNECTION", "ip": "10.0.0.7"}
    for time in ("11:00:00", "09:00:00"):
        assert execute(stop, mac=MAC, at=f"{DAY}{time}")["data"]["stopSession"]["session"]["ip"] == "10.0.0.7"


@pytest.mark.parametrize(
    ("path", "changes", "field"),
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
def test_invalid_report_is_rejected_with_its_field(
    client: TestClient, rows: Rows, path: str, changes: dict[str, Any], field: str
) -> None:
    """Nothing is stored."""
    response = client.post(f"/{path}", json={"mac": MAC, "ip": "10.0.0.1"} | changes)
    assert response.status_code == 400
    assert response.json()["message"].startswith(f"{field}: ")
    assert rows() == []


def test_reports_do_not_complete_created_sessions(context: Context, url: str) -> None:
    """A start or stop leaves a session of `create` with a missing end unchanged."""
    for ends in ({"end_time": f"{DAY}12:00:00", "event_type_conn": "<missing event>"},
                 {"start_time": f"{DAY}08:00:00", "event_type_disc": "<missing event>"}):  # fmt: skip
        new = validate(NewSession, {"mac": MAC, "ip": "10.0.0.1"} | ends, context.clock)
        run(sessions.create_one(context, new))
    run(send_reports(context, "start 11:00, stop 09:00"))
    assert sorted(spans(url)) == sorted(["08:00-?", "?-09:00", "11:00-?", "?-12:00"])


def test_heartbeat_at_the_end_of_a_session_does_not_continue_it(context: Context, url: str) -> None:
    """Only a later heartbeat does."""
    run(send_reports(context, "start 10:00, seen 11:00, stop 11:00"))
    assert spans(url) == ["10:00-11:00"]


def test_session_after_a_late_stop_has_no_earlier_heartbeat(context: Context, url: str) -> None:
    """Otherwise a sweep would end it at that heartbeat."""
    run(send_reports(context, "start 10:00, start 12:00, seen 11:00, stop 11:00"))
    assert spans(url, ", last_seen_at") == [("10:00-11:00", at(f"{DAY}11:00:00")), ("12:00-", None)]


def test_report_inside_a_session_returns_that_session(context: Context) -> None:
    """The message says so."""
    run(send_reports(context, "start 10:00, stop 12:00"))
    fields = {"mac": MAC, "ip": "10.0.0.1"}
    started = run(live.start(context, validate(StartReport, fields | {"at": f"{DAY}11:00:00"}, context.clock)))
    stopped = run(live.stop(context, validate(StopReport, fields | {"at": f"{DAY}12:00:00"}, context.clock)))
    assert started.message == f"MAC {MAC} was connected already"
    assert stopped.message == f"Session of MAC {MAC} has ended already"
    assert started.session == stopped.session
    assert stopped.session.disconnected_at == at(f"{DAY}12:00:00")


def test_late_start_keeps_its_info(context: Context) -> None:
    """A later stop report ends that session."""
    run(send_reports(context, "start 11:00"))
    fields = {"mac": MAC, "ip": "10.0.0.1", "at": f"{DAY}10:00:00", "info": "desk 7"}
    run(live.start(context, validate(StartReport, fields, context.clock)))
    stopped = run(live.stop(context, validate(StopReport, {"mac": MAC, "at": f"{DAY}10:30:00"}, context.clock)))
    assert (stopped.message, stopped.session.info) == (f"Session ended for MAC {MAC}", "desk 7")


def test_late_stop_writes_two_journal_entries(context: Context, url: str) -> None:
    """One entry ends the session, and one creates its continuation."""
    run(send_reports(context, "start 10:00, seen 12:00, stop 11:00"))
    assert sql(url, "SELECT kind FROM change ORDER BY seq") == [("CREATED",), ("UPDATED",), ("CREATED",)]


def test_created_open_session_counts_as_open(context: Context, url: str) -> None:
    """A start returns it, and a stop ends it."""
    new = validate(NewSession, {"mac": MAC, "ip": "10.0.0.1", "start_time": f"{DAY}08:00:00"}, context.clock)
    run(sessions.create_one(context, new))
    run(send_reports(context, "start 09:00, seen 11:00, stop 10:00"))
    assert spans(url) == ["08:00-10:00"]


@pytest.mark.parametrize(
    ("info", "after"),
    [
        ("", "IP was 192.168.1.1 until 2025-08-20T12:00:00Z"),
        ("seen", "seen; IP was 192.168.1.1 until 2025-08-20T12:00:00Z"),
        ("x" * (INFO_LENGTH - 47), "x" * (INFO_LENGTH - 47) + "; IP was 192.168.1.1 until 2025-08-20T12:00:00Z"),
        ("x" * (INFO_LENGTH - 46), "x" * (INFO_LENGTH - 46)),
    ],
)
def test_info_holds_the_old_address_if_there_is_room(info: str, after: str) -> None:
    """The limit is exact to the character."""
    row = SessionRow(MAC, 1, "192.168.1.1", at(NOW) - SECOND, None, "Connected", None, info, "CONNECTED")
    assert live.with_new_ip(row, "192.168.1.2", at(NOW)) == {"ip": "192.168.1.2", "info": after}


def test_created_sessions_are_counted_as_written(context: Context) -> None:
    """Reports that find an open session count nothing."""
    counted: list[int] = []
    counting = replace(context, on_written=counted.append)
    report = validate(StartReport, {"mac": MAC, "ip": "192.168.1.1"}, context.clock)
    for _ in range(2):
        run(live.start(counting, report))
    run(live.stop(counting, validate(StopReport, {"mac": MAC}, context.clock)))
    new = validate(NewSession, {"mac": OTHER, "ip": "192.168.1.1", "start_time": NOW}, context.clock)
    assert run(sessions.create_one(counting, new)).created == 1
    run(sessions.create(counting, [new, new]))
    assert counted == [1, 0, 0, 1, 2]
