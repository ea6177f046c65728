"""Whatever a file holds that is to be imported, it comes in right or is refused in a sentence, and then nothing is stored."""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from resolvers.context import Context
from resolvers.imports.importer import import_file
from resolvers.validation.clock import Clock, parse_period
from storage.opening import open_store
from storage.sources.files import SourceError
from tests.conftest import DATABASES, NOW, Rows, at, new_database, sql
from tests.conftest import run as run_
from tests.integration.test_file_imports import SAMPLES
from tests.integration.test_netalertx_import import GENERATIONS, A, B, write

DATABASES_SPOILT = 30  # of each generation, in each way: 540, and as many with our other database
TEXTS_SPOILT = 10  # of each format, in each way: 250, and as many with our other database

Spoil = Callable[[random.Random, bytearray], None]
VALUES: list[Any] = [
    *(None, "", 0, -1, 2**63 - 1, -(2**63), 1.5, float("inf"), float("-inf"), "NaN", "x" * 20_000),
    *(b"", b"\xff\xfe", b"\0", "\0", "a\0b", "\ud7ff\U0010ffff", "<missing event>", "Connected"),
    *("2025-08-01", "2025-02-30 10:00:00", "0000-00-00 00:00:00", "9999-12-31 23:59:59", "10:00"),
    *(
        "2025-08-01T10:00:00+99:99",
        A,
        A.upper(),
        A.replace(":", ""),
        "192.168.1.10",
        "::1",
        "fe80::1%eth0",
        "999.1.1.1",
    ),
]


@pytest.fixture(scope="module", params=DATABASES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Context, str]]:
    """A store that holds something, so that what an import takes away would be seen, too."""
    url = new_database(request.param, tmp_path_factory.mktemp("store"))
    opened = run_(open_store(url))
    yield Context(opened, Clock(ZoneInfo("UTC"), time=lambda: at(NOW))), url
    run_(opened.close())


def held(url: str) -> tuple[Rows, Rows]:
    return sql(url, "SELECT * FROM session ORDER BY mac, id"), sql(url, "SELECT * FROM device ORDER BY mac")


def imported(store: tuple[Context, str], file: Path) -> str:
    """Imports a file; answers whether it was "taken" or "refused", and holds either to what is stored."""
    context, url = store
    before = held(url)
    period = parse_period("12 hours")
    try:
        report = run_(
            import_file(context, file, None, lease_time=period, dry_run=False, progress=lambda done, whole: None)
        )
    except SourceError as problem:
        sentence = str(problem)
        assert sentence.startswith(str(file))
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert held(url) == before
        return "refused"
    after = held(url)
    told = report.imported + report.completed + report.already_there + report.renewals + report.refused_count
    assert report.read == told
    assert len(after[0]) - len(before[0]) == report.imported
    known = {row[:2]: row for row in before[0]}
    assert sum(known.get(row[:2], row) != row for row in after[0]) <= report.completed
    fresh = [row for row in after[0] if row[:2] not in known]
    assert sum(row[8] == "CONNECTED" for row in fresh) <= report.connected
    named = [row for row in after[1] if (row[1] or row[2]) and row not in before[1]]
    assert len(named) <= report.devices_named
    return "taken"


def flipped(chance: random.Random, content: bytearray) -> None:
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def overwritten(chance: random.Random, content: bytearray) -> None:
    where = chance.randrange(len(content))
    size = min(chance.choice([1, 2, 4, 100]), len(content) - where)
    content[where : where + size] = chance.choice([b"\0", b"\xff", b" ", b"1"]) * size


def cut(chance: random.Random, content: bytearray) -> None:
    del content[chance.randrange(len(content)) :]


