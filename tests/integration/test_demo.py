"""The demo data."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from netsessions.commands.demo import demo_command
from resolvers.context import Context
from resolvers.maintenance.demo import NotEmptyError, make_demo
from resolvers.validation.clock import Clock
from storage.migrations import migrate
from storage.opening import open_store
from tests.conftest import NOW, at, run, sql
from tests.support.imports import Rows, distinct_sessions, import_and_check, run_command
from tests.support.netalertx import COMPLETE, write_database


def test_the_demo_has_every_state_and_event_type(context: Context, rows: Rows) -> None:
    """Fifty devices over the last ninety days."""
    counted: list[int] = []
    demo = run(make_demo(replace(context, on_written=counted.append)))
    sessions = rows()
    assert demo.sessions == len(sessions) > 1000
    assert counted == [len(sessions)]
    assert len({row[0] for row in sessions}) == demo.devices == 50
    assert {row[8] for row in sessions} == {"CONNECTED", "COMPLETE", "MISSING_CONNECTION", "MISSING_DISCONNECTION"}
    assert set(demo.event_types) == {
        "Connected",
        "New Device",
        "Down Reconnected",
        "Disconnected",
        "Device Down",
        "VOIDED - Connected",
        "VOIDED - Disconnected",
    }
    ends = [end for row in sessions for end in row[3:5] if end is not None]
    assert at("2025-05-22T12:00:00Z") <= min(ends)
    assert max(ends) <= at(NOW)
    states = Counter(row[8] for row in sessions)
    assert demo.connected == states["CONNECTED"]
    assert demo.missing_connection == states["MISSING_CONNECTION"]
    assert demo.missing_disconnection == states["MISSING_DISCONNECTION"]
    spans = [(row[0], row[3], row[4]) for row in sessions if row[3] is not None]
    assert all(end is None or start < end for _, start, end in spans)
    # No device has two sessions at once.
    for span, next_span in pairwise(sorted(spans, key=itemgetter(0, 1))):
        assert span[0] != next_span[0] or (span[2] or span[1]) < next_span[1]


def test_the_demo_is_the_same_within_an_hour(context: Context, rows: Rows, tmp_path: Path) -> None:
    """Half an hour later, the sessions are the same."""
    other = f"sqlite:///{tmp_path / 'other.db'}"
    migrate(other)

    async def create_in_other_store() -> Any:
        store = await open_store(other)
        try:
            clock = Clock(ZoneInfo("UTC"), time=lambda: at("2025-08-20T12:30:00Z"))
            return await make_demo(replace(context, store=store, clock=clock))
        finally:
            await store.close()

    assert run(make_demo(context)) == run(create_in_other_store())
    assert distinct_sessions(sql(other, "SELECT * FROM session")) == distinct_sessions(rows())


def test_the_demo_needs_an_empty_store(context: Context, url: str, rows: Rows, tmp_path: Path) -> None:
    """Demo data is not mixed with recorded sessions. The command exits with code 1 and stores nothing."""
    import_and_check(context, write_database(tmp_path / "source.db", [COMPLETE]))
    before = rows()
    with pytest.raises(NotEmptyError):
        run(make_demo(context))
    result = run_command(url, demo_command)
    assert result.exit_code == 1
    assert "already contains sessions" in result.stderr
    assert rows() == before


def test_the_demo_command_prints_the_counts(tmp_path: Path, url: str, rows: Rows) -> None:
    result = run_command(url, demo_command)
    assert result.exit_code == 0, result.stderr
    assert f"Created {len(rows()):,} sessions of 50 devices over the last 90 days" in result.stdout
