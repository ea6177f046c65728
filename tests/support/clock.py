"""Contexts with another clock, for tests."""

from zoneinfo import ZoneInfo

from resolvers.context import Context
from resolvers.validation.clock import Clock
from tests.conftest import NOW, at


def with_clock_offset(context: Context, microseconds: int) -> Context:
    """Return a context over the same store, whose clock is ahead of NOW."""
    return Context(context.store, Clock(ZoneInfo("UTC"), time=lambda: at(NOW) + microseconds))
