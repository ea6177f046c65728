"""Watermarks: how far a replica must have replayed the primary's log so that a client reads its own writes.

A watermark is a position in the log. All workers of a server share the watermarks in memory. Each client has one of
`SLOT_COUNT` slots; if two clients share a slot, some reads go to the primary without need. Each worker writes to its own
row, and reads the maximum of a column.
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

SLOT_COUNT = 4096
SLOT_BYTES = 8

# The client of the current request, set by the authentication middleware.
client_address: ContextVar[str | None] = ContextVar("client_address", default=None)


class Watermarks:
    """The watermarks in a block of memory. By default the memory is private to the process."""

    def __init__(self, memory: mmap | None = None, row: int = 0) -> None:
        self._positions = memoryview(memory or mmap(-1, SLOT_COUNT * SLOT_BYTES)).cast("Q")
        self._row_start = row * SLOT_COUNT

    @classmethod
    @contextmanager
    def open_shared(cls, file: Path, workers: int) -> Iterator[Self]:
        """Open the watermarks in a file. Lock a row for this process until the context, or the process, ends."""
        row_count = 2 * workers  # while workers are replaced, twice as many may run
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as shared:
            os.ftruncate(shared.fileno(), row_count * SLOT_COUNT * SLOT_BYTES)
            for row in range(row_count):
                with suppress(OSError):
                    fcntl.lockf(shared, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, row)
                    break
            else:
                raise OSError("all rows of the watermarks are in use")
            yield cls(mmap(shared.fileno(), 0), row)

    def advance(self, clients: Iterable[str | None], position: int) -> None:
        """Require that these clients read everything up to a position from now on."""
        for client in set(clients):
            slot = self._row_start + _slot(client)
            self._positions[slot] = max(self._positions[slot], position)

    def position_for(self, client: str | None) -> int:
        """Return the position that a replica must have reached for a client."""
        return max(self._positions[_slot(client) :: SLOT_COUNT])


def _slot(client: str | None) -> int:
    return crc32((client or "").encode()) % SLOT_COUNT
