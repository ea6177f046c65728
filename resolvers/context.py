"""What every resolver is handed: the store, the clock, and whom to tell of what was written."""

from collections.abc import Callable
from dataclasses import dataclass

from resolvers.clock import Clock
from storage.store import Store


def _nobody(_: int) -> None:
    """Takes no notice."""


@dataclass(frozen=True)
class Context:
    """Opened once by the program, for all requests."""

    store: Store
    clock: Clock
    on_written: Callable[[int], None] = _nobody
