"""The network that is measured: made up by arithmetic alone, so that everyone measures the same.

1,000 devices and 1,000 sessions of each over the year that ends today. A session starts at any minute of it and lasts
from a minute to 120 days, most of them hours. Of every tenth device the last fifth of the year was never seen to end,
so that 2% of all are still connected. Nine more years, all ended, can lie before it: whoever asks of the last year is
answered the same.
"""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from math import exp, log
from pathlib import Path
from random import Random
from typing import Any

from storage.migrations import migrate
from storage.tables import DAY, HOUR, SECOND

DEVICES, EACH = 1000, 1000
YEAR, MINUTE = 365 * DAY, HOUR // 60
SEED = 3
FORM = 6  # raised with every change of what is made, so that an earlier cache is not taken for it

# Of how many sessions in a thousand the length lies between which two.
LENGTHS = (
    (550, MINUTE, HOUR),
    (800, HOUR, 4 * HOUR),
    (960, 4 * HOUR, DAY),
    (995, DAY, 7 * DAY),
    (1000, 7 * DAY, 120 * DAY),
)
INFO = ("", "", "", "", "", "", "", "lab", 'the "guest" Wi\\Fi', "Büro im 2. Stock")

INSERT = """INSERT INTO session
    (mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

Row = tuple[Any, ...]


def today() -> int:
    """The midnight (UTC) at which the year ends, in microseconds since 1970."""
    return int(datetime.now(UTC).timestamp()) * SECOND // DAY * DAY


def mac(device: int) -> str:
    """A device's address."""
    return f"02:00:5E:10:{device >> 8:02X}:{device & 255:02X}"


def year(back: int, end: int) -> Iterator[Row]:
    """The sessions of the year that ended `back` years before `end`, in the order of their starts."""
    random = Random(f"{SEED}.{back}")
    end -= back * YEAR
    starts = sorted((random.randrange(YEAR // MINUTE), n % DEVICES) for n in range(DEVICES * EACH))
    for n, (minute, device) in enumerate(starts):
        at = end - YEAR + minute * MINUTE + random.randrange(60) * SECOND
        draw, where = random.randrange(1000), random.random()
        least, most = next((least, most) for below, least, most in LENGTHS if draw < below)
        until = at + int(exp(log(least) + where * (log(most) - log(least)))) // SECOND * SECOND
        ip = f"10.0.{device >> 8}.{device & 255}" if device % 10 else f"2001:db8::{device + 1:x}"
        event = "New Device" if n < DEVICES else "Down Reconnected" if draw % 17 == 0 else "Connected"
        down = "Device Down" if draw % 13 == 0 else "Disconnected"
        started: int | None = at
        ended: tuple[int | None, str | None] = (until, down)
        if back == 0 and device % 10 == 9 and minute >= YEAR // MINUTE * 4 // 5:
            ended = (None, None)
        elif draw % 200 == 1:
            ended = (None, "<missing event>")
        elif draw % 200 == 2:
            started, event = None, "<missing event>"
        elif draw % 100 == 3:
            event, ended = "VOIDED - Connected", (until, "VOIDED - Disconnected")
        if back and until >= end:
            ended = (end - SECOND, down)
        identity = (at // 1000 << 21) | n
        yield mac(device), identity, ip, started, *ended[:1], event, *ended[1:], INFO[draw % len(INFO)]


def cache() -> Path:
    """The folder outside the repository where made databases stay."""
    folder = Path(os.environ.get("BENCH_CACHE") or Path(tempfile.gettempdir()) / f"netsessions-bench-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def database(years: int = 1) -> Path:
    """A migrated database of so many years, made where today's is not there yet."""
    end = today()
    path = cache() / f"sessions-{years}-{FORM}-{end // DAY}.db"
    if not path.exists():
        for old in cache().glob(f"sessions-{years}-*"):
            old.unlink()
        making = path.with_suffix(".making")
        for part in cache().glob(f"{making.name}*"):
            part.unlink()
        migrate(f"sqlite:///{making}")
        with closing(sqlite3.connect(making, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -1000000")
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO device (mac) VALUES (?)", ((mac(n),) for n in range(DEVICES)))
            for back in reversed(range(years)):
                connection.executemany(INSERT, year(back, end))
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        making.rename(path)
    return path
