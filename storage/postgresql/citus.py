"""Sharding by Citus: the session table by MAC over the servers of a cluster, the device table beside it."""

import asyncio
from typing import NamedTuple

import asyncpg

from storage.errors import StoreUnusableError

SHARDS = 8  # to begin with: every shard sends a whole page of a list over all devices
TABLES = {"session": "create_distributed_table('session', 'mac')",
          "device": "create_distributed_table('device', 'mac', colocate_with => 'session')"}  # fmt: skip


class Sharded(NamedTuple):
    """What was done: the tables that were distributed, whether they held rows, and those that had been before."""

    distributed: list[str]
    filled: bool
    already: list[str]


def shard(url: str) -> Sharded:
    """Distributes the tables; raises StoreUnusableError with one sentence for a person."""
    try:
        return asyncio.run(_shard(url))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as cause:
        raise StoreUnusableError(f"The tables could not be distributed ({cause}).") from cause


async def _shard(url: str) -> Sharded:
    connection = await asyncpg.connect(url, target_session_attrs="read-write", timeout=10)
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'citus'"):
            raise StoreUnusableError(
                "This database has no Citus: install it on the servers, run CREATE EXTENSION citus there, and try again."
            )
        known = "SELECT relname::text FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid"
        before = {row[0] for row in await connection.fetch(known)}
        filled = await connection.fetchval("SELECT EXISTS (SELECT FROM session) OR EXISTS (SELECT FROM device)")
        await connection.execute(f"SET citus.shard_count = {SHARDS}")
        todo = [table for table in TABLES if table not in before]
        # One statement a call: Citus takes no two of them in one.
        for table in todo:
            await connection.execute(f"SELECT {TABLES[table]}")
            if filled:
                # Distributing copies the rows; those that they were copied from would only take space.
                await connection.execute(f"SELECT truncate_local_data_after_distributing_table('{table}')")
        return Sharded(todo, bool(filled), [table for table in TABLES if table in before])
    finally:
        await connection.close()
