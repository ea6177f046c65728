"""The store keeps what it acknowledged, and only that."""

import asyncio
import os
import sqlite3
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, get_args

import apsw
import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable
from sqlmodel import SQLModel

from storage.errors import StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.opening import open_store
from storage.queries import events, presence, sessions
from storage.sqlite.store import bound, connect
from storage.store import Change, Store, Transaction, sqlite_path
from storage.tables import DAY, HOUR, MISSING, SHORT
from tests.conftest import DATABASES, new_database, sql
from tests.support import postgres

ROW: dict[str, Any] = {
    "mac": "AA:BB:CC:DD:EE:FF",
    "ip": "10.0.0.1",
    "connected_at": 0,
    "disconnected_at": None,
    "connection_event": "Connected",
    "disconnection_event": None,
    "info": "",
    "live": 0,
    "seen_at": None,
}


def inserting(*identities: int, **changed: Any) -> Change[None]:
    """A change that inserts sessions with these ids."""
    return lambda transaction: transaction.record([ROW | changed | {"id": identity} for identity in identities])


def held(url: str) -> list[int]:
    """The ids that the table holds, read over a new connection."""
    return [row[0] for row in sql(url, "SELECT id FROM session ORDER BY id")]


def empty(url: str) -> None:
    """Takes all sessions and devices away."""
    sql(url, "DELETE FROM session")
    sql(url, "DELETE FROM device")


async def recorded(transaction: Transaction, rows: list[dict[str, Any]]) -> None:
    """A change that records rows, if there are any."""
    if rows:
        await transaction.record(rows)


CONSTRAINT = (apsw.ConstraintError, asyncpg.IntegrityConstraintViolationError)


def test_a_write_that_fails_in_a_group_fails_alone(url: str) -> None:
    """Its neighbours in the same commit are stored, and nothing of its own is."""

    async def main() -> list[Any]:
        store = await open_store(url)
        writes = [store.write(inserting(n, n) if n == 5 else inserting(n)) for n in range(10)]
        answers = await asyncio.gather(*writes, return_exceptions=True)
        await store.close()
        return answers

    answers = asyncio.run(main())
    assert isinstance(answers.pop(5), CONSTRAINT)
    assert answers == [None] * 9
    assert held(url) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_what_was_submitted_before_the_close_is_stored(url: str) -> None:
    """Closing waits for the writes that were accepted."""

    async def main() -> None:
        store = await open_store(url)
        writes = [asyncio.ensure_future(store.write(inserting(n))) for n in range(2000)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*writes)

    asyncio.run(main())
    assert held(url) == list(range(2000))


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the write lock for too long, a write is refused whole, and the next one works."""
    monkeypatch.setattr("storage.sqlite.store.BUSY_MS", 50)
    url = new_database("sqlite", tmp_path)
    other = connect(tmp_path / "netsessions.db", read_only=False)
    other.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        store = await open_store(url)
        with pytest.raises(StoreUnavailableError, match="locked"):
            await store.write(inserting(1))
        assert await store.fetch(sessions.any_session(), {}) == []
        other.execute("ROLLBACK")
        await store.write(inserting(2))
        await store.close()

    asyncio.run(main())
    other.close()
    assert held(url) == [2]


def test_a_reader_who_goes_away_midway_harms_nothing(url: str) -> None:
    """Streams that are cancelled while the database works let go of it in order, and leave no file open."""

    async def consume(store: Store) -> None:
        async with aclosing(store.stream(sessions.sessions(sessions.Listing()), {})) as chunks:
            async for _ in chunks:
                pass

    async def main() -> None:
        store = await open_store(url)
        await store.write(inserting(*range(5000)))
        files = []
        for attempt in range(40):
            readers = [asyncio.ensure_future(consume(store)) for _ in range(8)]
            await asyncio.sleep(attempt / 10_000)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            files.append(len(os.listdir("/proc/self/fd")))
        # Files of closed connections are kept for the next ones, as many as were ever open at once.
        assert files[-1] < files[0] + 8
        await consume(store)
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "wrong",
    [
        {"connected_at": None},
        {"disconnected_at": -1, "disconnection_event": "Disconnected"},
        {"connected_at": None, "disconnected_at": 5, "disconnection_event": "Disconnected"},
        {"connection_event": MISSING},
        {"disconnected_at": 5},
        {"disconnection_event": "Disconnected"},
    ],
)
def test_the_database_itself_refuses_what_cannot_be(url: str, wrong: dict[str, Any]) -> None:
    """No end before its start, none without any end, no event without its time."""

    async def main() -> None:
        store = await open_store(url)
        with pytest.raises(CONSTRAINT):
            await store.write(inserting(1, **wrong))
        await store.close()

    asyncio.run(main())
    assert held(url) == []


OF_POSTGRESQL = ("session_in_order", "session_of_device_in_order")


def test_migrations_make_the_tables_that_the_program_expects(url: str) -> None:
    """Nothing is left for a migration to do, and generated columns are computed as the tables declare them."""

    async def compared() -> Any:
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.connect() as connection:
            found = await connection.run_sync(
                lambda c: compare_metadata(MigrationContext.configure(c), SQLModel.metadata)
            )
        await engine.dispose()
        return found

    path = sqlite_path(url)
    if path is None:
        assert asyncio.run(compared()) == []
    else:
        engine = create_engine(url)
        with engine.connect() as connection:
            # Alembic does not see which indexes are meant for another database.
            ours = {"include_object": lambda _, name, *__: name not in OF_POSTGRESQL}
            assert compare_metadata(MigrationContext.configure(connection, opts=ours), SQLModel.metadata) == []
        engine.dispose()
    with closing(sqlite3.connect(":memory:")) as declared:
        for table in SQLModel.metadata.sorted_tables:
            declared.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        for n, row in enumerate(STAYS):
            declared.execute(*insertion(ROW | row | {"id": n}))
            sql(url, literal(ROW | row | {"id": n}))
        question = "SELECT state, starts_at, span FROM session ORDER BY id"
        assert sql(url, question) == declared.execute(question).fetchall()


def insertion(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A row as a statement with parameters."""
    return f"INSERT INTO session ({', '.join(row)}) VALUES (:{', :'.join(row)})", row


