"""The limit that the server is measured against: one ASGI function on uvicorn, SQL by hand on sqlite3, JSON by orjson.

It answers the same bytes as the server from the same rows, for the requests of `figures.py` and no others: it checks no
token, validates nothing and logs nothing. Its database has the indexes that its own questions want. Run as
`python -m benchmarks.bare DATABASE PORT ZONE`.
"""

import re
import sqlite3
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from time import time_ns
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import orjson
import uvicorn

INDEXES = (
    "CREATE INDEX by_start ON session (starts_at, id)",
    "CREATE INDEX by_connection ON session (connected_at, id)",
    "CREATE INDEX by_end ON session (disconnected_at, id)",
    "CREATE INDEX by_device ON session (mac, starts_at)",
    "CREATE INDEX by_device_end ON session (mac, disconnected_at)",
    "CREATE INDEX half_seen ON session (starts_at) WHERE disconnected_at IS NULL AND disconnection_event IS NOT NULL",
    "CREATE INDEX rare_starts ON session (connection_event, connected_at, id) "
    "WHERE connection_event NOT IN ('Connected', 'Down Reconnected', '<missing event>')",
    "CREATE INDEX rare_ends ON session (disconnection_event, disconnected_at, id) "
    "WHERE disconnection_event NOT IN ('Disconnected', '<missing event>')",
)
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
ROW = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info, state, starts_at"

PAGE = f"SELECT {ROW} FROM session ORDER BY starts_at DESC, id DESC LIMIT ?"
PAGE_AFTER = f"SELECT {ROW} FROM session WHERE (starts_at, id) < (?, ?) ORDER BY starts_at DESC, id DESC LIMIT ?"
LISTED = f"SELECT {ROW} FROM session ORDER BY starts_at DESC, id DESC LIMIT ?"
# What overlaps has ended since the window began, which the index of the ends finds, or was never seen to end.
OVERLAPPING = """FROM session INDEXED BY {index} WHERE {of}disconnected_at >= {since} AND starts_at < {until}
        AND (disconnected_at > {since} OR starts_at >= {since})
    UNION ALL SELECT {row} FROM session INDEXED BY {index} WHERE {of}disconnected_at IS NULL AND starts_at < {until}
        AND (starts_at >= {since} OR (disconnection_event IS NULL AND :now > {since}))"""
_OF_DEVICE = OVERLAPPING.format(index="by_device_end", of="mac = :mac AND ", row=ROW, since=":since", until=":until")
DEVICE = f"SELECT {ROW} {_OF_DEVICE} ORDER BY starts_at DESC, id DESC"
_WIDER = OVERLAPPING.format(index="by_end", of="", row=ROW, since=f":since - {HOUR}", until=f":until + {HOUR}")
DRAWN = f"""SELECT * FROM (SELECT {ROW},
    CASE WHEN connected_at IS NULL THEN coalesce((SELECT max(e.disconnected_at) FROM session e WHERE e.mac = s.mac
            AND e.disconnected_at < s.disconnected_at AND e.disconnected_at >= s.disconnected_at - {HOUR}),
            starts_at - {HOUR})
        ELSE connected_at END AS drawn_from,
    CASE WHEN disconnected_at IS NOT NULL THEN disconnected_at
        WHEN disconnection_event IS NULL THEN max(connected_at, :now)
        ELSE coalesce((SELECT min(e.connected_at) FROM session e WHERE e.mac = s.mac
            AND e.starts_at > s.starts_at AND e.starts_at <= s.starts_at + {HOUR}), starts_at + {HOUR}) END AS drawn_until
    FROM (SELECT {ROW} {_WIDER}) s)
    WHERE drawn_from < :until AND (drawn_until > :since OR drawn_from >= :since) ORDER BY drawn_from, id"""

