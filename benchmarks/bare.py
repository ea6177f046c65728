"""The bare server on SQLite: one ASGI function on uvicorn, handwritten SQL on sqlite3, and JSON by orjson.

It is the limit that netsessions is measured against. It answers the requests of the benchmark, and no others, with the same
bytes as netsessions. It checks no token, validates nothing and logs nothing. Its copy of the database has the indexes that
its statements need. Run as `python -m benchmarks.bare DATABASE PORT ZONE`.
"""

import re
import sqlite3
import sys
from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from time import time_ns
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import orjson
import uvicorn

from benchmarks import bare_sql

MINUTE, DAY = 60_000_000, 86_400_000_000  # microseconds
JSON = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
HEADERS = [(b"content-type", b"application/json")]
COLORS = {"COMPLETE": "#00a659", "CONNECTED": "#0073b7"}
instant = datetime.utcfromtimestamp


def create_indexes(connection: sqlite3.Connection) -> None:
    """Replace the indexes of netsessions with those of the bare server."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'session' AND sql > ''"
    )
    for (name,) in names.fetchall():
        connection.execute(f"DROP INDEX {name}")
    for index in bare_sql.INDEXES:
        connection.execute(index)


class BareServer:
    """The ASGI function, with one connection that it uses in the event loop's thread."""

    def __init__(self, path: str, zone: str) -> None:
        self.execute = self._connect(path).execute
        self.zone = None if zone == "UTC" else ZoneInfo(zone)
        self.last_id = 0
        self.graphql: dict[str, Callable[[dict[str, Any]], bytes]] = {
            "Page": self.page,
            "Week": self.week,
            "Create": self.create,
            "CreateMany": self.create_many,
        }

    def _connect(self, path: str) -> sqlite3.Connection:
        self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("PRAGMA cache_size = -16000")
        return self.connection

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message["body"]
        if scope["path"] == "/graphql":
            request = orjson.loads(body)
            answer = self.graphql[request["operationName"]](request["variables"])
        else:
            answer = self.rest(scope["path"], dict(parse_qsl(scope["query_string"].decode())), body)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": answer})

    def rest(self, path: str, query: dict[str, str], body: bytes) -> bytes:
        match path.removeprefix("/sessions/"):
            case "list":
                return self.list_sessions(query)
            case "calendar":
                return self.calendar(query)
            case "session-events":
                return self.events(query)
            case "create":
                return self.create_rest(orjson.loads(body))
            case mac:
                now = time_ns() // 1000
                rows = self.device_sessions(mac, int(query["period"].split()[0]), now)
                return orjson.dumps({"success": True, "sessions": self.rest_rows(rows, now)})

    def device_sessions(self, mac: str, days: int, now: int) -> list[Any]:
        window = {"mac": mac, "since": now - days * DAY, "until": now + 1, "now": now}
        return self.execute(bare_sql.DEVICE_SESSIONS, window).fetchall()

    # GraphQL

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
            for mac, id, ip, start, end, start_event, end_event, _, state, _ in rows  # noqa: A001
        ]

    def page(self, variables: dict[str, Any]) -> bytes:
        now, n = time_ns() // 1000, variables["n"]
        if after := variables.get("after"):
            _, listed_at, key, id_ = after.split(".")
            now = int(listed_at)
            rows = self.execute(bare_sql.PAGE_AFTER, (int(key), int(id_), n + 1)).fetchall()
        else:
            rows = self.execute(bare_sql.PAGE, (n + 1,)).fetchall()
        page = rows[:n]
        info = {"hasNextPage": len(rows) > n, "endCursor": f"NEWEST.{now}.{page[-1][-1]}.{page[-1][1]}"}
        return orjson.dumps({"data": {"sessions": {"nodes": self.nodes(page, now), "pageInfo": info}}}, option=JSON)

    def week(self, variables: dict[str, Any]) -> bytes:
        now = time_ns() // 1000
        nodes = self.nodes(self.device_sessions(variables["mac"], 7, now), now)
        return orjson.dumps({"data": {"deviceSessions": nodes}}, option=JSON)

    def new_id(self) -> int:
        self.last_id = max((time_ns() // 1_000_000) << 21, self.last_id + 1)
        return self.last_id

    def row(self, session: dict[str, Any], start_key: str, end_key: str) -> tuple[Any, ...]:
        start, end = microseconds(session[start_key]), microseconds(session[end_key])
        info = session.get("info", "")
        return session["mac"], self.new_id(), session["ip"], start, end, "Connected", "Disconnected", info

    def insert(self, row: tuple[Any, ...]) -> None:
        self.execute("BEGIN IMMEDIATE")
        self.execute(bare_sql.INSERT_DEVICE, (row[0], row[0]))
        self.execute(bare_sql.INSERT_SESSION, row)
        self.execute("COMMIT")

    def create(self, variables: dict[str, Any]) -> bytes:
        row = self.row(variables["input"], "startTime", "endTime")
        self.insert(row)
        session = {"id": f"S:{row[0]}:{row[1]}", "mac": row[0], "state": "COMPLETE"}
        return orjson.dumps(
            {"data": {"createSession": {"session": session, "message": f"Session created for MAC {row[0]}"}}}
        )

    def create_many(self, variables: dict[str, Any]) -> bytes:
        rows = [self.row(session, "startTime", "endTime") for session in variables["input"]]
        self.execute("BEGIN IMMEDIATE")
        self.connection.executemany(bare_sql.INSERT_DEVICE, ((mac, mac) for mac in {row[0] for row in rows}))
        self.connection.executemany(bare_sql.INSERT_SESSION, rows)
        self.execute("COMMIT")
        return orjson.dumps({"data": {"createSessions": {"created": len(rows)}}})

    # REST

    def create_rest(self, session: dict[str, Any]) -> bytes:
        row = self.row(session, "start_time", "end_time")
        self.insert(row)
        return orjson.dumps({"success": True, "message": f"Session created for MAC {row[0]}"})

    def minutes(self, microseconds: int) -> str:
        if self.zone is None:
            return instant(microseconds // 1_000_000).isoformat(" ", "minutes")
        return datetime.fromtimestamp(microseconds // 1_000_000, self.zone).isoformat(" ", "minutes")[:16]

    def seconds(self, microseconds: int) -> str:
        if self.zone is None:
            return instant(microseconds // 1_000_000).isoformat()
        return datetime.fromtimestamp(microseconds // 1_000_000, self.zone).isoformat()[:19]

    def rest_rows(self, rows: Iterable[Any], now: int) -> list[dict[str, Any]]:
        minutes = self.minutes
        return [
            {
                "ses_MAC": mac,
                "ses_Connection": "<missing event>" if start is None else minutes(start),
                "ses_Disconnection": minutes(end)
                if end is not None
                else "..."
                if end_event is None
                else "<missing event>",
                "ses_Duration": duration(now - start if end is None else end - start)
                if start is not None and (end is not None or end_event is None)
                else "...",
                "ses_IP": ip,
                "ses_Info": (f"New Device, {info}" if info else "New Device") if start_event == "New Device" else info,
            }
            for mac, _, ip, start, end, start_event, end_event, info, *_ in rows
        ]

    def list_sessions(self, query: dict[str, str]) -> bytes:
        rows = self.execute(bare_sql.LIST, (int(query["limit"]),)).fetchall()
        return orjson.dumps({"success": True, "sessions": self.rest_rows(rows, time_ns() // 1000)})

    def events(self, query: dict[str, str]) -> bytes:
        now, kind = time_ns() // 1000, query["type"]
        since = month_before(datetime.fromtimestamp(now / 1e6, self.zone or UTC))
        window = {"since": int(since.timestamp() * 1e6), "until": now + 1, "now": now, "limit": int(query["limit"])}
        ((total,),) = self.execute(bare_sql.TOTALS[kind], window)
        source_rows = self.execute(bare_sql.EVENTS[kind], window).fetchall()
        rows = self.rest_rows(source_rows, now)
        for row, source in zip(rows, source_rows, strict=True):
            row["eve_DateTime"] = None if source[10] is None else self.minutes(source[10])
            row["eve_EventType"] = source[11]
        return orjson.dumps({"success": True, "data": rows, "total": total, "recordsFiltered": total})

    def calendar(self, query: dict[str, str]) -> bytes:
        first, last = date.fromisoformat(query["start"]), date.fromisoformat(query["end"]) + timedelta(days=1)
        zone = self.zone or UTC
        since, until = (
            int(datetime(d.year, d.month, d.day, tzinfo=zone).timestamp()) * 1_000_000 for d in (first, last)
        )
        window = {"since": since, "until": until, "now": time_ns() // 1000}
        entries = [self.calendar_entry(*row) for row in self.execute(bare_sql.CALENDAR, window)]
        return orjson.dumps({"success": True, "sessions": entries})

    def calendar_entry(
        self,
        mac: str,
        _: int,
        ip: str,
        start: Any,
        end: Any,
        __: str,
        end_event: Any,
        ___: str,
        state: str,
        ____: int,
        *drawn: int,
    ) -> dict[str, Any]:
        minutes = self.minutes
        connection = "<missing event>" if start is None else minutes(start)
        disconnection = (
            minutes(end) if end is not None else "<still connected>" if end_event is None else "<missing event>"
        )
        return {
            "resourceId": mac,
            "title": "",
            "start": self.seconds(drawn[0]),
            "end": self.seconds(drawn[1]),
            "color": COLORS.get(state, "#f39c12"),
            "tooltip": f"Connection: {connection}\nDisconnection: {disconnection}\nIP: {ip}",
            "className": "no-border",
        }


def microseconds(text: str) -> int:
    """Return an ISO 8601 time with Z in microseconds since 1970."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def duration(microseconds: int) -> str:
    """Return a duration as the REST API formats it."""
    hours, minutes = divmod(microseconds // MINUTE, 60)
    return f"{hours // 24}d {hours % 24}h {minutes}m" if hours >= 24 else f"{hours}h {minutes}m"


def month_before(time: datetime) -> datetime:
    """Return the same time of the previous month, on its last day if it is shorter."""
    year, month = divmod(time.year * 12 + time.month - 2, 12)
    return time.replace(year=year, month=month + 1, day=min(time.day, monthrange(year, month + 1)[1]))


def main(path: str, port: str, zone: str) -> None:
    """Serve until terminated."""
    config = uvicorn.Config(
        BareServer(path, zone), host="127.0.0.1", port=int(port), lifespan="off", log_level="error", access_log=False
    )
    config.server_header = False
    uvicorn.Server(config).run()


if __name__ == "__main__":
    assert re.fullmatch(r"\d+", sys.argv[2])
    main(*sys.argv[1:])
