"""Correcting what was recorded, and the journal that tells of it."""

import asyncio
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import rest_compat.errors
import schema.errors
from netsessions.http.authentication import Guard, RequireToken
from resolvers import corrections as correcting
from resolvers import heartbeats as sightings
from resolvers.context import Context
from resolvers.maintenance.purge import Forgetting
from resolvers.validation.clock import Clock, parse_period
from resolvers.validation.models import EndAt, Seen, read
from rest_compat.app import rest_door
from schema.http.app import GraphQLDoor
from storage.tables import HOUR
from tests.conftest import MAC, NOW, Ask, at, client_of, run, sql

Rows = Callable[[], list[tuple[Any, ...]]]
STAY = {"mac": MAC, "ip": "10.0.0.1", "startTime": "2025-08-20T10:00:00Z", "endTime": "2025-08-20T11:00:00Z"}
MISSING = "<missing event>"
SESSION = "{ id ip state connectedAt disconnectedAt connectionEvent disconnectionEvent info }"
CREATE = f"mutation($input: CreateSessionInput!) {{ createSession(input: $input) {{ session {SESSION} }} }}"
UPDATE = f"""mutation($id: ID!, $ip: IPAddress, $startTime: DateTime, $endTime: DateTime, $eventTypeConn: String,
    $eventTypeDisc: String, $info: String) {{ updateSession(id: $id, ip: $ip, startTime: $startTime, endTime: $endTime,
    eventTypeConn: $eventTypeConn, eventTypeDisc: $eventTypeDisc, info: $info) {SESSION} }}"""
END = f"mutation($id: ID!, $at: DateTime, $how: String) {{ endSession(id: $id, at: $at, eventType: $how) {SESSION} }}"
DELETE = "mutation($id: ID!) { deleteSession(id: $id) { deleted message } }"
HISTORY = f"query($id: ID!) {{ sessionHistory(id: $id) {{ at kind by before {SESSION} after {SESSION} }} }}"


def created(ask: Ask, **changed: Any) -> dict[str, Any]:
    """A session as GraphQL answers it; a field set to ... is left out."""
    wanted = {name: value for name, value in (STAY | changed).items() if value is not ...}
    session: dict[str, Any] = ask(CREATE, input=wanted)["data"]["createSession"]["session"]
    return session


def history(ask: Ask, identity: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(HISTORY, id=identity)["data"]["sessionHistory"]
    return found


@pytest.mark.parametrize(
    ("was", "change", "becomes"),
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
def test_an_update_changes_what_is_given_and_nothing_else(
    ask: Ask, was: dict[str, Any], change: dict[str, Any], becomes: dict[str, Any]
) -> None:
    """A null takes an end, or the info, away; and the history holds the session before and after."""
    before = created(ask, **was)
    after = ask(UPDATE, id=before["id"], **change)["data"]["updateSession"]
    assert after == before | becomes
    [told] = history(ask, before["id"])
    assert told == {"at": NOW, "kind": "UPDATED", "by": "netsessions", "before": before, "after": after}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"endTime": "2025-08-20T09:59:59Z"}, "endTime", "end_time: is before start_time"),
        ({"startTime": "2025-08-20T11:00:01Z"}, "endTime", "end_time: is before start_time"),
        ({"startTime": None}, "startTime", f"start_time: is required, unless event_type_conn is {MISSING}"),
        ({"startTime": None, "endTime": None}, "startTime", "start_time: is required"),
        ({"ip": None}, "ip", "ip: None is not an IP address"),
        ({"eventTypeDisc": MISSING}, "endTime", "end_time: is given although"),
        ({"eventTypeConn": " "}, "eventTypeConn", "event_type_conn: is empty"),
        ({"info": "x" * 10_001}, "info", "info: has 10001 characters"),
    ],
)
def test_an_update_makes_only_what_could_be_created(
    ask: Ask, rows: Rows, change: dict[str, Any], field: str, message: str
) -> None:
    """The same sentences as of a create, and nothing is changed or written down."""
    session = created(ask)
    before = rows()
    [error] = ask(UPDATE, id=session["id"], **change)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert error["message"].startswith(message)
    assert rows() == before
    assert history(ask, session["id"]) == []


