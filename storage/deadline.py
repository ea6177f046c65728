"""Until when the store may work for whoever asks.

The doors set it around what reads, and the store keeps it where a question is put: what asks there may be a task of its
own, which nobody ends together with the request. What changes the store is not cut off, nor is what is streamed.
"""

import asyncio
from contextvars import ContextVar
from types import TracebackType

from storage.errors import TookTooLongError

# By the clock of the event loop; None for no end.
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class InTime:
    """Cancels what is inside when the time is over, and raises `TookTooLongError`."""

    def __init__(self) -> None:
        self._timeout = asyncio.timeout_at(deadline.get())

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, problem, trace)
        except TimeoutError as cause:
            raise TookTooLongError from cause
