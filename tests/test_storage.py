"""The store keeps what it acknowledged, and only that."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, get_args

import apsw
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable
from sqlmodel import SQLModel

from storage import changes, events, sessions
from storage.errors import StoreUnavailableError, StoreUnusableError
from storage.migrations import migrate
from storage.sqlite import SHORT, Store, Transaction, connect
from storage.tables import DAY, HOUR, MISSING

ROW: dict[str, Any] = {
    "mac": "AA:BB:CC:DD:EE:FF",
    "ip": "10.0.0.1",
    "connected_at": 0,
    "disconnected_at": None,
    "connection_event": "Connected",
    "disconnection_event": None,
    "info": "",
}


def inserting(*identities: int, **changed: Any) -> Callable[[Transaction], int]:
    """A change that inserts sessions with these ids."""
    return lambda transaction: transaction.execute_many(
        changes.insert_session(), [ROW | changed | {"id": identity} for identity in identities]
    )


def held(path: Path) -> list[int]:
    """The ids that the table holds, read over a new connection."""
    connection = connect(path, read_only=True)
    ids = [row[0] for row in connection.execute("SELECT id FROM session ORDER BY id")]
    connection.close()
    return ids


def test_a_write_that_fails_in_a_group_fails_alone(path: Path) -> None:
    """Its neighbours in the same commit are stored, and nothing of its own is."""

    async def main() -> list[Any]:
        store = Store(path)
        writes = [store.write(inserting(n, n) if n == 5 else inserting(n)) for n in range(10)]
        answers = await asyncio.gather(*writes, return_exceptions=True)
        await store.close()
        return answers

    answers = asyncio.run(main())
    assert isinstance(answers.pop(5), apsw.ConstraintError)
    assert answers == [1] * 9
    assert held(path) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_what_was_submitted_before_the_close_is_stored(path: Path) -> None:
    """Closing waits for the writes that were accepted."""

    async def main() -> None:
        store = Store(path)
        writes = [asyncio.ensure_future(store.write(inserting(n))) for n in range(2000)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*writes)

    asyncio.run(main())
    assert held(path) == list(range(2000))


def test_a_store_that_cannot_be_written_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the write lock for too long, a write is refused whole, and the next one works."""
    monkeypatch.setattr("storage.sqlite.BUSY_MS", 50)
    other = connect(path, read_only=False)
    other.execute("BEGIN IMMEDIATE")

    async def main() -> None:
        store = Store(path)
        with pytest.raises(StoreUnavailableError, match="locked"):
            await store.write(inserting(1))
        assert await store.fetch(sessions.any_session(), {}) == []
        other.execute("ROLLBACK")
        await store.write(inserting(2))
        await store.close()

    asyncio.run(main())
    other.close()
    assert held(path) == [2]


def test_a_reader_who_goes_away_midway_harms_nothing(path: Path) -> None:
    """Streams that are cancelled while the database works let go of it in order, and leave no file open."""

    async def consume(store: Store) -> None:
        async with aclosing(store.stream(sessions.sessions(sessions.Listing()), {})) as chunks:
            async for _ in chunks:
                pass

    async def main() -> None:
        store = Store(path)
        await store.write(inserting(*range(5000)))
        files = []
        for attempt in range(40):
            readers = [asyncio.ensure_future(consume(store)) for _ in range(8)]
            await asyncio.sleep(attempt / 10_000)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            files.append(len(os.listdir("/proc/self/fd")))
        # SQLite keeps the files of closed connections for the next ones, as many as were ever open at once.
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
def test_the_database_itself_refuses_what_cannot_be(path: Path, wrong: dict[str, Any]) -> None:
    """No end before its start, none without any end, no event without its time."""

    async def main() -> None:
        store = Store(path)
        with pytest.raises(apsw.ConstraintError):
            await store.write(inserting(1, **wrong))
        await store.close()

    asyncio.run(main())
    assert held(path) == []


