"""How far a replica must have come to answer whoever wrote: marks that all workers of a server share.

A mark is a position in the primary's log. It is kept for each client in one of `SLOTS` places, so that two who share one
are at worst sent to the primary without need. Each worker writes a row of its own, and reads the highest of a column.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from mmap import mmap
from pathlib import Path
from typing import Self
from zlib import crc32

SLOTS = 4096
WIDTH = 8  # bytes of a mark

# Who is asking, set by the program around a request.
asking: ContextVar[str | None] = ContextVar("asking", default=None)


class Marks:
    """The marks in a piece of memory, of one worker unless told otherwise."""

    def __init__(self, memory: mmap | None = None, own: int = 0) -> None:
        self._marks = memoryview(memory or mmap(-1, SLOTS * WIDTH)).cast("Q")
        self._own = own * SLOTS

    @classmethod
    @contextmanager
    def claimed(cls, file: Path, workers: int) -> Iterator[Self]:
        """The marks in a file, with a row that no other worker has until this one is done, or ends in whatever way."""
        rows = 2 * workers  # as many may end while as many begin
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as shared:
            os.ftruncate(shared.fileno(), rows * SLOTS * WIDTH)
            for row in range(rows):
                with suppress(OSError):
                    fcntl.lockf(shared, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, row)
                    break
            else:
                raise OSError("all rows of marks are taken")
            yield cls(mmap(shared.fileno(), 0), row)

    def note(self, clients: Iterable[str | None], position: int) -> None:
        """Whoever of the clients reads from now on must see what was written up to a position."""
        for client in set(clients):
            slot = self._own + _slot(client)
            self._marks[slot] = max(self._marks[slot], position)

    def of(self, client: str | None) -> int:
        """The position that a client must see."""
        return max(self._marks[_slot(client) :: SLOTS])


def _slot(client: str | None) -> int:
    return crc32((client or "").encode()) % SLOTS
