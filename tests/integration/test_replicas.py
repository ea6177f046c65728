"""A primary with two streaming replicas: who reads where, and what a failover costs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from storage.migrations import migrate
from storage.opening import open_store
from storage.queries import sessions
from storage.replicas import asking
from storage.store import Store
from tests.conftest import TOLD, sql
from tests.integration.test_maintenance import stay
from tests.support import postgres
from tests.support.server import running


@dataclass
class Group:
    """A primary that commits when one of its two replicas has it."""

    primary: postgres.Cluster
    replicas: list[postgres.Cluster]

    def url(self, *servers: postgres.Cluster) -> str:
        """One address of several servers."""
        return f"postgresql://postgres@{','.join(f'127.0.0.1:{server.port}' for server in servers)}/postgres"


@pytest.fixture
def group() -> Iterator[Group]:
    """Migrated, with both replicas streaming."""
    durable = "-c shared_buffers=64MB -c wal_level=replica"
    primary = postgres.Cluster(f"{durable} -c synchronous_standby_names='ANY 1 (*)'")
    primary.make()
    primary.start()
    replicas = [postgres.Cluster(durable) for _ in range(2)]
    try:
        for replica in replicas:
            replica.copy(primary)
            replica.start()
        wait_until(lambda: sql(primary.url(), "SELECT count(*) FROM pg_stat_replication") == [(2,)])
        migrate(primary.url())
        yield Group(primary, replicas)
    finally:
        for server in (primary, *replicas):
            server.stop("immediate")


def wait_until(condition: Any, seconds: float = 20) -> None:
    """Until it holds; fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def _ids(store: Store, who: str) -> set[int]:
    asking.set(who)
    listing = sessions.sessions(sessions.Listing())
    fetched = {row[1] for row in await store.fetch(listing, {})}
    streamed = {row[1] async for rows in store.stream(listing, {}) for row in rows}
    assert fetched == streamed
    return fetched


def test_a_client_reads_its_own_writes_and_others_read_from_replicas(group: Group) -> None:
    """While a replica lags, whoever wrote is answered by the primary; when it has caught up, by the replica."""
    replica = group.replicas[0]

    async def main() -> None:
        store = await open_store(group.primary.url(), replica.url())
        await _written(store, 1)
        await asyncio.to_thread(wait_until, lambda: sql(replica.url(), "SELECT id FROM session") == [(1,)])
        await asyncio.to_thread(sql, replica.url(), "SELECT pg_wal_replay_pause()")
        await _written(store, 2)
        assert await _ids(store, "writer") == {1, 2}
        assert await _ids(store, "other") == {1}
        await asyncio.to_thread(sql, replica.url(), "SELECT pg_wal_replay_resume()")
        await asyncio.to_thread(wait_until, lambda: len(sql(replica.url(), "SELECT id FROM session")) == 2)
        # Nobody needs the primary for a read now.
        asked = "SELECT sum(seq_scan + idx_scan) FROM pg_stat_user_tables WHERE relname = 'session'"
        await asyncio.to_thread(sql, group.primary.url(), "SELECT pg_stat_force_next_flush()")
        before = await asyncio.to_thread(sql, group.primary.url(), asked)
        for who in ("writer", "other"):
            assert await _ids(store, who) == {1, 2}
        assert await asyncio.to_thread(sql, group.primary.url(), asked) == before
        await asyncio.to_thread(replica.stop)
        assert await _ids(store, "other") == {1, 2}
        await store.close()

    async def _written(store: Store, n: int) -> None:
        asking.set("writer")
        await store.record_one(stay(n), TOLD)

    asyncio.run(main())


def test_a_failover_loses_nothing_that_was_acknowledged(group: Group, tmp_path: Path) -> None:
    """Under a load of creates the primary is killed and a replica promoted: 200 or 503 for every request, and writing again
    within 10 seconds, without a restart."""
    acknowledged: set[str] = set()
    refused: list[httpx.Response] = []
    written_at: list[float] = []
    stopped = threading.Event()

    with running(tmp_path, DATABASE_URL=group.url(group.primary, *group.replicas)) as server:

        def create(n: int) -> None:
            with server.client() as client:
                m = 0
                while not stopped.is_set():
                    m += 1
                    info = f"{n}.{m}"
                    body = {
                        "mac": f"AA:BB:CC:DD:EE:{n:02X}",
                        "ip": "10.0.0.1",
                        "start_time": "2025-08-01",
                        "info": info,
                    }
                    answer = client.post("/sessions/create", json=body | {"start_time": "2025-08-01T10:00:00"})
                    if answer.status_code == 200:
                        acknowledged.add(info)
                        written_at.append(time.monotonic())
                    else:
                        refused.append(answer)

        threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > 100)
        group.primary.stop("immediate")
        ended = time.monotonic()
        came = [sql(r.url(), "SELECT pg_last_wal_receive_lsn() - '0/0'")[0][0] for r in group.replicas]
        new = group.replicas[came.index(max(came))]
        new.promote()
        wait_until(lambda: written_at and written_at[-1] > ended + 0.5)
        again = min(at for at in written_at if at > ended + 0.05)
        time.sleep(1)
        stopped.set()
        for thread in threads:
            thread.join()
        assert again - ended < 10
        assert {answer.status_code for answer in refused} <= {503}
        assert all(answer.headers["Retry-After"] for answer in refused)
        assert "Traceback" not in server.output.read_text()
    held = [row[0] for row in sql(new.url(), "SELECT info FROM session")]
    assert len(held) == len(set(held))
    assert acknowledged <= set(held)
