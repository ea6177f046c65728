"""Damaged files are imported correctly, or rejected with one sentence and nothing stored."""

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
from resolvers.validation.clock import Clock
from resolvers.validation.periods import parse_period
from storage.opening import open_store
from storage.sources.files import SourceError
from tests.conftest import DATABASES, NOW, Rows, at, new_database, run, sql
from tests.support.imports import SAMPLES
from tests.support.netalertx import SCHEMAS, A, B, write_database

DATABASE_COUNT = 30  # for each schema and kind of damage: 540, and as many on the other database
TEXT_COUNT = 10  # for each format and kind of damage: 250, and as many on the other database

Damage = Callable[[random.Random, bytearray], None]
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
    """A store that has sessions, so that a loss would be noticed."""
    url = new_database(request.param, tmp_path_factory.mktemp("store"))
    opened = run(open_store(url))
    yield Context(opened, Clock(ZoneInfo("UTC"), time=lambda: at(NOW))), url
    run(opened.close())


def stored_rows(url: str) -> tuple[Rows, Rows]:
    return sql(url, "SELECT * FROM session ORDER BY mac, id"), sql(url, "SELECT * FROM device ORDER BY mac")


def import_and_compare(store: tuple[Context, str], file: Path) -> str:
    """Import a file. Compare the report with the database. Return "imported" or "rejected"."""
    context, url = store
    before = stored_rows(url)
    period = parse_period("12 hours")
    try:
        report = run(
            import_file(context, file, None, lease_time=period, dry_run=False, progress=lambda done, total: None)
        )
    except SourceError as error:
        sentence = str(error)
        assert sentence.startswith(str(file))
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert stored_rows(url) == before
        return "rejected"
    after = stored_rows(url)
    counted = report.imported + report.completed + report.already_there + report.renewals + report.rejected_count
    assert report.read == counted
    assert len(after[0]) - len(before[0]) == report.imported
    existing = {row[:2]: row for row in before[0]}
    assert sum(existing.get(row[:2], row) != row for row in after[0]) <= report.completed
    new = [row for row in after[0] if row[:2] not in existing]
    assert sum(row[8] == "CONNECTED" for row in new) <= report.connected
    named = [row for row in after[1] if (row[1] or row[2]) and row not in before[1]]
    assert len(named) <= report.devices_named
    return "imported"


def flip_bits(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, content: bytearray) -> None:
    offset = rng.randrange(len(content))
    size = min(rng.choice([1, 2, 4, 100]), len(content) - offset)
    content[offset : offset + size] = rng.choice([b"\0", b"\xff", b" ", b"1"]) * size


def truncate(rng: random.Random, content: bytearray) -> None:
    del content[rng.randrange(len(content)) :]


