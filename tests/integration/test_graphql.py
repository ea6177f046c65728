"""The GraphQL door answers as its schema promises."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

import schema
from resolvers.context import Context
from resolvers.errors import shown
from resolvers.validation.clock import Clock, iso
from rest_compat.app import rest_door
from schema.http.app import GraphQLDoor
from storage.tables import DAY, SECOND, SPANS
from tests.conftest import MAC, NOW, Ask, at, client_of

CREATE = """mutation($input: CreateSessionInput!) { createSession(input: $input) { message session {
    id mac ip state connectedAt disconnectedAt connectionEvent disconnectionEvent durationSeconds info } } }"""
STAY = {"mac": MAC, "ip": "192.168.1.10", "startTime": "2025-08-01T10:00:00", "endTime": "2025-08-01T12:00:00"}
Rows = Callable[[], list[tuple[Any, ...]]]


def create(ask: Ask, **changed: Any) -> dict[str, Any]:
    """Creates the usual stay with some fields changed; a field set to ... is left out."""
    wanted = {name: value for name, value in (STAY | changed).items() if value is not ...}
    session: dict[str, Any] = ask(CREATE, input=wanted)["data"]["createSession"]["session"]
    return session


def test_the_committed_schema_is_the_one_that_is_served() -> None:
    """`netsessions schema` prints what stands in schema/schema.graphql."""
    committed = Path(schema.__file__).with_name("schema.graphql").read_text(encoding="utf-8")
    assert schema.sdl() == committed


def test_a_session_reads_back_as_it_was_written(ask: Ask) -> None:
    """Every field of a created session is answered, times in UTC with Z."""
    answer = ask(CREATE, input=STAY | {"mac": "aabb.ccdd.eeff", "info": 'Ünï "quoted" \\ \n'})["data"]["createSession"]
    session = answer["session"]
    assert answer["message"] == f"Session created for MAC {MAC}"
    assert session.pop("id")
    assert session == {
        "mac": MAC,
        "ip": "192.168.1.10",
        "state": "COMPLETE",
        "connectedAt": "2025-08-01T10:00:00Z",
        "disconnectedAt": "2025-08-01T12:00:00Z",
        "connectionEvent": "Connected",
        "disconnectionEvent": "Disconnected",
        "durationSeconds": 7200,
        "info": 'Ünï "quoted" \\ \n',
    }


@pytest.mark.parametrize(
    ("changed", "state", "duration"),
    [
        ({}, "COMPLETE", 7200),
        ({"endTime": None, "startTime": "2025-08-20T11:00:00"}, "CONNECTED", 3600),
        ({"endTime": ..., "eventTypeDisc": "<missing event>"}, "MISSING_DISCONNECTION", None),
        ({"startTime": None, "eventTypeConn": "<missing event>"}, "MISSING_CONNECTION", None),
        ({"endTime": None, "startTime": "2025-08-20T13:00:00"}, "CONNECTED", 0),
    ],
)
def test_a_session_is_in_the_state_that_its_ends_tell(
    ask: Ask, changed: dict[str, Any], state: str, duration: int | None
) -> None:
    """Open, complete, or with an end that was never seen; a start ahead of the clock lasts nothing yet."""
    session = create(ask, **changed)
    assert (session["state"], session["durationSeconds"]) == (state, duration)


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"mac": "AA:BB"}, "mac", "mac: 'AA:BB' is not a MAC address"),
        ({"mac": 5}, "mac", "mac: 5 is not a MAC address"),
        ({"ip": "1.2.3"}, "ip", "ip: '1.2.3' is not an IP address"),
        ({"startTime": "yesterday"}, "startTime", "start_time: 'yesterday' is not a time"),
        ({"startTime": "2025-02-30T00:00"}, "startTime", "does not exist|is not a time that exists"),
        ({"startTime": None}, "startTime", "start_time: is required"),
        ({"startTime": ...}, "startTime", "start_time: is required"),
        ({"endTime": "2025-08-01T09:59:59"}, "endTime", "end_time: is before start_time"),
        ({"eventTypeDisc": "<missing event>"}, "endTime", "end_time: is given although"),
        ({"eventTypeConn": "<missing event>"}, "startTime", "start_time: is given although"),
        ({"eventTypeConn": "<missing event>", "startTime": None, "endTime": None}, "endTime", "end_time: is required"),
        ({"eventTypeConn": " "}, "eventTypeConn", "event_type_conn: is empty"),
        ({"eventTypeConn": "x" * 101}, "eventTypeConn", "at most 100"),
        ({"info": "a\0b"}, "info", "info: contains a character that cannot be stored"),
        ({"info": "x" * 10_001}, "info", "at most 10000"),
    ],
)
def test_bad_input_names_the_field_and_changes_nothing(
    ask: Ask, rows: Rows, changed: dict[str, Any], field: str, words: str
) -> None:
    """A mistake is answered with its field and what to write instead."""
    wanted = {name: value for name, value in (STAY | changed).items() if value is not ...}
    [error] = ask(CREATE, input=wanted)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert any(part in error["message"] for part in words.split("|"))
    assert rows() == []


def test_a_range_that_ends_before_it_begins_is_refused(ask: Ask) -> None:
    """With the field, as every mistake."""
    wrong = '{ sessions(filter: { overlaps: { from: "2025-08-02T00:00Z", to: "2025-08-01T00:00Z" } }) { totalCount } }'
    [error] = ask(wrong)["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].endswith("to: is before from")


def test_many_sessions_are_created_all_or_none(ask: Ask, rows: Rows) -> None:
    """One mistaken member refuses all, and is named."""
    query = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
    [error] = ask(query, input=[STAY, STAY | {"ip": "x"}])["errors"]
    assert error["extensions"]["field"] == "input.1.ip"
    assert rows() == []
    assert ask(query, input=[STAY] * 3)["data"] == {"createSessions": {"created": 3}}
    assert len(rows()) == 3
    [error] = ask(query, input=[STAY] * 10_001)["errors"]
    assert error["message"] == "input: has 10001 members; at most 10000"


def test_deleting_takes_all_of_one_device_and_nothing_else(ask: Ask, rows: Rows) -> None:
    """The other device's sessions stay; what was deleted is counted."""
    create(ask), create(ask), create(ask, mac="AA:BB:CC:DD:EE:00")
    query = "mutation($mac: MAC!) { deleteSessions(mac: $mac) { deleted message } }"
    assert ask(query, mac="aa-bb-cc-dd-ee-ff")["data"]["deleteSessions"] == {
        "deleted": 2,
        "message": f"Deleted sessions for MAC {MAC}",
    }
    assert [row[0] for row in rows()] == ["AA:BB:CC:DD:EE:00"]
    assert ask(query, mac=MAC)["data"]["deleteSessions"]["deleted"] == 0


