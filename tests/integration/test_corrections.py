"""Corrections of sessions, and their history."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import rest_compat.errors
import schema.errors
from netsessions.http.authentication import AuthenticationMiddleware, Authenticator
from resolvers import corrections, heartbeats
from resolvers.context import Context
from resolvers.maintenance.purge import Purge
from resolvers.validation.models import EndInput, HeartbeatDevice, validate
from resolvers.validation.periods import parse_period
from rest_compat.app import rest_app
from schema.http.app import GraphQLApp
from storage.tables import HOUR
from tests.conftest import MAC, NOW, Execute, at, make_client, run, sql
from tests.support.clock import with_clock_offset

Rows = Callable[[], list[tuple[Any, ...]]]
INPUT = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-20T10:00:00Z", "endTime": "2025-08-20T11:00:00Z"}
MISSING = "<missing event>"
SESSION = "{ id ip state connectedAt disconnectedAt connectionEvent disconnectionEvent info }"
CREATE = f"mutation($input: CreateSessionInput!) {{ createSession(input: $input) {{ session {SESSION} }} }}"
UPDATE = f"""mutation($id: ID!, $ip: IPAddress, $startTime: DateTime, $endTime: DateTime, $eventTypeConn: String,
    $eventTypeDisc: String, $info: String) {{ updateSession(id: $id, ip: $ip, startTime: $startTime, endTime: $endTime,
    eventTypeConn: $eventTypeConn, eventTypeDisc: $eventTypeDisc, info: $info) {SESSION} }}"""
END = f"mutation($id: ID!, $at: DateTime, $how: String) {{ endSession(id: $id, at: $at, eventType: $how) {SESSION} }}"
DELETE = "mutation($id: ID!) { deleteSession(id: $id) { deleted message } }"
HISTORY = f"query($id: ID!) {{ sessionHistory(id: $id) {{ at kind by before {SESSION} after {SESSION} }} }}"


def create_session(execute: Execute, **changes: Any) -> dict[str, Any]:
    """Create a session and return it. Leave out fields that are set to `...`."""
    fields = {name: value for name, value in (INPUT | changes).items() if value is not ...}
    session: dict[str, Any] = execute(CREATE, input=fields)["data"]["createSession"]["session"]
    return session


def history(execute: Execute, session_id: str) -> list[dict[str, Any]]:
    revisions: list[dict[str, Any]] = execute(HISTORY, id=session_id)["data"]["sessionHistory"]
    return revisions


@pytest.mark.parametrize(
    ("was", "change", "expected"),
    [
        ({}, {"ip": "::1"}, {"ip": "::1"}),
        ({}, {"info": "desk 7"}, {"info": "desk 7"}),
        ({"info": "desk 7"}, {"info": None}, {"info": ""}),
        ({}, {"startTime": "2025-08-20T09:00:00.000001Z"}, {"connectedAt": "2025-08-20T09:00:00.000001Z"}),
        ({}, {"endTime": None}, {"disconnectedAt": None, "disconnectionEvent": None, "state": "CONNECTED"}),
        (
            {},
            {"endTime": None, "eventTypeDisc": MISSING},
            {"disconnectedAt": None, "disconnectionEvent": MISSING, "state": "MISSING_DISCONNECTION"},
        ),
        (
            {"startTime": None, "eventTypeConn": MISSING},
            {"startTime": "2025-08-20T09:00:00Z"},
            {"connectedAt": "2025-08-20T09:00:00Z", "connectionEvent": "Connected", "state": "COMPLETE"},
        ),
        (
            {"endTime": ..., "eventTypeDisc": MISSING},
            {"endTime": "2025-08-20T12:00:00Z", "eventTypeDisc": "Device Down"},
            {"disconnectedAt": "2025-08-20T12:00:00Z", "disconnectionEvent": "Device Down", "state": "COMPLETE"},
        ),
        (
            {"endTime": ..., "eventTypeDisc": MISSING},
            {"endTime": "2025-08-20T12:00:00Z"},
            {"disconnectedAt": "2025-08-20T12:00:00Z", "disconnectionEvent": "Disconnected", "state": "COMPLETE"},
        ),
        ({"startTime": None, "eventTypeConn": MISSING}, {"info": "desk 7"}, {"info": "desk 7"}),
        ({"eventTypeConn": "Roamed"}, {"startTime": "2025-08-20T09:00:00Z"}, {"connectedAt": "2025-08-20T09:00:00Z"}),
    ],
)
def test_update_changes_only_the_given_fields(
    execute: Execute, was: dict[str, Any], change: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A null removes an end or the info. The history holds the session before and after."""
    before = create_session(execute, **was)
    after = execute(UPDATE, id=before["id"], **change)["data"]["updateSession"]
    assert after == before | expected
    [revision] = history(execute, before["id"])
    assert revision == {"at": NOW, "kind": "UPDATED", "by": "netsessions", "before": before, "after": after}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"endTime": "2025-08-20T09:59:59Z"}, "endTime", "end_time: is before start_time"),
        ({"startTime": "2025-08-20T11:00:01Z"}, "endTime", "end_time: is before start_time"),
        ({"startTime": None}, "startTime", f"start_time: is required unless event_type_conn is {MISSING}"),
        ({"startTime": None, "endTime": None}, "startTime", "start_time: is required"),
        ({"ip": None}, "ip", "ip: None is not an IP address"),
        ({"eventTypeDisc": MISSING}, "endTime", "end_time: cannot be set if event_type_disc is"),
        ({"eventTypeConn": " "}, "eventTypeConn", "event_type_conn: is empty"),
        ({"info": "x" * 10_001}, "info", "info: has 10001 characters"),
    ],
)
def test_update_is_validated_like_a_new_session(
    execute: Execute, rows: Rows, change: dict[str, Any], field: str, message: str
) -> None:
    """The messages are those of a create. Nothing changes, and the history stays empty."""
    session = create_session(execute)
    before = rows()
    [error] = execute(UPDATE, id=session["id"], **change)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert error["message"].startswith(message)
    assert rows() == before
    assert history(execute, session["id"]) == []


