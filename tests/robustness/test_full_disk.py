"""A full disk: writes are answered with 507, and reads continue."""

import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx2 as httpx
import pytest

from storage.migrations import migrate
from tests.conftest import new_database, sql
from tests.support import postgres
from tests.support.faults import check_responses, stored_infos
from tests.support.load import Load
from tests.support.server import Server, running, wait_until

MEGABYTE = 1024 * 1024


@contextmanager
def _mount_tmpfs(folder: Path, size: int) -> Iterator[Callable[[], object]]:
    """Mount a file system of `size` bytes. Yield a function that enlarges it."""
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "none", folder], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        yield lambda: subprocess.run(["mount", "-o", f"remount,size={4 * size}", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def _file_size_limit(tmp_path: Path) -> Iterator[tuple[Server, Callable[[], object]]]:
    with running(tmp_path) as server:
        pid, unlimited = server.process.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MEGABYTE, unlimited))
        yield server, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


@contextmanager
def _small_disk(tmp_path: Path) -> Iterator[tuple[Server, Callable[[], object]]]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with _mount_tmpfs(folder, 2 * MEGABYTE) as add_space, running(folder) as server:
        yield server, add_space


@contextmanager
def _failing_trigger(tmp_path: Path) -> Iterator[tuple[Server, Callable[[], object]]]:
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
    cluster = postgres.shared_cluster()
    name = f"small_{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="netsessions-small-"))
    folder.chmod(0o755)
    try:
        with _mount_tmpfs(folder, 12 * MEGABYTE) as add_space:
            tablespace = folder / "space"
            tablespace.mkdir()
            if os.getuid() == 0:
                os.chown(tablespace, postgres.NOBODY, postgres.NOBODY)
            sql(cluster.url(), f"CREATE TABLESPACE {name} LOCATION '{tablespace}'")
            sql(cluster.url(), f"CREATE DATABASE {name} TABLESPACE {name} STRATEGY file_copy")
            try:
                migrate(cluster.url(name))
                with running(tmp_path, DATABASE_URL=cluster.url(name)) as server:
                    yield server, add_space
            finally:
                sql(cluster.url(), f"DROP DATABASE {name} (FORCE)")
                sql(cluster.url(), f"DROP TABLESPACE {name}")
    finally:
        folder.rmdir()


@pytest.mark.parametrize("disk", [_file_size_limit, _small_disk, _failing_trigger, _small_tablespace])
def test_writes_to_a_full_disk_get_507_and_reads_continue(tmp_path: Path, disk: Any) -> None:
    """In both APIs. Nothing of the failed writes is stored. When space is available again, writes succeed."""
    load = Load(Random(1).randbytes(1500).hex())  # incompressible
    with disk(tmp_path) as (server, add_space):
        with load.running(server):
            wait_until(
                lambda: {info.partition("-")[0] for info in list(load.rejected)} == {"rest", "graphql", "keyed"}, 60
            )
            reads = load.reads[200]
            wait_until(lambda: load.reads[200] > reads + 10)
        assert httpx.get(f"{server.url}/health").status_code == 200
        check_responses(load, {200}, "507")
        assert not load.unanswered
        add_space()
        after = Load(".after")
        with after.running(server):
            after.wait_for_acknowledged(30)
        assert not after.rejected
        # Checked here, because the database disappears with its disk.
        assert stored_infos(server.database) == load.acknowledged | after.acknowledged
        assert "Traceback" not in server.output.read_text()
        assert server.stop() == 0
