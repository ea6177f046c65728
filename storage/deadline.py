"""The deadline of the current request for reads.

The APIs set it. The store enforces it around each query, because the query may run in a task that is not cancelled together
with the request. Writes have no deadline, and the APIs set none for streams.
"""

import asyncio
from contextvars import ContextVar
from types import TracebackType

from storage.errors import QueryTimeoutError

# In the time of the event loop's clock; None for no deadline.
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class WithinDeadline:
    """A context manager that cancels its body at the deadline and raises `QueryTimeoutError`."""

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
            raise QueryTimeoutError from cause