def test_an_update_that_changes_nothing_is_not_written_down(ask: Ask) -> None:
    """Whether nothing is given or what is there already."""
    session = created(ask)
    for given in ({}, {"ip": "10.0.0.1", "endTime": STAY["endTime"]}):
        assert ask(UPDATE, id=session["id"], **given)["data"]["updateSession"] == session
    assert history(ask, session["id"]) == []


START = """mutation($at: DateTime) { startSession(mac: "%s", ip: "10.0.0.1", at: $at) { session { id } } }""" % MAC
STOP = """mutation($at: DateTime) { stopSession(mac: "%s", at: $at) { session { id } } }""" % MAC


def test_a_device_is_not_made_to_be_connected_twice(ask: Ask, rows: Rows) -> None:
    """Of two sessions that were started, one that has ended is not opened again while the other is open."""
    first = ask(START, at="2025-08-20T09:00:00Z")["data"]["startSession"]["session"]["id"]
    ask(STOP, at="2025-08-20T10:00:00Z")
    second = ask(START, at="2025-08-20T11:00:00Z")["data"]["startSession"]["session"]["id"]
    before = rows()
    [error] = ask(UPDATE, id=first, endTime=None)["errors"]
    assert error["extensions"]["field"] == "endTime"
    assert error["message"] == ("end_time: cannot be taken away, as the device is connected; end that session first")
    assert rows() == before
    ask(END, id=second)
    assert ask(UPDATE, id=first, endTime=None)["data"]["updateSession"]["state"] == "CONNECTED"


def test_what_is_opened_again_is_not_ended_by_an_old_sighting(context: Context, ask: Ask, url: str) -> None:
    """A sweep ends it only when a heartbeat has told of it anew."""
    run(sightings.heartbeat(context, [Seen(mac=MAC, ip="10.0.0.1")], at(NOW) - 3 * HOUR))
    hour = parse_period("1 hour")
    assert run(sightings.sweep(context, hour)) == 1
    [session] = ask("{ sessions { nodes { id } } }")["data"]["sessions"]["nodes"]
    ask(UPDATE, id=session["id"], endTime=None)
    assert run(sightings.sweep(context, hour)) == 0
    assert sql(url, "SELECT state, seen_at FROM session") == [("CONNECTED", None)]


def test_what_is_corrected_while_it_is_open_was_seen_as_before(context: Context, ask: Ask) -> None:
    """Or no sweep would end it."""
    run(sightings.heartbeat(context, [Seen(mac=MAC, ip="10.0.0.1")], at(NOW) - 3 * HOUR))
    [session] = ask("{ sessions { nodes { id } } }")["data"]["sessions"]["nodes"]
    assert ask(UPDATE, id=session["id"], info="desk 7")["data"]["updateSession"]["state"] == "CONNECTED"
    assert run(sightings.sweep(context, parse_period("1 hour"))) == 1


def test_a_sweep_ends_nothing_before_its_corrected_start(context: Context, ask: Ask, url: str) -> None:
    """A last sighting may turn out to be older than the session."""
    run(sightings.heartbeat(context, [Seen(mac=MAC, ip="10.0.0.1")], at(NOW) - 3 * HOUR))
    [session] = ask("{ sessions { nodes { id } } }")["data"]["sessions"]["nodes"]
    ask(UPDATE, id=session["id"], startTime="2025-08-20T10:00:00Z")
    assert run(sightings.sweep(context, parse_period("1 hour"))) == 1
    assert sql(url, "SELECT connected_at, disconnected_at FROM session") == [(at(NOW) - 2 * HOUR,) * 2]


