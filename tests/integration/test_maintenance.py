"""Maintenance commands: pruning old sessions, sharding with Citus, and their error messages."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import UniqueConstraint

import storage.tables
from netsessions.cli import main
from resolvers.context import Context
from resolvers.maintenance.prune import prune
from resolvers.validation.periods import parse_period
from storage.opening import open_store
from storage.tables import DAY, MISSING_EVENT
from tests.conftest import AUDIT_STAMP, NOW, at, new_database, run, sql
from tests.support import postgres
from tests.support.rows import past_session, stored_ids

INSERT_HISTORY = """INSERT INTO change (at, kind, mac, id, who, before, after)
    VALUES ({0}, 'UPDATED', 'AA:BB:CC:DD:EE:03', 3, 'API_TOKEN', '{{}}', '{{"id": {0}}}')"""

OLD_AND_NEW_SESSIONS = [
    *map(past_session, range(7)),
    past_session(7, disconnected_at=None, disconnection_event=None),  # still open
    past_session(8, disconnected_at=None, disconnection_event=MISSING_EVENT),
    past_session(9, connected_at=None, connection_event=MISSING_EVENT),
    past_session(10, disconnected_at=at(NOW)),  # started then, ended now
    past_session(11, connected_at=at(NOW) - DAY, disconnected_at=at(NOW)),
]


def run_command(url: str, *arguments: str) -> Result:
    """Run a command of the CLI on a database."""
    return CliRunner().invoke(main, arguments, env={"DATABASE_URL": url})


def no_progress(*_: Any) -> None:
    """Ignore the progress of a job."""


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_prune_deletes_exactly_the_sessions_that_ended_before_the_period(
    context: Context, url: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """In batches of any size. Open sessions and named devices are kept; old histories are deleted."""
    monkeypatch.setattr("resolvers.maintenance.prune.BATCH", batch)
    run(context.store.insert_sessions(OLD_AND_NEW_SESSIONS, AUDIT_STAMP))
    sql(url, "UPDATE device SET name = 'Phone' WHERE mac = 'AA:BB:CC:DD:EE:03'")
    for instant in (1, 2**62):
        sql(url, INSERT_HISTORY.format(instant))
    period = parse_period("2 years")
    dry_run = run(prune(context, period, dry_run=True, progress=no_progress))
    assert stored_ids(url) == list(range(12))
    steps: list[tuple[int, int]] = []
    pruned = run(prune(context, period, dry_run=False, progress=lambda *counts: steps.append(counts)))
    assert (dry_run.sessions, dry_run.devices) == (pruned.sessions, 0) == (9, 0)
    assert steps[-1] == (9, 9)
    assert stored_ids(url) == [7, 10, 11]
    macs = [row[0][-2:] for row in sql(url, "SELECT mac FROM device ORDER BY mac")]
    assert macs == ["00", "01", "02", "03"]
    assert pruned.devices == 1
    assert sql(url, "SELECT at FROM change WHERE before IS NOT NULL") == [(2**62,)]


def test_prune_command_reports_the_number_of_sessions(url: str) -> None:
    """Before and after deleting them. An invalid period is a usage error."""
    store = run(open_store(url))
    run(store.insert_sessions(OLD_AND_NEW_SESSIONS, AUDIT_STAMP))
    run(store.close())
    assert "Would delete 9 sessions" in run_command(url, "prune", "--older-than", "2 years", "--dry-run").output
    assert "Deleted 9 sessions" in run_command(url, "prune", "--older-than", "P2Y").output
    rejected = run_command(url, "prune", "--older-than", "soon")
    assert rejected.exit_code == 2
    assert "'soon' is not a period" in rejected.output


CITUS_EXTENSION = """
CREATE SCHEMA calls; CREATE TABLE calls.made (n serial, call text);
CREATE TABLE public.pg_dist_partition (logicalrelid regclass);
CREATE FUNCTION public.create_distributed_table(t regclass, c text, colocate_with text DEFAULT 'default') RETURNS void
    LANGUAGE sql AS $$ INSERT INTO calls.made (call) SELECT concat_ws(' ', t::text, c, colocate_with, 'shards',
    current_setting('citus.shard_count')); INSERT INTO public.pg_dist_partition VALUES (t) $$;
