"""Copying one database into another: the result equals the source, or the copy fails and says why."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from resolvers.context import Context
from resolvers.maintenance import copy as copy_module
from resolvers.maintenance.copy import DatabasesDifferError, copy_database
from resolvers.validation.clock import Clock
from rest_compat.app import rest_app
from storage.errors import OutcomeUnknownError
from storage.migrations import migrate
from storage.opening import open_store
from storage.store import Store, UnitOfWork
from tests.conftest import AUDIT_STAMP, DATABASES, MAC, NOW, at, make_client, new_database, run, sql
from tests.integration.test_maintenance import INSERT_HISTORY, OLD_AND_NEW_SESSIONS, run_command
from tests.support.rows import past_session, stored_ids


def no_progress(*_: Any) -> None:
    """Ignore the progress of a copy."""


@pytest.mark.parametrize("source_kind", DATABASES)
@pytest.mark.parametrize("target_kind", DATABASES)
def test_copy_contains_every_row_of_the_source(
    tmp_path_factory: pytest.TempPathFactory, source_kind: str, target_kind: str
) -> None:
    """On either database. A second copy finds that everything is there."""
    kinds = (source_kind, target_kind)
    source, target = (new_database(kind, tmp_path_factory.mktemp("copy")) for kind in kinds)
    store = run(open_store(source))
    run(store.insert_sessions(OLD_AND_NEW_SESSIONS, AUDIT_STAMP))
    run(store.close())
    sql(source, "UPDATE session SET live = 1, last_seen_at = 1, last_reported_at = 2 WHERE id = 7")
    sql(source, "UPDATE device SET name = 'Phone' WHERE mac = 'AA:BB:CC:DD:EE:03'")
    sql(source, "INSERT INTO device VALUES ('AA:BB:CC:DD:EE:99', 'Away', 'Ada')")
    sql(source, "INSERT INTO token VALUES ('phone', 'digest', 'calendar', 1, NULL), ('script', 'other', 'write', 2, 3)")
    sql(source, "INSERT INTO accounting VALUES ('nas', 'a', 'AA:BB:CC:DD:EE:03', 3, 1)")
    sql(source, "INSERT INTO answer VALUES ('key', 'hash', 1, 'message'), ('other', 'hash', 2, NULL)")
    for n in (1, 2):
        sql(source, INSERT_HISTORY.format(n))
    result = run_command(source, "copy", source, target)
    assert result.exit_code == 0, result.output
    both = r"Both databases contain 12 sessions \(checksum [0-9a-f]{16}\) and 6 devices\."
    assert re.fullmatch(f"Copied 12 sessions. {both}\n", result.output)
    assert "Copied 0 sessions. Both databases contain 12" in run_command(source, "copy", source, target).output
    keys = {"session": "mac, id", "device": "mac", "token": "name", "accounting": "nas", "answer": "key"}
    for table, key in keys.items():
        query = f"SELECT * FROM {table} ORDER BY {key}"
        assert sql(target, query) == sql(source, query)
    history = "SELECT at, kind, mac, id, who, before, after FROM change WHERE before IS NOT NULL ORDER BY seq"
    assert sql(target, history) == sql(source, history)
    assert len(sql(target, history)) == 2


def report_live(url: str, *reports: tuple[str, str]) -> None:
    """Send start and stop reports of one device, each with a time of the same day, to the REST API."""
    store = run(open_store(url))
    client = make_client(rest_app(Context(store, Clock(ZoneInfo("UTC"), time=lambda: at(NOW)))))
    for kind, time in reports:
        body = {"mac": MAC, "ip": "10.0.0.1", "at": f"2025-08-20T{time}Z"}
        assert client.post(f"/{kind}", json=body).status_code == 200
    run(store.close())


@pytest.mark.parametrize("source_kind", DATABASES)
@pytest.mark.parametrize("target_kind", DATABASES)
def test_late_stop_has_the_same_result_on_a_copy(
    tmp_path_factory: pytest.TempPathFactory, source_kind: str, target_kind: str
) -> None:
    """The copy knows the last repeated start report: after a stop of an earlier time, the device is still connected."""
    kinds = (source_kind, target_kind)
    original, copied = (new_database(kind, tmp_path_factory.mktemp("copy")) for kind in kinds)
    report_live(original, ("start", "10:00:00"), ("start", "11:00:00"))
    assert run_command(original, "copy", original, copied).exit_code == 0
    for url in (original, copied):
        report_live(url, ("stop", "10:30:00"))
    query = "SELECT mac, ip, connected_at, disconnected_at, state, live, last_seen_at FROM session ORDER BY starts_at"
    rows = sql(original, query)
    assert [row[4] for row in rows] == ["COMPLETE", "CONNECTED"]
    assert sql(copied, query) == rows


async def _open_stores(*urls: str) -> list[Store]:
    return [await open_store(url) for url in urls]


@pytest.mark.parametrize("target_kind", DATABASES)
def test_repeated_copy_completes_an_interrupted_one(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, target_kind: str
) -> None:
    """It skips complete devices, and adds the missing sessions of the others."""
    source_url, target_url = (new_database(kind, tmp_path_factory.mktemp("copy")) for kind in ("sqlite", target_kind))
    monkeypatch.setattr("resolvers.maintenance.copy.BATCH", 2)
    monkeypatch.setattr("storage.sqlite.store.CHUNK_ROWS", 2)
    source, target = run(_open_stores(source_url, target_url))
    run(source.insert_sessions([past_session(n) for n in range(20)], AUDIT_STAMP))

    copied_counts = []

    def interrupt(step: str, count: int) -> None:
        copied_counts.append(count if step == "Copying" else 0)
        if sum(copied_counts) >= 6:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(copy_database(source, target, interrupt))
    assert 6 <= len(stored_ids(target_url)) < 20
    existing, steps = len(stored_ids(target_url)), Counter[str]()
    report = run(copy_database(source, target, lambda step, count: steps.update({step: count})))
    assert report.sessions == 20
    assert report.copied < 20
    assert steps == {"Reading": 20, "Comparing": existing, "Copying": report.copied, "Verifying": 20}
    assert stored_ids(target_url) == list(range(20))
    run(source.close())
    run(target.close())


@pytest.fixture
def source_url(tmp_path: Path) -> str:
    """The URL of a second database, empty and migrated."""
    url = f"sqlite:///{tmp_path / 'source.db'}"
    migrate(url)
    return url


@pytest.fixture
def source(source_url: str) -> Iterator[Store]:
    """The store of the second database, to copy from."""
    store = run(open_store(source_url))
    yield store
    run(store.close())


def test_copy_whose_commit_got_no_response_is_complete(
    context: Context, url: str, source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was stored before the connection was lost is stored once."""
    run(source.insert_sessions([past_session(1), past_session(2)], AUDIT_STAMP))
    write = context.store.write
    writes: list[UnitOfWork[Any]] = []

    async def lose_second_response(unit_of_work: UnitOfWork[Any]) -> Any:
        result = await write(unit_of_work)
        writes.append(unit_of_work)
        if len(writes) == 2:  # the first one inserts the devices
            raise OutcomeUnknownError
        return result

    monkeypatch.setattr(context.store, "write", lose_second_response)
    assert run(copy_database(source, context.store, no_progress)).sessions == 2
    assert len(writes) == 4
    assert stored_ids(url) == [1, 2]


