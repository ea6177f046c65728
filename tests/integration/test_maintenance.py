"""What an operator does with a database: prunes it, moves it, shards it."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import UniqueConstraint

import storage.tables
from netsessions.cli import main
from resolvers.context import Context
from resolvers.maintenance import copy as moving
from resolvers.maintenance.copy import NotTheSameError, copy
from resolvers.maintenance.prune import prune
from resolvers.validation.clock import parse_period
from storage.errors import OutcomeUnknownError
from storage.migrations import migrate
from storage.opening import open_store
from storage.store import Change, Store
from storage.tables import DAY, HOUR, MISSING
from tests.conftest import DATABASES, NOW, TOLD, at, new_database, run, sql
from tests.support import postgres

NOTHING = lambda *_: None  # noqa: E731
CHANGED = """INSERT INTO change (at, kind, mac, id, who, before, after)
    VALUES ({0}, 'UPDATED', 'AA:BB:CC:DD:EE:03', 3, 'API_TOKEN', '[]', '[{0}]')"""


def stay(n: int, **changed: Any) -> dict[str, Any]:
    """A session of three years ago, two hours long."""
    start = at("2022-08-01T00:00:00Z") + n * HOUR
    return {
        "mac": f"AA:BB:CC:DD:EE:{n % 5:02X}",
        "id": n,
        "ip": "10.0.0.1",
        "connected_at": start,
        "disconnected_at": start + 2 * HOUR,
        "connection_event": "Connected",
        "disconnection_event": "Disconnected",
        "info": 'ü "quoted"',
        "live": 0,
        "seen_at": None,
    } | changed


OLD_AND_NEW = [
    *map(stay, range(7)),
    stay(7, disconnected_at=None, disconnection_event=None),  # open since
    stay(8, disconnected_at=None, disconnection_event=MISSING),
    stay(9, connected_at=None, connection_event=MISSING),
    stay(10, disconnected_at=at(NOW)),  # began then, ended now
    stay(11, connected_at=at(NOW) - DAY, disconnected_at=at(NOW)),
]


def command(url: str, *arguments: str) -> Result:
    """A command as an operator calls it."""
    return CliRunner().invoke(main, arguments, env={"DATABASE_URL": url})


def ids(url: str) -> list[int]:
    return [row[0] for row in sql(url, "SELECT id FROM session ORDER BY id")]


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_pruning_removes_what_ended_long_ago_and_nothing_else(
    context: Context, url: str, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """In batches of whatever size; what is open stays, and so does a device with a name."""
    monkeypatch.setattr("resolvers.maintenance.prune.BATCH", batch)
    run(context.store.record(OLD_AND_NEW, TOLD))
    sql(url, "UPDATE device SET name = 'Phone' WHERE mac = 'AA:BB:CC:DD:EE:03'")
    for instant in (1, 2**62):
        sql(url, CHANGED.format(instant))
    years = parse_period("2 years")
    dry = run(prune(context, years, dry_run=True, progress=NOTHING))
    assert ids(url) == list(range(12))
    passed: list[tuple[int, int]] = []
    pruned = run(prune(context, years, dry_run=False, progress=lambda *counts: passed.append(counts)))
    assert (dry.sessions, dry.devices) == (pruned.sessions, 0) == (9, 0)
    assert passed[-1] == (9, 9)
    assert ids(url) == [7, 10, 11]
    macs = [row[0][-2:] for row in sql(url, "SELECT mac FROM device ORDER BY mac")]
    assert macs == ["00", "01", "02", "03"]
    assert pruned.devices == 1
    assert sql(url, "SELECT at FROM change WHERE before IS NOT NULL") == [(2**62,)]


def test_the_prune_command_tells_what_it_did(url: str) -> None:
    """Counted before, told after, and a mistaken period is a mistake of usage."""
    store = run(open_store(url))
    run(store.record(OLD_AND_NEW, TOLD))
    run(store.close())
    assert "Would delete 9 sessions" in command(url, "prune", "--older-than", "2 years", "--dry-run").output
    assert "Deleted 9 sessions" in command(url, "prune", "--older-than", "P2Y").output
    refused = command(url, "prune", "--older-than", "soon")
    assert refused.exit_code == 2
    assert "'soon' is not a period" in refused.output


@pytest.mark.parametrize("source", DATABASES)
@pytest.mark.parametrize("target", DATABASES)
def test_a_copy_holds_the_same(tmp_path_factory: pytest.TempPathFactory, source: str, target: str) -> None:
    """Every session and device, whichever database it goes from and to; a second copy finds everything there."""
    first, second = (new_database(kind, tmp_path_factory.mktemp("move")) for kind in (source, target))
    store = run(open_store(first))
    run(store.record(OLD_AND_NEW, TOLD))
    run(store.close())
    sql(first, "UPDATE device SET name = 'Phone' WHERE mac = 'AA:BB:CC:DD:EE:03'")
    sql(first, "INSERT INTO device VALUES ('AA:BB:CC:DD:EE:99', 'Away', 'Ada')")
    sql(first, "INSERT INTO token VALUES ('phone', 'digest', 'calendar', 1, NULL), ('script', 'other', 'write', 2, 3)")
    sql(first, "INSERT INTO accounting VALUES ('nas', 'a', 'AA:BB:CC:DD:EE:03', 3, 1)")
    for n in (1, 2):
        sql(first, CHANGED.format(n))
    told = command(first, "copy", first, second)
    assert told.exit_code == 0, told.output
    both = r"Both databases hold 12 sessions \(checksum [0-9a-f]{16}\) and 6 devices\."
    assert re.fullmatch(f"Copied 12 sessions. {both}\n", told.output)
    assert "Copied 0 sessions. Both databases hold 12" in command(first, "copy", first, second).output
    for table in ("session ORDER BY mac, id", "device ORDER BY mac", "token ORDER BY name", "accounting"):
        assert sql(second, f"SELECT * FROM {table}") == sql(first, f"SELECT * FROM {table}")
    history = "SELECT at, kind, mac, id, who, before, after FROM change WHERE before IS NOT NULL ORDER BY seq"
    assert sql(second, history) == sql(first, history)
    assert len(sql(second, history)) == 2


async def _both(first: str, second: str) -> tuple[Store, Store]:
    return await open_store(first), await open_store(second)


@pytest.mark.parametrize("target", DATABASES)
def test_a_copy_that_was_interrupted_goes_on(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """What is there whole is not copied again, what is there in part is completed."""
    first, second = (new_database(kind, tmp_path_factory.mktemp("move")) for kind in ("sqlite", target))
    monkeypatch.setattr("resolvers.maintenance.copy.BATCH", 2)
    monkeypatch.setattr("storage.sqlite.store.CHUNK", 2)
    source, store = run(_both(first, second))
    run(source.record([stay(n) for n in range(20)], TOLD))

    passed = []

    def broken(step: str, more: int) -> None:
        passed.append(more if step == "Copying" else 0)
        if sum(passed) >= 6:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(copy(source, store, broken))
    assert 6 <= len(ids(second)) < 20
    there, steps = len(ids(second)), Counter[str]()
    copied = run(copy(source, store, lambda step, more: steps.update({step: more})))
    assert copied.sessions == 20
    assert copied.copied < 20
    assert steps == {"Reading": 20, "Comparing": there, "Copying": copied.copied, "Verifying": 20}
    assert ids(second) == list(range(20))
    run(source.close())
    run(store.close())


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The address of a second database, empty and migrated."""
    url = f"sqlite:///{tmp_path / 'other.db'}"
    migrate(url)
    return url


