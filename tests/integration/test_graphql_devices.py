"""Devices over GraphQL: names, lists, pages and cursors."""

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from resolvers.context import Context
from resolvers.errors import short_repr
from resolvers.validation.clock import format_utc
from storage.tables import DAY, SPAN_LIMITS
from tests.conftest import MAC, Execute
from tests.support.graphql_sessions import create_session


def test_device_fields_and_names(execute: Execute) -> None:
    """First and last seen, connected or not, and a name that null removes."""
    create_session(execute)
    create_session(execute, startTime="2025-08-19T10:00:00", endTime=...)
    fields = "id mac name owner isConnected firstSeen lastSeen"
    name = f'mutation($m: MAC!, $n: String) {{ updateDevice(mac: $m, name: $n, owner: "Ann") {{ {fields} }} }}'
    device = execute(name, m=MAC, n="Laptop")["data"]["updateDevice"]
    assert (
        device
        == execute("query($id: ID!) { node(id: $id) { ... on Device { %s } } }" % fields, id=device["id"])["data"][
            "node"
        ]
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
    assert execute('mutation { updateDevice(mac: "%s", name: null) { name owner } }' % MAC)["data"]["updateDevice"] == {
        "name": None,
        "owner": "Ann",
    }
    [error] = execute(name, m="00:00:00:00:00:01", n="x")["errors"]
    assert error["extensions"]["code"] == "NOT_FOUND"
    assert error["message"] == "mac: 00:00:00:00:00:01 does not exist; a device is added with its first session"
    assert execute('{ device(mac: "00:00:00:00:00:01") { name } }')["data"] == {"device": None}
    devices = execute('{ devices(search: "lap") { totalCount } a: devices(connected: true) { nodes { mac } } }')["data"]
    assert devices == {"devices": {"totalCount": 0}, "a": {"nodes": [{"mac": MAC}]}}


DEVICES = """query($o: DeviceOrder, $s: String, $c: Boolean, $first: Int, $after: String, $last: Int, $before: String) {
    devices(orderBy: $o, search: $s, connected: $c, first: $first, after: $after, last: $last, before: $before) {
        totalCount nodes { mac name isConnected lastSeen }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
NAMES = [None, "printer", "Öfen", "apple", "Apple", 'x.y"\\ \U0010ffff', None, "", "ß" * 200]


def create_devices(execute: Execute, context: Context) -> None:
    """Create devices with sessions of every length and state. Three are connected, one matches no sessions."""
    random = Random(6)
    lengths = [edge + off for edge in (0, *SPAN_LIMITS) for off in (-1, 0, 1)] + [400 * DAY]
    new, now = [], context.clock.now()
    for n in range(len(NAMES)):
        for _ in range(30):
            start = now - 400 * DAY - random.randrange(400 * DAY)
            end = {"endTime": format_utc(start + max(random.choice(lengths), 0))}
            no_start = end | {"startTime": None, "eventTypeConn": "<missing event>"}
            no_end = {"eventTypeDisc": "<missing event>"}
            ends: dict[str, Any] = random.choice([end, end, no_start, no_end] if n % 3 else [end, {}, no_start])
            new.append({"mac": f"AA:BB:CC:DD:EE:0{n}", "ip": "10.0.0.1", "startTime": format_utc(start)} | ends)
    many = "mutation($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
    assert execute(many, input=new)["data"]["createSessions"]["created"] == len(new)
    for n, name in enumerate(NAMES):
        named = "mutation($m: MAC!, $n: String) { updateDevice(mac: $m, name: $n) { mac } }"
        execute(named, m=f"AA:BB:CC:DD:EE:0{n}", n=name)
    execute('mutation { deleteSessions(mac: "AA:BB:CC:DD:EE:01") { deleted } }')


def test_devices_can_be_sorted_by_mac_name_and_last_seen(execute: Execute, context: Context) -> None:
    """Names sort without case and nulls last. Connected devices come first in LAST_SEEN, never seen ones last."""
    create_devices(execute, context)
    by_mac = execute(DEVICES)["data"]["devices"]["nodes"]
    assert [node["mac"] for node in by_mac] == sorted(node["mac"] for node in by_mac)
    by_name = execute(DEVICES, o="NAME")["data"]["devices"]["nodes"]
    assert by_name == sorted(by_mac, key=lambda node: (node["name"] is None, (node["name"] or "").casefold()))
    by_last_seen = execute(DEVICES, o="LAST_SEEN")["data"]["devices"]["nodes"]
    assert [node["isConnected"] for node in by_last_seen] == [True] * 3 + [False] * 6
    assert by_last_seen[-1]["lastSeen"] is None
    latest = sorted(by_mac, key=lambda node: node["lastSeen"] or "", reverse=True)
    connected = [node for node in by_mac if node["isConnected"]]
    assert by_last_seen == connected + [node for node in latest if not node["isConnected"]]


@pytest.mark.parametrize(("shorter", "longest"), [*pairwise([0, *SPAN_LIMITS, 500 * DAY])])
def test_last_seen_order_uses_ends_and_not_starts(
    execute: Execute, context: Context, shorter: int, longest: int
) -> None:
    """Of two sessions of similar length, the one that starts first may end last."""
    first_start = context.clock.now() - 600 * DAY
    for mac, start, end in ((MAC, 0, longest), (MAC, 1, 2 + shorter), ("AA:BB:CC:DD:EE:00", 0, 3 + shorter)):
        create_session(
            execute, mac=mac, startTime=format_utc(first_start + start), endTime=format_utc(first_start + end)
        )
    by_last_seen = execute(DEVICES, o="LAST_SEEN")["data"]["devices"]["nodes"]
    assert [node["mac"] for node in by_last_seen] == [MAC, "AA:BB:CC:DD:EE:00"]


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ({"c": True}, lambda node: node["isConnected"]),
        ({"c": False}, lambda node: not node["isConnected"]),
        ({"s": "P"}, lambda node: "p" in (node["name"] or "")),
        ({"s": "p", "c": False}, lambda node: "p" in (node["name"] or "") and not node["isConnected"]),
    ],
)
def test_device_filters(
    execute: Execute, context: Context, filters: dict[str, Any], matches: Callable[[Any], bool]
) -> None:
    """By connected or not, and by text in the name."""
    create_devices(execute, context)
    devices = execute(DEVICES, **filters)["data"]["devices"]
    assert devices["nodes"] == [node for node in execute(DEVICES)["data"]["devices"]["nodes"] if matches(node)]
    assert len(devices["nodes"]) == devices["totalCount"] > 1


@pytest.mark.parametrize("order", ["MAC", "NAME", "LAST_SEEN"])
@pytest.mark.parametrize("filters", [{}, {"c": False}, {"s": "p"}])
def test_paging_through_devices_returns_every_device_once(
    execute: Execute, context: Context, order: str, filters: dict[str, Any]
) -> None:
    """In both directions, with any characters in the names."""
    create_devices(execute, context)
    all_devices = execute(DEVICES, o=order, **filters)["data"]["devices"]["nodes"]
    assert len(all_devices) >= 3
    for size, direction, cursor, has_more in (
        ("first", "after", "endCursor", "hasNextPage"),
        ("last", "before", "startCursor", "hasPreviousPage"),
    ):
        paged: list[Any] = []
        position: dict[str, Any] = {}
        for n in range(0, len(all_devices), 2):
            page = execute(DEVICES, o=order, **filters, **{size: 2}, **position)["data"]["devices"]
            paged = paged + page["nodes"] if size == "first" else page["nodes"] + paged
            assert page["pageInfo"][has_more] == (n + 2 < len(all_devices))
            assert page["totalCount"] == len(all_devices)
            position = {direction: page["pageInfo"][cursor]}
        assert paged == all_devices


def test_device_cursor_of_another_order_is_rejected(execute: Execute, context: Context) -> None:
    """So are cursors that the server never returned."""
    create_devices(execute, context)
    orders = ("MAC", "NAME", "LAST_SEEN")
    cursors = [execute(DEVICES, o=order, first=2)["data"]["devices"]["pageInfo"]["endCursor"] for order in orders]
    invalid_cursors = [
        f"NAME.00.{MAC}", f"NAME.ff.{MAC}", f"NAME.3.{MAC}", f"NAME.{'30' * 1000}.{MAC}", f"NAME.30.{MAC.lower()}",
        "NAME.30.x", f"LAST_SEEN.{2**62}.{MAC}", f"LAST_SEEN.1_0.{MAC}", f"LAST_SEEN.x.{MAC}", f"LAST_SEEN.{MAC}", "",
    ]  # fmt: skip
    for n, order in enumerate(orders):
        for m, cursor in enumerate([*cursors, *invalid_cursors]):
            body = execute(DEVICES, o=order, after=cursor)
            assert ("errors" in body) == (n != m), (order, cursor)
            if n != m:
                assert body["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "after"}
                assert body["errors"][0]["message"] == f"after: {short_repr(cursor)} is not a cursor of this list"


def test_device_without_sessions_name_and_owner_is_deleted(execute: Execute) -> None:
    """A device with a name remains until the name is removed."""
    create_session(execute)
    execute(
        'mutation { updateDevice(mac: "%s", name: "x") { mac } deleteSessions(mac: "%s") { deleted } }' % (MAC, MAC)
    )
    assert execute("{ devices { totalCount } }")["data"]["devices"]["totalCount"] == 1
    execute('mutation { updateDevice(mac: "%s", name: null) { mac } }' % MAC)
    assert execute("{ devices { totalCount } }")["data"]["devices"]["totalCount"] == 0
