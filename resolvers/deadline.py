"""The time limit of reads. Writes, and responses that have started to stream, have none."""

import asyncio
from contextvars import Token

from resolvers.limits import Limits
from storage.deadline import deadline

Deadline = Token[float | None]


def start_deadline(limits: Limits) -> Deadline:
    """Limit how long the store may work for the reads of the current task."""
    return deadline.set(asyncio.get_running_loop().time() + limits.seconds)


def end_deadline(started: Deadline) -> None:
    """Remove the limit that `start_deadline` set."""
    deadline.reset(started)
