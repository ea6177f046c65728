"""What goes wrong around the program: what was acknowledged is kept, answers say what to do, and it goes on by itself."""

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx2 as httpx
import pytest

from resolvers.context import Context
from resolvers.validation.clock import Clock
from rest_compat.app import rest_door
from schema.http.app import GraphQLDoor
from storage.errors import StoreUnusableError
from storage.migrations import migrate
from storage.opening import make_ready, open_store
from storage.sqlite.store import connect
from storage.store import sqlite_path
from storage.tables import DAY, HOUR
from tests.conftest import MAC, NOW, at, client_of, new_database, run, sql
from tests.support import postgres
from tests.support.load import CREATE, READ, Load, wait_until
from tests.support.server import Server, running

SOAK = pytest.mark.soak


def infos(url: str) -> set[str]:
    """The infos of all sessions, read over a new connection after the integrity of a file is checked."""
    if sqlite_path(url):
        assert sql(url, "PRAGMA integrity_check") == [("ok",)]
    found = [row[0] for row in sql(url, "SELECT info FROM session")]
    assert len(found) == len(set(found))
    assert sql(url, "SELECT count(*) FROM change WHERE kind = 'CREATED'") == [(len(found),)]
    return set(found)


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=SOAK)])
def test_after_kill_9_every_acknowledged_session_is_there_once(tmp_path: Path, url: str, kills: int) -> None:
    """Again and again under a load at both doors; what got no answer is there once at most, also when sent again."""
    load = Load()
    for _ in range(kills):
        with running(tmp_path, DATABASE_URL=url) as server:
            with server.client() as client:
                load.send_again(client)
            with load.on(server):
                load.wait_for_more(30)
                assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        assert "Traceback" not in server.output.read_text()
    with running(tmp_path, DATABASE_URL=url) as server, server.client() as client:
        load.send_again(client)
    assert not any(info.startswith("keyed") for info in load.unanswered)
    assert not load.refused
    assert set(load.read) == {200}
    assert load.acknowledged <= infos(url) <= load.acknowledged | load.unanswered


@pytest.fixture
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL server of its own, to be killed."""
    made = postgres.Cluster()
    made.make()
    made.start()
    yield made
    made.stop("immediate")


def test_postgresql_that_is_killed_is_waited_for(tmp_path: Path, cluster: postgres.Cluster) -> None:
    """One of its processes, at which it begins all anew, and then its postmaster: 503 at most, and nothing lost or twice."""
    migrate(cluster.url())
    load = Load()
    with running(tmp_path, DATABASE_URL=cluster.url()) as server, load.on(server, tries=True):
        load.wait_for_more(100)
        own = "SELECT pid FROM pg_stat_activity WHERE application_name = 'netsessions' LIMIT 1"
        os.kill(sql(cluster.url(), own)[0][0], signal.SIGKILL)
        load.wait_for_more(100)
        os.kill(int((cluster.folder / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        _start_again(cluster)
        load.wait_for_more(100)
    _only(load, {200, 503}, "503")
    assert not load.unanswered
    assert load.acknowledged <= infos(cluster.url())
    assert "Traceback" not in server.output.read_text()


def _start_again(cluster: postgres.Cluster) -> None:
    """After its postmaster was killed: its other processes have to notice first."""
    deadline = time.monotonic() + 30
    while True:
        try:
            cluster.start()
            return
        except AssertionError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def _only(load: Load, reads: set[int], refused: str) -> None:
    """Reads were answered with these statuses; whatever was refused, with that one and in its form."""
    assert set(load.read) <= reads
    for info, answer in load.refused.items():
        assert answer.status_code == int(refused), answer.text
        assert int(answer.headers["Retry-After"]) > 0
        body = answer.json()
        if info.startswith("graphql"):
            code = {"503": "INTERNAL_SERVER_ERROR", "507": "INSUFFICIENT_STORAGE"}[refused]
            assert body["errors"][0]["extensions"]["code"] == code
        else:
            assert body["success"] is False
            assert body["error"] == {"503": "unavailable", "507": "insufficient_storage"}[refused]


MEGABYTE = 1024 * 1024


@contextmanager
def _tmpfs(folder: Path, size: int) -> Iterator[Callable[[], object]]:
    """A file system of so many bytes; answers what makes it larger."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        yield lambda: subprocess.run(["mount", "-o", f"remount,size={4 * size}", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def _limited_file(tmp_path: Path) -> Iterator[tuple[Server, Callable[[], object]]]:
    with running(tmp_path) as server:
        pid, most = server.process.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MEGABYTE, most))
        yield server, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


