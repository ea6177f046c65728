"""The benchmark gives the same answers on every day and at every time of day."""

from datetime import UTC, datetime, timedelta

import pytest
from dateutil.relativedelta import relativedelta

from benchmarks import data
from benchmarks.bare import month_before


def test_month_before_is_computed_on_every_day() -> None:
    """Like the REST API computes `1 month`, also on days that the previous month does not have."""
    for n in range(4 * 366):
        time = datetime(2027, 1, 1, 23, 59, tzinfo=UTC) + timedelta(days=n)
        assert month_before(time) == time - relativedelta(months=1)


def test_data_lie_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session starts or ends after the last midnight, so that no answer depends on the time of day."""
    monkeypatch.setattr(data, "SESSIONS_PER_DEVICE", 20)
    rows = list(data.sessions_of_year())
    assert len(rows) == 20 * data.DEVICES
    instants = [instant for row in rows for instant in row[3:5] if instant is not None]
    assert max(instants) < data.data_end() <= datetime.now(UTC).timestamp() * 1e6
    assert any(row[4] is None and row[6] is None for row in rows), "some devices are connected"
