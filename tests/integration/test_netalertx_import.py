"""What NetAlertX or Pi.Alert recorded comes in whole, once, and their file stays as it was."""

import asyncio
import hashlib
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netsessions.commands.import_sessions import import_command
from netsessions.commands.store_commands import demo_command
from resolvers.context import Context
from resolvers.imports import session_writer as storing
from resolvers.imports.importer import import_file
from resolvers.imports.records import _instant, _usual
from resolvers.imports.reports import Report
from resolvers.maintenance.demo import NotEmptyError, make_demo
from resolvers.validation.clock import Clock, utc
from storage.migrations import migrate
from storage.opening import open_store
from storage.sources.files import SourceError
from tests.conftest import DATABASES, NOW, at, new_database, sql
from tests.conftest import run as run_

Rows = Callable[[], list[tuple[Any, ...]]]

FIRST = (
    "ses_MAC STRING, ses_IP STRING, ses_EventTypeConnection STRING, ses_DateTimeConnection DATETIME, "
    "ses_EventTypeDisconnection STRING, ses_DateTimeDisconnection DATETIME, ses_StillConnected BOOLEAN, "
    "ses_AdditionalInfo STRING"
)
SECOND = (
    "sesMac STRING, sesIp STRING, sesEventTypeConnection STRING, sesDateTimeConnection DATETIME, "
    "sesEventTypeDisconnection STRING, sesDateTimeDisconnection DATETIME, sesStillConnected BOOLEAN, "
    "sesAdditionalInfo STRING"
)
NETALERTX = "devMac STRING, devName STRING, devOwner STRING"
PI_ALERT = "dev_MAC STRING, dev_Name STRING, dev_Owner STRING"
GENERATIONS = [(FIRST, NETALERTX), (SECOND, NETALERTX), (FIRST, PI_ALERT)]

A, B, C = "aa:bb:cc:00:00:01", "aa:bb:cc:00:00:02", "aa:bb:cc:00:00:03"
IP = "192.168.1.10"
MISSING = "<missing event>"
T1, T2 = "2025-08-01 10:00:00", "2025-08-01 12:00:00"
COMPLETE = (A, IP, "New Device", T1, "Device Down", T2, 0, "")
OPEN = (B, IP, "Connected", T1, None, None, 1, 42)
NO_START = (A, IP, MISSING, None, "Disconnected", "2025-08-02 10:00:00.25", 0, None)
NO_END = (A, IP, "Connected", "2025-08-03T10:00:00+02:00", MISSING, None, 0, "x")
EVERY_KIND = [COMPLETE, OPEN, NO_START, NO_END]
NAMES = [(A, "Phone", "Ada"), (B, "(unknown)", ""), (C, 1234, "(unknown)")]


def write(
    file: Path,
    sessions: Sequence[tuple[Any, ...]],
    *,
    columns: str = SECOND,
    devices: str = NETALERTX,
    wal: bool = False,
) -> Path:
    """A source as it lies about."""
    with closing(sqlite3.connect(file)) as connection, connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE Sessions ({columns})")
        connection.execute(f"CREATE TABLE Devices ({devices})")
        # Bytes stand for text in another encoding than UTF-8.
        for row in sessions:
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, bytes) else "?" for value in row)
            connection.execute(f"INSERT INTO Sessions VALUES ({marks})", row)
        connection.executemany("INSERT INTO Devices VALUES (?, ?, ?)", NAMES)
    return file


def take(context: Context, file: Path, zone: str | None = None, *, dry_run: bool = False) -> Report:
    """Imports; every row that was read must be accounted for."""
    report = run_(
        import_file(context, file, ZoneInfo(zone) if zone else None, dry_run=dry_run, progress=lambda _, __: None)
    )
    assert report.read == report.imported + report.completed + report.already_there + report.refused_count
    return report


