"""Killed processes and write locks: acknowledged sessions are kept, and the server recovers by itself."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from resolvers.context import Context
from resolvers.validation.clock import Clock
from rest_compat.app import rest_app
from schema.http.app import GraphQLApp
from storage.migrations import migrate
from storage.opening import open_store
from storage.sqlite.connection import connect
from storage.store import sqlite_path
from tests.conftest import MAC, NOW, make_client, new_database, run, sql
from tests.support import postgres
from tests.support.faults import check_responses, stored_infos
from tests.support.load import CREATE, Load
from tests.support.server import running

SOAK_TEST = pytest.mark.soak


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=SOAK_TEST)])
def test_acknowledged_sessions_survive_kill_9(tmp_path: Path, url: str, kills: int) -> None:
    """Each is stored once. Unanswered ones are stored at most once, also after a retry."""
    load = Load()
    for _ in range(kills):
        with running(tmp_path, DATABASE_URL=url) as server:
            with server.client() as client:
                load.retry_unanswered(client)
            with load.running(server):
                load.wait_for_acknowledged(30)
                assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        assert "Traceback" not in server.output.read_text()
    with running(tmp_path, DATABASE_URL=url) as server, server.client() as client:
        load.retry_unanswered(client)
    assert not any(info.startswith("keyed") for info in load.unanswered)
    assert not load.rejected
    assert set(load.reads) == {200}
    assert load.acknowledged <= stored_infos(url) <= load.acknowledged | load.unanswered


@pytest.fixture
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL server of its own, which the test may kill."""
    cluster = postgres.Cluster()
    cluster.initialize()
    cluster.start()
    yield cluster
    cluster.stop("immediate")


def test_the_server_waits_for_postgresql_to_restart(tmp_path: Path, cluster: postgres.Cluster) -> None:
    """First a backend is killed, then the postmaster. Requests get 200 or 503, and no session is lost or stored twice."""
    migrate(cluster.url())
    load = Load()
    with running(tmp_path, DATABASE_URL=cluster.url()) as server, load.running(server, reconnect=True):
        load.wait_for_acknowledged(100)
        backends = "SELECT pid FROM pg_stat_activity WHERE application_name = 'netsessions' LIMIT 1"
        os.kill(sql(cluster.url(), backends)[0][0], signal.SIGKILL)
        load.wait_for_acknowledged(100)
        os.kill(int((cluster.folder / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        _restart(cluster)
        load.wait_for_acknowledged(100)
    check_responses(load, {200, 503}, "503")
    assert not load.unanswered
    assert load.acknowledged <= stored_infos(cluster.url())
    assert "Traceback" not in server.output.read_text()


def _restart(cluster: postgres.Cluster) -> None:
    """Start the server after a kill of its postmaster. Retry until its other processes have ended."""
    deadline = time.monotonic() + 30
    while True:
        try:
            cluster.start()
            return
        except AssertionError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@contextmanager
def _hold_write_lock(url: str) -> Iterator[None]:
    """Hold the write lock of the database as another process does."""
    if path := sqlite_path(url):
        with closing(connect(path, read_only=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with asyncio.Runner() as runner:

        async def lock() -> asyncpg.Connection:
            other = await asyncpg.connect(url)
            # Every write inserts into the journal. Locking more tables could deadlock with the server.
            await other.execute("BEGIN; LOCK TABLE change IN EXCLUSIVE MODE")
            return other

        other = runner.run(lock())
        yield
        runner.run(other.close())


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=SOAK_TEST)])
def test_writes_wait_for_the_write_lock_of_another_process(tmp_path: Path, url: str, seconds: int) -> None:
    """Reads continue. A write succeeds when the lock is released, or gets 503 after 30 seconds."""
    load = Load()
    with running(tmp_path, DATABASE_URL=url) as server:
        with load.running(server):
            load.wait_for_acknowledged(10)
            with _hold_write_lock(url):
                before, read = set(load.acknowledged), load.reads[200]
                time.sleep(seconds)  # not a wait, but the fault
                acknowledged = load.acknowledged - before
            assert len(acknowledged) <= 6  # committed before the lock was taken
            assert load.reads[200] > read + 10
            load.wait_for_acknowledged(30)
        check_responses(load, {200}, "503")
        assert bool(load.rejected) == (seconds > 30)
        assert not load.unanswered
        assert stored_infos(server.database) == load.acknowledged


def test_a_write_that_waits_too_long_for_the_lock_gets_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both APIs, with Retry-After. The next write succeeds."""
    monkeypatch.setattr("storage.sqlite.connection.BUSY_TIMEOUT_MS", 50)
    url = new_database("sqlite", tmp_path)
    store = run(open_store(url))
    context = Context(store, Clock(ZoneInfo("UTC")))
    rest, graphql = make_client(rest_app(context)), make_client(GraphQLApp(context))
    session = {"mac": MAC, "ip": "10.0.0.1"}

    def create_in_both_apis() -> list[Any]:
        return [
            rest.post("/create", json=session | {"start_time": NOW}),
            graphql.post("/", json={"query": CREATE, "variables": {"input": session | {"startTime": NOW}}}),
        ]

    with closing(connect(tmp_path / "netsessions.db", read_only=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        for response in create_in_both_apis():
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "5"
        other.execute("ROLLBACK")
    assert [response.status_code for response in create_in_both_apis()] == [200, 200]
    run(store.close())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_completes_accepted_requests(tmp_path: Path, url: str, workers: str) -> None:
    """Unanswered requests were not started, and the exit code is 0."""
    load = Load()
    with running(tmp_path, "--workers", workers, DATABASE_URL=url) as server, load.running(server):
        load.wait_for_acknowledged(200, 60)
        assert server.stop() == 0
    assert not load.rejected
    assert set(load.reads) == {200}
    assert stored_infos(url) == load.acknowledged
    with suppress(FileNotFoundError):
        assert not (tmp_path / "netsessions.db-wal").stat().st_size
    assert "Traceback" not in server.output.read_text()
