"""Reading NetAlertX databases: the file is not changed, and a damaged one is rejected."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from netsessions.commands.import_sessions import import_command
from resolvers.context import Context
from resolvers.imports.importer import import_file
from resolvers.validation.clock import to_datetime
from storage.migrations import migrate
from storage.sources.files import SourceError
from tests.conftest import at, run
from tests.support.imports import Rows, device_rows, import_and_check, run_command
from tests.support.netalertx import ALL_STATES, COMPLETE, IP, T1, T2, A, C, write_database


@pytest.mark.parametrize("wal_state", ["nothing", "log", "log of a running program"])
@pytest.mark.parametrize("wal", [False, True])
def test_an_import_does_not_change_the_source(
    context: Context, rows: Rows, tmp_path: Path, wal: bool, wal_state: str
) -> None:
    """No byte of it changes and no file is created next to it. Rows in a write-ahead log are read."""
    original = write_database(tmp_path / "made.db", ALL_STATES, wal=wal)
    folder = tmp_path / "source ?#%"
    folder.mkdir()
    with closing(sqlite3.connect(original)) as running:
        if wal_state != "nothing":
            running.execute("INSERT INTO Sessions SELECT ?, * FROM (SELECT ?, ?, ?, ?, ?, ?, ?)", (C, *COMPLETE[1:]))
            running.commit()
        suffixes = {"nothing": [""], "log": ["", "-wal"]}.get(wal_state, ["", "-wal", "-shm"])
        for suffix in suffixes:
            if (part := original.with_name(original.name + suffix)).exists():
                shutil.copy(part, folder)
    before = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in folder.iterdir()}
    assert ("made.db-wal" in before) == (wal and wal_state != "nothing")
    import_and_check(context, folder / "made.db")
    after = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in folder.iterdir()}
    assert set(after) == set(before)
    assert after["made.db"] == before["made.db"]
    assert after.get("made.db-wal") == before.get("made.db-wal")
    assert len(rows()) == (4 if wal_state == "nothing" else 5)


def damaged_database(tmp_path: Path) -> Path:
    """Create a database that can be read up to its middle."""
    short_rows = [(A, IP, "Connected", str(to_datetime(at(T1) + n * 10**9))[:19], "", "", 0, "") for n in range(3000)]
    long_row = (A, IP, "Connected", T2, "", "", 0, "x" * 9000)
    source = write_database(tmp_path / "damaged.db", [*short_rows[:2000], long_row, *short_rows[2000:]])
    content = bytearray(source.read_bytes())
    overflow = content.index(b"x" * 4092) // 4096 * 4096
    # The long text continues in overflow pages that link to the next one. Break this link.
    content[overflow : overflow + 4] = b"\xff" * 4
    source.write_bytes(content)
    return source


def test_a_damaged_database_is_rejected_and_nothing_is_stored(url: str, rows: Rows, tmp_path: Path) -> None:
    """Also if the rows before the damage were readable."""
    result = run_command(url, import_command, str(damaged_database(tmp_path)))
    assert result.exit_code == 1
    assert "malformed" in result.stderr
    assert rows() == []
    assert device_rows(url) == []


def test_the_damage_is_found_after_rows_were_written(context: Context, tmp_path: Path) -> None:
    """This verifies the test above."""
    progress: list[int] = []
    with pytest.raises(SourceError):
        run(
            import_file(
                context, damaged_database(tmp_path), None, dry_run=False, progress=lambda read, _: progress.append(read)
            )
        )
    assert progress


def _missing_file(_: Path) -> None:
    pass


def _folder(file: Path) -> None:
    file.mkdir()


def _text(file: Path) -> None:
    file.write_text("mac,ip,start\n" * 100)


def _empty(file: Path) -> None:
    file.touch()


def _damaged_pages(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


def _truncated_after_two_pages(file: Path) -> None:
    file.write_bytes(write_database(file, ALL_STATES).read_bytes()[:8192])


def _other_sessions_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE Sessions (id INTEGER, token TEXT)")


def _no_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE Devices (devMac STRING, devName STRING, devOwner STRING)")


def _truncated_within_page(file: Path) -> None:
    content = write_database(file, [(A, IP, "Connected", T1, "", "", 0, str(n) * 50) for n in range(99)]).read_bytes()
    file.write_bytes(content[:-1000])


def _schema_not_utf8(file: Path) -> None:
    content = write_database(file, ALL_STATES).read_bytes()
    file.write_bytes(content.replace(b"CREATE TABLE Sessions", b"CREATE TABL\xe5 Sessions"))


DAMAGED = [_damaged_pages, _truncated_after_two_pages, _truncated_within_page, _schema_not_utf8]


@pytest.mark.parametrize("make", [_missing_file, _folder, _text, _empty, _other_sessions_table, _no_table, *DAMAGED])
def test_a_file_that_is_not_a_source_database_is_rejected(
    url: str, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """The command prints one sentence with the file, without a traceback, and exits with code 1."""
    make(tmp_path / "source.db")
    result = run_command(url, import_command, str(tmp_path / "source.db"))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    sentence = result.stderr.strip()
    assert sentence.startswith(f"Error: {tmp_path / 'source.db'} ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_an_invalid_file_name_is_rejected(url: str) -> None:
    """With the error of a missing file, without a traceback."""
    result = run_command(url, import_command, "x" * 300)
    assert result.exit_code == 1
    assert "cannot be read (File name too long)" in result.stderr


def test_a_dry_run_stores_nothing(url: str, rows: Rows, tmp_path: Path) -> None:
    """It prints the same report as the import."""
    source = write_database(tmp_path / "source.db", [*ALL_STATES, ("Internet", *COMPLETE[1:])])
    dry_run = run_command(url, import_command, "--dry-run", str(source))
    assert dry_run.exit_code == 0, dry_run.stderr
    assert rows() == []
    assert device_rows(url) == []
    imported = run_command(url, import_command, str(source))
    assert dry_run.stdout.replace("This was a dry run: nothing was stored.\n", "") == imported.stdout
    assert dry_run.stdout != imported.stdout
    assert len(rows()) == 4


def test_the_command_prints_a_report(tmp_path: Path) -> None:
    """It accounts for every row. A missing folder of the database is created for its owner only."""
    source = write_database(tmp_path / "source.db", [*ALL_STATES, ("Internet", *COMPLETE[1:])])
    path = tmp_path / "new" / "netsessions.db"
    result = run_command(f"sqlite:///{path}", import_command, "--timezone", "Europe/Berlin", str(source))
    assert result.exit_code == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "Sessions read: 5 imported 4 still connected 1 connection missing 1 disconnection missing 1" in words
    assert "completed 0 already there 0 rejected 1 no MAC address: 1 row 5: 'Internet' Devices named: 2" in words
    assert "Europe/Berlin is ignored" in result.stderr
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_unknown_zone_is_a_usage_error(url: str, tmp_path: Path) -> None:
    result = run_command(
        url, import_command, "--timezone", "Mars/Olympus", str(write_database(tmp_path / "source.db", []))
    )
    assert result.exit_code == 2
    assert "Mars/Olympus" in result.stderr


def test_the_store_itself_cannot_be_imported(tmp_path: Path) -> None:
    """It is rejected before it is opened a second time."""
    path = tmp_path / "netsessions.db"
    migrate(f"sqlite:///{path}")
    result = run_command(f"sqlite:///{path}", import_command, str(path))
    assert result.exit_code == 1
    assert "is the store itself" in result.output