def literal(row: dict[str, Any]) -> str:
    """A row as a statement without parameters."""
    values = ("NULL" if v is None else str(v) if isinstance(v, int) else f"'{v}'" for v in row.values())
    return f"INSERT INTO session ({', '.join(row)}) VALUES ({', '.join(values)})"


STAYS: list[dict[str, Any]] = [
    {},
    *(
        {"disconnected_at": span, "disconnection_event": "Disconnected"}
        for span in (0, HOUR, HOUR + 1, DAY, 8 * DAY, 31 * DAY, 121 * DAY)
    ),
    {"connected_at": None, "connection_event": MISSING, "disconnected_at": 7, "disconnection_event": "Disconnected"},
    {"disconnection_event": MISSING},
]


INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname",
}


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_a_database_of_an_earlier_release_is_upgraded_with_its_rows(tmp_path: Path, kind: str, revision: str) -> None:
    """Nothing of a session changes, and what is computed of it is as in a new database."""
    if kind == "sqlite":
        old = f"sqlite:///{tmp_path / 'old.db'}"
    else:
        server = postgres.cluster()
        sql(server.url(), f"CREATE DATABASE upgraded_{revision}_{os.getpid()}")
        old = server.url(f"upgraded_{revision}_{os.getpid()}")
    new = new_database(kind, tmp_path)
    migrate(old, revision)
    for each in (old, new):
        for n, row in enumerate(STAYS):
            written = {name: value for name, value in (ROW | row).items() if name not in ("live", "seen_at")}
            sql(each, literal(written | {"id": n}))
        sql(each, "INSERT INTO device VALUES ('AA:BB:CC:DD:EE:FF', 'Phone', NULL)")
    migrate(old)
    columns = f"{', '.join(ROW)}, id, state, starts_at, span"
    questions = [f"SELECT {columns} FROM session ORDER BY id", "SELECT * FROM device", INDEXES[kind]]
    shown = [[sql(each, question) for question in questions] for each in (old, new)]
    assert shown[0] == shown[1]
    assert len(shown[0][0]) == len(STAYS)


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 20, b"\0" * 5000])
def test_what_is_not_a_database_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    """And left as it was."""
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(StoreUnusableError, match="cannot be used as a database"):
        migrate(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_a_database_of_a_newer_release_is_left_alone(url: str) -> None:
    """An unknown revision is refused, not guessed at."""
    sql(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnusableError, match="newer release"):
        migrate(url)


def test_several_devices_are_sought_by_their_index(tmp_path: Path) -> None:
    """SQLite does not pass by everyone's sessions to find those of a few."""
    new_database("sqlite", tmp_path)
    with closing(connect(tmp_path / "netsessions.db", read_only=True)) as connection:
        for question in (presence.sought("macs"), sessions.count(frozenset({"macs"}))):
            statement, parameters = bound(question, {"macs": "[]", "now": 0, **presence.window(0, 1)})
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())
            assert "session_by_device (mac=?" in plan or "autoindex_session_1 (mac=?" in plan
            assert "session_by_span" not in plan