def test_a_sighting_does_not_bring_back_what_has_ended(context: Context, ask: Ask, url: str) -> None:
    """Whose last known session ended, whenever that was, is in another one."""
    identity = ask(START, at="2025-08-20T09:00:00Z")["data"]["startSession"]["session"]["id"]
    ask(UPDATE, id=identity, eventTypeDisc=MISSING)
    run(sightings.heartbeat(context, [Seen(mac=MAC, ip="10.0.0.1")], at(NOW) - HOUR))
    assert sql(url, "SELECT state, seen_at FROM session ORDER BY connected_at") == [
        ("MISSING_DISCONNECTION", None),
        ("CONNECTED", at(NOW) - HOUR),
    ]


@pytest.mark.parametrize("was", [{"endTime": ...}, {"endTime": ..., "eventTypeDisc": MISSING}])
def test_a_session_without_an_end_is_ended(ask: Ask, was: dict[str, Any]) -> None:
    """Now unless told, as told otherwise; a second time it says what to do instead."""
    session = created(ask, **was)
    ended = ask(END, id=session["id"])["data"]["endSession"]
    assert (ended["disconnectedAt"], ended["disconnectionEvent"], ended["state"]) == (NOW, "Disconnected", "COMPLETE")
    [error] = ask(END, id=session["id"])["errors"]
    assert error["message"] == "id: is of a session that has ended; change its end by updateSession"
    other = created(ask, **was)
    told = ask(END, id=other["id"], at="2025-08-20T10:30:00Z", how="Device Down")["data"]["endSession"]
    assert (told["disconnectedAt"], told["disconnectionEvent"]) == ("2025-08-20T10:30:00Z", "Device Down")
    assert [each["kind"] for each in history(ask, other["id"])] == ["UPDATED"]


def test_a_session_does_not_end_before_it_began(ask: Ask, rows: Rows) -> None:
    """Refused by the field; it stays open, and may end as it begins."""
    session = created(ask, endTime=...)
    before = rows()
    [error] = ask(END, id=session["id"], at="2025-08-20T09:59:59.999999Z")["errors"]
    assert (error["extensions"]["field"], error["message"]) == ("at", "at: is before the session's start")
    assert rows() == before
    assert ask(END, id=session["id"], at=STAY["startTime"])["data"]["endSession"]["state"] == "COMPLETE"


def test_one_session_is_deleted_and_its_history_stays(ask: Ask, url: str) -> None:
    """The others stay too; the device goes with its last one."""
    first, second = created(ask), created(ask, ip="10.0.0.2")
    told = ask(DELETE, id=first["id"])["data"]["deleteSession"]
    assert told == {"deleted": 1, "message": f"Deleted a session of MAC {MAC}"}
    assert sql(url, "SELECT ip FROM session") == [("10.0.0.2",)]
    assert history(ask, first["id"]) == [
        {"at": NOW, "kind": "DELETED", "by": "netsessions", "before": first, "after": None}
    ]
    ask(DELETE, id=second["id"])
    assert sql(url, "SELECT mac FROM device") == []