STARTS = "connected_at >= :since AND connected_at < :until"
ENDS = "disconnected_at >= :since AND disconnected_at < :until"
RARE_START = "connection_event NOT IN ('Connected', 'Down Reconnected', '<missing event>')"
RARE_END = "disconnection_event NOT IN ('Disconnected', '<missing event>')"
KINDS = {
    "all": ("", ""),
    "new": (
        f" AND {RARE_START} AND connection_event = 'New Device'",
        f" AND {RARE_END} AND disconnection_event = 'New Device'",
    ),
    "down": (
        f" AND {RARE_START} AND connection_event = 'Device Down'",
        f" AND {RARE_END} AND disconnection_event = 'Device Down'",
    ),
    "voided": (
        f" AND {RARE_START} AND connection_event >= 'VOIDED' AND connection_event < 'VOIDEE'",
        f" AND {RARE_END} AND disconnection_event >= 'VOIDED' AND disconnection_event < 'VOIDEE'",
    ),
}
EVENTS, TOTALS = {}, {}
for _kind, (_start, _end) in KINDS.items():
    _by = ("by_connection", "by_end") if _kind == "all" else ("rare_starts", "rare_ends")
    _started, _ended = (
        f"session INDEXED BY {_by[0]} WHERE {STARTS}{_start}",
        f"session INDEXED BY {_by[1]} WHERE {ENDS}{_end}",
    )
    _starts = f"SELECT {ROW}, connected_at, connection_event, 0 AS side FROM {_started}"
    _ends = f"SELECT {ROW}, disconnected_at, disconnection_event, 1 AS side FROM {_ended}"
    EVENTS[_kind] = f"""SELECT * FROM (SELECT * FROM ({_starts} ORDER BY connected_at DESC, id DESC LIMIT :limit)
        UNION ALL SELECT * FROM ({_ends} ORDER BY disconnected_at DESC, id DESC LIMIT :limit))
        ORDER BY 11 DESC, 2 DESC, side DESC LIMIT :limit"""
    TOTALS[_kind] = f"SELECT (SELECT count(*) FROM {_started}) + (SELECT count(*) FROM {_ended})"
_inside = OVERLAPPING.format(index="by_end", of="", row="{row}", since=":since", until=":until")
_ones = "SELECT 1 " + _inside.format(row="1")
EVENTS["sessions"] = f"""SELECT {ROW}, NULL, NULL FROM session INDEXED BY by_start WHERE starts_at < :until AND (
    starts_at >= :since OR disconnected_at > :since
    OR (disconnected_at IS NULL AND disconnection_event IS NULL AND :now > :since))
    ORDER BY starts_at DESC, id DESC LIMIT :limit"""
TOTALS["sessions"] = f"SELECT count(*) FROM ({_ones})"
_half = "disconnected_at IS NULL AND disconnection_event IS NOT NULL AND starts_at >= :since AND starts_at < :until"
_late = "connected_at IS NULL AND disconnected_at >= :since AND disconnected_at < :until"
EVENTS["missing"] = f"""SELECT * FROM (SELECT {ROW}, NULL, NULL FROM session WHERE {_half}
    UNION ALL SELECT {ROW}, NULL, NULL FROM session WHERE {_late}) ORDER BY 10 DESC, 2 DESC LIMIT :limit"""
TOTALS["missing"] = (
    f"SELECT (SELECT count(*) FROM session WHERE {_half}) + (SELECT count(*) FROM session WHERE {_late})"
)

DEVICE_ROW = "INSERT INTO device (mac) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM device WHERE mac = ?)"
CREATE = """INSERT INTO session (mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

JSON = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
HEADERS = [(b"content-type", b"application/json")]
instant = datetime.utcfromtimestamp


def make(connection: sqlite3.Connection) -> None:
    """Gives a copy of the server's database the indexes of this one."""
    named = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'session' AND sql > ''"
    )
    for (name,) in named.fetchall():
        connection.execute(f"DROP INDEX {name}")
    for index in INDEXES:
        connection.execute(index)


