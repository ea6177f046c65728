"""Events over GraphQL: types, totals, sorting, pages and cursors."""

from typing import Any

import pytest

from resolvers.context import Context
from resolvers.errors import short_repr
from rest_compat.app import rest_app
from storage.tables import SECOND
from tests.conftest import Execute, make_client
from tests.support.graphql_sessions import create_session


def test_event_types_and_totals(execute: Execute) -> None:
    """Each known end in the period is an event. The totals match the lengths of the lists."""
    create_session(execute, startTime="2025-08-19T10:00", endTime="2025-08-19T11:00", eventTypeConn="New Device")
    create_session(execute, startTime="2025-08-10T10:00", endTime="2025-08-19T12:00", eventTypeDisc="Device Down")
    create_session(execute, startTime="2025-08-19T13:00", endTime=..., eventTypeDisc="<missing event>")
    create_session(
        execute, startTime="2025-08-18T13:00", endTime="2025-08-19T14:00", eventTypeConn="VOIDED - Connected"
    )
    create_session(execute, startTime="2025-08-01T13:00", endTime="2025-08-02T14:00")
    query = """query($t: SessionEventType) { sessionEvents(type: $t, first: 100) {
        totalCount nodes { eventType occurredAt } } }"""
    answer = {
        t: execute(query, t=t)["data"]["sessionEvents"] for t in ("ALL", "SESSIONS", "MISSING", "VOIDED", "NEW", "DOWN")
    }
    assert [(n["eventType"], n["occurredAt"][8:16]) for n in answer["ALL"]["nodes"]] == [
        ("Disconnected", "19T14:00"),
        ("Connected", "19T13:00"),
        ("Device Down", "19T12:00"),
        ("Disconnected", "19T11:00"),
        ("New Device", "19T10:00"),
        ("VOIDED - Connected", "18T13:00"),
    ]
    totals = execute("{ sessionTotals { all sessions missing voided new down } }")["data"]["sessionTotals"]
    assert totals == {"all": 6, "sessions": 4, "missing": 1, "voided": 1, "new": 1, "down": 1}
    assert {t.lower(): connection["totalCount"] for t, connection in answer.items()} == totals
    assert {t.lower(): len(connection["nodes"]) for t, connection in answer.items()} == totals


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


def create_events(execute: Execute) -> None:
    """Create 16 events. Some devices have names, and the IP addresses sort differently as numbers and as text."""
    for n, ip in enumerate(["10.0.0.10", "10.0.0.9", "2001:db8::1", "9.255.255.255", "10.0.0.9"]):
        new = {"mac": f"AA:BB:CC:DD:EE:0{n % 3}", "ip": ip, "info": "Küche" if n % 2 else ""}
        start, options = f"2025-08-19T1{n}:00", {"eventTypeConn": "New Device"} if n == 3 else {}
        create_session(execute, **new, **options, startTime=start, endTime=f"2025-08-19T1{n + 1}:30")
        create_session(execute, **new, startTime=f"2025-08-19T1{n}:10:0{n}", endTime=...)
    create_session(
        execute, startTime=None, eventTypeConn="<missing event>", endTime="2025-08-19T15:00:30", ip="10.0.0.1"
    )
    for n, (name, owner) in enumerate([("printer", "Ann"), ("Öfen", None)]):
        named = "mutation($m: MAC!, $n: String, $o: String) { updateDevice(mac: $m, name: $n, owner: $o) { mac } }"
        execute(named, m=f"AA:BB:CC:DD:EE:0{n}", n=name, o=owner)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "search"), [("ALL", None), ("ALL", "KÜCHE"), ("SESSIONS", "öF"), ("NEW", "PRINT")])
def test_events_match_the_rest_api_in_search_and_sorting(
    execute: Execute, context: Context, order: str, kind: str, search: str | None
) -> None:
    """The same rows in the same order, and the same count."""
    create_events(execute)
    connection = execute(EVENTS, t=kind, s=search, o=order)["data"]["sessionEvents"]
    column, direction = ORDERS[order]
    params = {"type": kind, "search": search or "", "sortCol": column, "sortDir": direction, "format": "datatables"}
    body = make_client(rest_app(context)).get("/session-events", params=params).json()
    assert body["recordsFiltered"] == connection["totalCount"] == len(connection["nodes"])
    assert connection["nodes"]

    def to_row(node: dict[str, Any]) -> list[Any]:
        session, at = node["session"], node["occurredAt"]
        device, minute = session["device"], at and at[:16].replace("T", " ")
        return [session["mac"], session["ip"], device["name"], device["owner"], minute, node["eventType"]]

    rows = [[row[13], row[9], row[1], row[2], row[3], row[4]] for row in body["data"]]
    assert list(map(to_row, connection["nodes"])) == rows


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "search"), [("ALL", None), ("ALL", "10.0.0."), ("SESSIONS", None)])
def test_paging_through_events_in_any_order_returns_every_event_once(
    execute: Execute, order: str, kind: str, search: str | None
) -> None:
    """In both directions and between two cursors, with correct pageInfo."""
    create_events(execute)

    def fetch(**position: Any) -> tuple[list[Any], dict[str, Any]]:
        connection = execute(EVENTS, t=kind, s=search, o=order, **position)["data"]["sessionEvents"]
        assert not all_events or connection["totalCount"] == len(all_events)
        return connection["nodes"], connection["pageInfo"]

    all_events: list[Any] = []
    all_events, info = fetch(first=100)
    assert len(all_events) > 8
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (False, False)
    edges: dict[str, list[str]] = {"startCursor": [], "endCursor": []}
    position: dict[str, Any] = {"first": 4}
    for n in range(0, len(all_events), 4):
        nodes, info = fetch(**position)
        assert nodes == all_events[n : n + 4]
        assert (info["hasNextPage"], info["hasPreviousPage"]) == (n + 4 < len(all_events), n > 0)
        position = {"first": 4, "after": info["endCursor"]}
        for edge, cursors in edges.items():
            cursors.append(info[edge])
    position = {"last": 4}
    for n in range(len(all_events), 0, -4):
        nodes, info = fetch(**position)
        assert nodes == all_events[max(n - 4, 0) : n]
        assert (info["hasNextPage"], info["hasPreviousPage"]) == (n < len(all_events), n > 4)
        position = {"last": 4, "before": info["startCursor"]}
    # The second of three pages.
    between = {"after": edges["endCursor"][0], "before": edges["startCursor"][2]}
    for size in ("first", "last"):
        assert fetch(**{size: 9}, **between)[0] == all_events[4:8]
    assert fetch(first=3, **between)[0] == all_events[4:7]
    assert fetch(last=3, **between)[0] == all_events[5:8]
    assert fetch(last=0)[0] == fetch(first=0)[0] == []
    for size in ("first", "last"):
        assert fetch(**{size: 4}, before=edges["startCursor"][0])[0] == []
        assert fetch(**{size: 4}, after=edges["endCursor"][-1])[0] == []


