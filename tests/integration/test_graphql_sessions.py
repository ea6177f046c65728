"""Sessions over GraphQL: create, read, list and delete."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from resolvers.context import Context
from resolvers.validation.clock import Clock
from schema.http.app import GraphQLApp
from tests.conftest import MAC, NOW, Execute, at, make_client
from tests.support.graphql_sessions import CREATE_SESSION, SESSION_INPUT, create_session, session_input

Rows = Callable[[], list[tuple[Any, ...]]]


def test_created_session_is_returned_with_all_fields(execute: Execute) -> None:
    """Times are in UTC with a trailing Z."""
    new = session_input(mac="aabb.ccdd.eeff", info='Ünï "quoted" \\ \n')
    response = execute(CREATE_SESSION, input=new)["data"]["createSession"]
    session = response["session"]
    assert response["message"] == f"Session created for MAC {MAC}"
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
    ("changes", "state", "duration"),
    [
        ({}, "COMPLETE", 7200),
        ({"endTime": None, "startTime": "2025-08-20T11:00:00"}, "CONNECTED", 3600),
        ({"endTime": ..., "eventTypeDisc": "<missing event>"}, "MISSING_DISCONNECTION", None),
        ({"startTime": None, "eventTypeConn": "<missing event>"}, "MISSING_CONNECTION", None),
        ({"endTime": None, "startTime": "2025-08-20T13:00:00"}, "CONNECTED", 0),
    ],
)
def test_state_and_duration_depend_on_the_known_ends(
    execute: Execute, changes: dict[str, Any], state: str, duration: int | None
) -> None:
    """A session that starts in the future has a duration of 0."""
    session = create_session(execute, **changes)
    assert (session["state"], session["durationSeconds"]) == (state, duration)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"mac": "AA:BB"}, "mac", "mac: 'AA:BB' is not a MAC address"),
        ({"mac": 5}, "mac", "mac: 5 is not a MAC address"),
        ({"ip": "1.2.3"}, "ip", "ip: '1.2.3' is not an IP address"),
        ({"startTime": "yesterday"}, "startTime", "start_time: 'yesterday' is not a time"),
        ({"startTime": "2025-02-30T00:00"}, "startTime", "does not exist|is not a valid time"),
        ({"startTime": None}, "startTime", "start_time: is required"),
        ({"startTime": ...}, "startTime", "start_time: is required"),
        ({"endTime": "2025-08-01T09:59:59"}, "endTime", "end_time: is before start_time"),
        ({"eventTypeDisc": "<missing event>"}, "endTime", "end_time: cannot be set if event_type_disc is"),
        ({"eventTypeConn": "<missing event>"}, "startTime", "start_time: cannot be set if event_type_conn is"),
        ({"eventTypeConn": "<missing event>", "startTime": None, "endTime": None}, "endTime", "end_time: is required"),
        ({"eventTypeConn": " "}, "eventTypeConn", "event_type_conn: is empty"),
        ({"eventTypeConn": "x" * 101}, "eventTypeConn", "at most 100"),
        ({"info": "a\0b"}, "info", "info: contains a character that cannot be stored"),
        ({"info": "x" * 10_001}, "info", "at most 10000"),
    ],
)
def test_invalid_input_names_the_field_and_stores_nothing(
    execute: Execute, rows: Rows, changes: dict[str, Any], field: str, message: str
) -> None:
    """The message says which field is wrong, and how to fix it."""
    invalid_input = session_input(**changes)
    [error] = execute(CREATE_SESSION, input=invalid_input)["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": field}
    assert any(part in error["message"] for part in message.split("|"))
    assert rows() == []


def test_overlaps_filter_rejects_an_end_before_its_start(execute: Execute) -> None:
    """The error has the code of all invalid input."""
    wrong = '{ sessions(filter: { overlaps: { from: "2025-08-02T00:00Z", to: "2025-08-01T00:00Z" } }) { totalCount } }'
    [error] = execute(wrong)["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].endswith("to: is before from")


def test_create_sessions_stores_all_or_none(execute: Execute, rows: Rows) -> None:
    """One invalid session rejects the all_ids list. The error names its index."""
    query = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
    [error] = execute(query, input=[SESSION_INPUT, SESSION_INPUT | {"ip": "x"}])["errors"]
    assert error["extensions"]["field"] == "input.1.ip"
    assert rows() == []
    assert execute(query, input=[SESSION_INPUT] * 3)["data"] == {"createSessions": {"created": 3}}
    assert len(rows()) == 3
    [error] = execute(query, input=[SESSION_INPUT] * 10_001)["errors"]
    assert error["message"] == "input: has 10001 items; at most 10000 are allowed"


def test_delete_sessions_deletes_all_sessions_of_one_device_only(execute: Execute, rows: Rows) -> None:
    """The result contains the number of deleted sessions."""
    create_session(execute), create_session(execute), create_session(execute, mac="AA:BB:CC:DD:EE:00")
    query = "mutation($mac: MAC!) { deleteSessions(mac: $mac) { deleted message } }"
    assert execute(query, mac="aa-bb-cc-dd-ee-ff")["data"]["deleteSessions"] == {
        "deleted": 2,
        "message": f"Deleted sessions for MAC {MAC}",
    }
    assert [row[0] for row in rows()] == ["AA:BB:CC:DD:EE:00"]
    assert execute(query, mac=MAC)["data"]["deleteSessions"]["deleted"] == 0


@pytest.mark.parametrize("order", ["NEWEST", "OLDEST", "LONGEST", "SHORTEST"])
def test_paging_in_both_directions_returns_every_session_once(execute: Execute, order: str) -> None:
    """Also among equal keys and missing ends."""
    for n in range(12):
        create_session(
            execute,
            mac=f"AA:BB:CC:DD:EE:{n:02X}",
            startTime=f"2025-08-0{1 + n % 3}T10:00:00",
            endTime="2025-08-04T00:00",
        )
    create_session(execute, endTime=...), create_session(execute, startTime=None, eventTypeConn="<missing event>")
    create_session(execute, endTime=..., eventTypeDisc="<missing event>")
    query = """query($o: SessionOrder, $first: Int, $after: String, $last: Int, $before: String) {
        sessions(orderBy: $o, first: $first, after: $after, last: $last, before: $before) {
            totalCount nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    all_ids = [node["id"] for node in execute(query, o=order)["data"]["sessions"]["nodes"]]
    assert len(set(all_ids)) == len(all_ids) == 15
    paged_ids: list[str] = []
    cursor = None
    while True:
        page = execute(query, o=order, first=4, after=cursor)["data"]["sessions"]
        paged_ids += [node["id"] for node in page["nodes"]]
        cursor = page["pageInfo"]["endCursor"]
        assert page["totalCount"] == 15
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert paged_ids == all_ids
    paged_ids, cursor = [], None
    while True:
        page = execute(query, o=order, last=4, before=cursor)["data"]["sessions"]
        paged_ids = [node["id"] for node in page["nodes"]] + paged_ids
        cursor = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert paged_ids == all_ids


def test_session_filters(execute: Execute) -> None:
    """Days are whole and ranges half-open. Search ignores case, also beyond ASCII, and has no wildcards."""
    first = create_session(execute, info="100% ÜBER", startTime="2025-08-01T23:59:59", endTime="2025-08-02T00:00:00")
    second = create_session(execute, mac="AA:BB:CC:DD:EE:00", ip="::1", startTime="2025-08-02T00:00:00", endTime=...)
    query = "query($f: SessionFilter) { sessions(filter: $f, orderBy: OLDEST) { nodes { id } totalCount } }"
    only_first, only_second, both, none = [first["id"]], [second["id"]], [first["id"], second["id"]], list[str]()
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({"macs": ["aabbccddeeff"]}, only_first),
        ({"macs": ["aabbccddeeff", "AA:BB:CC:DD:EE:00"]}, both),
        ({"macs": []}, none),
        ({"ips": ["0:0:0:0:0:0:0:1"]}, only_second),
        ({"states": ["CONNECTED"]}, only_second),
        ({"states": ["CONNECTED", "COMPLETE"]}, both),
        ({"startDate": "2025-08-02"}, only_second),
        ({"startDate": "2025-08-01", "endDate": "2025-08-01"}, none),
        ({"endDate": "2025-08-02"}, only_first),
        ({"overlaps": {"from": "2025-08-01T00:00Z", "to": "2025-08-02T00:00Z"}}, only_first),
        ({"overlaps": {"from": "2025-08-02T00:00Z"}}, only_second),
        ({"overlaps": {"to": "2025-08-01T23:59:59Z"}}, none),
        ({"overlaps": {}}, both),
        ({"search": "über"}, only_first),
        ({"search": "0% ü"}, only_first),
        ({"search": "%"}, only_first),
        ({"search": "_"}, none),
        ({"search": "CONNECT"}, both),
        ({"search": "DISCONN"}, only_first),
        ({}, both),
    ]
    for session_filter, ids in expected:
        response = execute(query, f=session_filter)["data"]["sessions"]
        assert ([node["id"] for node in response["nodes"]], response["totalCount"]) == (ids, len(ids)), session_filter


def test_node_returns_a_session_by_id_and_null_after_its_deletion(execute: Execute) -> None:
    """It has the same fields as in a list."""
    for info in ("one", "two"):
        create_session(execute, info=info)
    query = "query($id: ID!) { node(id: $id) { id ... on Session { info startTime: connectedAt } } }"
    listed = execute("{ sessions { nodes { id info startTime: connectedAt } } }")["data"]["sessions"]["nodes"]
    assert [execute(query, id=node["id"])["data"]["node"] for node in listed] == listed
    assert sorted(node["info"] for node in listed) == ["one", "two"]
    execute("mutation($id: ID!) { deleteSession(id: $id) { deleted } }", id=listed[0]["id"])
    assert execute(query, id=listed[0]["id"])["data"] == {"node": None}
    assert execute(query, id=listed[1]["id"])["data"]["node"] == listed[1]


def test_paging_by_duration_uses_the_time_of_the_first_page(context: Context) -> None:
    """The duration of an open session grows; its place in the list stays as on the first page."""
    times = [at(NOW)]
    client = make_client(GraphQLApp(replace(context, clock=Clock(context.clock.zone, lambda: times[0]))))

    def execute(query: str, **variables: Any) -> Any:
        return client.post("/", json={"query": query, "variables": variables}).json()

    create_session(execute, startTime="2025-08-01T10:00", endTime="2025-08-01T15:00", info="five hours")
    create_session(execute, startTime="2025-08-20T11:00", endTime=..., info="one hour by now")
    create_session(execute, startTime="2025-08-01T10:00", endTime="2025-08-01T13:00", info="three hours")
    create_session(
        execute,
        mac="AA:BB:CC:DD:EE:00",
        startTime="2025-08-01T10:00",
        endTime="2025-08-01T14:00",
        info="another device",
    )
    query = """query($first: Int!, $after: String, $m: [MAC!]) {
        sessions(first: $first, after: $after, orderBy: LONGEST, filter: { macs: $m }) {
            nodes { info } pageInfo { endCursor } } }"""
    page = execute(query, first=2, m=[MAC])["data"]["sessions"]
    assert [node["info"] for node in page["nodes"]] == ["five hours", "three hours"]
    times[0] += 10 * 3600 * 10**6
    page = execute(query, first=2, after=page["pageInfo"]["endCursor"], m=[MAC])["data"]["sessions"]
    assert [node["info"] for node in page["nodes"]] == ["one hour by now"]