def test_update_without_a_change_writes_no_journal_entry(execute: Execute) -> None:
    """No field is given, or each has its present value."""
    session = create_session(execute)
    for arguments in ({}, {"ip": "10.0.0.1", "endTime": INPUT["endTime"]}):
        assert execute(UPDATE, id=session["id"], **arguments)["data"]["updateSession"] == session
    assert history(execute, session["id"]) == []


START = """mutation($at: DateTime) { startSession(mac: "%s", ip: "10.0.0.1", at: $at) { session { id } } }""" % MAC
STOP = """mutation($at: DateTime) { stopSession(mac: "%s", at: $at) { session { id } } }""" % MAC


def test_update_does_not_open_a_second_session_of_a_device(execute: Execute, rows: Rows) -> None:
    """An ended session can be opened again only after the other open session has ended."""
    first = execute(START, at="2025-08-20T09:00:00Z")["data"]["startSession"]["session"]["id"]
    execute(STOP, at="2025-08-20T10:00:00Z")
    second = execute(START, at="2025-08-20T11:00:00Z")["data"]["startSession"]["session"]["id"]
    before = rows()
    [error] = execute(UPDATE, id=first, endTime=None)["errors"]
    assert error["extensions"]["field"] == "endTime"
    assert error["message"] == (
        "end_time: cannot be removed, because the device has another open session. End that session first."
    )
    assert rows() == before
    execute(END, id=second)
    assert execute(UPDATE, id=first, endTime=None)["data"]["updateSession"]["state"] == "CONNECTED"


def test_sweep_ignores_the_old_heartbeat_of_a_reopened_session(context: Context, execute: Execute, url: str) -> None:
    """It can end the session only after a new heartbeat."""
    run(heartbeats.heartbeat(context, [HeartbeatDevice(mac=MAC, ip="10.0.0.1")], at(NOW) - 3 * HOUR))
    hour = parse_period("1 hour")
    assert run(heartbeats.sweep(context, hour)) == 1
    [session] = execute("{ sessions { nodes { id } } }")["data"]["sessions"]["nodes"]
    execute(UPDATE, id=session["id"], endTime=None)
    assert run(heartbeats.sweep(context, hour)) == 0
    assert sql(url, "SELECT state, last_seen_at FROM session") == [("CONNECTED", None)]


def test_correction_of_an_open_session_keeps_its_last_heartbeat(context: Context, execute: Execute) -> None:
    """Otherwise no sweep would end it."""
    run(heartbeats.heartbeat(context, [HeartbeatDevice(mac=MAC, ip="10.0.0.1")], at(NOW) - 3 * HOUR))
    [session] = execute("{ sessions { nodes { id } } }")["data"]["sessions"]["nodes"]
    assert execute(UPDATE, id=session["id"], info="desk 7")["data"]["updateSession"]["state"] == "CONNECTED"
    assert run(heartbeats.sweep(context, parse_period("1 hour"))) == 1


