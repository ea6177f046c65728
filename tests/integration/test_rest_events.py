"""GET /sessions/session-events: events and sessions for tables, sorted, paged and searched."""

from ipaddress import ip_address

import pytest
from starlette.testclient import TestClient

from resolvers import devices
from resolvers.context import Context
from resolvers.validation.models import DeviceUpdate
from tests.conftest import MAC, run
from tests.support.rest import MISSING, ROW, create, create_many, get, rest_client


@pytest.fixture
def client(context: Context) -> TestClient:
    return rest_client(context)


def test_empty_list_of_events_has_totals_of_zero(client: TestClient) -> None:
    expected = b'{"success":true,"data":[],"total":0,"recordsFiltered":0}'
    assert client.get("/sessions/session-events").content == expected


@pytest.mark.parametrize("column", ["ses_IP", "9", "10"])
def test_ip_addresses_sort_numerically(client: TestClient, column: str) -> None:
    """As text, 10.0.0.10 would come before 10.0.0.9."""
    create_many(client)
    rows = get(client, "session-events", type="sessions", sortCol=column, sortDir="asc")["data"]
    assert [row["ses_IP"] for row in rows] == ["9.255.255.255", "10.0.0.9", "10.0.0.10", "2001:db8::1"]


@pytest.mark.parametrize("column", [*ROW, "eve_DateTime", "eve_EventType", *map(str, range(15))])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_every_column_sorts_without_losing_rows(client: TestClient, column: str, direction: str) -> None:
    """By key and by position."""
    create_many(client)
    assert len(get(client, "session-events", sortCol=column, sortDir=direction)["data"]) == 8


def test_pages_together_are_the_unpaged_list(client: TestClient) -> None:
    """Each has the same totals."""
    create_many(client)
    whole = get(client, "session-events")
    assert (len(whole["data"]), whole["total"], whole["recordsFiltered"]) == (8, 8, 8)
    pages = [get(client, "session-events", page=str(n), limit="3") for n in (1, 2, 3, 4)]
    assert [row for page in pages for row in page["data"]] == whole["data"]
    assert [len(page["data"]) for page in pages] == [3, 3, 2, 0]
    assert {(page["total"], page["recordsFiltered"]) for page in pages} == {(8, 8)}
    assert get(client, "session-events", page="1")["data"] == whole["data"]
    assert get(client, "session-events", page=str(10**15), limit="1000")["data"] == []


@pytest.mark.parametrize(
    ("search", "count"),
    [("", 4), ("%", 2), ("_", 1), ("100", 4), ("KÜCHE", 1), ("küche", 1), ("10.0.0.9", 1), ("\\", 0)],
)
def test_search_is_literal_and_ignores_case(client: TestClient, context: Context, search: str, count: int) -> None:
    """`%` and `_` have no special meaning, umlauts match in both cases, and `total` does not depend on the search."""
    create_many(client)
    names = DeviceUpdate.model_validate({"mac": "00:00:00:00:00:00", "name": "Küche"}, context=context.clock)
    run(devices.update_device(context, names))
    body = get(client, "session-events", type="sessions", search=search, page="1", limit="1")
    assert (body["total"], body["recordsFiltered"]) == (4, count)
    assert len(body["data"]) == min(count, 1)


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("all", ["Disconnected", "Device Down", "New Device", "VOIDED - Connected"]),
        ("down", ["Device Down"]),
        ("new", ["New Device"]),
        ("voided", ["VOIDED - Connected"]),
        ("sessions", [None, None, None]),
        ("missing", [None]),
    ],
)
def test_each_type_returns_its_rows(client: TestClient, kind: str, types: list[str | None]) -> None:
    """Events by type, newest first; sessions with a null event."""
    create(
        client, start_time="2025-08-19T10:00:00", end_time="2025-08-19T13:00:00", event_type_conn="VOIDED - Connected"
    )
    create(
        client,
        start_time="2025-08-19T11:00:00",
        end_time="2025-08-19T12:00:00",
        event_type_conn="New Device",
        event_type_disc="Device Down",
    )
    create(client, start_time="2025-08-01T11:00:00")
    create(client, start_time=None, end_time="2025-08-19T09:00:00", event_type_conn=MISSING, event_type_disc="Down!")
    body = get(client, "session-events", type=kind)
    event_types = [row["eve_EventType"] for row in body["data"]]
    expected = [*types, "Down!"] if kind == "all" else types
    assert event_types == expected
    assert body["total"] == len(expected)


def test_datatables_rows_have_15_positions(client: TestClient, context: Context) -> None:
    """Numbers where the table sorts by numbers, including whole IPv6 addresses."""
    create(client, start_time="2025-08-19T10:00:00", end_time="2025-08-19T12:00:00")
    create(client, ip="2001:db8::1", start_time="2025-08-19T13:00:00", end_time=..., event_type_conn="New Device")
    names = DeviceUpdate.model_validate({"mac": MAC, "name": "Printer", "owner": "Ada"}, context=context.clock)
    run(devices.update_device(context, names))
    rows = get(client, "session-events", format="datatables")["data"]
    assert rows[0] == [
        "2025-08-19 13:00", "Printer", "Ada", "2025-08-19 13:00", "New Device", "2025-08-19 13:00", "...", "23h 0m",
        82_800, "2001:db8::1", int(ip_address("2001:db8::1")), "New Device", 1, MAC, 0,
    ]  # fmt: skip
    assert rows[1] == [
        "2025-08-19 12:00", "Printer", "Ada", "2025-08-19 12:00", "Disconnected", "2025-08-19 10:00",
        "2025-08-19 12:00", "2h 0m", 7200, "192.168.1.10", 3_232_235_786, "", 0, MAC, 0,
    ]  # fmt: skip
    assert all(len(row) == 15 for row in rows)
