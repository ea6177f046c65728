"""Live reports in random order, from several processes and at the same time."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers import heartbeats, live, sessions
from resolvers.context import Context
from resolvers.validation.clock import Clock
from resolvers.validation.models import HeartbeatDevice, StartReport, StopReport, validate
from resolvers.validation.periods import parse_period
from storage.queries.copy import stored_sessions_of_device
from storage.store import Transaction
from storage.tables import SECOND
from tests.conftest import MAC, NOW, at, run, sql
from tests.support.reports import DAY, macs, send_report, send_reports, spans
from tests.support.server import Server, running


@pytest.mark.parametrize("kind", ["start", "seen"])
def test_report_without_at_takes_the_time_of_its_transaction(context: Context, url: str, kind: str) -> None:
    """The report that arrived first may run second. It then finds the device connected."""
    ticks = count(at(NOW))
    ticking = Context(context.store, Clock(ZoneInfo("UTC"), time=lambda: next(ticks)))
    report = validate(StartReport, {"mac": MAC, "ip": "10.0.0.1"}, ticking.clock)
    first: Any = live.start_transaction(ticking, report)
    if kind == "seen":
        first = heartbeats.heartbeat_transaction(ticking, [HeartbeatDevice(mac=MAC, ip="10.0.0.1")], None)
    second = live.start_transaction(ticking, report)
    run(context.store.write(second))
    run(context.store.write(first))
    assert sql(url, "SELECT state FROM session") == [("CONNECTED",)]


def test_clocks_of_two_servers_may_differ(context: Context, url: str) -> None:
    """A session that the server ahead started is open for the other one, too."""
    ahead = Context(context.store, Clock(ZoneInfo("UTC"), time=lambda: at(NOW) + SECOND))
    fields = {"mac": MAC, "ip": "10.0.0.1"}
    run(live.start(ahead, validate(StartReport, fields, ahead.clock)))
    run(live.start(context, validate(StartReport, fields, context.clock)))
    run(heartbeats.heartbeat(context, [validate(HeartbeatDevice, fields, context.clock)], None))
    assert sql(url, "SELECT state FROM session") == [("CONNECTED",)]
    run(live.stop(context, validate(StopReport, fields, context.clock)))
    assert sql(url, "SELECT connected_at, disconnected_at FROM session") == [(at(NOW) + SECOND,) * 2]


class RandomReport(NamedTuple):
    """A report of the property test: its kind, and the seconds after 10:00."""

    kind: str
    second: int

    @property
    def at(self) -> int:
        return at(f"{DAY}10:00:00") + self.second * SECOND


RANDOM_REPORTS = st.builds(RandomReport, st.sampled_from(["start", "stop", "seen"]), st.integers(0, 6))
device_numbers = count()


@settings(max_examples=80)
@given(st.lists(RANDOM_REPORTS, max_size=9))
def test_random_reports_lose_and_duplicate_nothing(context: Context, reports: list[RandomReport]) -> None:
    """No end precedes its start, at most one session is open, every start and stop is stored, and repetitions change nothing.

    One fact may be lost: if a device was reported several times while connected, and a stop about an earlier instant arrives
    after that, the device counts as back from the last of these reports.
    """
    mac = f"AA:BB:CC:{(n := next(device_numbers)) >> 16:02X}:{n >> 8 & 255:02X}:{n & 255:02X}"

    async def check(transaction: Transaction) -> None:
        applied: list[RandomReport] = []
        for report in reports:
            if report.kind == "stop" and any(is_open_at(row, report.at) for row in await stored(transaction)):
                last = max((other.second for other in applied if other.kind != "stop"), default=0)
                applied = [
                    other
                    for other in applied
                    if other.kind == "stop" or other.second < report.second or other.second == last > report.second
                ]
            applied.append(report)
            await transaction_of(report)(transaction)
            before = await stored(transaction)
            assert_consistent(before)
            assert report.kind == "seen" or any(contains(row, report.at) for row in before), report
            await transaction_of(report)(transaction)
            assert await stored(transaction) == before, report
        for report in applied:
            assert report.kind == "seen" or any(contains(row, report.at) for row in before), report
            await transaction_of(report)(transaction)
            # A repeated report may now update when the session was last seen.
            assert [row[:-2] for row in await stored(transaction)] == [row[:-2] for row in before], report

    def transaction_of(report: RandomReport) -> Callable[[Transaction], Any]:
        if report.kind == "seen":
            return heartbeats.heartbeat_transaction(context, [HeartbeatDevice(mac=mac, ip="10.0.0.1")], report.at)
        common: dict[str, Any] = {"mac": mac, "ip": "10.0.0.1", "at": report.at}
        if report.kind == "start":
            return live.start_transaction(
                context, StartReport.model_construct(**common, event_type="Connected", info="")
            )
        return live.stop_transaction(context, StopReport.model_construct(**common, event_type="Disconnected"))

    async def stored(transaction: Transaction) -> list[tuple[Any, ...]]:
        return sorted(
            map(tuple, await transaction.fetch(stored_sessions_of_device(), {"mac": mac})), key=lambda row: row[1]
        )

    run(context.store.write(check))


def is_open_at(row: tuple[Any, ...], instant: int) -> bool:
    """Return whether a session started by then and has no end time."""
    return row[3] is not None and row[3] <= instant and row[4] is None


def contains(row: tuple[Any, ...], instant: int) -> bool:
    """Return whether an instant is an end of a session or lies within it."""
    _, _, _, start, end, _, event, *_ = row
    if instant in (start, end):
        return True
    return start is not None and start < instant and (event is None or (end is not None and instant < end))


def assert_consistent(rows: Iterable[tuple[Any, ...]]) -> None:
    """Assert that no end precedes its start, and that at most one session is open."""
    assert all(start <= end for _, _, _, start, end, *_ in rows if start is not None and end is not None)
    assert sum(event is None for _, _, _, _, _, _, event, *_ in rows) <= 1


@pytest.fixture
def servers(tmp_path: Path, url: str) -> Any:
    """Run two server processes on one database. On PostgreSQL, one of them has two workers."""
    workers = ["--workers", "2"] if url.startswith("postgresql") else []
    with ExitStack() as stack:
        yield [stack.enter_context(running(tmp_path, *options, DATABASE_URL=url)) for options in (workers, [])]


def send_concurrently(servers: list[Server], requests: list[tuple[str, str, dict[str, Any]]]) -> list[Any]:
    """Send requests (method, path, body) at the same time, to the servers in turn. Return the responses."""

    def send(n: int, method: str, path: str, body: dict[str, Any]) -> Any:
        with servers[n % len(servers)].client() as client:
            return client.request(method, path, json=body)

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda item: send(item[0], *item[1]), enumerate(requests)))


def test_simultaneous_starts_and_stops_of_one_device(servers: list[Server], url: str) -> None:
    """Several processes report without `at`: one session opens, and one ends."""
    body = {"mac": MAC, "ip": "10.0.0.1"}
    responses = send_concurrently(servers, [("POST", "/sessions/start", body)] * 32)
    assert [response.status_code for response in responses] == [200] * 32
    messages = [response.json()["message"] for response in responses]
    assert messages.count(f"Session started for MAC {MAC}") == 1
    assert sql(url, "SELECT state, live FROM session") == [("CONNECTED", 1)]
    assert sql(url, "SELECT kind FROM change") == [("CREATED",)]
    # Without `at`, each stop would have its own time, and all but one would miss the connection.
    later = {"at": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    responses = send_concurrently(servers, [("POST", "/sessions/stop", body | later)] * 16)
    assert sorted({response.json()["message"] for response in responses}) == [
        f"Session ended for MAC {MAC}",
        f"Session of MAC {MAC} has ended already",
    ]
    assert sql(url, "SELECT state FROM session") == [("COMPLETE",)]
    # Starts and deletes interleave: the session exists completely or not at all.
    mixed = [("POST", "/sessions/start", body), ("DELETE", "/sessions/delete", {"mac": MAC})]
    responses = send_concurrently(servers, mixed * 16)
    assert {response.status_code for response in responses} == {200}
    assert sql(url, "SELECT count(*) FROM session WHERE state = 'CONNECTED'")[0][0] <= 1
    assert sql(url, "SELECT count(*) FROM session WHERE mac NOT IN (SELECT mac FROM device)") == [(0,)]
    assert send_concurrently(servers, [("DELETE", "/sessions/delete", {"mac": MAC})])[0].status_code == 200
    assert sql(url, "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM device)") == [(0, 0)]


def test_overlapping_heartbeats_do_not_deadlock(context: Context, url: str) -> None:
    """Sweeps, starts, stops and deletes of the same devices run meanwhile. Each device has at most one open session."""
    devices = macs(60)

    def heartbeat_devices(n: int) -> list[HeartbeatDevice]:
        chosen = devices[n * 5 % 40 :][:20]
        return [HeartbeatDevice(mac=mac, ip="10.0.0.1") for mac in (chosen if n % 2 else reversed(chosen))]

    async def run_all() -> list[Any]:
        tasks: list[Any] = []
        for n in range(24):
            body = {"mac": devices[n * 7 % 60], "ip": "10.0.0.1"}
            tasks += [
                heartbeats.heartbeat(context, heartbeat_devices(n), at(f"{DAY}10:{n:02}:00")),
                live.start(context, validate(StartReport, body, context.clock)),
                live.stop(context, validate(StopReport, body | {"at": f"{DAY}10:{n:02}:30"}, context.clock)),
                heartbeats.sweep(context, parse_period("1 hour")),
                sessions.delete(context, devices[n * 11 % 60]),
            ]
        return await asyncio.gather(*tasks)

    assert len(run(run_all())) == 120
    assert sql(url, "SELECT mac FROM session WHERE state = 'CONNECTED' GROUP BY mac HAVING count(*) > 1") == []
    assert sql(url, "SELECT count(*) FROM session WHERE mac NOT IN (SELECT mac FROM device)") == [(0,)]


def test_heartbeat_during_a_sweep_keeps_the_session_open(context: Context, url: str) -> None:
    """A sweep reads again after it locked the devices."""
    run(send_reports(context, "seen 10:00"))

    async def run_both() -> int:
        _, ended = await asyncio.gather(
            send_report(context, "seen 11:59"), heartbeats.sweep(context, parse_period("1 hour"))
        )
        return ended

    ended = run(run_both())
    # In either order the device is connected, in the same session or in a new one after the sweep.
    assert spans(url) == (["10:00-10:00", "11:59-"] if ended else ["10:00-"])