def test_sweep_does_not_end_a_session_before_its_corrected_start(context: Context, execute: Execute, url: str) -> None:
    """The last heartbeat may be older than the new start."""
    run(heartbeats.heartbeat(context, [HeartbeatDevice(mac=MAC, ip="10.0.0.1")], at(NOW) - 3 * HOUR))
    [session] = execute("{ sessions { nodes { id } } }")["data"]["sessions"]["nodes"]
    execute(UPDATE, id=session["id"], startTime="2025-08-20T10:00:00Z")
    assert run(heartbeats.sweep(context, parse_period("1 hour"))) == 1
    assert sql(url, "SELECT connected_at, disconnected_at FROM session") == [(at(NOW) - 2 * HOUR,) * 2]


def test_heartbeat_does_not_reopen_a_session_with_a_missing_end(context: Context, execute: Execute, url: str) -> None:
    """It opens a new session."""
    session_id = execute(START, at="2025-08-20T09:00:00Z")["data"]["startSession"]["session"]["id"]
    execute(UPDATE, id=session_id, eventTypeDisc=MISSING)
    run(heartbeats.heartbeat(context, [HeartbeatDevice(mac=MAC, ip="10.0.0.1")], at(NOW) - HOUR))
    assert sql(url, "SELECT state, last_seen_at FROM session ORDER BY connected_at") == [
        ("MISSING_DISCONNECTION", None),
        ("CONNECTED", at(NOW) - HOUR),
    ]


@pytest.mark.parametrize("was", [{"endTime": ...}, {"endTime": ..., "eventTypeDisc": MISSING}])
def test_end_session_ends_a_session_without_an_end(execute: Execute, was: dict[str, Any]) -> None:
    """The default is now. A second call fails and says what to do instead."""
    session = create_session(execute, **was)
    ended = execute(END, id=session["id"])["data"]["endSession"]
    assert (ended["disconnectedAt"], ended["disconnectionEvent"], ended["state"]) == (NOW, "Disconnected", "COMPLETE")
    [error] = execute(END, id=session["id"])["errors"]
    assert error["message"] == "id: belongs to a session that has ended. Change its end with updateSession."
    other = create_session(execute, **was)
    result = execute(END, id=other["id"], at="2025-08-20T10:30:00Z", how="Device Down")["data"]["endSession"]
    assert (result["disconnectedAt"], result["disconnectionEvent"]) == ("2025-08-20T10:30:00Z", "Device Down")
    assert [revision["kind"] for revision in history(execute, other["id"])] == ["UPDATED"]


def test_end_before_the_start_is_rejected(execute: Execute, rows: Rows) -> None:
    """The session stays open. It may end at its start."""
    session = create_session(execute, endTime=...)
    before = rows()
    [error] = execute(END, id=session["id"], at="2025-08-20T09:59:59.999999Z")["errors"]
    assert (error["extensions"]["field"], error["message"]) == (
        "at",
        "at: is before the session's start. Use a later time.",
    )
    assert rows() == before
    assert execute(END, id=session["id"], at=INPUT["startTime"])["data"]["endSession"]["state"] == "COMPLETE"


def test_delete_session_keeps_its_history(execute: Execute, url: str) -> None:
    """Other sessions remain. The device is deleted with its last session."""
    first, second = create_session(execute), create_session(execute, ip="10.0.0.2")
    result = execute(DELETE, id=first["id"])["data"]["deleteSession"]
    assert result == {"deleted": 1, "message": f"Deleted a session of MAC {MAC}"}
    assert sql(url, "SELECT ip FROM session") == [("10.0.0.2",)]
    assert history(execute, first["id"]) == [
        {"at": NOW, "kind": "DELETED", "by": "netsessions", "before": first, "after": None}
    ]
    execute(DELETE, id=second["id"])
    assert sql(url, "SELECT mac FROM device") == []


