"""Queries for overlaps and events return what a naive scan of all sessions returns."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.opening import open_store
from storage.queries import events as event_queries
from storage.queries import presence as presence_queries
from storage.queries import sessions as session_queries
from storage.queries.event_types import EventKind
from storage.sqlite.connection import bind, connect
from storage.store import Transaction
from storage.tables import DAY, HOUR, MISSING_EVENT
from tests.conftest import DATABASES, new_database, sql
from tests.support.rows import ROW

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module", params=DATABASES)
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database that each example empties."""
    return new_database(request.param, tmp_path_factory.mktemp("shared"))


def replace_rows(url: str, rows: Rows) -> None:
    """Delete all sessions and devices, then insert sessions."""
    sql(url, "DELETE FROM session")
    sql(url, "DELETE FROM device")

    async def insert(transaction: Transaction) -> None:
        if rows:
            await transaction.insert_sessions(rows)

    async def main() -> None:
        store = await open_store(url)
        await store.write(insert)
        await store.close()

    asyncio.run(main())


def test_sessions_of_several_devices_are_found_by_index(tmp_path: Path) -> None:
    """SQLite does not scan the sessions of all devices to find those of a few."""
    new_database("sqlite", tmp_path)
    with closing(connect(tmp_path / "netsessions.db", read_only=True)) as connection:
        for query in (presence_queries.seek_window("macs"), session_queries.count_sessions(frozenset({"macs"}))):
            window = presence_queries.window_params(0, 1)
            statement, parameters = bind(query, {"macs": "[]", "now": 0, **window})
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())
            assert "session_by_device (mac=?" in plan or "autoindex_session_1 (mac=?" in plan
            assert "session_by_span" not in plan


@settings(max_examples=40)
@given(
    periods=st.lists(
        st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)), st.booleans()), min_size=1, max_size=25
    ),
    windows=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 20)), min_size=1, max_size=8),
    unit=st.sampled_from([HOUR // 3, HOUR, 6 * HOUR, 2 * DAY]),
)
def test_span_classes_find_exactly_the_overlapping_sessions(
    shared_url: str, periods: list[tuple[int, int | None, bool]], windows: list[tuple[int, int]], unit: int
) -> None:
    """For sessions of any length, open ones, and those with a missing end."""
    now = 65 * unit
    rows, spans = [], []
    for n, (start, length, is_missing) in enumerate(periods):
        started = start * unit
        if length is None:  # open, or with a missing end
            end_event = MISSING_EVENT if is_missing else None
            rows.append(ROW | {"id": n, "connected_at": started, "disconnection_event": end_event})
            spans.append((started, started if is_missing else max(now, started)))
        else:
            ended = (start + length) * unit
            end = {"disconnected_at": ended, "disconnection_event": "Disconnected"}
            rows.append(ROW | {"id": n, "connected_at": started} | end)
            spans.append((started, ended))
    replace_rows(shared_url, rows)

    async def main() -> None:
        store = await open_store(shared_url)
        for since, length in windows:
            window = {"since": since * unit, "until": (since + length) * unit, "now": now}
            expected = {
                n
                for n, (started, ended) in enumerate(spans)
                if started < window["until"] and (ended > window["since"] or started >= window["since"])
            }
            variants: tuple[set[session_queries.SessionCondition], ...] = ({"overlapping"}, {"overlapping", "mac"})
            for conditions in variants:
                query = session_queries.list_sessions(session_queries.ListQuery(frozenset(conditions)))
                results = await store.fetch(query, window | {"mac": ROW["mac"]})
                assert {row[1] for row in results} == expected
                assert len(results) == len(expected)
        await store.close()

    asyncio.run(main())


INSTANTS = st.integers(0, 40)


@settings(max_examples=60)
@given(
    periods=st.lists(
        st.tuples(
            INSTANTS,
            st.one_of(st.none(), st.integers(0, 30)),
            st.sampled_from(["", "start", "end"]),
            st.sampled_from(["Connected", "New Device", "VOIDED - x", "Device Down"]),
        ),
        max_size=30,
    ),
    since=INSTANTS,
    length=st.integers(0, 40),
    limit=st.integers(1, 7),
    kind=st.sampled_from(get_args(EventKind)),
    unit=st.sampled_from([HOUR // 3, HOUR, 6 * HOUR, 3 * DAY]),
)
def test_pages_of_events_contain_exactly_the_events_of_the_window(
    shared_url: str,
    periods: list[tuple[int, int | None, str, str]],
    since: int,
    length: int,
    limit: int,
    kind: EventKind,
    unit: int,
) -> None:
    """In both directions, as many as are counted, and the table's page has the same order."""
    now, rows = 50 * unit, []
    for n, (start, duration, missing, event) in enumerate(periods):
        started, ended = start * unit, None if duration is None else (start + duration) * unit
        row = ROW | {"id": n, "connected_at": started, "connection_event": event}
        if ended is not None:
            row |= {"disconnected_at": ended, "disconnection_event": event}
        if missing == "start" and ended is not None:
            row |= {"connected_at": None, "connection_event": MISSING_EVENT}
        elif missing == "end":
            row |= {"disconnected_at": None, "disconnection_event": MISSING_EVENT}
        rows.append(row)
    replace_rows(shared_url, rows)
    window = {"since": since * unit, "until": (since + length) * unit, "now": now}
    expected = sorted(expected_events(rows, window, kind), reverse=True)

    async def main() -> None:
        store = await open_store(shared_url)
        for backward, name in ((False, "after"), (True, "before")):
            results: list[tuple[int, int, int]] = []
            cursor: dict[str, int] = {}
            while True:
                query = event_queries.event_page(
                    kind, after=bool(cursor) and not backward, before=bool(cursor) and backward, backward=backward
                )
                page = await store.fetch(query, window | cursor | {"limit": limit})
                results += [(row[-2], row[1], row[-1]) for row in page]
                if len(page) < limit:
                    break
                cursor = dict(zip((f"{name}_key", f"{name}_id", f"{name}_side"), results[-1], strict=True))
            assert results == (expected[::-1] if backward else expected)
        ((count,),) = await store.fetch(event_queries.count_events(kind, search=None), window)
        assert count == len(expected)
        query = event_queries.event_table(kind, "order", descending=True, search=None, limited=True)
        newest = await store.fetch(query, window | {"limit": limit, "offset": 2, "reach": limit + 2})
        assert [(row[-4], row[1], row[-3]) for row in newest] == expected[2 : 2 + limit]
        await store.close()

    asyncio.run(main())


def expected_events(rows: Rows, window: dict[str, int], kind: str) -> list[tuple[int, int, int]]:
    """Return sort key, id and side of each row of a list, from one session after the other."""
    since, until, now = window["since"], window["until"], window["now"]
    expected = []
    for row in rows:
        start, end = row["connected_at"], row["disconnected_at"]
        if kind in ("SESSIONS", "MISSING"):
            started = end if start is None else start
            is_open = end is None and row["disconnection_event"] is None
            ended = now if is_open else started if end is None else end
            has_both_ends = start is not None and (end is not None or is_open)
            if started < until and (ended > since or started >= since) and not (kind == "MISSING" and has_both_ends):
                expected.append((started, row["id"], 0))
            continue
        prefix = {"ALL": "", "NEW": "New Device", "DOWN": "Device Down", "VOIDED": "VOIDED"}[kind]
        for side, at, event in ((0, start, row["connection_event"]), (1, end, row["disconnection_event"])):
            if at is not None and since <= at < until and event.startswith(prefix):
                expected.append((at, row["id"], side))
    return expected