Stay = tuple[int, int | None, bool]


@pytest.fixture(scope="module", params=DATABASES)
def emptied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that each example empties."""
    return new_database(request.param, tmp_path_factory.mktemp("emptied"))


@settings(max_examples=40, deadline=None)
@given(
    stays=st.lists(
        st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)), st.booleans()), min_size=1, max_size=25
    ),
    windows=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 20)), min_size=1, max_size=8),
    unit=st.sampled_from([HOUR // 3, HOUR, 6 * HOUR, 2 * DAY]),
)
def test_overlaps_are_those_of_a_naive_model(
    emptied: str, stays: list[Stay], windows: list[tuple[int, int]], unit: int
) -> None:
    """The span classes find just the sessions that a scan of them all finds, whatever their lengths."""
    empty(emptied)
    now = 65 * unit
    rows, spans = [], []
    for n, (start, length, missing) in enumerate(stays):
        began = start * unit
        if length is None:  # open, or never seen to end
            rows.append(ROW | {"id": n, "connected_at": began, "disconnection_event": MISSING if missing else None})
            spans.append((began, began if missing else max(now, began)))
        else:
            ended = (start + length) * unit
            rows.append(
                ROW | {"id": n, "connected_at": began, "disconnected_at": ended, "disconnection_event": "Disconnected"}
            )
            spans.append((began, ended))

    async def main() -> None:
        store = await open_store(emptied)
        await store.write(lambda transaction: recorded(transaction, rows))
        for since, length in windows:
            window = {"since": since * unit, "until": (since + length) * unit, "now": now}
            naive = {
                n
                for n, (began, ended) in enumerate(spans)
                if began < window["until"] and (ended > window["since"] or began >= window["since"])
            }
            both: tuple[set[sessions.Condition], ...] = ({"overlapping"}, {"overlapping", "mac"})
            for conditions in both:
                question = sessions.sessions(sessions.Listing(frozenset(conditions)))
                found = await store.fetch(question, window | {"mac": ROW["mac"]})
                assert {row[1] for row in found} == naive
                assert len(found) == len(naive)
        await store.close()

    asyncio.run(main())


def test_an_answer_longer_than_expected_is_whole(url: str) -> None:
    """What is asked for as short and is not, is read elsewhere, from its beginning."""

    async def main() -> None:
        store = await open_store(url)
        count = SHORT + 500
        await store.write(inserting(*range(count)))
        listing = sessions.Listing(frozenset({"mac"}))
        found = await store.fetch(sessions.sessions(listing), {"mac": ROW["mac"]}, short=True)
        assert [row[1] for row in found] == list(reversed(range(count)))
        await store.close()

    asyncio.run(main())


Moment = st.integers(0, 40)


@settings(max_examples=60, deadline=None)
@given(
    stays=st.lists(
        st.tuples(
            Moment,
            st.one_of(st.none(), st.integers(0, 30)),
            st.sampled_from(["", "start", "end"]),
            st.sampled_from(["Connected", "New Device", "VOIDED - x", "Device Down"]),
        ),
        max_size=30,
    ),
    since=Moment,
    length=st.integers(0, 40),
    limit=st.integers(1, 7),
    kind=st.sampled_from(get_args(events.Kind)),
    unit=st.sampled_from([HOUR // 3, HOUR, 6 * HOUR, 3 * DAY]),
)
def test_pages_of_events_are_those_of_a_naive_model(
    emptied: str,
    stays: list[tuple[int, int | None, str, str]],
    since: int,
    length: int,
    limit: int,
    kind: events.Kind,
    unit: int,
) -> None:
    """In both directions, whatever lies beyond a page's reach; and as many as are counted."""
    empty(emptied)
    now, rows = 50 * unit, []
    for n, (start, lasts, missing, event) in enumerate(stays):
        began, ended = start * unit, None if lasts is None else (start + lasts) * unit
        row = ROW | {"id": n, "connected_at": began, "connection_event": event}
        if ended is not None:
            row |= {"disconnected_at": ended, "disconnection_event": event}
        if missing == "start" and ended is not None:
            row |= {"connected_at": None, "connection_event": MISSING}
        elif missing == "end":
            row |= {"disconnected_at": None, "disconnection_event": MISSING}
        rows.append(row)
    window = {"since": since * unit, "until": (since + length) * unit, "now": now}
    expected = sorted(naive_events(rows, window, kind), reverse=True)

    async def main() -> None:
        store = await open_store(emptied)
        await store.write(lambda transaction: recorded(transaction, rows))
        for backward, name in ((False, "after"), (True, "before")):
            found: list[tuple[int, int, int]] = []
            mark: dict[str, int] = {}
            while True:
                question = events.page(
                    kind, after=bool(mark) and not backward, before=bool(mark) and backward, backward=backward
                )
                page = [
                    (row[-2], row[1], row[-1]) for row in await store.fetch(question, window | mark | {"limit": limit})
                ]
                found += page
                if len(page) < limit:
                    break
                mark = dict(zip((f"{name}_key", f"{name}_id", f"{name}_side"), page[-1], strict=True))
            assert found == (expected[::-1] if backward else expected)
        ((counted,),) = await store.fetch(events.count(kind, search=None), window)
        assert counted == len(expected)
        newest = events.table(kind, "order", descending=True, search=None, limited=True)
        some = await store.fetch(newest, window | {"limit": limit, "offset": 2, "reach": limit + 2})
        assert [(row[-4], row[1], row[-3]) for row in some] == expected[2 : 2 + limit]
        await store.close()

    asyncio.run(main())


def naive_events(rows: list[dict[str, Any]], window: dict[str, int], kind: str) -> list[tuple[int, int, int]]:
    """Key, id and side of each row of a list, read off one session after the other."""
    since, until, now = window["since"], window["until"], window["now"]
    found = []
    for row in rows:
        start, end = row["connected_at"], row["disconnected_at"]
        if kind in ("SESSIONS", "MISSING"):
            begins = end if start is None else start
            is_open = end is None and row["disconnection_event"] is None
            ends = now if is_open else begins if end is None else end
            seen = start is not None and (end is not None or is_open)
            if begins < until and (ends > since or begins >= since) and not (kind == "MISSING" and seen):
                found.append((begins, row["id"], 0))
            continue
        wanted = {"ALL": "", "NEW": "New Device", "DOWN": "Device Down", "VOIDED": "VOIDED"}[kind]
        for side, at, event in ((0, start, row["connection_event"]), (1, end, row["disconnection_event"])):
            if at is not None and since <= at < until and event.startswith(wanted):
                found.append((at, row["id"], side))
    return found