def without_ids(rows: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    return {(row[0], *row[2:8]) for row in rows}


def device_rows(url: str) -> list[tuple[Any, ...]]:
    return sql(url, "SELECT mac, name, owner FROM device ORDER BY mac")


def run(url: str, command: click.Command, *arguments: str) -> Result:
    """The command as a user calls it."""
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": url, "TIMEZONE": "UTC"})


@pytest.mark.parametrize(("columns", "devices"), GENERATIONS, ids=["first", "second", "pi-alert"])
def test_every_generation_gives_the_same_sessions(
    context: Context, url: str, rows: Rows, tmp_path: Path, columns: str, devices: str
) -> None:
    """The same stays come in from each kind of file, with the meaning of their open and missing ends."""
    report = take(context, write(tmp_path / "source.db", EVERY_KIND, columns=columns, devices=devices))
    mac_a, mac_b, mac_c = A.upper(), B.upper(), C.upper()
    assert without_ids(rows()) == {
        (mac_a, IP, at(T1), at(T2), "New Device", "Device Down", ""),
        (mac_b, IP, at(T1), None, "Connected", None, "42"),
        (mac_a, IP, None, at("2025-08-02T10:00:00.25Z"), MISSING, "Disconnected", ""),
        (mac_a, IP, at("2025-08-03T08:00:00Z"), None, "Connected", MISSING, "x"),
    }
    assert (report.imported, report.connected, report.missing_connection, report.missing_disconnection) == (4, 1, 1, 1)
    assert report.devices_named == 2
    assert device_rows(url) == [(mac_a, "Phone", "Ada"), (mac_b, None, None), (mac_c, "1234", None)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((None, T1, "", T2, 0), ("Connected", "Disconnected", "COMPLETE")),
        ((MISSING, T1, MISSING, T2, 0), ("Connected", "Disconnected", "COMPLETE")),
        (("Connected", T1, "Disconnected", T2, 1), ("Connected", "Disconnected", "COMPLETE")),
        (("Connected", T1, MISSING, None, 1), ("Connected", None, "CONNECTED")),
        (("Connected", T1, None, None, None), ("Connected", None, "CONNECTED")),
        (("Connected", T1, "", "", None), ("Connected", None, "CONNECTED")),
        (("Connected", T1, None, None, 0), ("Connected", MISSING, "MISSING_DISCONNECTION")),
        (("Connected", T1, "Device Down", None, None), ("Connected", MISSING, "MISSING_DISCONNECTION")),
        (("Connected", None, None, T2, 0), (MISSING, "Disconnected", "MISSING_CONNECTION")),
    ],
)
def test_an_end_keeps_its_meaning(
    context: Context, rows: Rows, tmp_path: Path, events: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    """A time counts more than its event, and an end without a time is open or missing as the file marks it."""
    take(context, write(tmp_path / "source.db", [(A, IP, *events, "")]))
    (row,) = rows()
    assert (row[5], row[6], row[8]) == expected


def test_a_second_import_adds_nothing(context: Context, rows: Rows, tmp_path: Path) -> None:
    """The same file again finds everything already there."""
    source = write(tmp_path / "source.db", EVERY_KIND)
    take(context, source)
    before = rows()
    report = take(context, source)
    assert (report.imported, report.completed, report.already_there, report.devices_named) == (0, 0, 4, 0)
    assert rows() == before


@pytest.mark.parametrize(
    "later", [(B, IP, "Connected", T1, "Disconnected", T2, 0, ""), (B, IP, "Connected", T1, MISSING, None, 0, "")]
)
def test_a_later_look_ends_an_open_stay(context: Context, rows: Rows, tmp_path: Path, later: tuple[Any, ...]) -> None:
    """A stay known as open that the file now knows as ended is completed, and an older file does not open it again."""
    older, newer = write(tmp_path / "older.db", [OPEN]), write(tmp_path / "newer.db", [later])
    take(context, older)
    (before,) = rows()
    report = take(context, newer)
    assert (report.imported, report.completed, report.already_there) == (0, 1, 0)
    (row,) = rows()
    assert row[:2] == before[:2]
    assert row[4] == (at(T2) if later[5] else None)
    assert row[6] == later[4]
    for file in (older, newer):
        report = take(context, file)
        assert (report.imported, report.completed, report.already_there) == (0, 0, 1)
    assert rows() == [row]


def test_a_name_that_a_person_gave_stays(context: Context, url: str, tmp_path: Path) -> None:
    """An import fills in what has no name or owner yet, and changes none."""
    sql(url, f"INSERT INTO device VALUES ('{A.upper()}', 'Mine', NULL), ('{C.upper()}', 'Mine', 'Me')")
    report = take(context, write(tmp_path / "source.db", []))
    assert device_rows(url) == [(A.upper(), "Mine", "Ada"), (C.upper(), "Mine", "Me")]
    assert report.devices_named == 1


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2025-01-10 10:00:00", "2025-01-10 11:00:00", ("2025-01-10T09:00:00Z", "2025-01-10T10:00:00Z")),
        ("2025-07-10 10:00:00", "2025-07-10 11:00:00", ("2025-07-10T08:00:00Z", "2025-07-10T09:00:00Z")),
        ("2025-03-30 01:30:00", "2025-03-30 02:30:00", ("2025-03-30T00:30:00Z", "2025-03-30T01:30:00Z")),  # skipped
        ("2025-10-26 02:50:00", "2025-10-26 02:10:00", ("2025-10-26T00:50:00Z", "2025-10-26T01:10:00Z")),  # repeated
        ("2025-10-26 02:30:00", "2025-10-26 02:30:00", ("2025-10-26T00:30:00Z", "2025-10-26T00:30:00Z")),
        ("2025-10-26 02:30:00+01:00", "2025-10-26 02:30:00", ("2025-10-26T01:30:00Z", "2025-10-26T01:30:00Z")),
    ],
)
def test_times_of_the_first_generation_are_local(
    context: Context, rows: Rows, tmp_path: Path, start: str, end: str, expected: tuple[str, str]
) -> None:
    """They are read in the zone that is given, and no row is lost to a change of the clocks."""
    session = (A, IP, "Connected", start, "Disconnected", end, 0, "")
    take(context, write(tmp_path / "source.db", [session], columns=FIRST), "Europe/Berlin")
    (row,) = rows()
    assert (row[3], row[4]) == (at(expected[0]), at(expected[1]))


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_the_zone_is_the_servers_unless_told(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Without a zone, local times are in that of the server."""
    report = take(context, write(tmp_path / "source.db", [COMPLETE], columns=FIRST))
    assert [row[3] for row in rows()] == [at("2025-08-01T08:00:00Z")]
    assert (report.zone, report.local_time) == ("Europe/Berlin", True)


def test_times_of_the_second_generation_are_utc(context: Context, rows: Rows, tmp_path: Path) -> None:
    """A zone says nothing about them."""
    report = take(context, write(tmp_path / "source.db", [COMPLETE]), "Europe/Berlin")
    assert [row[3] for row in rows()] == [at(T1)]
    assert report.zone == "UTC"


def test_a_refused_row_keeps_nobody_out(context: Context, rows: Rows, tmp_path: Path) -> None:
    """What cannot become a session is counted under its reason, with examples, and the rest comes in."""
    bad = [
        ("Internet", *COMPLETE[1:]),
        (None, *COMPLETE[1:]),
        (123, *COMPLETE[1:]),
        (b"\xff\xfe", *COMPLETE[1:]),
        (A, "nowhere", *COMPLETE[2:]),
        (A, IP, "Connected", "x" * 1000, "Disconnected", T2, 0, ""),
        (A, IP, "Connected", T1, "Disconnected", "2025-02-30 10:00:00", 0, ""),
        (A, IP, "Connected", None, "Disconnected", None, 0, ""),
        (A, IP, "Connected", T2, "Disconnected", T1, 0, ""),
        (A, IP, "e" * 101, T1, "Disconnected", T2, 0, ""),
        (A, IP, "Connected", T1, "Disconnected", T2, 0, b"\xff"),
        (A, IP, "Connected", T1, "e" * 101, T2, 0, ""),
    ]
    report = take(context, write(tmp_path / "source.db", [*bad, *EVERY_KIND]))
    assert {reason: refusals.count for reason, refusals in report.refused.items()} == {
        "no MAC address": 4,
        "no IP address": 1,
        "unreadable connection time": 1,
        "unreadable disconnection time": 1,
        "neither end has a time": 1,
        "end before start": 1,
        "unreadable connection event": 1,
        "unreadable info": 1,
        "unreadable disconnection event": 1,
    }
    assert report.refused["neither end has a time"].examples == [(8, repr(A))]
    assert report.refused["end before start"].examples == [(9, repr(T1))]
    assert report.refused["no MAC address"].examples == [(1, "'Internet'"), (2, "'None'"), (3, "'123'")]
    ((rowid, value),) = report.refused["unreadable connection time"].examples
    assert (rowid, len(value)) == (6, 100)
    assert report.imported == len(rows()) == 4


def test_a_refused_device_keeps_nobody_out(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """Its name is counted under the reason, with the row and the value; its sessions come in."""
    file = write(tmp_path / "source.db", [COMPLETE])
    bad = [("nowhere", "Phone", "Ann"), (B, "n" * 300, "Ann"), (C, "Phone", "o" * 300)]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM Devices")
        connection.executemany("INSERT INTO Devices VALUES (?, ?, ?)", bad)
    report = take(context, file)
    shown = {reason: found.examples for reason, found in report.devices_refused.items()}
    assert {reason: [line for line, _ in found] for reason, found in shown.items()} == {
        "no MAC address": [1],
        "unreadable name": [2],
        "unreadable owner": [3],
    }
    assert shown["no MAC address"] == [(1, "'nowhere'")]
    assert shown["unreadable owner"][0][1].startswith("'ooo")
    assert device_rows(url) == [(A.upper(), None, None)]
    assert len(rows()) == 1


def test_what_is_imported_is_counted_as_written(context: Context, tmp_path: Path) -> None:
    """Once, and what a dry run undoes is not."""
    counted: list[int] = []
    telling = replace(context, on_written=counted.append)
    file = write(tmp_path / "source.db", EVERY_KIND)
    take(telling, file, dry_run=True)
    assert counted == []
    take(telling, file)
    take(telling, file)
    take(telling, write(tmp_path / "later.db", [(*OPEN[:4], "Disconnected", T2, 0, "")]))
    assert counted == [4, 0, 1]


def test_each_is_counted_that_was_there_is_completed_or_lacks_an_end(context: Context, tmp_path: Path) -> None:
    """Of several, all."""
    macs, ended = (A, B, C), ("Disconnected", T2, 0, "")
    report = take(context, write(tmp_path / "missing.db", [(mac, *NO_END[1:]) for mac in macs]))
    assert (report.imported, report.missing_disconnection) == (3, 3)
    opened = write(tmp_path / "open.db", [(mac, *OPEN[1:]) for mac in macs])
    closed = write(tmp_path / "closed.db", [(mac, *OPEN[1:4], *ended) for mac in macs])
    assert take(context, opened).imported == 3
    assert take(context, closed).completed == 3
    assert take(context, opened).already_there == 3
    assert take(context, closed).already_there == 3


def test_what_was_seen_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little room there is to remember it; of a few in much room, nothing else is."""
    seen = storing._Seen()
    assert [seen.add(A, n, IP) for n in range(100)].count(True) <= 1
    monkeypatch.setattr("resolvers.imports.session_writer.SEEN_BITS", 64)
    crowded = storing._Seen()
    for n in range(1000):
        crowded.add(A, n, IP)
    assert all(crowded.add(A, n, IP) for n in range(1000))


def test_an_import_that_is_broken_off_leaves_nothing(
    context: Context, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever broke it off goes on when the store has given it up, and not before."""
    monkeypatch.setattr("resolvers.imports.importer.STEP", 1)
    file = write(tmp_path / "source.db", EVERY_KIND)
    write_, ended = context.store.write, []

    async def noted(change: Any, **how: Any) -> Any:
        try:
            return await write_(change, **how)
        finally:
            ended.append(True)

    async def broken_off() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(_: int, __: int) -> None:
            loop.call_soon_threadsafe(begun.set)
            time.sleep(0.2)

        importing = asyncio.create_task(import_file(context, file, None, dry_run=False, progress=progress))
        await begun.wait()
        importing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await importing
        assert ended == [True]

    monkeypatch.setattr(context.store, "write", noted)
    run_(broken_off())
    assert rows() == []


@pytest.mark.parametrize("beside", ["nothing", "log", "log of a running program"])
@pytest.mark.parametrize("wal", [False, True])
def test_the_source_is_not_touched(context: Context, rows: Rows, tmp_path: Path, wal: bool, beside: str) -> None:
    """Reading changes no byte of the file, puts nothing beside it, and sees what is still in a write-ahead log."""
    made = write(tmp_path / "made.db", EVERY_KIND, wal=wal)
    folder = tmp_path / "source ?#%"
    folder.mkdir()
    with closing(sqlite3.connect(made)) as running:
        if beside != "nothing":
            running.execute("INSERT INTO Sessions SELECT ?, * FROM (SELECT ?, ?, ?, ?, ?, ?, ?)", (C, *COMPLETE[1:]))
            running.commit()
        suffixes = {"nothing": [""], "log": ["", "-wal"]}.get(beside, ["", "-wal", "-shm"])
        for suffix in suffixes:
            if (part := made.with_name(made.name + suffix)).exists():
                shutil.copy(part, folder)
    before = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in folder.iterdir()}
    assert ("made.db-wal" in before) == (wal and beside != "nothing")
    take(context, folder / "made.db")
    after = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in folder.iterdir()}
    assert set(after) == set(before)
    assert after["made.db"] == before["made.db"]
    assert after.get("made.db-wal") == before.get("made.db-wal")
    assert len(rows()) == (4 if beside == "nothing" else 5)


def damaged(tmp_path: Path) -> Path:
    """A source whose rows can be counted, and read up to its middle."""
    ordinary = [(A, IP, "Connected", str(utc(at(T1) + n * 10**9))[:19], "", "", 0, "") for n in range(3000)]
    long = (A, IP, "Connected", T2, "", "", 0, "x" * 9000)
    source = write(tmp_path / "damaged.db", [*ordinary[:2000], long, *ordinary[2000:]])
    content = bytearray(source.read_bytes())
    overflow = content.index(b"x" * 4092) // 4096 * 4096
    # The long text goes on in pages of its own, each of which names the next: this one leads nowhere.
    content[overflow : overflow + 4] = b"\xff" * 4
    source.write_bytes(content)
    return source


def test_a_damaged_file_leaves_nothing(url: str, rows: Rows, tmp_path: Path) -> None:
    """A file that breaks off in its middle is refused in one sentence, with all that came before."""
    result = run(url, import_command, str(damaged(tmp_path)))
    assert result.exit_code == 1
    assert "malformed" in result.stderr
    assert rows() == []
    assert device_rows(url) == []


def test_damage_is_met_after_rows_were_taken(context: Context, tmp_path: Path) -> None:
    """The damaged file of the test above really breaks inside the change, after rows were carried out."""
    seen: list[int] = []
    with pytest.raises(SourceError):
        run_(import_file(context, damaged(tmp_path), None, dry_run=False, progress=lambda read, _: seen.append(read)))
    assert seen


def _missing(_: Path) -> None:
    pass


def _folder(file: Path) -> None:
    file.mkdir()


def _text(file: Path) -> None:
    file.write_text("mac,ip,start\n" * 100)


def _empty(file: Path) -> None:
    file.touch()


def _cut(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


def _truncated(file: Path) -> None:
    file.write_bytes(write(file, EVERY_KIND).read_bytes()[:8192])


def _foreign(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE Sessions (id INTEGER, token TEXT)")


def _no_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE Devices (devMac STRING, devName STRING, devOwner STRING)")


def _cut_in_last_page(file: Path) -> None:
    content = write(file, [(A, IP, "Connected", T1, "", "", 0, str(n) * 50) for n in range(99)]).read_bytes()
    file.write_bytes(content[:-1000])


def _no_text_in_schema(file: Path) -> None:
    content = write(file, EVERY_KIND).read_bytes()
    file.write_bytes(content.replace(b"CREATE TABLE Sessions", b"CREATE TABL\xe5 Sessions"))


DAMAGED = [_cut, _truncated, _cut_in_last_page, _no_text_in_schema]


@pytest.mark.parametrize("make", [_missing, _folder, _text, _empty, _foreign, _no_table, *DAMAGED])
def test_what_is_not_such_a_database_is_refused(url: str, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """One sentence that names the file, exit code 1, no traceback."""
    make(tmp_path / "source.db")
    result = run(url, import_command, str(tmp_path / "source.db"))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    sentence = result.stderr.strip()
    assert sentence.startswith(f"Error: {tmp_path / 'source.db'} ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_name_that_no_file_can_have_is_refused(url: str) -> None:
    """The sentence of a file that is not there, and no traceback."""
    result = run(url, import_command, "x" * 300)
    assert result.exit_code == 1
    assert "cannot be read (File name too long)" in result.stderr


def test_a_dry_run_leaves_nothing(url: str, rows: Rows, tmp_path: Path) -> None:
    """It reports what an import would do, and does nothing."""
    source = write(tmp_path / "source.db", [*EVERY_KIND, ("Internet", *COMPLETE[1:])])
    dry = run(url, import_command, "--dry-run", str(source))
    assert dry.exit_code == 0, dry.stderr
    assert rows() == []
    assert device_rows(url) == []
    wet = run(url, import_command, str(source))
    assert dry.stdout.replace("This was a dry run: nothing was stored.\n", "") == wet.stdout
    assert dry.stdout != wet.stdout
    assert len(rows()) == 4


def test_the_command_prints_the_reconciliation(tmp_path: Path) -> None:
    """Every row that was read is accounted for in print; a folder that is not there yet is made for its owner alone."""
    source = write(tmp_path / "source.db", [*EVERY_KIND, ("Internet", *COMPLETE[1:])])
    path = tmp_path / "new" / "netsessions.db"
    result = run(f"sqlite:///{path}", import_command, "--timezone", "Europe/Berlin", str(source))
    assert result.exit_code == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert "Sessions read: 5 imported 4 still connected 1 connection missing 1 disconnection missing 1" in words
    assert "completed 0 already there 0 refused 1 no MAC address: 1 row 5: 'Internet' Devices named: 2" in words
    assert "Europe/Berlin is ignored" in result.stderr
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_an_unknown_zone_is_refused(url: str, tmp_path: Path) -> None:
    """A zone that does not exist is a mistake of usage."""
    result = run(url, import_command, "--timezone", "Mars/Olympus", str(write(tmp_path / "source.db", [])))
    assert result.exit_code == 2
    assert "Mars/Olympus" in result.stderr


def test_the_demo_shows_every_state_and_event(context: Context, rows: Rows) -> None:
    """Fifty devices over ninety days up to now, each state and each type of event among their sessions."""
    counted: list[int] = []
    made = run_(make_demo(replace(context, on_written=counted.append)))
    found = rows()
    assert made.sessions == len(found) > 1000
    assert counted == [len(found)]
    assert len({row[0] for row in found}) == made.devices == 50
    assert {row[8] for row in found} == {"CONNECTED", "COMPLETE", "MISSING_CONNECTION", "MISSING_DISCONNECTION"}
    assert set(made.event_types) == {
        "Connected",
        "New Device",
        "Down Reconnected",
        "Disconnected",
        "Device Down",
        "VOIDED - Connected",
        "VOIDED - Disconnected",
    }
    ends = [end for row in found for end in row[3:5] if end is not None]
    assert at("2025-05-22T12:00:00Z") <= min(ends)
    assert max(ends) <= at(NOW)
    states = Counter(row[8] for row in found)
    assert made.connected == states["CONNECTED"]
    assert made.missing_connection == states["MISSING_CONNECTION"]
    assert made.missing_disconnection == states["MISSING_DISCONNECTION"]
    stays = [(row[0], row[3], row[4]) for row in found if row[3] is not None]
    assert all(end is None or start < end for _, start, end in stays)
    # Nobody is there twice at once.
    for one, next_ in pairwise(sorted(stays, key=itemgetter(0, 1))):
        assert one[0] != next_[0] or (one[2] or one[1]) < next_[1]


def test_the_demo_is_the_same_within_the_hour(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Made again elsewhere half an hour later, it has the same sessions."""
    other = f"sqlite:///{tmp_path / 'other.db'}"
    migrate(other)

    async def again() -> Any:
        store = await open_store(other)
        try:
            clock = Clock(ZoneInfo("UTC"), time=lambda: at("2025-08-20T12:30:00Z"))
            return await make_demo(replace(context, store=store, clock=clock))
        finally:
            await store.close()

    assert run_(make_demo(context)) == run_(again())
    assert without_ids(sql(other, "SELECT * FROM session")) == without_ids(rows())


def test_the_demo_refuses_a_store_with_sessions(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """Invented sessions are not mixed with recorded ones: one sentence, exit code 1, nothing stored."""
    take(context, write(tmp_path / "source.db", [COMPLETE]))
    before = rows()
    with pytest.raises(NotEmptyError):
        run_(make_demo(context))
    result = run(url, demo_command)
    assert result.exit_code == 1
    assert "holds sessions already" in result.stderr
    assert rows() == before


def test_the_demo_command_prints_what_it_made(tmp_path: Path, url: str, rows: Rows) -> None:
    """It says how many sessions of how many devices there are now."""
    result = run(url, demo_command)
    assert result.exit_code == 0, result.stderr
    assert f"Made {len(rows()):,} sessions of 50 devices over the last 90 days" in result.stdout


def test_the_store_itself_is_no_source(tmp_path: Path) -> None:
    """It is refused before it is opened a second time."""
    path = tmp_path / "netsessions.db"
    migrate(f"sqlite:///{path}")
    result = run(f"sqlite:///{path}", import_command, str(path))
    assert result.exit_code == 1
    assert "is the store itself" in result.output


few_times = st.sampled_from(
    [T1, T2, "2025-08-01T12:00:00+00:00", "2025-08-01 12:00:00Z", "2025-10-26 02:30:00", "soon", None, ""]
)
source_rows = st.lists(
    st.tuples(
        st.sampled_from([A, A.upper(), B, "nonsense"]),
        st.sampled_from([IP, "::1", 7]),
        st.sampled_from(["Connected", "New Device", MISSING, None]),
        few_times,
        st.sampled_from(["Disconnected", MISSING, None, ""]),
        few_times,
        st.sampled_from([0, 1, None]),
        st.sampled_from(["", "x", 0, None]),
    ),
    max_size=25,
)


@pytest.fixture(scope="module", params=DATABASES)
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two databases of one kind."""
    return {name: new_database(request.param, tmp_path_factory.mktemp(name)) for name in ("batches", "each")}


@settings(max_examples=40, deadline=None)
@given(known=source_rows, rows=source_rows, step=st.sampled_from([1, 3, 1000]))
def test_what_is_stored_in_batches_is_what_one_row_after_the_other_gives(
    databases: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    known: list[tuple[Any, ...]],
    rows: list[tuple[Any, ...]],
    step: int,
) -> None:
    """Repeated rows, later looks at an open stay, refusals: whatever a source holds, into an empty store or not."""
    folder = tmp_path_factory.mktemp("batches")
    first, second = write(folder / "known.db", known), write(folder / "rows.db", rows)
    outcomes = []
    for name in ("batches", "each"):
        url = databases[name]
        sql(url, "DELETE FROM session")
        sql(url, "DELETE FROM device")
        store = run_(open_store(url))
        context = Context(store, Clock(ZoneInfo("Europe/Berlin"), time=lambda: at(NOW)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("resolvers.imports.session_writer.STEP", step)
            if name == "each":
                patch.setattr("resolvers.imports.session_writer._Seen.add", lambda *_: True)
            reports = [take(context, first), take(context, second)]
        run_(store.close())
        held, devices = sql(url, "SELECT * FROM session"), device_rows(url)
        outcomes.append((reports, sorted(map(repr, (row[:1] + row[2:] for row in held))), devices))
    assert outcomes[0] == outcomes[1]


@given(
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}([+-][0-9]{2}:[0-9]{2})?", fullmatch=True)
)
@example("2025-03-30 02:30:00")
@example("2025-10-26 02:30:00")
@example("2025-W01-1T10:00:00")
@example("20250801T10:00:00.0")
def test_usual_times_are_read_as_all_others_are(text: str) -> None:
    """The short way for the times that sources hold leads where the long one does."""
    berlin = ZoneInfo("Europe/Berlin")
    usual = _usual(text, berlin)
    try:
        expected = _instant(text, berlin)
    except ValueError:
        expected = None
    assert usual in (expected, None)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-08-01T12:00+02", "2025-08-01T10:00Z"),
        ("2025-08-01 03:00:00.5-07:00", "2025-08-01T10:00:00.5Z"),
        ("2025-08-01T10:00Z", "2025-08-01T10:00Z"),
        ("2025-08-01 12:00", "2025-08-01T10:00Z"),
    ],
)
def test_unusual_times_are_of_their_offset_or_of_the_zone(text: str, utc: str) -> None:
    """An offset stands for itself, wherever the file is from."""
    assert _usual(text, ZoneInfo("Europe/Berlin")) is None
    assert _instant(text, ZoneInfo("Europe/Berlin")) == at(utc)
