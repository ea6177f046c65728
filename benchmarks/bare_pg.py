"""The bare server on PostgreSQL: one ASGI function on uvicorn, handwritten SQL on asyncpg, and JSON by orjson.

It answers the requests of `postgresql.py`, and no others, with the same bytes as netsessions. It checks no token, validates
nothing and logs nothing. Run as `python -m benchmarks.bare_pg URL PORT`.
"""

import sys
from collections.abc import Awaitable, Callable, Iterable
from time import time_ns
from typing import Any

import asyncpg
import orjson
import uvicorn

from benchmarks.bare import DAY, HEADERS, JSON, instant, microseconds

# The indexes for its statements and for those of PostGraphile, which uses the same database. The third index and the MAC in
# the first are for PostGraphile, which adds the primary key to every order.
INDEXES = (
    "CREATE INDEX by_start ON session (starts_at, id, mac)",
    "CREATE INDEX by_device_end ON session (mac, disconnected_at)",
    "CREATE INDEX by_device ON session (mac, starts_at, id)",
)
ROW = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, state, starts_at"
PAGE = f"SELECT {ROW} FROM session ORDER BY starts_at DESC, id DESC LIMIT $1"
LAST_OF_DEVICE = f"SELECT {ROW} FROM session WHERE mac = $1 ORDER BY starts_at DESC, id DESC LIMIT 20"
# An overlapping session ended after the start of the window, which the index of ends finds, or has no end.
OVERLAPPING_WEEK = f"""SELECT {ROW} FROM session WHERE mac = $1 AND disconnected_at >= $2 AND starts_at < $3
        AND (disconnected_at > $2 OR starts_at >= $2)
    UNION ALL SELECT {ROW} FROM session WHERE mac = $1 AND disconnected_at IS NULL AND starts_at < $3
        AND (starts_at >= $2 OR (disconnection_event IS NULL AND $4::bigint > $2))
    ORDER BY starts_at DESC, id DESC"""

INSERT_COLUMNS = (
    "mac",
    "id",
    "ip",
    "connected_at",
    "disconnected_at",
    "connection_event",
    "disconnection_event",
    "info",
)
INSERT_DEVICE = "INSERT INTO device (mac) VALUES ($1) ON CONFLICT DO NOTHING"
INSERT_DEVICES = "INSERT INTO device (mac) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
INSERT_SESSION = f"""INSERT INTO session ({", ".join(INSERT_COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    RETURNING mac, id, state"""


async def skip_reset(_: Any) -> None:
    """Do not reset a connection between uses, which would take another query."""


class BareServer:
    """The ASGI function. It opens its connection pool at lifespan startup."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool: Any = None
        self.last_id = 0
        self.graphql: dict[str, Callable[[dict[str, Any]], Awaitable[bytes]]] = {
            "Page": self.page,
            "Week": self.week,
            "Last": self.last_of_device,
            "Create": self.create,
            "CreateMany": self.create_many,
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.run_lifespan(receive, send)
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message["body"]
        request = orjson.loads(body)
        answer = await self.graphql[request["operationName"]](request["variables"])
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": answer})

    async def run_lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        settings = {"jit": "off", "plan_cache_mode": "force_generic_plan"}
        async with asyncpg.create_pool(
            self.url, min_size=4, max_size=16, server_settings=settings, reset=skip_reset
        ) as pool:
            self.pool = pool
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def nodes(self, rows: Iterable[Any], now: int) -> list[dict[str, Any]]:
        return [
            {
                "id": f"S:{mac}:{id}",
                "mac": mac,
                "ip": ip,
                "state": state,
                "connectedAt": None if start is None else instant(start / 1e6),
                "disconnectedAt": None if end is None else instant(end / 1e6),
                "connectionEvent": start_event,
                "durationSeconds": (max(now - start, 0) // 1_000_000 if end_event is None else None)
                if end is None
                else (None if start is None else (end - start) // 1_000_000),
            }
            for mac, id, ip, start, end, start_event, end_event, state, _ in rows  # noqa: A001
        ]

    async def page(self, variables: dict[str, Any]) -> bytes:
        now, n = time_ns() // 1000, variables["n"]
        rows = await self.pool.fetch(PAGE, n + 1)
        page = rows[:n]
        info = {"hasNextPage": len(rows) > n, "endCursor": f"NEWEST.{now}.{page[-1][-1]}.{page[-1][1]}"}
        return orjson.dumps({"data": {"sessions": {"nodes": self.nodes(page, now), "pageInfo": info}}}, option=JSON)

    async def week(self, variables: dict[str, Any]) -> bytes:
        now = time_ns() // 1000
        rows = await self.pool.fetch(OVERLAPPING_WEEK, variables["mac"], now - 7 * DAY, now + 1, now)
        return orjson.dumps({"data": {"deviceSessions": self.nodes(rows, now)}}, option=JSON)

    async def last_of_device(self, variables: dict[str, Any]) -> bytes:
        rows = await self.pool.fetch(LAST_OF_DEVICE, variables["mac"])
        return orjson.dumps({"data": {"sessions": {"nodes": self.nodes(rows, time_ns() // 1000)}}}, option=JSON)

    def new_id(self) -> int:
        self.last_id = max((time_ns() // 1_000_000) << 21, self.last_id + 1)
        return self.last_id

    def row(self, session: dict[str, Any]) -> tuple[Any, ...]:
        start, end = microseconds(session["startTime"]), microseconds(session["endTime"])
        return (
            session["mac"],
            self.new_id(),
            session["ip"],
            start,
            end,
            "Connected",
            "Disconnected",
            session.get("info", ""),
        )

    async def create(self, variables: dict[str, Any]) -> bytes:
        row = self.row(variables["input"])
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(INSERT_DEVICE, row[0])
            mac, id_, state = await connection.fetchrow(INSERT_SESSION, *row)
        session = {"id": f"S:{mac}:{id_}", "mac": mac, "state": state}
        return orjson.dumps(
            {"data": {"createSession": {"session": session, "message": f"Session created for MAC {mac}"}}}
        )

    async def create_many(self, variables: dict[str, Any]) -> bytes:
        rows = [self.row(session) for session in variables["input"]]
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(INSERT_DEVICES, sorted({row[0] for row in rows}))
            await connection.copy_records_to_table("session", records=rows, columns=INSERT_COLUMNS)
        return orjson.dumps({"data": {"createSessions": {"created": len(rows)}}})


def main(url: str, port: str) -> None:
    """Serve until terminated."""
    config = uvicorn.Config(
        BareServer(url), host="127.0.0.1", port=int(port), lifespan="on", log_level="error", access_log=False
    )
    config.server_header = False
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
