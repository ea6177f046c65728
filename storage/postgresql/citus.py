"""Sharding with Citus: sessions and devices are distributed by MAC over the servers of a cluster."""

import asyncio
from typing import NamedTuple

import asyncpg

from storage.errors import StoreUnusableError

SHARD_COUNT = 8  # few, because every shard returns a full page for a list over all devices
TABLES = {"session": "create_distributed_table('session', 'mac')",
          "device": "create_distributed_table('device', 'mac', colocate_with => 'session')"}  # fmt: skip


class ShardingResult(NamedTuple):
    """The tables distributed now, whether they had rows, and the tables distributed earlier."""

    distributed: list[str]
    had_rows: bool
    already_distributed: list[str]


def distribute_tables(url: str) -> ShardingResult:
    """Distribute the tables. Raise StoreUnusableError."""
    try:
        return asyncio.run(_distribute_tables(url))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as cause:
        raise StoreUnusableError(f"The tables could not be distributed ({cause}).") from cause


async def _distribute_tables(url: str) -> ShardingResult:
    connection = await asyncpg.connect(url, target_session_attrs="read-write", timeout=10)
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'citus'"):
            raise StoreUnusableError(
                "This database has no Citus: install it on the servers, run CREATE EXTENSION citus, and try again."
            )
        distributed_tables = "SELECT relname::text FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid"
        existing = {row[0] for row in await connection.fetch(distributed_tables)}
        had_rows = await connection.fetchval("SELECT EXISTS (SELECT FROM session) OR EXISTS (SELECT FROM device)")
        await connection.execute(f"SET citus.shard_count = {SHARD_COUNT}")
        new_tables = [table for table in TABLES if table not in existing]
        # Citus accepts one such statement per call.
        for table in new_tables:
            await connection.execute(f"SELECT {TABLES[table]}")
            if had_rows:
                # The rows were copied to the shards. Free the space of the originals.
                await connection.execute(f"SELECT truncate_local_data_after_distributing_table('{table}')")
        return ShardingResult(new_tables, bool(had_rows), [table for table in TABLES if table in existing])
    finally:
        await connection.close()
