"""A primary with two streaming replicas: routing of reads, and failover."""

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from storage.migrations import migrate
from storage.opening import open_store
from storage.queries import sessions as session_queries
from storage.replicas import client_address
from storage.store import Store
from tests.conftest import AUDIT_STAMP, sql
from tests.support import postgres
from tests.support.rows import past_session
from tests.support.server import running, wait_until


@dataclass
class Group:
    """A primary with synchronous replication to one of its two replicas."""

    primary: postgres.Cluster
    replicas: list[postgres.Cluster]

    def url(self, *servers: postgres.Cluster) -> str:
        """Return a URL with several hosts."""
        return f"postgresql://postgres@{','.join(f'127.0.0.1:{server.port}' for server in servers)}/postgres"


@pytest.fixture
def group() -> Iterator[Group]:
    """A migrated primary with two streaming replicas."""
    durable = "-c shared_buffers=64MB -c wal_level=replica"
    primary = postgres.Cluster(f"{durable} -c synchronous_standby_names='ANY 1 (*)'")
    primary.initialize()
    primary.start()
    replicas = [postgres.Cluster(durable) for _ in range(2)]
    try:
        for replica in replicas:
            replica.clone_from(primary)
            replica.start()
        wait_until(lambda: sql(primary.url(), "SELECT count(*) FROM pg_stat_replication") == [(2,)])
        migrate(primary.url())
        yield Group(primary, replicas)
    finally:
        for server in (primary, *replicas):
            server.stop("immediate")


async def _read_ids(store: Store, client: str) -> set[int]:
    client_address.set(client)
    listing = session_queries.list_sessions(session_queries.ListQuery())
    fetched = {row[1] for row in await store.fetch(listing, {})}
    streamed = {row[1] async for rows in store.stream(listing, {}) for row in rows}
    assert fetched == streamed
    return fetched


def test_a_client_reads_its_own_writes_and_others_read_from_replicas(group: Group) -> None:
    """While a replica lags, the primary answers the client that wrote. Later the replica does."""
    replica = group.replicas[0]

    async def main() -> None:
        store = await open_store(group.primary.url(), replica.url())
        await _write(store, 1)
        await asyncio.to_thread(wait_until, lambda: sql(replica.url(), "SELECT id FROM session") == [(1,)])
        await asyncio.to_thread(sql, replica.url(), "SELECT pg_wal_replay_pause()")
        await _write(store, 2)
        assert await _read_ids(store, "writer") == {1, 2}
        assert await _read_ids(store, "other") == {1}
        await asyncio.to_thread(sql, replica.url(), "SELECT pg_wal_replay_resume()")
        await asyncio.to_thread(wait_until, lambda: len(sql(replica.url(), "SELECT id FROM session")) == 2)
        # No read uses the primary now.
        scans = "SELECT sum(seq_scan + idx_scan) FROM pg_stat_user_tables WHERE relname = 'session'"
        await asyncio.to_thread(sql, group.primary.url(), "SELECT pg_stat_force_next_flush()")
        before = await asyncio.to_thread(sql, group.primary.url(), scans)
        for client in ("writer", "other"):
            assert await _read_ids(store, client) == {1, 2}
        assert await asyncio.to_thread(sql, group.primary.url(), scans) == before
        await asyncio.to_thread(replica.stop)
        assert await _read_ids(store, "other") == {1, 2}
        await store.close()

    async def _write(store: Store, n: int) -> None:
        client_address.set("writer")
        await store.insert_session(past_session(n), AUDIT_STAMP)

    asyncio.run(main())


def test_a_failover_loses_no_acknowledged_session(group: Group, tmp_path: Path) -> None:
    """The primary is killed under load and a replica promoted. Requests get 200 or 503, and writes succeed within 10 s."""
    acknowledged: set[str] = set()
    rejected: list[httpx.Response] = []
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
                    response = client.post("/sessions/create", json=body | {"start_time": "2025-08-01T10:00:00"})
                    if response.status_code == 200:
                        acknowledged.add(info)
                        written_at.append(time.monotonic())
                    else:
                        rejected.append(response)

        threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > 100)
        group.primary.stop("immediate")
        killed_at = time.monotonic()
        positions = [sql(replica.url(), "SELECT pg_last_wal_receive_lsn() - '0/0'")[0][0] for replica in group.replicas]
        new_primary = group.replicas[positions.index(max(positions))]
        new_primary.promote()
        wait_until(lambda: written_at and written_at[-1] > killed_at + 0.5)
        recovered_at = min(moment for moment in written_at if moment > killed_at + 0.05)
        time.sleep(1)
        stopped.set()
        for thread in threads:
            thread.join()
        assert recovered_at - killed_at < 10
        assert {response.status_code for response in rejected} <= {503}
        assert all(response.headers["Retry-After"] for response in rejected)
        assert "Traceback" not in server.output.read_text()
    infos = [row[0] for row in sql(new_primary.url(), "SELECT info FROM session")]
    assert len(infos) == len(set(infos))
    assert acknowledged <= set(infos)