@pytest.mark.parametrize("mutation", [UPDATE, END, DELETE])
def test_what_is_not_there_is_not_found(ask: Ask, mutation: str) -> None:
    """Also a session that was deleted; an id of something else is a mistake of the input."""
    session = created(ask)
    ask(DELETE, id=session["id"])
    [error] = ask(mutation, id=session["id"])["errors"]
    assert (error["extensions"]["code"], error["message"]) == (
        "NOT_FOUND",
        "id: no session has this id; it may have been deleted",
    )
    for wrong, words in ((f"D:{MAC}", "is the id of a device"), ("17", "is not an id that this server gave")):
        [error] = ask(mutation, id=wrong)["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "id"}
        assert words in error["message"]


def test_the_history_tells_each_change_in_order(ask: Ask) -> None:
    """A new address, a stop, a correction and a deletion of all: what each found is what the one before left."""
    ask(START, at="2025-08-20T09:00:00Z")
    moved = START.replace("10.0.0.1", "10.0.0.2")
    identity = ask(moved, at="2025-08-20T10:00:00Z")["data"]["startSession"]["session"]["id"]
    ask(STOP, at="2025-08-20T11:00:00Z")
    ask(UPDATE, id=identity, info="desk 7")
    ask('mutation { deleteSessions(mac: "%s") { deleted } }' % MAC)
    told = history(ask, identity)
    assert [each["kind"] for each in told] == ["UPDATED", "UPDATED", "UPDATED", "DELETED"]
    assert [each["before"] for each in told[1:]] == [each["after"] for each in told[:-1]]
    assert told[0]["before"]["ip"] == "10.0.0.1"
    assert told[-1]["before"]["info"] == "desk 7"


def test_the_history_names_whose_token_it_was(context: Context, ask: Ask) -> None:
    """The server's own goes by its setting's name, at both doors."""
    token = "a-token-for-tests"
    headers = {"Authorization": f"Bearer {token}"}
    guard = Guard(context, token)
    rest = client_of(RequireToken(rest_door(context), guard, rest_compat.errors.translated))
    graphql = client_of(RequireToken(GraphQLDoor(context), guard, schema.errors.refused))
    session = created(ask, endTime=...)
    assert rest.post("/stop", json={"mac": MAC}, headers=headers).status_code == 200
    asked = {"query": DELETE, "variables": {"id": session["id"]}}
    assert graphql.post("/", json=asked, headers=headers).json()["data"]["deleteSession"]["deleted"] == 1
    assert [(each["kind"], each["by"]) for each in history(ask, session["id"])] == [
        ("UPDATED", "API_TOKEN"),
        ("DELETED", "API_TOKEN"),
    ]


def test_changes_at_once_of_one_session_come_one_after_the_other(context: Context, ask: Ask) -> None:
    """None overwrites what another changed meanwhile, and the history has no gap."""
    session = created(ask, endTime=...)
    mac, identity = MAC, int(session["id"].rpartition(":")[2])

    async def all_at_once() -> list[Any]:
        changes: list[Any] = [correcting.update(context, mac, identity, {"ip": f"10.0.0.{n}"}) for n in range(2, 10)]
        changes += [correcting.update(context, mac, identity, {"info": f"desk {n}"}) for n in range(8)]
        changes += [correcting.end(context, mac, identity, read(EndAt, {}, context.clock))]
        return await asyncio.gather(*changes)

    assert len(run(all_at_once())) == 17
    told = history(ask, session["id"])
    assert len(told) == 17
    assert [each["before"] for each in told[1:]] == [each["after"] for each in told[:-1]]
    last = told[-1]["after"]
    assert last["ip"] != "10.0.0.1"
    assert last["info"] != ""
    assert last["state"] == "COMPLETE"


def test_creations_are_forgotten_after_an_hour_and_changes_are_not(context: Context, ask: Ask, url: str) -> None:
    """Who subscribes may come back for them until then; a history is for good."""
    first = created(ask)
    ask(UPDATE, id=first["id"], info="desk 7")
    kinds = "SELECT kind FROM change ORDER BY seq"
    run(Forgetting(later(context, HOUR))())
    assert sql(url, kinds) == [("CREATED",), ("UPDATED",)]
    forgetting = Forgetting(later(context, 2 * HOUR))
    run(forgetting())
    assert sql(url, kinds) == [("UPDATED",)]
    for _ in range(2):
        created(ask)
    run(forgetting())
    # The very last stays: whoever saw it has missed nothing, however long ago that was.
    assert sql(url, kinds) == [("UPDATED",), ("CREATED",)]
    assert len(history(ask, first["id"])) == 1


def later(context: Context, microseconds: int) -> Context:
    """The same store, some time after."""
    return Context(context.store, Clock(ZoneInfo("UTC"), time=lambda: at(NOW) + microseconds))