@pytest.mark.parametrize("order", ["NEWEST", "OLDEST", "LONGEST", "SHORTEST"])
def test_pages_in_either_direction_hold_every_session_once(ask: Ask, order: str) -> None:
    """Walking a list forward or backward page by page gives the whole list, also among equals and missing ends."""
    for n in range(12):
        create(
            ask, mac=f"AA:BB:CC:DD:EE:{n:02X}", startTime=f"2025-08-0{1 + n % 3}T10:00:00", endTime="2025-08-04T00:00"
        )
    create(ask, endTime=...), create(ask, startTime=None, eventTypeConn="<missing event>")
    create(ask, endTime=..., eventTypeDisc="<missing event>")
    query = """query($o: SessionOrder, $first: Int, $after: String, $last: Int, $before: String) {
        sessions(orderBy: $o, first: $first, after: $after, last: $last, before: $before) {
            totalCount nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    whole = [node["id"] for node in ask(query, o=order)["data"]["sessions"]["nodes"]]
    assert len(set(whole)) == len(whole) == 15
    walked: list[str] = []
    cursor = None
    while True:
        page = ask(query, o=order, first=4, after=cursor)["data"]["sessions"]
        walked += [node["id"] for node in page["nodes"]]
        cursor = page["pageInfo"]["endCursor"]
        assert page["totalCount"] == 15
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert walked == whole
    walked, cursor = [], None
    while True:
        page = ask(query, o=order, last=4, before=cursor)["data"]["sessions"]
        walked = [node["id"] for node in page["nodes"]] + walked
        cursor = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert walked == whole


def test_filters_leave_what_they_say(ask: Ask) -> None:
    """Days are whole, ranges half-open, search knows no case beyond ASCII either and no wildcards."""
    first = create(ask, info="100% ÜBER", startTime="2025-08-01T23:59:59", endTime="2025-08-02T00:00:00")
    second = create(ask, mac="AA:BB:CC:DD:EE:00", ip="::1", startTime="2025-08-02T00:00:00", endTime=...)
    query = "query($f: SessionFilter) { sessions(filter: $f, orderBy: OLDEST) { nodes { id } totalCount } }"
    one, two, both, none = [first["id"]], [second["id"]], [first["id"], second["id"]], list[str]()
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({"macs": ["aabbccddeeff"]}, one),
        ({"macs": ["aabbccddeeff", "AA:BB:CC:DD:EE:00"]}, both),
        ({"macs": []}, none),
        ({"ips": ["0:0:0:0:0:0:0:1"]}, two),
        ({"states": ["CONNECTED"]}, two),
        ({"states": ["CONNECTED", "COMPLETE"]}, both),
        ({"startDate": "2025-08-02"}, two),
        ({"startDate": "2025-08-01", "endDate": "2025-08-01"}, none),
        ({"endDate": "2025-08-02"}, one),
        ({"overlaps": {"from": "2025-08-01T00:00Z", "to": "2025-08-02T00:00Z"}}, one),
        ({"overlaps": {"from": "2025-08-02T00:00Z"}}, two),
        ({"overlaps": {"to": "2025-08-01T23:59:59Z"}}, none),
        ({"overlaps": {}}, both),
        ({"search": "über"}, one),
        ({"search": "0% ü"}, one),
        ({"search": "%"}, one),
        ({"search": "_"}, none),
        ({"search": "CONNECT"}, both),
        ({"search": "DISCONN"}, one),
        ({}, both),
    ]
    for wanted, found in expected:
        answer = ask(query, f=wanted)["data"]["sessions"]
        assert ([node["id"] for node in answer["nodes"]], answer["totalCount"]) == (found, len(found)), wanted


def test_a_device_is_known_by_its_sessions(ask: Ask) -> None:
    """First and last seen, whether it is connected, and its name, which a null takes away."""
    create(ask)
    create(ask, startTime="2025-08-19T10:00:00", endTime=...)
    fields = "id mac name owner isConnected firstSeen lastSeen"
    name = f'mutation($m: MAC!, $n: String) {{ updateDevice(mac: $m, name: $n, owner: "Ann") {{ {fields} }} }}'
    device = ask(name, m=MAC, n="Laptop")["data"]["updateDevice"]
    assert (
        device
        == ask("query($id: ID!) { node(id: $id) { ... on Device { %s } } }" % fields, id=device["id"])["data"]["node"]
    )
    assert device | {"id": ""} == {
        "id": "",
        "mac": MAC,
        "name": "Laptop",
        "owner": "Ann",
        "isConnected": True,
        "firstSeen": "2025-08-01T10:00:00Z",
        "lastSeen": "2025-08-20T12:00:00Z",
    }
    assert ask('mutation { updateDevice(mac: "%s", name: null) { name owner } }' % MAC)["data"]["updateDevice"] == {
        "name": None,
        "owner": "Ann",
    }
    [error] = ask(name, m="00:00:00:00:00:01", n="x")["errors"]
    assert error["extensions"]["code"] == "NOT_FOUND"
    assert error["message"] == "mac: 00:00:00:00:00:01 is not known; a device is known by its first session"
    assert ask('{ device(mac: "00:00:00:00:00:01") { name } }')["data"] == {"device": None}
    found = ask('{ devices(search: "lap") { totalCount } a: devices(connected: true) { nodes { mac } } }')["data"]
    assert found == {"devices": {"totalCount": 0}, "a": {"nodes": [{"mac": MAC}]}}


def test_a_session_is_read_again_by_its_id(ask: Ask) -> None:
    """As a list holds it; null where it is not there any more."""
    for info in ("one", "two"):
        create(ask, info=info)
    query = "query($id: ID!) { node(id: $id) { id ... on Session { info startTime: connectedAt } } }"
    listed = ask("{ sessions { nodes { id info startTime: connectedAt } } }")["data"]["sessions"]["nodes"]
    assert [ask(query, id=each["id"])["data"]["node"] for each in listed] == listed
    assert sorted(each["info"] for each in listed) == ["one", "two"]
    ask("mutation($id: ID!) { deleteSession(id: $id) { deleted } }", id=listed[0]["id"])
    assert ask(query, id=listed[0]["id"])["data"] == {"node": None}
    assert ask(query, id=listed[1]["id"])["data"]["node"] == listed[1]


DEVICES = """query($o: DeviceOrder, $s: String, $c: Boolean, $first: Int, $after: String, $last: Int, $before: String) {
    devices(orderBy: $o, search: $s, connected: $c, first: $first, after: $after, last: $last, before: $before) {
        totalCount nodes { mac name isConnected lastSeen }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
NAMES = [None, "printer", "Öfen", "apple", "Apple", 'x.y"\\ \U0010ffff', None, "", "ß" * 200]


def create_devices(ask: Ask, context: Context) -> None:
    """Devices with many sessions of every length and state; three are connected, one has no sessions."""
    random = Random(6)
    lengths = [edge + off for edge in (0, *SPANS) for off in (-1, 0, 1)] + [400 * DAY]
    new, now = [], context.clock.now()
    for n in range(len(NAMES)):
        for _ in range(30):
            start = now - 400 * DAY - random.randrange(400 * DAY)
            end = {"endTime": iso(start + max(random.choice(lengths), 0))}
            no_start = end | {"startTime": None, "eventTypeConn": "<missing event>"}
            no_end = {"eventTypeDisc": "<missing event>"}
            how: dict[str, Any] = random.choice([end, end, no_start, no_end] if n % 3 else [end, {}, no_start])
            new.append({"mac": f"AA:BB:CC:DD:EE:0{n}", "ip": "10.0.0.1", "startTime": iso(start)} | how)
    many = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
    assert ask(many, input=new)["data"]["createSessions"]["created"] == len(new)
    for n, name in enumerate(NAMES):
        named = "mutation($m: MAC!, $n: String) { updateDevice(mac: $m, name: $n) { mac } }"
        ask(named, m=f"AA:BB:CC:DD:EE:0{n}", n=name)
    ask('mutation { deleteSessions(mac: "AA:BB:CC:DD:EE:01") { deleted } }')


def test_devices_can_be_had_by_name_and_by_when_they_were_seen(ask: Ask, context: Context) -> None:
    """Without regard to case, those without a name last; the connected first, never seen ones last; by MAC within equals."""
    create_devices(ask, context)
    by_mac = ask(DEVICES)["data"]["devices"]["nodes"]
    assert [node["mac"] for node in by_mac] == sorted(node["mac"] for node in by_mac)
    by_name = ask(DEVICES, o="NAME")["data"]["devices"]["nodes"]
    assert by_name == sorted(by_mac, key=lambda node: (node["name"] is None, (node["name"] or "").casefold()))
    seen = ask(DEVICES, o="LAST_SEEN")["data"]["devices"]["nodes"]
    assert [node["isConnected"] for node in seen] == [True] * 3 + [False] * 6
    assert seen[-1]["lastSeen"] is None
    latest = sorted(by_mac, key=lambda node: node["lastSeen"] or "", reverse=True)
    connected = [node for node in by_mac if node["isConnected"]]
    assert seen == connected + [node for node in latest if not node["isConnected"]]


@pytest.mark.parametrize(("shorter", "longest"), [*pairwise([0, *SPANS, 500 * DAY])])
def test_the_latest_to_start_need_not_be_the_last_seen(ask: Ask, context: Context, shorter: int, longest: int) -> None:
    """Of two sessions that are about as long, the one that started first may end last, later than those of others."""
    then = context.clock.now() - 600 * DAY
    for mac, start, end in ((MAC, 0, longest), (MAC, 1, 2 + shorter), ("AA:BB:CC:DD:EE:00", 0, 3 + shorter)):
        create(ask, mac=mac, startTime=iso(then + start), endTime=iso(then + end))
    seen = ask(DEVICES, o="LAST_SEEN")["data"]["devices"]["nodes"]
    assert [node["mac"] for node in seen] == [MAC, "AA:BB:CC:DD:EE:00"]


@pytest.mark.parametrize(
    ("narrowed", "has"),
    [
        ({"c": True}, lambda node: node["isConnected"]),
        ({"c": False}, lambda node: not node["isConnected"]),
        ({"s": "P"}, lambda node: "p" in (node["name"] or "")),
        ({"s": "p", "c": False}, lambda node: "p" in (node["name"] or "") and not node["isConnected"]),
    ],
)
def test_a_list_of_devices_can_be_narrowed(
    ask: Ask, context: Context, narrowed: dict[str, Any], has: Callable[[Any], bool]
) -> None:
    """To those that are connected or are not, and to those whose name has some letters; none of them is left out."""
    create_devices(ask, context)
    found = ask(DEVICES, **narrowed)["data"]["devices"]
    assert found["nodes"] == [node for node in ask(DEVICES)["data"]["devices"]["nodes"] if has(node)]
    assert len(found["nodes"]) == found["totalCount"] > 1


@pytest.mark.parametrize("order", ["MAC", "NAME", "LAST_SEEN"])
@pytest.mark.parametrize("narrowed", [{}, {"c": False}, {"s": "p"}])
def test_pages_of_devices_in_any_order_are_the_whole_list(
    ask: Ask, context: Context, order: str, narrowed: dict[str, Any]
) -> None:
    """In either direction, whatever stands in their names."""
    create_devices(ask, context)
    whole = ask(DEVICES, o=order, **narrowed)["data"]["devices"]["nodes"]
    assert len(whole) >= 3
    for towards, away, edge, more in (
        ("first", "after", "endCursor", "hasNextPage"),
        ("last", "before", "startCursor", "hasPreviousPage"),
    ):
        walked: list[Any] = []
        place: dict[str, Any] = {}
        for n in range(0, len(whole), 2):
            page = ask(DEVICES, o=order, **narrowed, **{towards: 2}, **place)["data"]["devices"]
            walked = walked + page["nodes"] if towards == "first" else page["nodes"] + walked
            assert page["pageInfo"][more] == (n + 2 < len(whole))
            assert page["totalCount"] == len(whole)
            place = {away: page["pageInfo"][edge]}
        assert walked == whole


def test_the_cursors_of_one_list_of_devices_are_of_no_other(ask: Ask, context: Context) -> None:
    """Nor is what was made up, whatever it is made of."""
    create_devices(ask, context)
    orders = ("MAC", "NAME", "LAST_SEEN")
    cursors = [ask(DEVICES, o=order, first=2)["data"]["devices"]["pageInfo"]["endCursor"] for order in orders]
    made_up = [
        f"NAME.00.{MAC}", f"NAME.ff.{MAC}", f"NAME.3.{MAC}", f"NAME.{'30' * 1000}.{MAC}", f"NAME.30.{MAC.lower()}",
        "NAME.30.x", f"LAST_SEEN.{2**62}.{MAC}", f"LAST_SEEN.1_0.{MAC}", f"LAST_SEEN.x.{MAC}", f"LAST_SEEN.{MAC}", "",
    ]  # fmt: skip
    for n, order in enumerate(orders):
        for m, cursor in enumerate([*cursors, *made_up]):
            body = ask(DEVICES, o=order, after=cursor)
            assert ("errors" in body) == (n != m), (order, cursor)
            if n != m:
                assert body["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "after"}
                assert body["errors"][0]["message"] == f"after: {shown(cursor)} is not a cursor of this list"


def test_events_are_read_off_the_two_ends(ask: Ask) -> None:
    """Each seen end in the period is an event; totals count what the lists hold."""
    create(ask, startTime="2025-08-19T10:00", endTime="2025-08-19T11:00", eventTypeConn="New Device")
    create(ask, startTime="2025-08-10T10:00", endTime="2025-08-19T12:00", eventTypeDisc="Device Down")
    create(ask, startTime="2025-08-19T13:00", endTime=..., eventTypeDisc="<missing event>")
    create(ask, startTime="2025-08-18T13:00", endTime="2025-08-19T14:00", eventTypeConn="VOIDED - Connected")
    create(ask, startTime="2025-08-01T13:00", endTime="2025-08-02T14:00")
    query = """query($t: SessionEventType) { sessionEvents(type: $t, first: 100) {
        totalCount nodes { eventType occurredAt } } }"""
    answer = {
        t: ask(query, t=t)["data"]["sessionEvents"] for t in ("ALL", "SESSIONS", "MISSING", "VOIDED", "NEW", "DOWN")
    }
    assert [(n["eventType"], n["occurredAt"][8:16]) for n in answer["ALL"]["nodes"]] == [
        ("Disconnected", "19T14:00"),
        ("Connected", "19T13:00"),
        ("Device Down", "19T12:00"),
        ("Disconnected", "19T11:00"),
        ("New Device", "19T10:00"),
        ("VOIDED - Connected", "18T13:00"),
    ]
    totals = ask("{ sessionTotals { all sessions missing voided new down } }")["data"]["sessionTotals"]
    assert totals == {"all": 6, "sessions": 4, "missing": 1, "voided": 1, "new": 1, "down": 1}
    assert {t.lower(): found["totalCount"] for t, found in answer.items()} == totals
    assert {t.lower(): len(found["nodes"]) for t, found in answer.items()} == totals


ORDERS = {
    "OLDEST": ("0", "asc"),
    "MAC": ("ses_MAC", "asc"),
    "NAME": ("1", "asc"),
    "OWNER": ("2", "asc"),
    "IP": ("ses_IP", "asc"),
    "EVENT_TYPE": ("eve_EventType", "asc"),
}
ORDERS |= {"NEWEST": ("0", "desc")} | {f"{name}_DESC": (column, "desc") for name, (column, _) in ORDERS.items()}
del ORDERS["OLDEST_DESC"]
EVENTS = """query($t: SessionEventType, $s: String, $o: SessionEventOrder, $p: Period, $first: Int, $after: String,
        $last: Int, $before: String) {
    sessionEvents(type: $t, search: $s, orderBy: $o, period: $p, first: $first, after: $after, last: $last,
            before: $before) {
        totalCount nodes { eventType occurredAt session { id mac ip device { name owner } } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


def create_events(ask: Ask) -> None:
    """Sessions of named and unnamed devices, at addresses whose order by number is not that of their text; 16 events."""
    for n, ip in enumerate(["10.0.0.10", "10.0.0.9", "2001:db8::1", "9.255.255.255", "10.0.0.9"]):
        new = {"mac": f"AA:BB:CC:DD:EE:0{n % 3}", "ip": ip, "info": "Küche" if n % 2 else ""}
        start, more = f"2025-08-19T1{n}:00", {"eventTypeConn": "New Device"} if n == 3 else {}
        create(ask, **new, **more, startTime=start, endTime=f"2025-08-19T1{n + 1}:30")
        create(ask, **new, startTime=f"2025-08-19T1{n}:10:0{n}", endTime=...)
    create(ask, startTime=None, eventTypeConn="<missing event>", endTime="2025-08-19T15:00:30", ip="10.0.0.1")
    for n, (name, owner) in enumerate([("printer", "Ann"), ("Öfen", None)]):
        named = "mutation($m: MAC!, $n: String, $o: String) { updateDevice(mac: $m, name: $n, owner: $o) { mac } }"
        ask(named, m=f"AA:BB:CC:DD:EE:0{n}", n=name, o=owner)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "search"), [("ALL", None), ("ALL", "KÜCHE"), ("SESSIONS", "öF"), ("NEW", "PRINT")])
def test_events_are_searched_and_sorted_as_by_rest(
    ask: Ask, context: Context, order: str, kind: str, search: str | None
) -> None:
    """The same rows in the same order, and counted so."""
    create_events(ask)
    found = ask(EVENTS, t=kind, s=search, o=order)["data"]["sessionEvents"]
    column, direction = ORDERS[order]
    asked = {"type": kind, "search": search or "", "sortCol": column, "sortDir": direction, "format": "datatables"}
    body = client_of(rest_door(context)).get("/session-events", params=asked).json()
    assert body["recordsFiltered"] == found["totalCount"] == len(found["nodes"])
    assert found["nodes"]

    def shown(node: dict[str, Any]) -> list[Any]:
        stay, at = node["session"], node["occurredAt"]
        moment = at and at[:16].replace("T", " ")
        return [stay["mac"], stay["ip"], stay["device"]["name"], stay["device"]["owner"], moment, node["eventType"]]

    rows = [[row[13], row[9], row[1], row[2], row[3], row[4]] for row in body["data"]]
    assert list(map(shown, found["nodes"])) == rows


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "search"), [("ALL", None), ("ALL", "10.0.0."), ("SESSIONS", None)])
def test_pages_of_events_in_any_order_are_the_whole_list(ask: Ask, order: str, kind: str, search: str | None) -> None:
    """In either direction, from any place to any other; what there is before and after is told."""
    create_events(ask)

    def asked(**place: Any) -> tuple[list[Any], dict[str, Any]]:
        found = ask(EVENTS, t=kind, s=search, o=order, **place)["data"]["sessionEvents"]
        assert not whole or found["totalCount"] == len(whole)
        return found["nodes"], found["pageInfo"]

    whole: list[Any] = []
    whole, info = asked(first=100)
    assert len(whole) > 8
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (False, False)
    edges: dict[str, list[str]] = {"startCursor": [], "endCursor": []}
    place: dict[str, Any] = {"first": 4}
    for n in range(0, len(whole), 4):
        nodes, info = asked(**place)
        assert nodes == whole[n : n + 4]
        assert (info["hasNextPage"], info["hasPreviousPage"]) == (n + 4 < len(whole), n > 0)
        place = {"first": 4, "after": info["endCursor"]}
        for edge, cursors in edges.items():
            cursors.append(info[edge])
    place = {"last": 4}
    for n in range(len(whole), 0, -4):
        nodes, info = asked(**place)
        assert nodes == whole[max(n - 4, 0) : n]
        assert (info["hasNextPage"], info["hasPreviousPage"]) == (n < len(whole), n > 4)
        place = {"last": 4, "before": info["startCursor"]}
    # Between the first page and the third there is the second.
    inside = {"after": edges["endCursor"][0], "before": edges["startCursor"][2]}
    for how in ("first", "last"):
        assert asked(**{how: 9}, **inside)[0] == whole[4:8]
    assert asked(first=3, **inside)[0] == whole[4:7]
    assert asked(last=3, **inside)[0] == whole[5:8]
    assert asked(last=0)[0] == asked(first=0)[0] == []
    for how in ("first", "last"):
        assert asked(**{how: 4}, before=edges["startCursor"][0])[0] == []
        assert asked(**{how: 4}, after=edges["endCursor"][-1])[0] == []


def test_a_list_by_a_column_goes_on_as_it_was_begun(
    ask: Ask, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens meanwhile pushes nothing from one page to the next; a list that is begun anew has it."""
    create_events(ask)
    whole = ask(EVENTS, o="MAC")["data"]["sessionEvents"]["nodes"]
    page = ask(EVENTS, o="MAC", first=5)["data"]["sessionEvents"]
    later = context.clock.now() + 60 * SECOND
    monkeypatch.setattr(context.clock, "now", lambda: later)
    create(ask, mac="00:00:00:00:00:01", startTime="2025-08-20T12:00:30", endTime=...)
    rest = ask(EVENTS, o="MAC", first=100, after=page["pageInfo"]["endCursor"])["data"]["sessionEvents"]
    assert page["nodes"] + rest["nodes"] == whole
    assert rest["totalCount"] == len(whole)
    assert ask(EVENTS, o="MAC")["data"]["sessionEvents"]["totalCount"] == len(whole) + 1


def test_the_cursors_of_one_list_of_events_are_of_no_other(ask: Ask) -> None:
    """Another order, type, search, or (where pages are counted off) period: refused, as what was made up."""
    create_events(ask)
    lists: list[dict[str, Any]] = [
        {"t": "ALL", "o": "NEWEST"}, {"t": "ALL", "o": "OLDEST"}, {"t": "ALL", "o": "NAME"},
        {"t": "ALL", "o": "NAME_DESC"}, {"t": "SESSIONS", "o": "NAME"}, {"t": "ALL", "o": "NAME", "s": "10"},
        {"t": "ALL", "o": "NEWEST", "s": "10"}, {"t": "ALL", "o": "NAME", "p": "8 days"},
    ]  # fmt: skip
    cursors = [ask(EVENTS, **asked)["data"]["sessionEvents"]["pageInfo"]["endCursor"] for asked in lists]
    assert cursors[0].startswith("ALL.")
    made_up = [f"{cursors[2].rpartition('.')[0]}.{number}" for number in (-1, 2**62, 2**64)]
    for n, asked in enumerate(lists):
        for m, cursor in enumerate([*cursors, *made_up]):
            for side in ("after", "before"):
                body = ask(EVENTS, **asked, **{side: cursor})
                if n == m:
                    assert "errors" not in body
                else:
                    assert body["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": side}
                    assert body["errors"][0]["message"] == f"{side}: {shown(cursor)} is not a cursor of this list"
    for number in (0, 2**62 - 1):
        assert "errors" not in ask(EVENTS, **lists[2], first=2, after=f"{cursors[2].rpartition('.')[0]}.{number}")


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_the_server_tells_its_version_and_its_time(ask: Ask) -> None:
    """The zone in which times without an offset are meant, by its IANA name."""
    server = {"version": version("netsessions"), "timeZone": "Europe/Berlin", "now": "2025-08-20T12:00:00Z"}
    assert ask("{ server { version timeZone now } }")["data"] == {"server": server}


def test_the_calendar_estimates_an_end_that_was_never_seen(ask: Ask) -> None:
    """From the device's neighbouring session, at most an hour away."""
    create(ask, startTime="2025-08-01T08:00", endTime="2025-08-01T09:30")
    create(ask, startTime=None, eventTypeConn="<missing event>", endTime="2025-08-01T10:00")
    create(ask, startTime="2025-08-01T11:00", endTime=..., eventTypeDisc="<missing event>")
    create(ask, startTime="2025-08-01T11:20", endTime="2025-08-01T11:30")
    create(ask, startTime="2025-08-01T15:00", endTime=..., eventTypeDisc="<missing event>")
    query = '{ sessionCalendar(start: "2025-08-01", end: "2025-08-01") { start end color tooltip className title } }'
    entries = ask(query)["data"]["sessionCalendar"]
    assert [(e["start"][11:16], e["end"][11:16], e["color"]) for e in entries] == [
        ("08:00", "09:30", "#00a659"),
        ("09:30", "10:00", "#f39c12"),
        ("11:00", "11:20", "#f39c12"),
        ("11:20", "11:30", "#00a659"),
        ("15:00", "16:00", "#f39c12"),
    ]
    assert entries[1]["tooltip"] == "Connection: <missing event>\nDisconnection: 2025-08-01 10:00\nIP: 192.168.1.10"


@pytest.mark.parametrize(
    ("query", "statements"),
    [
        ("{ sessions { nodes { id mac ip state durationSeconds info } } }", 1),
        ("{ sessions { totalCount nodes { id device { name owner } } } }", 3),
        ("{ sessions { nodes { device { name isConnected firstSeen lastSeen } } } }", 3),
        ('{ sessionCalendar(start: "2025-08-01", end: "2025-08-31") { session { id device { name } } } }', 2),
        ('{ deviceSessions(mac: "AA:BB:CC:DD:EE:00", period: "1 year") { id } }', 1),
        ("{ sessionEvents { nodes { session { device { name } } } } }", 2),
        ('{ sessionEvents(orderBy: NAME, search: "a") { totalCount nodes { session { device { name owner } } } } }', 3),
        ('{ sessionEvents(orderBy: OLDEST, search: "a") { nodes { session { device { name owner } } } } }', 2),
        ("{ sessionEvents(orderBy: IP) { nodes { eventType session { mac ip } } } }", 1),
        ("{ sessionTotals { all down } }", 1),
        ("{ server { version timeZone now } }", 0),
        ('{ presence(start: "2025-08-01", end: "2025-08-31") { start devices } }', 3),
        ("{ devices { nodes { mac name isConnected lastSeen } } }", 2),
        ("{ devices(orderBy: LAST_SEEN) { nodes { mac name isConnected lastSeen } } }", 2),
    ],
)
def test_a_list_takes_the_same_few_statements_however_long_it_is(
    ask: Ask, context: Context, monkeypatch: pytest.MonkeyPatch, query: str, statements: int
) -> None:
    """No statement for each row: what the rows ask for is gathered."""
    for n in range(20):
        create(ask, mac=f"AA:BB:CC:DD:EE:{n:02X}", startTime="2025-08-19T10:00", endTime="2025-08-19T11:00")
    asked: list[object] = []
    fetch, stream = context.store.fetch, context.store.stream

    async def counted(question: Any, parameters: Any, **how: Any) -> list[Any]:
        asked.append(question)
        return await fetch(question, parameters, **how)

    def counted_stream(question: Any, parameters: Any) -> AsyncGenerator[list[Any], None]:
        asked.append(question)
        return stream(question, parameters)

    monkeypatch.setattr(context.store, "fetch", counted)
    monkeypatch.setattr(context.store, "stream", counted_stream)
    assert "errors" not in ask(query)
    assert len(asked) == statements, asked


@pytest.mark.parametrize(
    "query",
    [
        "{" + " ".join(f"a{n}: __typename" for n in range(31)) + "}",
        "{ __typename" + " __typename" * 100_000 + "}",
    ],
)
def test_a_query_too_complex_is_refused_as_such(ask: Ask, query: str) -> None:
    """Too many aliases, too long: the code says it."""
    assert ask(query)["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize(
    "query",
    ['{ sessions(after: "x") { totalCount } }', '{ sessions(first: 1, last: 1) { totalCount } }', "{ sessions(first: -1) {"
     " totalCount } }", "{ sessions(first: 10001) { totalCount } }", '{ node(id: "1") { id } }', "{ nope }", "{", "",
     '{ sessionCalendar(start: "2025-08-02", end: "2025-08-01") { start } }', '{ devices(after: "x") { totalCount } }',
     '{ sessionEvents(after: "NEW.1.1.1") { totalCount } }', '{ deviceSessions(mac: "%s", period: "soon") { id } }' % MAC],
)  # fmt: skip
def test_every_mistake_carries_a_code(context: Context, query: str) -> None:
    """A client can tell its own mistake from the server's, without a traceback in sight."""
    answer = client_of(GraphQLDoor(context)).post("/", json={"query": query})
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "Traceback" not in answer.text


def test_the_cause_of_a_failure_stays_in_the_log(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client learns that the server failed, not how."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(context.store), "fetch", fail)
    answer = client_of(GraphQLDoor(context)).post("/", json={"query": "{ sessions { nodes { id } } }"})
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize("body", ["null", "5", '"x"', "true", "[]", "{", '{"query": 5}', '{"query": null}', "{}"])
def test_a_body_that_is_no_request_is_refused_with_a_code(context: Context, body: str) -> None:
    """Whatever JSON it is, or is not."""
    headers = {"Content-Type": "application/json"}
    answer = client_of(GraphQLDoor(context)).post("/", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_chain_of_fragments_without_end_is_too_complex(ask: Ask) -> None:
    """It costs the client an error, not the server its stack."""
    chain = "".join(f"fragment f{n} on Query {{ ...f{n + 1} }} " for n in range(3000))
    [error] = ask("{ ...f0 } " + chain + "fragment f3000 on Query { __typename }")["errors"]
    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"


def test_a_calendar_can_be_of_one_device(ask: Ask) -> None:
    """And ends no earlier than it starts."""
    for mac, hour in ((MAC, 8), ("AA:BB:CC:DD:EE:00", 9)):
        create(ask, mac=mac, startTime=f"2025-08-01T{hour:02}:00", endTime=f"2025-08-01T{hour + 1:02}:00")
    query = 'query($m: MAC, $e: Date!) { sessionCalendar(start: "2025-08-01", end: $e, mac: $m) { session { mac } } }'
    for asked, macs in ((None, ["AA:BB:CC:DD:EE:00", MAC]), (MAC, [MAC]), ("AA:BB:CC:DD:EE:11", [])):
        entries = ask(query, m=asked, e="2025-08-01")["data"]["sessionCalendar"]
        assert sorted(entry["session"]["mac"] for entry in entries) == macs
    [error] = ask(query, e="2025-07-31")["errors"]
    assert error["message"] == "end: is before start"


def test_a_list_by_length_goes_on_as_it_was_begun(context: Context) -> None:
    """Whoever is still connected stays where it was on the first page, however late the next one is asked for."""
    times = [at(NOW)]
    door = client_of(GraphQLDoor(replace(context, clock=Clock(context.clock.zone, lambda: times[0]))))

    def ask(query: str, **variables: Any) -> Any:
        return door.post("/", json={"query": query, "variables": variables}).json()

    create(ask, startTime="2025-08-01T10:00", endTime="2025-08-01T15:00", info="five hours")
    create(ask, startTime="2025-08-20T11:00", endTime=..., info="one hour by now")
    create(ask, startTime="2025-08-01T10:00", endTime="2025-08-01T13:00", info="three hours")
    create(
        ask, mac="AA:BB:CC:DD:EE:00", startTime="2025-08-01T10:00", endTime="2025-08-01T14:00", info="another device"
    )
    query = """query($first: Int!, $after: String, $m: [MAC!]) {
        sessions(first: $first, after: $after, orderBy: LONGEST, filter: { macs: $m }) {
            nodes { info } pageInfo { endCursor } } }"""
    page = ask(query, first=2, m=[MAC])["data"]["sessions"]
    assert [node["info"] for node in page["nodes"]] == ["five hours", "three hours"]
    times[0] += 10 * 3600 * 10**6
    page = ask(query, first=2, after=page["pageInfo"]["endCursor"], m=[MAC])["data"]["sessions"]
    assert [node["info"] for node in page["nodes"]] == ["one hour by now"]


def test_a_date_is_a_day(ask: Ask) -> None:
    """The calendar of GraphQL takes days, not times."""
    [error] = ask('{ sessionCalendar(start: "2025-08-01T11:00:00", end: "2025-08-02") { start } }')["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "start"}
    assert "is not a day; write it as 2025-08-01" in error["message"]


def test_a_device_without_sessions_name_and_owner_is_gone(ask: Ask) -> None:
    """It stays while it has a name, and goes with it."""
    create(ask)
    ask('mutation { updateDevice(mac: "%s", name: "x") { mac } deleteSessions(mac: "%s") { deleted } }' % (MAC, MAC))
    assert ask("{ devices { totalCount } }")["data"]["devices"]["totalCount"] == 1
    ask('mutation { updateDevice(mac: "%s", name: null) { mac } }' % MAC)
    assert ask("{ devices { totalCount } }")["data"]["devices"]["totalCount"] == 0


def test_events_page_by_page_are_the_whole_list(ask: Ask) -> None:
    """In either direction, each end once, also where sessions begin and end at the same instants."""
    for n in range(9):
        create(ask, startTime=f"2025-08-19T1{n % 3}:00", endTime=f"2025-08-19T1{3 + n % 2}:00")
    query = """query($first: Int, $after: String, $last: Int, $before: String) {
        sessionEvents(first: $first, after: $after, last: $last, before: $before) {
            nodes { eventType occurredAt session { id } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    whole = ask(query)["data"]["sessionEvents"]["nodes"]
    assert len(whole) == 18
    assert [node["occurredAt"] for node in whole] == sorted((node["occurredAt"] for node in whole), reverse=True)
    forward: list[Any] = []
    backward: list[Any] = []
    after = before = None
    for _ in range(5):
        page = ask(query, first=4, after=after)["data"]["sessionEvents"]
        forward, after = forward + page["nodes"], page["pageInfo"]["endCursor"]
        page = ask(query, last=4, before=before)["data"]["sessionEvents"]
        backward, before = page["nodes"] + backward, page["pageInfo"]["startCursor"]
    assert forward == whole
    assert backward == whole


def test_each_day_of_a_calendar_holds_what_is_drawn_on_it(ask: Ask) -> None:
    """Also the part of an entry that is estimated, and nothing that only touches the day's edge."""
    create(ask, startTime="2025-08-01T23:30", endTime=..., eventTypeDisc="<missing event>")
    create(ask, startTime=None, eventTypeConn="<missing event>", endTime="2025-08-04T00:20")
    create(ask, startTime="2025-08-05T10:00", endTime="2025-08-06T00:00")
    drawn = {
        day: [
            f"{entry['start'][8:16]} {entry['end'][8:16]}"
            for entry in ask(
                "query($d: Date!) { sessionCalendar(start: $d, end: $d) { start end } }", d=f"2025-08-0{day}"
            )["data"]["sessionCalendar"]
        ]
        for day in range(1, 7)
    }
    assert drawn == {
        1: ["01T23:30 02T00:30"],
        2: ["01T23:30 02T00:30"],
        3: ["03T23:20 04T00:20"],
        4: ["03T23:20 04T00:20"],
        5: ["05T10:00 06T00:00"],
        6: [],
    }
