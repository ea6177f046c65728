"""The number and the lifetime of long-lived connections, by the token that opened them.

A connection ends when its token expires, and within `CHECK_INTERVAL` after the token is revoked. Each process counts its own
connections.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from resolvers.errors import TooManyRequestsError, UnauthenticatedError
from storage.errors import StoreUnavailableError

CHECK_INTERVAL = 10.0  # seconds between checks whether the tokens of open connections are still valid
RETRY_AFTER = 10  # seconds
TOKEN_ENDED = "The token has expired or was revoked."  # noqa: S105

# Registers the token of a connection: its digest, and the seconds until it expires, or None.
Register = Callable[[str, float | None], None]


class ConnectionLimiter:
    """Limits the open connections of each token. `is_valid` returns whether the token of a digest is still valid."""

    def __init__(self, max_connections: int, is_valid: Callable[[str], Awaitable[bool]]) -> None:
        self._max_connections = max_connections
        self._is_valid = is_valid
        self._open: dict[str, set[asyncio.Timeout]] = {}
        self._checks: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def track(self) -> AsyncIterator[Register]:
        """Run the context as a connection. Raise UnauthenticatedError in it when its token ends.

        The context must call the yielded function once. It raises TooManyRequestsError if the token has too many connections.
        """
        timeout, registered = asyncio.timeout(None), ""

        def register(digest: str, seconds: float | None) -> None:
            nonlocal registered
            timeouts = self._open.setdefault(digest, set())
            if len(timeouts) >= self._max_connections:
                raise TooManyRequestsError(
                    f"This token already has {self._max_connections} open connections. Close one of them first.",
                    RETRY_AFTER,
                )
            timeouts.add(timeout)
            registered = digest
            if seconds is not None:
                timeout.reschedule(asyncio.get_running_loop().time() + seconds)
            self._checks = self._checks or asyncio.create_task(self._check_periodically())

        try:
            async with timeout:
                yield register
        except TimeoutError:
            if not timeout.expired():
                raise
            raise UnauthenticatedError(TOKEN_ENDED) from None
        finally:
            if registered:
                self._unregister(registered, timeout)

    def _unregister(self, digest: str, timeout: asyncio.Timeout) -> None:
        self._open[digest].discard(timeout)
        if not self._open[digest]:
            del self._open[digest]
        if not self._open and self._checks is not None:
            self._checks.cancel()
            self._checks = None

    async def _check_periodically(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            # If the store is unavailable, the next check decides.
            with suppress(StoreUnavailableError):
                await self.close_revoked()

    async def close_revoked(self) -> None:
        """End the connections whose token is no longer valid."""
        for digest in list(self._open):
            if not await self._is_valid(digest):
                for timeout in self._open.get(digest, ()):
                    if not timeout.expired():
                        timeout.reschedule(asyncio.get_running_loop().time())