def test_checksum_changes_with_every_added_session(context: Context, source: Store) -> None:
    checksums = []
    for n in range(16):
        run(source.insert_sessions([past_session(n)], AUDIT_STAMP))
        checksums.append(run(copy_database(source, context.store, no_progress)).checksum)
    assert len(set(checksums)) == 16
    assert all(re.fullmatch("[0-9a-f]{16}", checksum) for checksum in checksums)


def test_copy_reports_writes_to_the_target_meanwhile(
    context: Context, source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_other_tables = copy_module._copy_other_tables
    run(source.insert_sessions([past_session(1)], AUDIT_STAMP))

    async def copy_and_write(source: Store, target: Store) -> None:
        await copy_other_tables(source, target)
        await target.insert_sessions([past_session(2)], AUDIT_STAMP)

    monkeypatch.setattr("resolvers.maintenance.copy._copy_other_tables", copy_and_write)
    with pytest.raises(DatabasesDifferError) as error:
        run(copy_database(source, context.store, no_progress))
    assert str(error.value) == (
        "Source and target differ in AA:BB:CC:DD:EE:02. If a server writes to one of them, stop it and copy again; "
        "otherwise copy into an empty database."
    )


def test_copy_into_a_database_with_other_sessions_changes_nothing(
    context: Context, url: str, source: Store, tmp_path: Path
) -> None:
    """A source that does not exist, or is the target, is rejected too."""
    missing = f"sqlite:///{tmp_path / 'missing.db'}"
    assert "does not exist" in run_command(missing, "copy", missing, url).output
    run(source.insert_sessions([past_session(1)], AUDIT_STAMP))
    run(context.store.insert_sessions([past_session(2)], AUDIT_STAMP))
    with pytest.raises(DatabasesDifferError, match="source does not contain"):
        run(copy_database(source, context.store, no_progress))
    assert stored_ids(url) == [2]
    assert "same database" in run_command(url, "copy", url, url).output


@pytest.mark.parametrize(
    ("source_change", "target_change"),
    [
        ("UPDATE session SET info = 'a'", "UPDATE session SET info = 'b'"),
        ("UPDATE device SET name = 'a'", "UPDATE device SET name = 'b'"),
    ],
)
def test_copy_reports_rows_that_differ_and_keeps_them(
    context: Context, url: str, source_url: str, source: Store, source_change: str, target_change: str
) -> None:
    """An equal number of sessions is not enough."""
    for store in (source, context.store):
        run(store.insert_sessions([past_session(1)], AUDIT_STAMP))
    sql(source_url, source_change)
    sql(url, target_change)
    with pytest.raises(DatabasesDifferError, match=r"^Source and target differ in AA:BB:CC:DD:EE:01\. If"):
        run(copy_database(source, context.store, no_progress))
    assert sql(url, "SELECT count(*) FROM session JOIN device USING (mac) WHERE 'b' IN (info, name)") == [(1,)]


def test_copy_into_a_database_with_a_history_is_rejected(context: Context, url: str, source: Store) -> None:
    """Journal entries have no key by which they could be merged."""
    sql(url, INSERT_HISTORY.format(1))
    with pytest.raises(DatabasesDifferError) as error:
        run(copy_database(source, context.store, no_progress))
    assert str(error.value) == (
        "The target contains changes of sessions that the source does not contain. Copy into an empty database."
    )
