"""Backups are consistent snapshots, and restoring one keeps the previous database."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from netsessions.cli import main
from storage.migrations import migrate
from tests.conftest import new_database, sql
from tests.support.load import Load
from tests.support.rows import FIRST_COLUMNS, ROW, SESSION_KINDS, insert_statement
from tests.support.server import running


def run_command(*arguments: str | Path, url: str) -> Result:
    """Run a command of the CLI in this process."""
    return CliRunner().invoke(main, [*map(str, arguments), "--database-url", url])


def url_of(file: Path) -> str:
    """Return the database URL of a file."""
    return f"sqlite:///{file}"


def create_database(folder: Path, count: int = 5, **changed: Any) -> str:
    """Create a database with sessions, a device and a token. Return its URL."""
    folder.mkdir(exist_ok=True)
    url = new_database("sqlite", folder)
    for n in range(count):
        sql(url, insert_statement(ROW | {"id": n} | changed))
    sql(url, "INSERT INTO device VALUES ('AA:BB:CC:DD:EE:FF', 'Phone', 'Ann')")
    sql(url, "INSERT INTO token (name, digest, scope, made_at) VALUES ('phone', 'digest', 'calendar', 1)")
    return url


TABLES = ("session", "device", "token", "change", "alembic_version")


def contents(url: str) -> list[Any]:
    """Return all rows of all tables."""
    assert sql(url, "PRAGMA integrity_check") == [("ok",)]
    return [sql(url, f"SELECT * FROM {table}") for table in TABLES]


def test_backup_under_load_contains_all_acknowledged_sessions(tmp_path: Path) -> None:
    """It is one file with one snapshot, and writes continue meanwhile."""
    load = Load()
    copies = []
    with running(tmp_path) as server, load.running(server):
        for n in range(3):
            load.wait_for_acknowledged(50)
            before = set(load.acknowledged)
            file = tmp_path / f"backup-{n}.db"
            result = run_command("backup", file, url=server.database)
            assert result.exit_code == 0, result.output
            copies.append((file, before))
        assert server.stop() == 0
    assert not load.rejected
    for file, before in copies:
        copied_infos = {info for (info,) in sql(url_of(file), "SELECT info FROM session")}
        assert before <= copied_infos <= load.acknowledged
        assert sql(url_of(file), "PRAGMA integrity_check") == [("ok",)]
        # A session and its journal entry are in the same snapshot.
        assert sql(url_of(file), "SELECT count(*) FROM change") == [(len(copied_infos),)]
    assert not [name for name in os.listdir(tmp_path) if "part" in name]


def test_restored_backup_equals_the_original(tmp_path: Path) -> None:
    """Also if there was no database. Only the owner can read the backup, and there are no other files."""
    url, file = create_database(tmp_path / "a"), tmp_path / "kept.db"
    before = contents(url)
    result = run_command("backup", file, url=url)
    assert result.output == f"Wrote 5 sessions and 1 devices to {file}.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("kept.db-*"))
    target = tmp_path / "new" / "netsessions.db"
    result = run_command("restore", file, url=url_of(target))
    assert result.output == f"Restored 5 sessions and 1 devices into {target}.\n"
    assert contents(url_of(target)) == before
    assert os.listdir(target.parent) == ["netsessions.db"]


def test_backup_replaces_a_file_only_with_force(tmp_path: Path) -> None:
    """And never the database itself."""
    url, file = create_database(tmp_path / "a"), tmp_path / "kept.db"
    file.write_text("notes")
    result = run_command("backup", file, url=url)
    assert result.exit_code == 1
    assert "already exists" in result.output
    assert file.read_text() == "notes"
    assert run_command("backup", "--force", file, url=url).exit_code == 0
    assert contents(url_of(file)) == contents(url)
    result = run_command("backup", "--force", tmp_path / "a" / "netsessions.db", url=url)
    assert result.exit_code == 1
    assert "is the database itself" in result.output
    assert run_command("backup", tmp_path / "b.db", url=url_of(tmp_path / "none.db")).exit_code == 1
    assert not (tmp_path / "none.db").exists()


def test_restore_keeps_the_previous_database(tmp_path: Path) -> None:
    """It is rejected if there are sessions. With --force they are kept in another file, with those still in the log."""
    url, file = create_database(tmp_path / "a"), tmp_path / "kept.db"
    assert run_command("backup", file, url=url).exit_code == 0
    kept = contents(url)
    sql(url, insert_statement(ROW | {"id": 99}))
    before = contents(url)
    result = run_command("restore", file, url=url)
    assert result.exit_code == 1
    assert "--force" in result.output
    assert contents(url) == before
    result = run_command("restore", "--force", file, url=url)
    assert result.exit_code == 0, result.output
    assert contents(url) == kept
    (previous,) = [path for path in (tmp_path / "a").iterdir() if ".before-" in path.name]
    assert str(previous) in result.output
    assert contents(url_of(previous)) == before


def test_restore_rejects_a_missing_file_and_the_database_itself(tmp_path: Path) -> None:
    """And leaves the database unchanged."""
    url = create_database(tmp_path)
    before = contents(url)
    for file, message in (
        (tmp_path / "none.db", "does not exist"),
        (tmp_path / "netsessions.db", "is the database itself"),
    ):
        result = run_command("restore", "--force", file, url=url)
        assert (result.exit_code, message in " ".join(result.output.split())) == (1, True), result.output
    assert contents(url) == before


@pytest.mark.parametrize("damage", [b"", b"garbage " * 2000])
def test_restore_replaces_a_damaged_database(tmp_path: Path, damage: bytes) -> None:
    """With --force. The log of the damaged database is not applied to the backup, and both are kept."""
    url, file = create_database(tmp_path / "a"), tmp_path / "kept.db"
    assert run_command("backup", file, url=url).exit_code == 0
    kept = contents(url)
    database, log = tmp_path / "a" / "netsessions.db", tmp_path / "a" / "netsessions.db-wal"
    database.write_bytes(damage)
    log.write_bytes(b"the rest of its log")
    assert run_command("restore", file, url=url).exit_code == 1
    assert database.read_bytes() == damage
    assert run_command("restore", "--force", file, url=url).exit_code == 0
    assert contents(url) == kept
    (previous,) = (tmp_path / "a").glob("*.before-*Z")
    assert previous.read_bytes() == damage
    assert Path(f"{previous}-wal").read_bytes() == b"the rest of its log"


def test_restore_is_rejected_while_a_server_runs(tmp_path: Path) -> None:
    """The server keeps its database. After it has stopped, the restore succeeds."""
    file = tmp_path / "kept.db"
    other = create_database(tmp_path / "other")
    assert run_command("backup", file, url=other).exit_code == 0
    with running(tmp_path) as server:
        result = run_command("restore", file, url=server.database)
        assert result.exit_code == 1
        assert "Stop the server" in result.output
        with server.client() as client:
            assert client.get("/sessions/list").json()["sessions"] == []
        assert server.stop() == 0
    assert run_command("restore", file, url=server.database).exit_code == 0
    with running(tmp_path) as server, server.client() as client:
        assert len(client.get("/sessions/list").json()["sessions"]) == 5


@pytest.mark.parametrize("wrong", ["text", "empty", "another program's", "newer", "damaged"])
def test_restore_rejects_a_file_that_is_not_a_usable_backup(tmp_path: Path, wrong: str) -> None:
    """With a sentence that names the file. Nothing is changed or left behind."""
    file, folder = tmp_path / "kept.db", tmp_path / "a"
    url = create_database(folder)
    migrate(url_of(file))
    for n in range(500):
        sql(url_of(file), insert_statement(ROW | {"id": n}))
    match wrong:
        case "text":
            file.write_text("notes " * 1000)
        case "empty":
            os.truncate(file, 0)
        case "another program's":
            file.unlink()
            file.touch()
            sql(url_of(file), "CREATE TABLE Sessions (ses_MAC TEXT)")
        case "newer":
            sql(url_of(file), "UPDATE alembic_version SET version_num = '9999'")
        case "damaged":
            ((pages,),) = sql(url_of(file), "PRAGMA page_count")
            with file.open("r+b") as opened:
                opened.seek((pages - 1) * 4096)
                opened.write(b"\xff" * 4096)
    before, names = contents(url), sorted(os.listdir(folder))
    result = run_command("restore", "--force", file, url=url)
    assert result.exit_code == 1
    assert str(file) in result.output
    assert result.output.count("\n") == 1
    assert contents(url) == before
    assert sorted(os.listdir(folder)) == names
    if wrong == "newer":
        assert "newer release" in result.output


@pytest.mark.parametrize("revision", ["0001", "0003", "0004", "0005"])
def test_restore_migrates_a_backup_of_an_earlier_release(tmp_path: Path, revision: str) -> None:
    """Its sessions are kept, and the file is unchanged."""
    file, target = tmp_path / "old.db", tmp_path / "a" / "netsessions.db"
    migrate(url_of(file), revision)
    for n, row in enumerate(SESSION_KINDS):
        values = {name: value for name, value in (ROW | row).items() if name in FIRST_COLUMNS}
        sql(url_of(file), insert_statement(values | {"id": n}))
    before = file.read_bytes()
    result = run_command("restore", file, url=url_of(target))
    assert result.exit_code == 0, result.output
    assert file.read_bytes() == before
    fresh = new_database("sqlite", tmp_path)
    assert sql(url_of(target), "SELECT * FROM alembic_version") == sql(fresh, "SELECT * FROM alembic_version")
    assert sql(url_of(target), "SELECT count(*) FROM session") == [(len(SESSION_KINDS),)]
    # The restored database can be backed up again.
    assert run_command("backup", tmp_path / "again.db", url=url_of(target)).exit_code == 0


def test_commands_name_the_tools_of_postgresql(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    assert "pg_dump" in run_command("backup", tmp_path / "x.db", url=url).output
    assert "netsessions copy" in run_command("restore", tmp_path / "x.db", url=url).output


def test_backup_without_disk_space_leaves_the_previous_file(tmp_path: Path) -> None:
    """It reports an error and leaves no partial file."""
    url, file = create_database(tmp_path / "a", info="x" * 5000, count=50), tmp_path / "kept.db"
    file.write_text("an earlier backup")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        result = run_command("backup", "--force", file, url=url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert file.read_text() == "an earlier backup"
    assert not [name for name in os.listdir(tmp_path) if "part" in name]