def test_paging_by_a_column_excludes_events_after_the_first_page(
    execute: Execute, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New events do not move rows between pages. A list that starts later contains them."""
    create_events(execute)
    all_events = execute(EVENTS, o="MAC")["data"]["sessionEvents"]["nodes"]
    page = execute(EVENTS, o="MAC", first=5)["data"]["sessionEvents"]
    later = context.clock.now() + 60 * SECOND
    monkeypatch.setattr(context.clock, "now", lambda: later)
    create_session(execute, mac="00:00:00:00:00:01", startTime="2025-08-20T12:00:30", endTime=...)
    rest = execute(EVENTS, o="MAC", first=100, after=page["pageInfo"]["endCursor"])["data"]["sessionEvents"]
    assert page["nodes"] + rest["nodes"] == all_events
    assert rest["totalCount"] == len(all_events)
    assert execute(EVENTS, o="MAC")["data"]["sessionEvents"]["totalCount"] == len(all_events) + 1


def test_event_cursor_of_another_list_is_rejected(execute: Execute) -> None:
    """A cursor belongs to one order, type and search, and for column orders to one period."""
    create_events(execute)
    lists: list[dict[str, Any]] = [
        {"t": "ALL", "o": "NEWEST"}, {"t": "ALL", "o": "OLDEST"}, {"t": "ALL", "o": "NAME"},
        {"t": "ALL", "o": "NAME_DESC"}, {"t": "SESSIONS", "o": "NAME"}, {"t": "ALL", "o": "NAME", "s": "10"},
        {"t": "ALL", "o": "NEWEST", "s": "10"}, {"t": "ALL", "o": "NAME", "p": "8 days"},
    ]  # fmt: skip
    cursors = [execute(EVENTS, **arguments)["data"]["sessionEvents"]["pageInfo"]["endCursor"] for arguments in lists]
    assert cursors[0].startswith("ALL.")
    invalid_cursors = [f"{cursors[2].rpartition('.')[0]}.{number}" for number in (-1, 2**62, 2**64)]
    for n, arguments in enumerate(lists):
        for m, cursor in enumerate([*cursors, *invalid_cursors]):
            for side in ("after", "before"):
                body = execute(EVENTS, **arguments, **{side: cursor})
                if n == m:
                    assert "errors" not in body
                else:
                    assert body["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": side}
                    assert body["errors"][0]["message"] == f"{side}: {short_repr(cursor)} is not a cursor of this list"
    for number in (0, 2**62 - 1):
        assert "errors" not in execute(EVENTS, **lists[2], first=2, after=f"{cursors[2].rpartition('.')[0]}.{number}")


def test_paging_by_time_returns_every_event_once(execute: Execute) -> None:
    """In both directions, also where sessions start and end at the same instants."""
    for n in range(9):
        create_session(execute, startTime=f"2025-08-19T1{n % 3}:00", endTime=f"2025-08-19T1{3 + n % 2}:00")
    query = """query($first: Int, $after: String, $last: Int, $before: String) {
        sessionEvents(first: $first, after: $after, last: $last, before: $before) {
            nodes { eventType occurredAt session { id } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    all_events = execute(query)["data"]["sessionEvents"]["nodes"]
    assert len(all_events) == 18
    assert [node["occurredAt"] for node in all_events] == sorted(
        (node["occurredAt"] for node in all_events), reverse=True
    )
    forward: list[Any] = []
    backward: list[Any] = []
    after = before = None
    for _ in range(5):
        page = execute(query, first=4, after=after)["data"]["sessionEvents"]
        forward, after = forward + page["nodes"], page["pageInfo"]["endCursor"]
        page = execute(query, last=4, before=before)["data"]["sessionEvents"]
        backward, before = page["nodes"] + backward, page["pageInfo"]["startCursor"]
    assert forward == all_events
    assert backward == all_events
