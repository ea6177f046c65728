"""A backup is whole, of one moment, and comes back; nothing that is there is lost by it."""

import os
import resource
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from netsessions.cli import main
from storage.migrations import migrate
from tests.conftest import new_database, sql
from tests.integration.test_storage import ROW, STAYS, literal
from tests.support.load import Load
from tests.support.server import running


def called(*arguments: str | Path, url: str) -> Result:
    """A command as a user calls it, in this process."""
    return CliRunner().invoke(main, [*map(str, arguments), "--database-url", url])


def url_of(file: Path) -> str:
    """The address of a file."""
    return f"sqlite:///{file}"


def filled(folder: Path, count: int = 5, **changed: Any) -> str:
    """A database of some sessions and a token."""
    folder.mkdir(exist_ok=True)
    url = new_database("sqlite", folder)
    for n in range(count):
        sql(url, literal(ROW | {"id": n} | changed))
    sql(url, "INSERT INTO device VALUES ('AA:BB:CC:DD:EE:FF', 'Phone', 'Ann')")
    sql(url, "INSERT INTO token (name, digest, scope, made_at) VALUES ('phone', 'digest', 'calendar', 1)")
    return url


TABLES = ("session", "device", "token", "change", "alembic_version")


def content(url: str) -> list[Any]:
    """Everything that a database holds."""
    assert sql(url, "PRAGMA integrity_check") == [("ok",)]
    return [sql(url, f"SELECT * FROM {table}") for table in TABLES]


def test_a_backup_under_load_has_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    """It is one file of one moment, and those who write meanwhile are not refused."""
    load = Load()
    copies = []
    with running(tmp_path) as server, load.on(server):
        for n in range(3):
            load.wait_for_more(50)
            before = set(load.acknowledged)
            file = tmp_path / f"backup-{n}.db"
            done = called("backup", file, url=server.database)
            assert done.exit_code == 0, done.output
            copies.append((file, before))
        assert server.stop() == 0
    assert not load.refused
    for file, before in copies:
        found = {info for (info,) in sql(url_of(file), "SELECT info FROM session")}
        assert before <= found <= load.acknowledged
        assert sql(url_of(file), "PRAGMA integrity_check") == [("ok",)]
        # Whoever sees a session sees what its journal says of it.
        assert sql(url_of(file), "SELECT count(*) FROM change") == [(len(found),)]
    assert not [name for name in os.listdir(tmp_path) if "part" in name]


def test_a_backup_is_restored_as_it_was(tmp_path: Path) -> None:
    """Also where nothing is there yet; it is its owner's alone, and has nothing beside it."""
    url, file = filled(tmp_path / "a"), tmp_path / "kept.db"
    before = content(url)
    done = called("backup", file, url=url)
    assert done.output == f"Wrote 5 sessions and 1 devices to {file}.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("kept.db-*"))
    target = tmp_path / "new" / "netsessions.db"
    done = called("restore", file, url=url_of(target))
    assert done.output == f"Restored 5 sessions and 1 devices into {target}.\n"
    assert content(url_of(target)) == before
    assert os.listdir(target.parent) == ["netsessions.db"]


def test_a_backup_replaces_nothing_unless_told(tmp_path: Path) -> None:
    """Neither a file that is there, nor the database itself."""
    url, file = filled(tmp_path / "a"), tmp_path / "kept.db"
    file.write_text("notes")
    done = called("backup", file, url=url)
    assert done.exit_code == 1
    assert "is there already" in done.output
    assert file.read_text() == "notes"
    assert called("backup", "--force", file, url=url).exit_code == 0
    assert content(url_of(file)) == content(url)
    done = called("backup", "--force", tmp_path / "a" / "netsessions.db", url=url)
    assert done.exit_code == 1
    assert "is the database itself" in done.output
    assert called("backup", tmp_path / "b.db", url=url_of(tmp_path / "none.db")).exit_code == 1
    assert not (tmp_path / "none.db").exists()


def test_a_restore_keeps_what_was_there(tmp_path: Path) -> None:
    """It is refused where there are sessions; with --force they are beside it, with what was not yet in their file."""
    url, file = filled(tmp_path / "a"), tmp_path / "kept.db"
    assert called("backup", file, url=url).exit_code == 0
    kept = content(url)
    sql(url, literal(ROW | {"id": 99}))
    before = content(url)
    done = called("restore", file, url=url)
    assert done.exit_code == 1
    assert "--force" in done.output
    assert content(url) == before
    done = called("restore", "--force", file, url=url)
    assert done.exit_code == 0, done.output
    assert content(url) == kept
    (aside,) = [each for each in (tmp_path / "a").iterdir() if ".before-" in each.name]
    assert str(aside) in done.output
    assert content(url_of(aside)) == before