CREATE FUNCTION public.truncate_local_data_after_distributing_table(t regclass) RETURNS void
    LANGUAGE sql AS $$ INSERT INTO calls.made (call) SELECT 'truncate ' || t::text $$;
"""


@pytest.fixture(scope="module")
def citus_cluster(tmp_path_factory: pytest.TempPathFactory) -> postgres.Cluster:
    """A server with an extension that has the name of Citus and records the calls of its functions."""
    folder = postgres.shared_cluster().folder.parent / "extensions"
    (folder / "extension").mkdir(parents=True)
    (folder / "extension/citus.control").write_text("default_version = '1'\nrelocatable = false\n")
    (folder / "extension/citus--1.sql").write_text(CITUS_EXTENSION)
    for path in (folder, folder / "extension", *(folder / "extension").iterdir()):
        path.chmod(0o755)
    cluster = postgres.Cluster(f"{postgres.FAST_OPTIONS} -c extension_control_path={folder}")
    cluster.initialize()
    cluster.start()
    return cluster


@pytest.mark.parametrize("filled", [False, True])
def test_shard_distributes_sessions_and_devices_by_mac(citus_cluster: postgres.Cluster, filled: bool) -> None:
    """Over eight shards, with the existing rows, which are then deleted locally. A second call changes nothing."""
    name = f"sharded_{filled}".lower()
    sql(citus_cluster.url(), f"CREATE DATABASE {name}")
    url = citus_cluster.url(name)
    rejected = run_command(url, "db", "shard")
    assert rejected.exit_code == 1
    assert rejected.output.startswith("Error: This database has no Citus:")
    sql(url, "CREATE EXTENSION citus")
    if filled:
        store = run(open_store(url))
        run(store.insert_sessions([past_session(1)], AUDIT_STAMP))
        run(store.close())
    result = run_command(url, "db", "shard")
    assert result.exit_code == 0, result.output
    assert "session: distributed by mac over 8 shards" in result.output
    truncated = [["truncate session"], ["truncate device"]] if filled else [[], []]
    assert [row[0] for row in sql(url, "SELECT call FROM calls.made ORDER BY n")] == [
        "session mac default shards 8",
        *truncated[0],
        "device mac session shards 8",
        *truncated[1],
    ]
    assert run_command(url, "db", "shard").output.count("already distributed") == 2


def test_tables_can_be_sharded(tmp_path: Path) -> None:
    """Distributed tables have the MAC in every unique key, and neither triggers, foreign keys nor generated ids."""
    url = new_database("postgresql", tmp_path)
    keys = """SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE i.indisunique AND c.relname IN ('session', 'device')"""
    unique = sql(url, keys)
    assert len(unique) == 3
    assert all("(mac" in definition for _, definition in unique)
    assert sql(url, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    assert sql(url, "SELECT conname FROM pg_constraint WHERE contype = 'f'") == []
    generated = """SELECT column_name FROM information_schema.columns
        WHERE column_default LIKE 'nextval%' AND table_name IN ('session', 'device')"""
    assert sql(url, generated) == []
    collations = """SELECT DISTINCT collation_name FROM information_schema.columns
        WHERE table_name IN ('session', 'device') AND data_type = 'text'"""
    assert sql(url, collations) == [("C",)]
    for table in (storage.tables.SESSIONS, storage.tables.DEVICES):
        assert not [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    assert storage.tables.SESSIONS.primary_key.columns.keys() == ["mac", "id"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prune", "--older-than", "never"], 2, "'never' is not a period"),
        (["prune", "--older-than", "9999 years"], 2, "reaches back too far"),
        (["copy", "mysql://host/name", "sqlite:///b.db"], 2, "other databases are not supported"),
        (["db", "shard"], 1, "is a SQLite file; only PostgreSQL with Citus can be sharded"),
    ],
)
def test_commands_report_invalid_arguments(tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    """With an exit code, and a sentence that says what to write."""
    result = run_command(new_database("sqlite", tmp_path), *arguments)
    assert (result.exit_code, message in " ".join(result.output.split())) == (code, True), result.output


def test_commands_report_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    """As when a file has the place of its folder."""
    (tmp_path / "file").touch()
    result = run_command(f"sqlite:///{tmp_path}/file/n.db", "prune", "--older-than", "1 day")
    assert result.exit_code == 1
    assert "cannot be used as a database" in " ".join(result.output.split())
