"""What every resolver is handed: the store, the clock, and whom to tell of what was written."""

from asyncio import Semaphore
from collections.abc import Callable
from dataclasses import dataclass, field

from resolvers.clock import Clock
from storage.store import Store

SWEEPS = 2  # over a store's sessions that are held in memory at once, a million each; others wait


def _nobody(_: int) -> None:
    """Takes no notice."""


@dataclass(frozen=True)
class Context:
    """Opened once by the program, for all requests."""

    store: Store
    clock: Clock
    on_written: Callable[[int], None] = _nobody
    sweeps: Semaphore = field(default_factory=lambda: Semaphore(SWEEPS))
