"""SQLite files that are damaged or cannot be written."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest

from storage.errors import StoreUnusableError
from storage.migrations import migrate
from storage.opening import prepare_database
from storage.sqlite.connection import connect
from storage.store import sqlite_path
from tests.conftest import new_database, sql
from tests.support.server import Server, running


@pytest.fixture(scope="module")
def full_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of twenty thousand sessions, closed properly."""
    folder = tmp_path_factory.mktemp("full_database")
    url = new_database("sqlite", folder)
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    row = "'AA:BB:CC:DD:EE:' || (10 + n % 90), n, '10.0.0.1', n, n + 1, 'Connected', 'Disconnected', ''"
    numbers = "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 20000)"
    sql(url, f"INSERT INTO session ({columns}) {numbers} SELECT {row} FROM s")
    assert os.listdir(folder) == ["netsessions.db"]
    return folder / "netsessions.db"


@pytest.fixture(scope="module")
def other_wal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The write-ahead log of another database, left by a killed process."""
    folder = tmp_path_factory.mktemp("foreign")
    url = new_database("sqlite", folder)
    script = f"""if True:
        import os
        from pathlib import Path
        from storage.sqlite.connection import connect
        connection = connect(Path({str(sqlite_path(url))!r}), read_only=False)
        for n in range(100):
            connection.execute("INSERT INTO device VALUES (?, NULL, NULL)", (str(n),))
        os._exit(0)
        """
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
    log = folder / "netsessions.db-wal"
    assert log.stat().st_size
    return log


def _overwrite(file: Path, offset: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(content)


PAGE = 4096


def _wal_without_database(file: Path, log: Path) -> None:
    shutil.copy(log, f"{file}-wal")
    file.unlink()


def _damaged_and_killed(file: Path, log: Path) -> None:
    for n in range(20, file.stat().st_size // PAGE, 7):
        _overwrite(file, n * PAGE, b"\xff" * PAGE)
    Path(f"{file}-wal").write_bytes(log.read_bytes()[:100])


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "header": lambda file, _: _overwrite(file, 0, b"garbage!" * 4),
    "half": lambda file, _: os.truncate(file, file.stat().st_size // 2),
    "one page": lambda file, _: os.truncate(file, PAGE),
    "less than a page": lambda file, _: os.truncate(file, 100),
    "nothing": lambda file, _: os.truncate(file, 0),
    "no database": lambda file, _: file.write_text("some notes\n" * 500),
    "log of another": lambda file, log: shutil.copy(log, f"{file}-wal"),
    "log alone": _wal_without_database,
    "damaged, and killed before": _damaged_and_killed,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_not_served(tmp_path: Path, full_database: Path, other_wal: Path, damage: str) -> None:
    """The error says to restore a backup. No file is changed or created."""
    file = tmp_path / "netsessions.db"
    shutil.copy(full_database, file)
    DAMAGE[damage](file, other_wal)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(StoreUnusableError, match=r"[Rr]estore a backup"):
        prepare_database(f"sqlite:///{file}")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert file.exists() == ("netsessions.db" in before)


@pytest.mark.parametrize("damage", ["header", "log of another"])
def test_a_damaged_file_prevents_the_start_with_one_sentence(
    tmp_path: Path, full_database: Path, other_wal: Path, damage: str
) -> None:
    """Without a traceback, and with exit code 1."""
    file = tmp_path / "netsessions.db"
    shutil.copy(full_database, file)
    DAMAGE[damage](file, other_wal)
    server = Server(tmp_path)
    assert server.process.wait(timeout=60) == 1
    output = server.output.read_text()
    assert output.startswith(f"Error: {file} ")
    assert output.count("\n") == 1


def test_damage_found_while_serving_is_503_and_logged(tmp_path: Path, full_database: Path) -> None:
    """In both APIs. A long response is aborted. The log says what to do, without a traceback."""
    file = tmp_path / "netsessions.db"
    shutil.copy(full_database, file)
    oldest = "SELECT pageno FROM dbstat WHERE name = 'session' AND pagetype = 'leaf' ORDER BY path LIMIT 20"
    for (page,) in sql(f"sqlite:///{file}", oldest):
        _overwrite(file, (page - 1) * PAGE, b"\xff" * PAGE)
    query = "{ sessions(first: 5, orderBy: OLDEST) { nodes { mac info } } }"
    with running(tmp_path) as server, server.client() as client:
        assert client.get("/sessions/list?limit=5").status_code == 200
        rest, graphql = (
            client.get("/sessions/AA:BB:CC:DD:EE:10?period=100%20years"),
            client.post("/graphql", json={"query": query}),
        )
        assert rest.status_code == graphql.status_code == 503
        assert rest.json()["error"] == "unavailable"
        assert "errors" in graphql.json()
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/sessions/list")
        assert server.stop() == 0
    output = server.output.read_text()
    assert output.count("malformed; stop the server and restore a backup") == 3
    assert "Traceback" not in output


@contextmanager
def _make_read_only(path: Path) -> Iterator[None]:
    """Make a file or folder read-only, for root by a read-only mount."""
    if os.getuid():
        mode = path.stat().st_mode
        path.chmod(mode & ~0o222)
        yield
        path.chmod(mode)
        return
    for arguments in (["--bind", path], ["-o", "remount,bind,ro"]):
        mount = subprocess.run(["mount", *arguments, path], capture_output=True, check=False)
        if mount.returncode:
            pytest.skip("root can write everywhere, and cannot mount here")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("read_only", ["file", "folder"])
def test_a_read_only_database_is_not_served(tmp_path: Path, full_database: Path, read_only: str) -> None:
    """The error is one sentence with the cause."""
    folder = tmp_path / "data"
    folder.mkdir()
    file = folder / "netsessions.db"
    shutil.copy(full_database, file)
    with _make_read_only(file if read_only == "file" else folder):
        server = Server(tmp_path, DATABASE_URL=f"sqlite:///{file}")
        assert server.process.wait(timeout=60) == 1
    output = server.output.read_text()
    assert output.count("\n") == 1
    assert "give this user write access to the file and its folder" in output
    assert file.read_bytes() == full_database.read_bytes()


def test_the_start_waits_for_another_process_that_creates_the_database(tmp_path: Path) -> None:
    """An empty file is only an error if it stays empty."""
    file = tmp_path / "netsessions.db"
    file.touch()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(migrate, f"sqlite:///{file}")
        time.sleep(0.3)
        assert not started.done()
        with closing(connect(file, read_only=False)) as other:
            other.execute("PRAGMA journal_mode = WAL")
        started.result(timeout=30)
    assert sql(f"sqlite:///{file}", "SELECT count(*) FROM session") == [(0,)]
    os.truncate(file, 0)
    with pytest.raises(StoreUnusableError, match="is an empty file"):
        migrate(f"sqlite:///{file}")
