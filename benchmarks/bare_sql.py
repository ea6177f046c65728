"""The SQL statements of the bare server on SQLite, and the indexes that they need."""

INDEXES = (
    "CREATE INDEX by_start ON session (starts_at, id)",
    "CREATE INDEX by_connection ON session (connected_at, id)",
    "CREATE INDEX by_end ON session (disconnected_at, id)",
    "CREATE INDEX by_device ON session (mac, starts_at)",
    "CREATE INDEX by_device_end ON session (mac, disconnected_at)",
    "CREATE INDEX without_end ON session (starts_at) WHERE disconnected_at IS NULL AND disconnection_event IS NOT NULL",
    "CREATE INDEX rare_starts ON session (connection_event, connected_at, id) "
    "WHERE connection_event NOT IN ('Connected', 'Down Reconnected', '<missing event>')",
    "CREATE INDEX rare_ends ON session (disconnection_event, disconnected_at, id) "
    "WHERE disconnection_event NOT IN ('Disconnected', '<missing event>')",
)
HOUR = 3_600_000_000
ROW = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info, state, starts_at"

PAGE = f"SELECT {ROW} FROM session ORDER BY starts_at DESC, id DESC LIMIT ?"
PAGE_AFTER = f"SELECT {ROW} FROM session WHERE (starts_at, id) < (?, ?) ORDER BY starts_at DESC, id DESC LIMIT ?"
LIST = f"SELECT {ROW} FROM session ORDER BY starts_at DESC, id DESC LIMIT ?"
# An overlapping session ended after the start of the window, which the index of ends finds, or has no end.
OVERLAPPING = """FROM session INDEXED BY {index} WHERE {of}disconnected_at >= {since} AND starts_at < {until}
        AND (disconnected_at > {since} OR starts_at >= {since})
    UNION ALL SELECT {row} FROM session INDEXED BY {index} WHERE {of}disconnected_at IS NULL AND starts_at < {until}
        AND (starts_at >= {since} OR (disconnection_event IS NULL AND :now > {since}))"""
_DEVICE_OVERLAPPING = OVERLAPPING.format(
    index="by_device_end", of="mac = :mac AND ", row=ROW, since=":since", until=":until"
)
DEVICE_SESSIONS = f"SELECT {ROW} {_DEVICE_OVERLAPPING} ORDER BY starts_at DESC, id DESC"
_WIDER_OVERLAPPING = OVERLAPPING.format(
    index="by_end", of="", row=ROW, since=f":since - {HOUR}", until=f":until + {HOUR}"
)
CALENDAR = f"""SELECT * FROM (SELECT {ROW},
    CASE WHEN connected_at IS NULL THEN coalesce((SELECT max(e.disconnected_at) FROM session e WHERE e.mac = s.mac
            AND e.disconnected_at < s.disconnected_at AND e.disconnected_at >= s.disconnected_at - {HOUR}),
            starts_at - {HOUR})
        ELSE connected_at END AS drawn_from,
    CASE WHEN disconnected_at IS NOT NULL THEN disconnected_at
        WHEN disconnection_event IS NULL THEN max(connected_at, :now)
        ELSE coalesce((SELECT min(e.connected_at) FROM session e WHERE e.mac = s.mac
            AND e.starts_at > s.starts_at AND e.starts_at <= s.starts_at + {HOUR}), starts_at + {HOUR}) END AS drawn_until
    FROM (SELECT {ROW} {_WIDER_OVERLAPPING}) s)
    WHERE drawn_from < :until AND (drawn_until > :since OR drawn_from >= :since) ORDER BY drawn_from, id"""

STARTS_IN_WINDOW = "connected_at >= :since AND connected_at < :until"
ENDS_IN_WINDOW = "disconnected_at >= :since AND disconnected_at < :until"
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
        f"session INDEXED BY {_by[0]} WHERE {STARTS_IN_WINDOW}{_start}",
        f"session INDEXED BY {_by[1]} WHERE {ENDS_IN_WINDOW}{_end}",
    )
    _starts = f"SELECT {ROW}, connected_at, connection_event, 0 AS side FROM {_started}"
    _ends = f"SELECT {ROW}, disconnected_at, disconnection_event, 1 AS side FROM {_ended}"
    EVENTS[_kind] = f"""SELECT * FROM (SELECT * FROM ({_starts} ORDER BY connected_at DESC, id DESC LIMIT :limit)
        UNION ALL SELECT * FROM ({_ends} ORDER BY disconnected_at DESC, id DESC LIMIT :limit))
        ORDER BY 11 DESC, 2 DESC, side DESC LIMIT :limit"""
    TOTALS[_kind] = f"SELECT (SELECT count(*) FROM {_started}) + (SELECT count(*) FROM {_ended})"
_OVERLAPPING_WINDOW = OVERLAPPING.format(index="by_end", of="", row="{row}", since=":since", until=":until")
_OVERLAPPING_ONES = "SELECT 1 " + _OVERLAPPING_WINDOW.format(row="1")
EVENTS["sessions"] = f"""SELECT {ROW}, NULL, NULL FROM session INDEXED BY by_start WHERE starts_at < :until AND (
    starts_at >= :since OR disconnected_at > :since
    OR (disconnected_at IS NULL AND disconnection_event IS NULL AND :now > :since))
    ORDER BY starts_at DESC, id DESC LIMIT :limit"""
TOTALS["sessions"] = f"SELECT count(*) FROM ({_OVERLAPPING_ONES})"
_WITHOUT_END = (
    "disconnected_at IS NULL AND disconnection_event IS NOT NULL AND starts_at >= :since AND starts_at < :until"
)
_WITHOUT_START = "connected_at IS NULL AND disconnected_at >= :since AND disconnected_at < :until"
EVENTS["missing"] = f"""SELECT * FROM (SELECT {ROW}, NULL, NULL FROM session WHERE {_WITHOUT_END}
    UNION ALL SELECT {ROW}, NULL, NULL FROM session WHERE {_WITHOUT_START}) ORDER BY 10 DESC, 2 DESC LIMIT :limit"""
TOTALS["missing"] = (
    f"SELECT (SELECT count(*) FROM session WHERE {_WITHOUT_END}) + (SELECT count(*) FROM session WHERE {_WITHOUT_START})"
)

INSERT_DEVICE = "INSERT INTO device (mac) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM device WHERE mac = ?)"
INSERT_SESSION = """INSERT INTO session
    (mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