class Bare:
    """The ASGI function, over one connection that is used in place."""

    def __init__(self, path: str, zone: str) -> None:
        self.execute = self._connect(path).execute
        self.zone = None if zone == "UTC" else ZoneInfo(zone)
        self.last = 0
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
                return self.listed(query)
            case "calendar":
                return self.calendar(query)
            case "session-events":
                return self.events(query)
            case "create":
                return self.create_rest(orjson.loads(body))
            case mac:
                days = int(query["period"].split()[0])
                now = time_ns() // 1000
                rows = self.execute(DEVICE, {"mac": mac, "since": now - days * DAY, "until": now + 1, "now": now})
                return orjson.dumps({"success": True, "sessions": self.rows(rows.fetchall(), now)})

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
            _, seen, key, identity = after.split(".")
            now = int(seen)
            rows = self.execute(PAGE_AFTER, (int(key), int(identity), n + 1)).fetchall()
        else:
            rows = self.execute(PAGE, (n + 1,)).fetchall()
        page = rows[:n]
        info = {"hasNextPage": len(rows) > n, "endCursor": f"NEWEST.{now}.{page[-1][-1]}.{page[-1][1]}"}
        return orjson.dumps({"data": {"sessions": {"nodes": self.nodes(page, now), "pageInfo": info}}}, option=JSON)

    def week(self, variables: dict[str, Any]) -> bytes:
        now = time_ns() // 1000
        rows = self.execute(DEVICE, {"mac": variables["mac"], "since": now - 7 * DAY, "until": now + 1, "now": now})
        return orjson.dumps({"data": {"deviceSessions": self.nodes(rows.fetchall(), now)}}, option=JSON)

    def identity(self) -> int:
        self.last = max((time_ns() // 1_000_000) << 21, self.last + 1)
        return self.last

    def stored(self, one: dict[str, Any], start: str, end: str) -> tuple[Any, ...]:
        began, ended = microseconds(one[start]), microseconds(one[end])
        return one["mac"], self.identity(), one["ip"], began, ended, "Connected", "Disconnected", one.get("info", "")

    def keep(self, row: tuple[Any, ...]) -> None:
        self.execute("BEGIN IMMEDIATE")
        self.execute(DEVICE_ROW, (row[0], row[0]))
        self.execute(CREATE, row)
        self.execute("COMMIT")

    def create(self, variables: dict[str, Any]) -> bytes:
        row = self.stored(variables["input"], "startTime", "endTime")
        self.keep(row)
        session = {"id": f"S:{row[0]}:{row[1]}", "mac": row[0], "state": "COMPLETE"}
        return orjson.dumps(
            {"data": {"createSession": {"session": session, "message": f"Session created for MAC {row[0]}"}}}
        )

    def create_many(self, variables: dict[str, Any]) -> bytes:
        rows = [self.stored(one, "startTime", "endTime") for one in variables["input"]]
        self.execute("BEGIN IMMEDIATE")
        self.connection.executemany(DEVICE_ROW, ((mac, mac) for mac in {row[0] for row in rows}))
        self.connection.executemany(CREATE, rows)
        self.execute("COMMIT")
        return orjson.dumps({"data": {"createSessions": {"created": len(rows)}}})

    # REST

    def create_rest(self, one: dict[str, Any]) -> bytes:
        row = self.stored(one, "start_time", "end_time")
        self.keep(row)
        return orjson.dumps({"success": True, "message": f"Session created for MAC {row[0]}"})

    def clock(self, microseconds: int) -> str:
        if self.zone is None:
            return instant(microseconds // 1_000_000).isoformat(" ", "minutes")
        return datetime.fromtimestamp(microseconds // 1_000_000, self.zone).isoformat(" ", "minutes")[:16]

    def rows(self, rows: Iterable[Any], now: int) -> list[dict[str, Any]]:
        clock = self.clock
        return [
            {
                "ses_MAC": mac,
                "ses_Connection": "<missing event>" if start is None else clock(start),
                "ses_Disconnection": clock(end)
                if end is not None
                else "..."
                if end_event is None
                else "<missing event>",
                "ses_Duration": length(now - start if end is None else end - start)
                if start is not None and (end is not None or end_event is None)
                else "...",
                "ses_IP": ip,
                "ses_Info": (f"New Device, {info}" if info else "New Device") if start_event == "New Device" else info,
            }
            for mac, _, ip, start, end, start_event, end_event, info, *_ in rows
        ]

    def listed(self, query: dict[str, str]) -> bytes:
        rows = self.execute(LISTED, (int(query["limit"]),)).fetchall()
        return orjson.dumps({"success": True, "sessions": self.rows(rows, time_ns() // 1000)})

    def events(self, query: dict[str, str]) -> bytes:
        now, kind = time_ns() // 1000, query["type"]
        here = datetime.fromtimestamp(now / 1e6, self.zone or UTC)
        back = here.replace(year=here.year - (here.month == 1), month=(here.month - 2) % 12 + 1)
        window = {"since": int(back.timestamp() * 1e6), "until": now + 1, "now": now, "limit": int(query["limit"])}
        ((total,),) = self.execute(TOTALS[kind], window)
        found = self.execute(EVENTS[kind], window).fetchall()
        rows = self.rows(found, now)
        for row, source in zip(rows, found, strict=True):
            row["eve_DateTime"] = None if source[10] is None else self.clock(source[10])
            row["eve_EventType"] = source[11]
        return orjson.dumps({"success": True, "data": rows, "total": total, "recordsFiltered": total})

    def calendar(self, query: dict[str, str]) -> bytes:
        first, last = date.fromisoformat(query["start"]), date.fromisoformat(query["end"]) + timedelta(days=1)
        zone = self.zone or UTC
        since, until = (
            int(datetime(d.year, d.month, d.day, tzinfo=zone).timestamp()) * 1_000_000 for d in (first, last)
        )
        window = {"since": since, "until": until, "now": time_ns() // 1000}
        return orjson.dumps({"success": True, "sessions": [self.entry(*row) for row in self.execute(DRAWN, window)]})

    def entry(
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
        clock = self.clock
        connected = "<missing event>" if start is None else clock(start)
        gone = clock(end) if end is not None else "<still connected>" if end_event is None else "<missing event>"
        return {
            "resourceId": mac,
            "title": "",
            "start": self.seconds(drawn[0]),
            "end": self.seconds(drawn[1]),
            "color": COLOURS.get(state, "#f39c12"),
            "tooltip": f"Connection: {connected}\nDisconnection: {gone}\nIP: {ip}",
            "className": "no-border",
        }

    def seconds(self, microseconds: int) -> str:
        if self.zone is None:
            return instant(microseconds // 1_000_000).isoformat()
        return datetime.fromtimestamp(microseconds // 1_000_000, self.zone).isoformat()[:19]


COLOURS = {"COMPLETE": "#00a659", "CONNECTED": "#0073b7"}


def microseconds(text: str) -> int:
    """An instant of ISO 8601 with Z."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def length(microseconds: int) -> str:
    """A duration as rows show it."""
    hours, minutes = divmod(microseconds // MINUTE, 60)
    return f"{hours // 24}d {hours % 24}h {minutes}m" if hours >= 24 else f"{hours}h {minutes}m"


def main(path: str, port: str, zone: str) -> None:
    """Serves until it is ended."""
    config = uvicorn.Config(
        Bare(path, zone), host="127.0.0.1", port=int(port), lifespan="off", log_level="error", access_log=False
    )
    config.server_header = False
    uvicorn.Server(config).run()


if __name__ == "__main__":
    assert re.fullmatch(r"\d+", sys.argv[2])
    main(*sys.argv[1:])