@contextmanager
def _small_disk(tmp_path: Path) -> Iterator[tuple[Server, Callable[[], object]]]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with _tmpfs(folder, 2 * MEGABYTE) as make_room, running(folder) as server:
        yield server, make_room


@contextmanager
def _refusing_postgresql(tmp_path: Path) -> Iterator[tuple[Server, Callable[[], object]]]:
    url = new_database("postgresql", tmp_path)
    sql(
        url,
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT count(*) FROM session) > 50 THEN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
        END IF; RETURN NEW; END $$""",
    )
    sql(url, "CREATE TRIGGER full_disk BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION full_disk()")
    with running(tmp_path, DATABASE_URL=url) as server:
        yield server, lambda: sql(url, "DROP TRIGGER full_disk ON session")


@contextmanager
def _small_tablespace(tmp_path: Path) -> Iterator[tuple[Server, Callable[[], object]]]:
    cluster = postgres.cluster()
    name = f"small_{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="netsessions-small-"))
    folder.chmod(0o755)
    try:
        with _tmpfs(folder, 12 * MEGABYTE) as make_room:
            place = folder / "space"
            place.mkdir()
            if os.getuid() == 0:
                os.chown(place, postgres.NOBODY, postgres.NOBODY)
            sql(cluster.url(), f"CREATE TABLESPACE {name} LOCATION '{place}'")
            sql(cluster.url(), f"CREATE DATABASE {name} TABLESPACE {name} STRATEGY file_copy")
            try:
                migrate(cluster.url(name))
                with running(tmp_path, DATABASE_URL=cluster.url(name)) as server:
                    yield server, make_room
            finally:
                sql(cluster.url(), f"DROP DATABASE {name} (FORCE)")
                sql(cluster.url(), f"DROP TABLESPACE {name}")
    finally:
        folder.rmdir()


@pytest.mark.parametrize("disk", [_limited_file, _small_disk, _refusing_postgresql, _small_tablespace])
def test_without_room_writes_are_507_and_reads_go_on(tmp_path: Path, disk: Any) -> None:
    """At both doors, none of it stored; and when there is room again, it goes on by itself."""
    load = Load(Random(1).randbytes(1500).hex())  # which no database can make shorter
    with disk(tmp_path) as (server, make_room):
        with load.on(server):
            wait_until(
                lambda: {info.partition("-")[0] for info in list(load.refused)} == {"rest", "graphql", "keyed"}, 60
            )
            read = load.read[200]
            wait_until(lambda: load.read[200] > read + 10)
        assert httpx.get(f"{server.url}/health").status_code == 200
        _only(load, {200}, "507")
        assert not load.unanswered
        make_room()
        after = Load(".after")
        with after.on(server):
            after.wait_for_more(30)
        assert not after.refused
        # The database goes with its disk.
        assert infos(server.database) == load.acknowledged | after.acknowledged
        assert "Traceback" not in server.output.read_text()
        assert server.stop() == 0


@contextmanager
def _write_lock(url: str) -> Iterator[None]:
    """What another program holds that writes."""
    if path := sqlite_path(url):
        with closing(connect(path, read_only=False)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with asyncio.Runner() as runner:

        async def locked() -> asyncpg.Connection:
            other = await asyncpg.connect(url)
            # Every write tells the journal. Several tables might be locked in another order than the server's.
            await other.execute("BEGIN; LOCK TABLE change IN EXCLUSIVE MODE")
            return other

        other = runner.run(locked())
        yield
        runner.run(other.close())


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=SOAK)])
def test_while_another_process_holds_the_write_lock_writes_wait(tmp_path: Path, url: str, seconds: int) -> None:
    """Reads go on; a write is done when the lock is gone, or is told to come again after half a minute at most."""
    load = Load()
    with running(tmp_path, DATABASE_URL=url) as server:
        with load.on(server):
            load.wait_for_more(10)
            with _write_lock(url):
                before, read = set(load.acknowledged), load.read[200]
                time.sleep(seconds)  # this is the fault
                held = load.acknowledged - before
            assert len(held) <= 6  # those that were committed while this process took the lock
            assert load.read[200] > read + 10
            load.wait_for_more(30)
        _only(load, {200}, "503")
        assert bool(load.refused) == (seconds > 30)
        assert not load.unanswered
        assert infos(server.database) == load.acknowledged


def test_a_lock_that_is_held_for_too_long_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At both doors, with the time after which to try again; and the next write is done."""
    monkeypatch.setattr("storage.sqlite.store.BUSY_MS", 50)
    url = new_database("sqlite", tmp_path)
    store = run(open_store(url))
    context = Context(store, Clock(ZoneInfo("UTC")))
    rest, graphql = client_of(rest_door(context)), client_of(GraphQLDoor(context))
    given = {"mac": MAC, "ip": "10.0.0.1"}

    def both() -> list[Any]:
        return [
            rest.post("/create", json=given | {"start_time": NOW}),
            graphql.post("/", json={"query": CREATE, "variables": {"input": given | {"startTime": NOW}}}),
        ]

    with closing(connect(tmp_path / "netsessions.db", read_only=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        for answer in both():
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "5"
        other.execute("ROLLBACK")
    assert [answer.status_code for answer in both()] == [200, 200]
    run(store.close())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of twenty thousand sessions, closed in order."""
    folder = tmp_path_factory.mktemp("filled")
    url = new_database("sqlite", folder)
    columns = "mac, id, ip, connected_at, disconnected_at, connection_event, disconnection_event, info"
    row = "'AA:BB:CC:DD:EE:' || (10 + n % 90), n, '10.0.0.1', n, n + 1, 'Connected', 'Disconnected', ''"
    numbers = "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 20000)"
    sql(url, f"INSERT INTO session ({columns}) {numbers} SELECT {row} FROM s")
    assert os.listdir(folder) == ["netsessions.db"]
    return folder / "netsessions.db"


@pytest.fixture(scope="module")
def foreign_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The write-ahead log of another database, left by a process that was killed."""
    folder = tmp_path_factory.mktemp("foreign")
    url = new_database("sqlite", folder)
    left = f"""if True:
        import os
        from pathlib import Path
        from storage.sqlite.store import connect
        connection = connect(Path({str(sqlite_path(url))!r}), read_only=False)
        for n in range(100):
            connection.execute("INSERT INTO device VALUES (?, NULL, NULL)", (str(n),))
        os._exit(0)
        """
    subprocess.run([sys.executable, "-c", left], check=True, cwd=Path(__file__).parents[2])
    log = folder / "netsessions.db-wal"
    assert log.stat().st_size
    return log


def _overwrite(file: Path, offset: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(content)


PAGE = 4096


def _lost(file: Path, log: Path) -> None:
    shutil.copy(log, f"{file}-wal")
    file.unlink()


def _killed(file: Path, log: Path) -> None:
    for n in range(20, file.stat().st_size // PAGE, 7):
        _overwrite(file, n * PAGE, b"\xff" * PAGE)
    Path(f"{file}-wal").write_bytes(log.read_bytes()[:100])


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "header": lambda file, _: _overwrite(file, 0, b"garbage!" * 4),
    "half": lambda file, _: os.truncate(file, file.stat().st_size // 2),
    "one page": lambda file, _: os.truncate(file, PAGE),
    "less than a page": lambda file, _: os.truncate(file, 100),
    "nothing": lambda file, _: os.truncate(file, 0),
    "no database": lambda file, _: file.write_text("what somebody noted\n" * 500),
    "log of another": lambda file, log: shutil.copy(log, f"{file}-wal"),
    "log alone": _lost,
    "damaged, and killed before": _killed,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_not_served(tmp_path: Path, filled: Path, foreign_log: Path, damage: str) -> None:
    """One sentence that says to restore a backup; the file is left as it is, and no empty one takes its place."""
    file = tmp_path / "netsessions.db"
    shutil.copy(filled, file)
    DAMAGE[damage](file, foreign_log)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with pytest.raises(StoreUnusableError, match=r"[Rr]estore a backup"):
        make_ready(f"sqlite:///{file}")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert file.exists() == ("netsessions.db" in before)


@pytest.mark.parametrize("damage", ["header", "log of another"])
def test_a_refusal_to_start_is_one_sentence(tmp_path: Path, filled: Path, foreign_log: Path, damage: str) -> None:
    """Without a traceback, and with an exit code."""
    file = tmp_path / "netsessions.db"
    shutil.copy(filled, file)
    DAMAGE[damage](file, foreign_log)
    server = Server(tmp_path)
    assert server.process.wait(timeout=60) == 1
    output = server.output.read_text()
    assert output.startswith(f"Error: {file} ")
    assert output.count("\n") == 1


def test_damage_that_shows_later_is_503_and_the_log_says_what_to_do(tmp_path: Path, filled: Path) -> None:
    """At both doors; a long answer that meets it midway is broken off, and no traceback hides the sentence."""
    file = tmp_path / "netsessions.db"
    shutil.copy(filled, file)
    oldest = "SELECT pageno FROM dbstat WHERE name = 'session' AND pagetype = 'leaf' ORDER BY path LIMIT 20"
    for (page,) in sql(f"sqlite:///{file}", oldest):
        _overwrite(file, (page - 1) * PAGE, b"\xff" * PAGE)
    ask = "{ sessions(first: 5, orderBy: OLDEST) { nodes { mac info } } }"
    with running(tmp_path) as server, server.client() as client:
        assert client.get("/sessions/list?limit=5").status_code == 200
        rest, graphql = (
            client.get("/sessions/AA:BB:CC:DD:EE:10?period=100%20years"),
            client.post("/graphql", json={"query": ask}),
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
def _read_only(place: Path) -> Iterator[None]:
    """A file or a folder that cannot be written; also by root, whom no mode keeps from it, where it may mount."""
    if os.getuid():
        mode = place.stat().st_mode
        place.chmod(mode & ~0o222)
        yield
        place.chmod(mode)
        return
    for arguments in (["--bind", place], ["-o", "remount,bind,ro"]):
        done = subprocess.run(["mount", *arguments, place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("root writes everywhere, and cannot mount anything here")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_what_cannot_be_written_is_not_served(tmp_path: Path, filled: Path, closed: str) -> None:
    """A file or a folder that is read only: one sentence that says so."""
    folder = tmp_path / "data"
    folder.mkdir()
    file = folder / "netsessions.db"
    shutil.copy(filled, file)
    with _read_only(file if closed == "file" else folder):
        server = Server(tmp_path, DATABASE_URL=f"sqlite:///{file}")
        assert server.process.wait(timeout=60) == 1
    output = server.output.read_text()
    assert output.count("\n") == 1
    assert "Let this user write to the file and to its folder" in output
    assert file.read_bytes() == filled.read_bytes()


def test_a_file_that_is_being_begun_by_another_process_is_waited_for(tmp_path: Path) -> None:
    """Of two that start at once on nothing, the second does not take the first one's file for a lost one."""
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
    with pytest.raises(StoreUnusableError, match="no content"):
        migrate(f"sqlite:///{file}")


def test_a_clock_that_jumps_harms_nothing(url: str) -> None:
    """Back and forth by up to half a day under a load of everything that takes the present: no failure, no id twice."""
    jumping = Random(7)
    offset = 0

    def now() -> int:
        return at(NOW) + time.monotonic_ns() // 1000 + offset

    store = run(open_store(url))
    context = Context(store, Clock(ZoneInfo("UTC"), time=now))
    over = threading.Event()

    def jump() -> None:
        nonlocal offset
        while not over.wait(0.01):
            offset = jumping.choice((-1, 1)) * jumping.randrange(DAY // 4)

    created: list[str] = []

    def work(n: int) -> None:
        rest, graphql = client_of(rest_door(context)), client_of(GraphQLDoor(context))
        live = {"mac": f"AA:BB:CC:DD:EE:{n:02X}", "ip": "10.0.0.1"}
        beat = "mutation($d: [SeenInput!]!) { heartbeat(devices: $d) { seen } }"
        for m in range(25):
            new = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00", "info": f"{n}.{m}"}
            key = {"Idempotency-Key": f"{n}.{m}"}
            answers = [
                rest.post("/create", json=new, headers=key),
                rest.post("/create", json=new, headers=key),
                rest.post("/start", json=live),
                graphql.post("/", json={"query": beat, "variables": {"d": [live]}}),
                rest.post("/stop", json={"mac": live["mac"]}),
                rest.get("/list?limit=3"),
                rest.get(f"/{live['mac']}?period=1%20day"),
                graphql.post("/", json={"query": READ}),
            ]
            for answer in answers:
                assert answer.status_code == 200, answer.text
                assert "errors" not in answer.json()
            created.append(new["info"])

    jumper = threading.Thread(target=jump)
    jumper.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))
    finally:
        over.set()
        jumper.join()
    run(store.close())
    found = sql(url, f"SELECT info, id FROM session WHERE mac = '{MAC}'")
    assert sorted(row[0] for row in found) == sorted(created)
    assert len(sql(url, "SELECT DISTINCT id FROM session")) == sql(url, "SELECT count(*) FROM session")[0][0]
    told = sql(url, "SELECT count(*), count(DISTINCT id) FROM change WHERE kind = 'CREATED'")
    assert told == sql(url, "SELECT count(*), count(*) FROM session")


def test_a_key_is_kept_by_the_clock_of_the_server(url: str) -> None:
    """A clock that is set back keeps it for longer, one that is set forward by a day forgets it: then it is done anew."""
    moment = at(NOW)
    store = run(open_store(url))
    rest = client_of(rest_door(Context(store, Clock(ZoneInfo("UTC"), time=lambda: moment))))
    for shift, expected in ((0, 1), (-2 * DAY, 1), (DAY - HOUR, 1), (DAY + HOUR, 2)):
        moment = at(NOW) + shift
        body = {"mac": MAC, "ip": "10.0.0.1", "start_time": "2025-08-01T10:00:00"}
        assert rest.post("/create", json=body, headers={"Idempotency-Key": "one"}).status_code == 200
        assert sql(url, "SELECT count(*) FROM session") == [(expected,)]
    run(store.close())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_answers_what_was_accepted_and_does_nothing_else(tmp_path: Path, url: str, workers: str) -> None:
    """Under load on kept connections: what got no answer was not begun, and the exit code is 0."""
    load = Load()
    with running(tmp_path, "--workers", workers, DATABASE_URL=url) as server, load.on(server):
        load.wait_for_more(200, 60)
        assert server.stop() == 0
    assert not load.refused
    assert set(load.read) == {200}
    assert infos(url) == load.acknowledged
    with suppress(FileNotFoundError):
        assert not (tmp_path / "netsessions.db-wal").stat().st_size
    assert "Traceback" not in server.output.read_text()