@pytest.fixture
def source(other: str) -> Iterator[Store]:
    """The store of the second database, to be copied from."""
    store = run(open_store(other))
    yield store
    run(store.close())


def test_a_copy_whose_commit_got_no_answer_is_whole(
    context: Context, url: str, source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored before the connection was lost is met again, and is there once."""
    run(source.record([stay(1), stay(2)], TOLD))
    write = context.store.write
    writes: list[Change[Any]] = []

    async def lose_once(change: Change[Any]) -> Any:
        done = await write(change)
        writes.append(change)
        if len(writes) == 2:  # after the devices' names
            raise OutcomeUnknownError
        return done

    monkeypatch.setattr(context.store, "write", lose_once)
    assert run(copy(source, context.store, NOTHING)).sessions == 2
    assert len(writes) == 4
    assert ids(url) == [1, 2]


def test_the_checksum_is_of_every_session(context: Context, source: Store) -> None:
    """Sixteen digits, others with each session that comes or is otherwise."""
    sums = []
    for n in range(16):
        run(source.record([stay(n)], TOLD))
        sums.append(run(copy(source, context.store, NOTHING)).checksum)
    assert len(set(sums)) == 16
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in sums)


def test_a_copy_that_somebody_wrote_to_meanwhile_is_told(
    context: Context, source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came into the target beside the copy is not taken for copied."""
    beside = moving._beside
    run(source.record([stay(1)], TOLD))

    async def meanwhile(source: Store, target: Store) -> None:
        await beside(source, target)
        await target.record([stay(2)], TOLD)

    monkeypatch.setattr("resolvers.maintenance.copy._beside", meanwhile)
    with pytest.raises(NotTheSameError) as told:
        run(copy(source, context.store, NOTHING))
    assert str(told.value) == (
        "Source and target differ in AA:BB:CC:DD:EE:02. Where somebody writes to one of them, stop that and copy again; "
        "otherwise copy into an empty database."
    )


def test_a_copy_leaves_a_foreign_database_alone(context: Context, url: str, source: Store, tmp_path: Path) -> None:
    """One that holds what the source has not is refused, and nothing is put into it."""
    nowhere = f"sqlite:///{tmp_path / 'nowhere.db'}"
    assert "is not there" in command(nowhere, "copy", nowhere, url).output
    run(source.record([stay(1)], TOLD))
    run(context.store.record([stay(2)], TOLD))
    with pytest.raises(NotTheSameError, match="source has not"):
        run(copy(source, context.store, NOTHING))
    assert ids(url) == [2]
    assert "same database" in command(url, "copy", url, url).output


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("UPDATE session SET info = 'a'", "UPDATE session SET info = 'b'"),
        ("UPDATE device SET name = 'a'", "UPDATE device SET name = 'b'"),
    ],
)
def test_a_copy_of_what_the_target_has_otherwise_is_told(
    context: Context, url: str, other: str, source: Store, there: str, here: str
) -> None:
    """As many sessions are not yet the same, and nothing there is overwritten."""
    for each in (source, context.store):
        run(each.record([stay(1)], TOLD))
    sql(other, there)
    sql(url, here)
    with pytest.raises(NotTheSameError, match=r"^Source and target differ in AA:BB:CC:DD:EE:01\. Where"):
        run(copy(source, context.store, NOTHING))
    assert sql(url, "SELECT count(*) FROM session JOIN device USING (mac) WHERE 'b' IN (info, name)") == [(1,)]


