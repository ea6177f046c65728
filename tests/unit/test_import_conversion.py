"""Conversion of imported values, and the filter for sessions that may exist."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resolvers.imports import session_writer
from resolvers.imports.conversion import _parse_common_format, _parse_instant
from tests.conftest import at
from tests.support.netalertx import IP, A


def test_the_filter_contains_every_added_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is full. A nearly empty filter contains nothing else."""
    filter_ = session_writer._SessionFilter()
    assert [filter_.add(A, n, IP) for n in range(100)].count(True) <= 1
    monkeypatch.setattr("resolvers.imports.session_writer.FILTER_BITS", 64)
    full_filter = session_writer._SessionFilter()
    for n in range(1000):
        full_filter.add(A, n, IP)
    assert all(full_filter.add(A, n, IP) for n in range(1000))


@given(
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}([+-][0-9]{2}:[0-9]{2})?", fullmatch=True)
)
@example("2025-03-30 02:30:00")
@example("2025-10-26 02:30:00")
@example("2025-W01-1T10:00:00")
@example("20250801T10:00:00.0")
def test_common_time_formats_give_the_same_instant_as_the_general_parser(text: str) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    instant = _parse_common_format(text, berlin)
    try:
        expected = _parse_instant(text, berlin)
    except ValueError:
        expected = None
    assert instant in (expected, None)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-08-01T12:00+02", "2025-08-01T10:00Z"),
        ("2025-08-01 03:00:00.5-07:00", "2025-08-01T10:00:00.5Z"),
        ("2025-08-01T10:00Z", "2025-08-01T10:00Z"),
        ("2025-08-01 12:00", "2025-08-01T10:00Z"),
    ],
)
def test_other_time_formats_use_their_offset_or_the_zone(text: str, utc: str) -> None:
    assert _parse_common_format(text, ZoneInfo("Europe/Berlin")) is None
    assert _parse_instant(text, ZoneInfo("Europe/Berlin")) == at(utc)