def test_migrations_make_the_tables_that_the_program_expects(path: Path) -> None:
    """Nothing is left for a migration to do, checks and generated columns included."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    engine.dispose()
    migrated = sqlite3.connect(path)
    declared = sqlite3.connect(":memory:")
    for table in SQLModel.metadata.sorted_tables:
        declared.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
    rows = [(ROW | changed) for changed in STAYS]
    shown = []
    for database in (migrated, declared):
        for n, row in enumerate(rows):
            values = row | {"id": n}
            names = ", ".join(values)
            database.execute(f"INSERT INTO session ({names}) VALUES (:{', :'.join(values)})", values)
        shown.append(database.execute("SELECT state, starts_at, span FROM session ORDER BY id").fetchall())
        database.close()
    assert shown[0] == shown[1]


STAYS: list[dict[str, Any]] = [
    {},
    *(
        {"disconnected_at": span, "disconnection_event": "Disconnected"}
        for span in (0, HOUR, HOUR + 1, DAY, 8 * DAY, 31 * DAY, 121 * DAY)
    ),
    {"connected_at": None, "connection_event": MISSING, "disconnected_at": 7, "disconnection_event": "Disconnected"},
    {"disconnection_event": MISSING},
]


def test_a_database_of_an_earlier_release_is_upgraded_with_its_rows(tmp_path: Path) -> None:
    """Nothing of a session changes, and what is computed of it is as in a new database."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    migrate(old, "0001")
    migrate(new)
    rows = [ROW | changed | {"id": n} for n, changed in enumerate(STAYS)]
    names = ", ".join(rows[0])
    shown = []
    for file in (old, new):
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.executemany(f"INSERT INTO session ({names}) VALUES (:{', :'.join(rows[0])})", rows)
            connection.execute("INSERT INTO device VALUES ('AA:BB:CC:DD:EE:FF', 'Phone', NULL)")
    migrate(old)
    for file in (old, new):
        with closing(sqlite3.connect(file)) as connection:
            shown.append(
                [
                    connection.execute(f"SELECT {names}, state, starts_at, span FROM session ORDER BY id").fetchall(),
                    connection.execute("SELECT * FROM device").fetchall(),
                    connection.execute(
                        "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
                    ).fetchall(),
                    connection.execute("PRAGMA integrity_check").fetchall(),
                ]
            )
    assert shown[0] == shown[1]
    assert len(shown[0][0]) == len(STAYS)


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 20, b"\0" * 5000])
def test_what_is_not_a_database_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    """And left as it was."""
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(StoreUnusableError, match="cannot be used as a database"):
        migrate(file)
    assert file.read_bytes() == content


def test_a_database_of_a_newer_release_is_left_alone(path: Path) -> None:
    """An unknown revision is refused, not guessed at."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreUnusableError, match="newer release"):
        migrate(path)


Stay = tuple[int, int | None, bool]


@settings(max_examples=40, deadline=None)
@given(
    stays=st.lists(
        st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)), st.booleans()), min_size=1, max_size=25
    ),
    windows=st.lists(st.tuples(st.integers(0, 70), st.integers(0, 20)), min_size=1, max_size=8),
    unit=st.sampled_from([HOUR // 3, HOUR, 6 * HOUR, 2 * DAY]),
)
def test_overlaps_are_those_of_a_naive_model(
    tmp_path_factory: pytest.TempPathFactory, stays: list[Stay], windows: list[tuple[int, int]], unit: int
) -> None:
    """The span classes find just the sessions that a scan of them all finds, whatever their lengths."""
    path = tmp_path_factory.mktemp("overlap") / "a.db"
    migrate(path)
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
        store = Store(path)
        await store.write(lambda transaction: transaction.execute_many(changes.insert_session(), rows))
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


def test_an_answer_longer_than_expected_is_whole(path: Path) -> None:
    """What is asked for as short and is not, is read elsewhere, from its beginning."""

    async def main() -> None:
        store = Store(path)
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
    tmp_path_factory: pytest.TempPathFactory,
    stays: list[tuple[int, int | None, str, str]],
    since: int,
    length: int,
    limit: int,
    kind: events.Kind,
    unit: int,
) -> None:
    """In both directions, whatever lies beyond a page's reach; and as many as are counted."""
    path = tmp_path_factory.mktemp("events") / "a.db"
    migrate(path)
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
        store = Store(path)
        await store.write(lambda transaction: transaction.execute_many(changes.insert_session(), rows))
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