@pytest.mark.parametrize("mutation", [UPDATE, END, DELETE])
def test_unknown_session_is_not_found(execute: Execute, mutation: str) -> None:
    """A deleted session is not found either. An id of another type is invalid input."""
    session = create_session(execute)
    execute(DELETE, id=session["id"])
    [error] = execute(mutation, id=session["id"])["errors"]
    assert (error["extensions"]["code"], error["message"]) == (
        "NOT_FOUND",
        "id: no session has this id. It may have been deleted.",
    )
    for invalid_id, message in ((f"D:{MAC}", "is the id of a device"), ("17", "is not an id of this server")):
        [error] = execute(mutation, id=invalid_id)["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "id"}
        assert message in error["message"]


def test_history_lists_each_change_in_order(execute: Execute) -> None:
    """A new address, a stop, a correction and a deletion: each begins where the one before ended."""
    execute(START, at="2025-08-20T09:00:00Z")
    start_with_new_ip = START.replace("10.0.0.1", "10.0.0.2")
    session_id = execute(start_with_new_ip, at="2025-08-20T10:00:00Z")["data"]["startSession"]["session"]["id"]
    execute(STOP, at="2025-08-20T11:00:00Z")
    execute(UPDATE, id=session_id, info="desk 7")
    execute('mutation { deleteSessions(mac: "%s") { deleted } }' % MAC)
    revisions = history(execute, session_id)
    assert [revision["kind"] for revision in revisions] == ["UPDATED", "UPDATED", "UPDATED", "DELETED"]
    assert [revision["before"] for revision in revisions[1:]] == [revision["after"] for revision in revisions[:-1]]
    assert revisions[0]["before"]["ip"] == "10.0.0.1"
    assert revisions[-1]["before"]["info"] == "desk 7"


def test_history_names_the_token(context: Context, execute: Execute) -> None:
    """The server's own token is named API_TOKEN, in both APIs."""
    token = "a-token-for-tests"
    headers = {"Authorization": f"Bearer {token}"}
    guard = Authenticator(context, token)
    rest = make_client(AuthenticationMiddleware(rest_app(context), guard, rest_compat.errors.error_response))
    graphql = make_client(AuthenticationMiddleware(GraphQLApp(context), guard, schema.errors.error_response))
    session = create_session(execute, endTime=...)
    assert rest.post("/stop", json={"mac": MAC}, headers=headers).status_code == 200
    body = {"query": DELETE, "variables": {"id": session["id"]}}
    assert graphql.post("/", json=body, headers=headers).json()["data"]["deleteSession"]["deleted"] == 1
    assert [(revision["kind"], revision["by"]) for revision in history(execute, session["id"])] == [
        ("UPDATED", "API_TOKEN"),
        ("DELETED", "API_TOKEN"),
    ]


def test_concurrent_changes_of_one_session_run_one_after_the_other(context: Context, execute: Execute) -> None:
    """None overwrites another, and the history has no gap."""
    session = create_session(execute, endTime=...)
    mac, session_id = MAC, int(session["id"].rpartition(":")[2])

    async def run_all() -> list[Any]:
        updates: list[Any] = [corrections.update(context, mac, session_id, {"ip": f"10.0.0.{n}"}) for n in range(2, 10)]
        updates += [corrections.update(context, mac, session_id, {"info": f"desk {n}"}) for n in range(8)]
        updates += [corrections.end(context, mac, session_id, validate(EndInput, {}, context.clock))]
        return await asyncio.gather(*updates)

    assert len(run(run_all())) == 17
    revisions = history(execute, session["id"])
    assert len(revisions) == 17
    assert [revision["before"] for revision in revisions[1:]] == [revision["after"] for revision in revisions[:-1]]
    last = revisions[-1]["after"]
    assert last["ip"] != "10.0.0.1"
    assert last["info"] != ""
    assert last["state"] == "COMPLETE"


def test_purge_deletes_created_entries_after_an_hour_and_keeps_changes(
    context: Context, execute: Execute, url: str
) -> None:
    """Subscribers can resume for an hour. History is kept forever."""
    first = create_session(execute)
    execute(UPDATE, id=first["id"], info="desk 7")
    kinds = "SELECT kind FROM change ORDER BY seq"
    run(Purge(with_clock_offset(context, HOUR))())
    assert sql(url, kinds) == [("CREATED",), ("UPDATED",)]
    purge = Purge(with_clock_offset(context, 2 * HOUR))
    run(purge())
    assert sql(url, kinds) == [("UPDATED",)]
    for _ in range(2):
        create_session(execute)
    run(purge())
    # The last entry is kept: a subscriber that saw it can resume at any time.
    assert sql(url, kinds) == [("UPDATED",), ("CREATED",)]
    assert len(history(execute, first["id"])) == 1