def test_a_copy_into_a_history_of_its_own_is_refused(context: Context, url: str, source: Store) -> None:
    """What was changed of sessions has no key by which it could be joined."""
    sql(url, CHANGED.format(1))
    with pytest.raises(NotTheSameError) as refused:
        run(copy(source, context.store, NOTHING))
    assert str(refused.value) == (
        "The target holds changes of sessions that the source has not. Copy into an empty database."
    )


CITUS = """
CREATE SCHEMA calls; CREATE TABLE calls.made (n serial, call text);
CREATE TABLE public.pg_dist_partition (logicalrelid regclass);
CREATE FUNCTION public.create_distributed_table(t regclass, c text, colocate_with text DEFAULT 'default') RETURNS void
    LANGUAGE sql AS $$ INSERT INTO calls.made (call) SELECT concat_ws(' ', t::text, c, colocate_with, 'shards',
    current_setting('citus.shard_count')); INSERT INTO public.pg_dist_partition VALUES (t) $$;
CREATE FUNCTION public.truncate_local_data_after_distributing_table(t regclass) RETURNS void
    LANGUAGE sql AS $$ INSERT INTO calls.made (call) SELECT 'truncate ' || t::text $$;
"""


@pytest.fixture(scope="module")
def with_citus(tmp_path_factory: pytest.TempPathFactory) -> postgres.Cluster:
    """A server with an extension of that name, which notes what it is asked to do."""
    folder = postgres.cluster().folder.parent / "extensions"
    (folder / "extension").mkdir(parents=True)
    (folder / "extension/citus.control").write_text("default_version = '1'\nrelocatable = false\n")
    (folder / "extension/citus--1.sql").write_text(CITUS)
    for path in (folder, folder / "extension", *(folder / "extension").iterdir()):
        path.chmod(0o755)
    made = postgres.Cluster(f"{postgres.FAST} -c extension_control_path={folder}")
    made.make()
    made.start()
    return made