def swapped(chance: random.Random, content: bytearray) -> None:
    """Pages of a database in each other's place; of a text, parts."""
    size = 4096 if len(content) > 8192 else 64
    one, other = (chance.randrange(max(1, len(content) // size)) * size for _ in range(2))
    content[one : one + size], content[other : other + size] = content[other : other + size], content[one : one + size]


def repeated(chance: random.Random, content: bytearray) -> None:
    where = chance.randrange(len(content))
    content[where:where] = content[where : where + chance.choice([1, 30, 4096])] * chance.choice([1, 5])


BYTES: list[Spoil] = [flipped, overwritten, cut, swapped, repeated]


def statements(chance: random.Random, connection: sqlite3.Connection) -> None:
    """Changes a database as a person, or a program of another release, might have."""
    names = {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in ("Sessions", "Devices")
    }
    for _ in range(chance.choice([1, 2, 5])):
        table = chance.choice(["Sessions", "Sessions", "Sessions", "Devices"])
        column = chance.choice(names[table])
        value = chance.choice(VALUES)
        marks = ", ".join("?" * len(names[table]))
        match chance.choice(
            ["cell", "cell", "column", "row", "drop", "rename", "table", "type", "view", "index", "rowid"]
        ):
            case "cell":
                rowid = chance.randrange(1, 30)
                cast = chance.choice(["?", "CAST(? AS TEXT)", "CAST(? AS BLOB)"])
                connection.execute(f"UPDATE {table} SET {column} = {cast} WHERE rowid = ?", (value, rowid))
            case "column":
                connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
            case "row":
                row = [chance.choice(VALUES) for _ in names[table]]
                connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)
            case "drop":
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            case "rename":
                connection.execute(
                    f"ALTER TABLE {table} RENAME COLUMN {column} TO {chance.choice(['x', 'rowid', column.upper()])}"
                )
            case "table":
                connection.execute(f"ALTER TABLE {table} RENAME TO {chance.choice(['Other', 'SESSIONS_', 'x'])}")
            case "type":
                kind = chance.choice(["BLOB", "INTEGER", "REAL", "TEXT COLLATE NOCASE", "NUMERIC DEFAULT 7"])
                connection.execute(f"CREATE TABLE n ({', '.join(f'{name} {kind}' for name in names[table])})")
                connection.execute(f"INSERT INTO n SELECT * FROM {table}")
                connection.execute(f"DROP TABLE {table}")
                connection.execute(f"ALTER TABLE n RENAME TO {table}")
            case "view":
                connection.execute(f"ALTER TABLE {table} RENAME TO t")
                connection.execute(
                    f"CREATE VIEW {table} AS SELECT * FROM t {chance.choice(['', 'UNION ALL SELECT * FROM t'])}"
                )
            case "index":
                connection.execute(f"CREATE INDEX i ON {table} ({column})")
            case _:
                connection.execute(f"CREATE TABLE w ({', '.join(names[table])}, PRIMARY KEY ({column})) WITHOUT ROWID")
                connection.execute(f"INSERT OR IGNORE INTO w SELECT * FROM {table}")
                connection.execute(f"DROP TABLE {table}")
                connection.execute(f"ALTER TABLE w RENAME TO {table}")
        names = {
            each: [row[1] for row in connection.execute(f"PRAGMA table_info({each})")] or names[each] for each in names
        }


def a_year(chance: random.Random) -> list[tuple[Any, ...]]:
    """Sessions of every kind, on several pages."""
    found: list[tuple[Any, ...]] = []
    for n in range(120):
        day = f"2025-{1 + n % 7:02}-{1 + n % 28:02}"
        start: list[str | None] = [f"{day} 10:00:00", "Connected"]
        end: list[str | None] = [f"{day} 12:{n % 60:02}:00", "Disconnected"]
        match n % 6:
            case 0:
                start = [None, "<missing event>"]
            case 1:
                end = [None, "<missing event>"]
            case 2:
                end = [None, None]
        mac = chance.choice([A, B, f"02:00:00:00:00:{n:02x}"])
        found.append((mac, f"10.0.0.{n}", start[1], start[0], end[1], end[0], int(n % 6 == 2), f"info {n}" * 9))
    return found


@pytest.mark.parametrize("how", [*BYTES, statements], ids=lambda how: how.__name__)
@pytest.mark.parametrize(("columns", "devices"), GENERATIONS, ids=["first", "second", "pi-alert"])
def test_a_spoilt_database_comes_in_right_or_not_at_all(
    store: tuple[Context, str], tmp_path: Path, columns: str, devices: str, how: Callable[[random.Random, Any], None]
) -> None:
    """Damaged bytes, pages and schemas; other types, tables and columns; nonsense in any cell."""
    chance = random.Random(f"{how.__name__} {columns} {devices}")
    found: Counter[str] = Counter()
    whole = write(tmp_path / "whole.db", a_year(chance), columns=columns, devices=devices)
    source = tmp_path / "source.db"
    for _ in range(DATABASES_SPOILT):
        if how is statements:
            shutil.copy(whole, source)
            # Some changes exclude each other: those before stay made.
            with closing(sqlite3.connect(source)) as connection, connection, suppress(sqlite3.Error):
                how(chance, connection)
        else:
            content = bytearray(whole.read_bytes())
            how(chance, content)
            source.write_bytes(content)
        found[imported(store, source)] += 1
    assert found["refused"] == DATABASES_SPOILT if how is cut else found["taken"]


@pytest.mark.parametrize("how", BYTES, ids=lambda how: how.__name__)
@pytest.mark.parametrize("form", SAMPLES)
def test_a_spoilt_text_comes_in_right_or_not_at_all(
    store: tuple[Context, str], tmp_path: Path, form: Any, how: Spoil
) -> None:
    """The same of exported files and of leases."""
    chance = random.Random(f"{how.__name__} {form}")
    source = tmp_path / "source"
    for _ in range(TEXTS_SPOILT):
        content = bytearray(SAMPLES[form])
        how(chance, content)
        source.write_bytes(content)
        imported(store, source)
