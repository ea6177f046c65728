"""ASGI middleware that ends long-lived responses when the server shuts down."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import FrameType

from starlette.types import ASGIApp, Receive, Scope, Send

SIGNALS = (signal.SIGTERM, signal.SIGINT)
DELAY = 0.5  # seconds


class GracefulShutdown:
    """Calls `on_shutdown` soon after a signal that stops the server.

    The web server itself ends the lifespan of an app only after all requests are complete, so subscriptions would keep it
    running.
    """

    def __init__(self, app: ASGIApp, on_shutdown: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._on_shutdown = on_shutdown
        self._shutdown: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        self.install_signal_handlers()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def install_signal_handlers(self) -> None:
        """Add to the signal handlers of the web server, which must be installed before."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            server_handler = signal.getsignal(number)

            def handle(number: int, frame: FrameType | None, server_handler: object = server_handler) -> None:
                loop.call_soon_threadsafe(self._start)
                if callable(server_handler):
                    server_handler(number, frame)

            signal.signal(number, handle)

    def _start(self) -> None:
        self._shutdown = self._shutdown or asyncio.create_task(self._shut_down())

    async def _shut_down(self) -> None:
        # First the web server closes WebSockets as "going away", after which their clients reconnect.
        await asyncio.sleep(DELAY)
        await self._on_shutdown()
