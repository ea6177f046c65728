"""Importing NetAlertX and Pi.Alert databases."""

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.context import Context
from resolvers.imports.importer import import_file
from resolvers.validation.clock import Clock
from storage.opening import open_store
from tests.conftest import DATABASES, NOW, at, new_database, run, sql
from tests.support.imports import (
    Rows,
    device_rows,
    distinct_sessions,
    import_and_check,
)
from tests.support.netalertx import (
    ALL_STATES,
    COMPLETE,
    IP,
    MISSING,
    NO_END,
    OPEN,
    SCHEMAS,
    SNAKE_CASE_SESSIONS,
    T1,
    T2,
    A,
    B,
    C,
    write_database,
)


@pytest.mark.parametrize(("columns", "devices"), SCHEMAS, ids=["snake-case", "camel-case", "pi-alert"])
def test_every_schema_gives_the_same_sessions(
    context: Context, url: str, rows: Rows, tmp_path: Path, columns: str, devices: str
) -> None:
    """Open and missing ends keep their meaning."""
    report = import_and_check(
        context, write_database(tmp_path / "source.db", ALL_STATES, columns=columns, devices=devices)
    )
    mac_a, mac_b, mac_c = A.upper(), B.upper(), C.upper()
    assert distinct_sessions(rows()) == {
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
def test_the_state_of_a_session_is_derived_from_its_row(
    context: Context, rows: Rows, tmp_path: Path, events: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    """A time takes precedence over an event. An end without a time is open or missing, as the row marks it."""
    import_and_check(context, write_database(tmp_path / "source.db", [(A, IP, *events, "")]))
    (row,) = rows()
    assert (row[5], row[6], row[8]) == expected


def test_a_second_import_adds_nothing(context: Context, rows: Rows, tmp_path: Path) -> None:
    """All sessions are already there."""
    source = write_database(tmp_path / "source.db", ALL_STATES)
    import_and_check(context, source)
    before = rows()
    report = import_and_check(context, source)
    assert (report.imported, report.completed, report.already_there, report.devices_named) == (0, 0, 4, 0)
    assert rows() == before


@pytest.mark.parametrize(
    "later", [(B, IP, "Connected", T1, "Disconnected", T2, 0, ""), (B, IP, "Connected", T1, MISSING, None, 0, "")]
)
def test_a_later_file_ends_an_open_session(
    context: Context, rows: Rows, tmp_path: Path, later: tuple[Any, ...]
) -> None:
    """An older file does not reopen it."""
    older, newer = write_database(tmp_path / "older.db", [OPEN]), write_database(tmp_path / "newer.db", [later])
    import_and_check(context, older)
    (before,) = rows()
    report = import_and_check(context, newer)
    assert (report.imported, report.completed, report.already_there) == (0, 1, 0)
    (row,) = rows()
    assert row[:2] == before[:2]
    assert row[4] == (at(T2) if later[5] else None)
    assert row[6] == later[4]
    for file in (older, newer):
        report = import_and_check(context, file)
        assert (report.imported, report.completed, report.already_there) == (0, 0, 1)
    assert rows() == [row]


def test_an_import_does_not_replace_names(context: Context, url: str, tmp_path: Path) -> None:
    """It sets only empty names and owners."""
    sql(url, f"INSERT INTO device VALUES ('{A.upper()}', 'Mine', NULL), ('{C.upper()}', 'Mine', 'Me')")
    report = import_and_check(context, write_database(tmp_path / "source.db", []))
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
def test_snake_case_databases_have_local_times(
    context: Context, rows: Rows, tmp_path: Path, start: str, end: str, expected: tuple[str, str]
) -> None:
    """They are read in the given zone, also at a change of the clocks."""
    session = (A, IP, "Connected", start, "Disconnected", end, 0, "")
    import_and_check(
        context, write_database(tmp_path / "source.db", [session], columns=SNAKE_CASE_SESSIONS), zone="Europe/Berlin"
    )
    (row,) = rows()
    assert (row[3], row[4]) == (at(expected[0]), at(expected[1]))


@pytest.mark.parametrize("zone", ["Europe/Berlin"])
def test_the_default_zone_is_that_of_the_server(context: Context, rows: Rows, tmp_path: Path) -> None:
    report = import_and_check(context, write_database(tmp_path / "source.db", [COMPLETE], columns=SNAKE_CASE_SESSIONS))
    assert [row[3] for row in rows()] == [at("2025-08-01T08:00:00Z")]
    assert (report.zone, report.has_local_times) == ("Europe/Berlin", True)


def test_camel_case_databases_have_utc_times(context: Context, rows: Rows, tmp_path: Path) -> None:
    """The zone is ignored."""
    report = import_and_check(context, write_database(tmp_path / "source.db", [COMPLETE]), zone="Europe/Berlin")
    assert [row[3] for row in rows()] == [at(T1)]
    assert report.zone == "UTC"


def test_invalid_rows_are_rejected_and_others_imported(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Rejections are counted by reason, with examples."""
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
    report = import_and_check(context, write_database(tmp_path / "source.db", [*bad, *ALL_STATES]))
    assert {reason: rejections.count for reason, rejections in report.rejected.items()} == {
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
    assert report.rejected["neither end has a time"].examples == [(8, repr(A))]
    assert report.rejected["end before start"].examples == [(9, repr(T1))]
    assert report.rejected["no MAC address"].examples == [(1, "'Internet'"), (2, "'None'"), (3, "'123'")]
    ((rowid, value),) = report.rejected["unreadable connection time"].examples
    assert (rowid, len(value)) == (6, 100)
    assert report.imported == len(rows()) == 4


def test_invalid_devices_are_rejected_and_their_sessions_imported(
    context: Context, url: str, rows: Rows, tmp_path: Path
) -> None:
    """Rejections are counted by reason, with the row and the value."""
    file = write_database(tmp_path / "source.db", [COMPLETE])
    bad = [("nowhere", "Phone", "Ann"), (B, "n" * 300, "Ann"), (C, "Phone", "o" * 300)]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM Devices")
        connection.executemany("INSERT INTO Devices VALUES (?, ?, ?)", bad)
    report = import_and_check(context, file)
    examples = {reason: rejections.examples for reason, rejections in report.rejected_devices.items()}
    assert {reason: [line for line, _ in entries] for reason, entries in examples.items()} == {
        "no MAC address": [1],
        "unreadable name": [2],
        "unreadable owner": [3],
    }
    assert examples["no MAC address"] == [(1, "'nowhere'")]
    assert examples["unreadable owner"][0][1].startswith("'ooo")
    assert device_rows(url) == [(A.upper(), None, None)]
    assert len(rows()) == 1


def test_imported_sessions_are_counted_as_written(context: Context, tmp_path: Path) -> None:
    """Sessions of a dry run are not."""
    counted: list[int] = []
    counting_context = replace(context, on_written=counted.append)
    file = write_database(tmp_path / "source.db", ALL_STATES)
    import_and_check(counting_context, file, dry_run=True)
    assert counted == []
    import_and_check(counting_context, file)
    import_and_check(counting_context, file)
    import_and_check(counting_context, write_database(tmp_path / "later.db", [(*OPEN[:4], "Disconnected", T2, 0, "")]))
    assert counted == [4, 0, 1]


def test_the_report_counts_every_session(context: Context, tmp_path: Path) -> None:
    """Existing, completed and incomplete ones."""
    macs, ended = (A, B, C), ("Disconnected", T2, 0, "")
    report = import_and_check(context, write_database(tmp_path / "missing.db", [(mac, *NO_END[1:]) for mac in macs]))
    assert (report.imported, report.missing_disconnection) == (3, 3)
    opened = write_database(tmp_path / "open.db", [(mac, *OPEN[1:]) for mac in macs])
    closed = write_database(tmp_path / "closed.db", [(mac, *OPEN[1:4], *ended) for mac in macs])
    assert import_and_check(context, opened).imported == 3
    assert import_and_check(context, closed).completed == 3
    assert import_and_check(context, opened).already_there == 3
    assert import_and_check(context, closed).already_there == 3


def test_a_cancelled_import_stores_nothing(
    context: Context, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller continues only after the store has rolled back."""
    monkeypatch.setattr("resolvers.imports.importer.BATCH_SIZE", 1)
    file = write_database(tmp_path / "source.db", ALL_STATES)
    original_write, ended = context.store.write, []

    async def observed_write(unit_of_work: Any, **options: Any) -> Any:
        try:
            return await original_write(unit_of_work, **options)
        finally:
            ended.append(True)

    async def cancel_import() -> None:
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(_: int, __: int) -> None:
            loop.call_soon_threadsafe(started.set)
            time.sleep(0.2)

        importing = asyncio.create_task(import_file(context, file, None, dry_run=False, progress=progress))
        await started.wait()
        importing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await importing
        assert ended == [True]

    monkeypatch.setattr(context.store, "write", observed_write)
    run(cancel_import())
    assert rows() == []


source_times = st.sampled_from(
    [T1, T2, "2025-08-01T12:00:00+00:00", "2025-08-01 12:00:00Z", "2025-10-26 02:30:00", "soon", None, ""]
)

source_rows = st.lists(
    st.tuples(
        st.sampled_from([A, A.upper(), B, "nonsense"]),
        st.sampled_from([IP, "::1", 7]),
        st.sampled_from(["Connected", "New Device", MISSING, None]),
        source_times,
        st.sampled_from(["Disconnected", MISSING, None, ""]),
        source_times,
        st.sampled_from([0, 1, None]),
        st.sampled_from(["", "x", 0, None]),
    ),
    max_size=25,
)


@pytest.fixture(scope="module", params=DATABASES)
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two databases of one kind."""
    return {name: new_database(request.param, tmp_path_factory.mktemp(name)) for name in ("batches", "single rows")}


@settings(max_examples=40)
@given(existing=source_rows, rows=source_rows, step=st.sampled_from([1, 3, 1000]))
def test_writing_in_batches_equals_writing_row_by_row(
    databases: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    existing: list[tuple[Any, ...]],
    rows: list[tuple[Any, ...]],
    step: int,
) -> None:
    """For repeated, ended and rejected rows, in an empty store or not."""
    folder = tmp_path_factory.mktemp("batches")
    first, second = write_database(folder / "existing.db", existing), write_database(folder / "rows.db", rows)
    outcomes = []
    for name in ("batches", "single rows"):
        url = databases[name]
        sql(url, "DELETE FROM session")
        sql(url, "DELETE FROM device")
        store = run(open_store(url))
        context = Context(store, Clock(ZoneInfo("Europe/Berlin"), time=lambda: at(NOW)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("resolvers.imports.session_writer.BATCH_SIZE", step)
            if name == "single rows":
                patch.setattr("resolvers.imports.session_writer._SessionFilter.add", lambda *_: True)
            reports = [import_and_check(context, first), import_and_check(context, second)]
        run(store.close())
        sessions, devices = sql(url, "SELECT * FROM session"), device_rows(url)
        outcomes.append((reports, sorted(map(repr, (row[:1] + row[2:] for row in sessions))), devices))
    assert outcomes[0] == outcomes[1]