def test_what_is_not_there_or_is_the_database_itself_is_not_restored(tmp_path: Path) -> None:
    """And the database is left as it was."""
    url = filled(tmp_path)
    before = content(url)
    for file, told in ((tmp_path / "none.db", "is not there"), (tmp_path / "netsessions.db", "is the database itself")):
        done = called("restore", "--force", file, url=url)
        assert (done.exit_code, told in " ".join(done.output.split())) == (1, True), done.output
    assert content(url) == before


@pytest.mark.parametrize("damage", [b"", b"garbage " * 2000])
def test_a_restore_replaces_what_is_damaged(tmp_path: Path, damage: bytes) -> None:
    """With --force: a log that is left beside it does not get into the backup, and all of it is kept."""
    url, file = filled(tmp_path / "a"), tmp_path / "kept.db"
    assert called("backup", file, url=url).exit_code == 0
    kept = content(url)
    database, log = tmp_path / "a" / "netsessions.db", tmp_path / "a" / "netsessions.db-wal"
    database.write_bytes(damage)
    log.write_bytes(b"what was left of its log")
    assert called("restore", file, url=url).exit_code == 1
    assert database.read_bytes() == damage
    assert called("restore", "--force", file, url=url).exit_code == 0
    assert content(url) == kept
    (aside,) = (tmp_path / "a").glob("*.before-*Z")
    assert aside.read_bytes() == damage
    assert Path(f"{aside}-wal").read_bytes() == b"what was left of its log"


def test_while_a_server_has_the_database_it_is_not_replaced(tmp_path: Path) -> None:
    """One that runs goes on with its own."""
    file = tmp_path / "kept.db"
    other = filled(tmp_path / "other")
    assert called("backup", file, url=other).exit_code == 0
    with running(tmp_path) as server:
        done = called("restore", file, url=server.database)
        assert done.exit_code == 1
        assert "Stop the server" in done.output
        with server.client() as client:
            assert client.get("/sessions/list").json()["sessions"] == []
        assert server.stop() == 0
    assert called("restore", file, url=server.database).exit_code == 0
    with running(tmp_path) as server, server.client() as client:
        assert len(client.get("/sessions/list").json()["sessions"]) == 5


@pytest.mark.parametrize("wrong", ["text", "empty", "another program's", "newer", "damaged"])
def test_what_is_no_backup_is_refused(tmp_path: Path, wrong: str) -> None:
    """In a sentence that names it, and nothing is changed, made or left."""
    file, folder = tmp_path / "kept.db", tmp_path / "a"
    url = filled(folder)
    migrate(url_of(file))
    for n in range(500):
        sql(url_of(file), literal(ROW | {"id": n}))
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
    before, names = content(url), sorted(os.listdir(folder))
    done = called("restore", "--force", file, url=url)
    assert done.exit_code == 1
    assert str(file) in done.output
    assert done.output.count("\n") == 1
    assert content(url) == before
    assert sorted(os.listdir(folder)) == names
    if wrong == "newer":
        assert "newer release" in done.output


@pytest.mark.parametrize("revision", ["0001", "0003", "0004"])
def test_a_backup_of_an_earlier_release_is_upgraded(tmp_path: Path, revision: str) -> None:
    """Its sessions are there, and the file itself stays as it was."""
    file, target = tmp_path / "old.db", tmp_path / "a" / "netsessions.db"
    migrate(url_of(file), revision)
    for n, row in enumerate(STAYS):
        written = {name: value for name, value in (ROW | row).items() if name not in ("live", "seen_at")}
        sql(url_of(file), literal(written | {"id": n}))
    before = file.read_bytes()
    done = called("restore", file, url=url_of(target))
    assert done.exit_code == 0, done.output
    assert file.read_bytes() == before
    fresh = new_database("sqlite", tmp_path)
    assert sql(url_of(target), "SELECT * FROM alembic_version") == sql(fresh, "SELECT * FROM alembic_version")
    assert sql(url_of(target), "SELECT count(*) FROM session") == [(len(STAYS),)]
    # What was kept is a backup again.
    assert called("backup", tmp_path / "again.db", url=url_of(target)).exit_code == 0


def test_postgresql_has_commands_of_its_own(tmp_path: Path) -> None:
    """They are named."""
    url = "postgresql://nobody@127.0.0.1:1/none"
    assert "pg_dump" in called("backup", tmp_path / "x.db", url=url).output
    assert "netsessions copy" in called("restore", tmp_path / "x.db", url=url).output


def test_a_backup_without_room_leaves_nothing(tmp_path: Path) -> None:
    """And says so; what had the name before is as it was."""
    url, file = filled(tmp_path / "a", info="x" * 5000, count=50), tmp_path / "kept.db"
    file.write_text("the backup of yesterday")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        done = called("backup", "--force", file, url=url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert file.read_text() == "the backup of yesterday"
    assert not [name for name in os.listdir(tmp_path) if "part" in name]