def swap_pages(rng: random.Random, content: bytearray) -> None:
    """Swap two pages of a database, or two parts of a text."""
    size = 4096 if len(content) > 8192 else 64
    first, second = (rng.randrange(max(1, len(content) // size)) * size for _ in range(2))
    content[first : first + size], content[second : second + size] = (
        content[second : second + size],
        content[first : first + size],
    )


def repeat(rng: random.Random, content: bytearray) -> None:
    offset = rng.randrange(len(content))
    content[offset:offset] = content[offset : offset + rng.choice([1, 30, 4096])] * rng.choice([1, 5])


BYTE_DAMAGES: list[Damage] = [flip_bits, overwrite, truncate, swap_pages, repeat]


def change_schema(rng: random.Random, connection: sqlite3.Connection) -> None:
    """Change a database as a person or another release might have."""
    names = {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in ("Sessions", "Devices")
    }
    for _ in range(rng.choice([1, 2, 5])):
        table = rng.choice(["Sessions", "Sessions", "Sessions", "Devices"])
        column = rng.choice(names[table])
        value = rng.choice(VALUES)
        marks = ", ".join("?" * len(names[table]))
        match rng.choice(
            ["cell", "cell", "column", "row", "drop", "rename", "table", "type", "view", "index", "rowid"]
        ):
            case "cell":
                rowid = rng.randrange(1, 30)
                cast = rng.choice(["?", "CAST(? AS TEXT)", "CAST(? AS BLOB)"])
                connection.execute(f"UPDATE {table} SET {column} = {cast} WHERE rowid = ?", (value, rowid))
            case "column":
                connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
            case "row":
                row = [rng.choice(VALUES) for _ in names[table]]
                connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)
            case "drop":
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            case "rename":
                connection.execute(
                    f"ALTER TABLE {table} RENAME COLUMN {column} TO {rng.choice(['x', 'rowid', column.upper()])}"
                )
            case "table":
                connection.execute(f"ALTER TABLE {table} RENAME TO {rng.choice(['Other', 'SESSIONS_', 'x'])}")
            case "type":
                kind = rng.choice(["BLOB", "INTEGER", "REAL", "TEXT COLLATE NOCASE", "NUMERIC DEFAULT 7"])
                connection.execute(f"CREATE TABLE n ({', '.join(f'{name} {kind}' for name in names[table])})")
                connection.execute(f"INSERT INTO n SELECT * FROM {table}")
                connection.execute(f"DROP TABLE {table}")
                connection.execute(f"ALTER TABLE n RENAME TO {table}")
            case "view":
                connection.execute(f"ALTER TABLE {table} RENAME TO t")
                connection.execute(
                    f"CREATE VIEW {table} AS SELECT * FROM t {rng.choice(['', 'UNION ALL SELECT * FROM t'])}"
                )
            case "index":
                connection.execute(f"CREATE INDEX i ON {table} ({column})")
            case _:
                connection.execute(f"CREATE TABLE w ({', '.join(names[table])}, PRIMARY KEY ({column})) WITHOUT ROWID")
                connection.execute(f"INSERT OR IGNORE INTO w SELECT * FROM {table}")
                connection.execute(f"DROP TABLE {table}")
                connection.execute(f"ALTER TABLE w RENAME TO {table}")
        names = {
            name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] or columns
            for name, columns in names.items()
        }


# With these seeds, at least one damaged database of each kind can be imported.
SEEDS: dict[Callable[[random.Random, Any], None], str] = {
    flip_bits: "flipped",
    overwrite: "overwritten",
    truncate: "cut",
    swap_pages: "swapped",
    repeat: "repeated",
    change_schema: "statements",
}


def sample_sessions(rng: random.Random) -> list[tuple[Any, ...]]:
    """Return sessions in every state, enough for several pages."""
    sessions: list[tuple[Any, ...]] = []
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
        mac = rng.choice([A, B, f"02:00:00:00:00:{n:02x}"])
        sessions.append((mac, f"10.0.0.{n}", start[1], start[0], end[1], end[0], int(n % 6 == 2), f"info {n}" * 9))
    return sessions


@pytest.mark.parametrize("damage", [*BYTE_DAMAGES, change_schema], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(("columns", "devices"), SCHEMAS, ids=["snake-case", "camel-case", "pi-alert"])
def test_a_damaged_database_is_imported_correctly_or_rejected(
    store: tuple[Context, str], tmp_path: Path, columns: str, devices: str, damage: Callable[[random.Random, Any], None]
) -> None:
    """Damaged bytes, pages and schemas; other types, tables and columns; any value in any cell."""
    rng = random.Random(f"{SEEDS[damage]} {columns} {devices}")
    outcomes: Counter[str] = Counter()
    original = write_database(tmp_path / "whole.db", sample_sessions(rng), columns=columns, devices=devices)
    source = tmp_path / "source.db"
    for _ in range(DATABASE_COUNT):
        if damage is change_schema:
            shutil.copy(original, source)
            # Some changes exclude each other. Earlier ones are kept.
            with closing(sqlite3.connect(source)) as connection, connection, suppress(sqlite3.Error):
                damage(rng, connection)
        else:
            content = bytearray(original.read_bytes())
            damage(rng, content)
            source.write_bytes(content)
        outcomes[import_and_compare(store, source)] += 1
    assert outcomes["rejected"] == DATABASE_COUNT if damage is truncate else outcomes["imported"]


@pytest.mark.parametrize("damage", BYTE_DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("form", SAMPLES)
def test_a_damaged_text_file_is_imported_correctly_or_rejected(
    store: tuple[Context, str], tmp_path: Path, form: Any, damage: Damage
) -> None:
    """Exports and leases files."""
    rng = random.Random(f"{SEEDS[damage]} {form}")
    source = tmp_path / "source"
    for _ in range(TEXT_COUNT):
        content = bytearray(SAMPLES[form])
        damage(rng, content)
        source.write_bytes(content)
        import_and_compare(store, source)
