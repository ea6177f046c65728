"""Generation of session ids."""

from zoneinfo import ZoneInfo

from resolvers.sessions import _SessionIds
from resolvers.validation.clock import Clock
from tests.conftest import NOW, at


def test_session_ids_increase_even_if_the_clock_steps_back() -> None:
    """An id starts with the millisecond since 1970 and random bits. The next ids are consecutive."""
    later = Clock(ZoneInfo("UTC"), time=lambda: at(NOW))
    earlier = Clock(ZoneInfo("UTC"), time=lambda: at(NOW) - 1)
    first_ids = set()
    for _ in range(50):
        ids = _SessionIds()
        first, *_, last = ids(later, 3)
        assert first >> 21 == at(NOW) // 1000
        assert last == first + 2
        assert ids(earlier, 2) == range(last + 1, last + 3)
        assert ids(earlier, 1)[0] == last + 3
        first_ids.add(first)
    assert len(first_ids) > 45