@pytest.mark.parametrize("filled", [False, True])
def test_sharding_distributes_by_mac_and_keeps_devices_beside(with_citus: postgres.Cluster, filled: bool) -> None:
    """Eight shards; rows that were there are moved and not kept twice; a second call changes nothing."""
    name = f"sharded_{filled}".lower()
    sql(with_citus.url(), f"CREATE DATABASE {name}")
    url = with_citus.url(name)
    refused = command(url, "db", "shard")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: This database has no Citus:")
    sql(url, "CREATE EXTENSION citus")
    if filled:
        store = run(open_store(url))
        run(store.record([stay(1)], TOLD))
        run(store.close())
    done = command(url, "db", "shard")
    assert done.exit_code == 0, done.output
    assert "session: distributed by mac over 8 shards" in done.output
    truncated = [["truncate session"], ["truncate device"]] if filled else [[], []]
    assert [row[0] for row in sql(url, "SELECT call FROM calls.made ORDER BY n")] == [
        "session mac default shards 8",
        *truncated[0],
        "device mac session shards 8",
        *truncated[1],
    ]
    assert command(url, "db", "shard").output.count("distributed already") == 2


def test_the_tables_have_what_sharding_needs(tmp_path: Path) -> None:
    """The MAC in every unique key, no triggers, no keys from one table to another, no ids that the database makes,
    in what is distributed."""
    url = new_database("postgresql", tmp_path)
    keys = """SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE i.indisunique AND c.relname IN ('session', 'device')"""
    unique = sql(url, keys)
    assert len(unique) == 3
    assert all("(mac" in definition for _, definition in unique)
    assert sql(url, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    assert sql(url, "SELECT conname FROM pg_constraint WHERE contype = 'f'") == []
    made = """SELECT column_name FROM information_schema.columns
        WHERE column_default LIKE 'nextval%' AND table_name IN ('session', 'device')"""
    assert sql(url, made) == []
    collations = """SELECT DISTINCT collation_name FROM information_schema.columns
        WHERE table_name IN ('session', 'device') AND data_type = 'text'"""
    assert sql(url, collations) == [("C",)]
    for table in (storage.tables.SESSIONS, storage.tables.DEVICES):
        assert not [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    assert storage.tables.SESSIONS.primary_key.columns.keys() == ["mac", "id"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["prune", "--older-than", "never"], 2, "'never' is not a period"),
        (["prune", "--older-than", "9999 years"], 2, "reaches back too far"),
        (["copy", "mysql://host/name", "sqlite:///b.db"], 2, "other databases are not served"),
        (["db", "shard"], 1, "is one file; only PostgreSQL with Citus can be sharded"),
    ],
)
def test_a_command_that_cannot_work_says_what_to_write(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    """In a sentence, and makes nothing."""
    done = command(new_database("sqlite", tmp_path), *arguments)
    assert (done.exit_code, told in " ".join(done.output.split())) == (code, True), done.output


def test_a_database_that_cannot_be_opened_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Where a file stands in the place of its folder."""
    (tmp_path / "file").touch()
    done = command(f"sqlite:///{tmp_path}/file/n.db", "prune", "--older-than", "1 day")
    assert done.exit_code == 1
    assert "cannot be used as a database" in " ".join(done.output.split())
