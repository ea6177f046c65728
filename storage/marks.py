"""How far a replica must have come to answer whoever wrote: marks that all workers of a server share.

A mark is a position in the primary's log. It is kept for each client in one of `SLOTS` places, so that two who share one
are at worst sent to the primary without need. Each worker writes a row of its own, and reads the highest of a column.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from mmap import mmap
from zlib import crc32

SLOTS = 4096
WIDTH = 8  # bytes of a mark

# Who is asking, set by the program around a request.
asking: ContextVar[str | None] = ContextVar("asking", default=None)


class Marks:
    """The marks in a piece of shared memory; of one worker alone without it."""

    def __init__(self, shared: mmap | None = None, workers: int = 1, worker: int = 0) -> None:
        memory = mmap(-1, size(1)) if shared is None else shared
        self._marks = memoryview(memory).cast("Q")
        self._workers = workers
        self._own = worker * SLOTS

    def note(self, clients: Iterable[str | None], position: int) -> None:
        """Whoever of the clients reads from now on must see what was written up to a position."""
        for client in set(clients):
            slot = self._own + _slot(client)
            self._marks[slot] = max(self._marks[slot], position)

    def of(self, client: str | None) -> int:
        """The position that a client must see."""
        slot = _slot(client)
        return max(self._marks[worker * SLOTS + slot] for worker in range(self._workers))


def size(workers: int) -> int:
    """Bytes of the memory that so many workers share."""
    return workers * SLOTS * WIDTH


def _slot(client: str | None) -> int:
    return crc32((client or "").encode()) % SLOTS
