"""Around the app: when the server is told to end, those who would watch for ever are let go of, so that it can."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import FrameType

from starlette.types import ASGIApp, Receive, Scope, Send

SIGNALS = (signal.SIGTERM, signal.SIGINT)
AFTER = 0.5  # seconds


class Ending:
    """The web server tells an app of its end only when all requests are answered. So this listens to what ends the server."""

    def __init__(self, app: ASGIApp, let_go: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._let_go = let_go
        self._letting_go: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        self.listen()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def listen(self) -> None:
        """To be called when the web server has set its own handlers, which go on doing what they do."""
        loop = asyncio.get_running_loop()
        for ending in SIGNALS:
            handler = signal.getsignal(ending)

            def both(number: int, frame: FrameType | None, handler: object = handler) -> None:
                loop.call_soon_threadsafe(self._begin)
                if callable(handler):
                    handler(number, frame)

            signal.signal(ending, both)

    def _begin(self) -> None:
        self._letting_go = self._letting_go or asyncio.create_task(self._end())

    async def _end(self) -> None:
        # First the web server tells WebSockets that it goes away, which their clients take for a reason to come back.
        await asyncio.sleep(AFTER)
        await self._let_go()
