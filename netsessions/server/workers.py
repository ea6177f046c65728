"""Worker processes: several processes that serve the same app on one port and one database.

They share a temporary folder with two kinds of files. Metrics files let `/metrics` of any worker report the sum of all.
The watermarks let a client read its own writes from a replica, through any worker.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

from starlette.types import Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from netsessions.app import running_app
from netsessions.http.shutdown import GracefulShutdown
from netsessions.log_config import configure_logging
from netsessions.server.config import uvicorn_config
from netsessions.settings import Settings
from storage.errors import StoreUnusableError
from storage.replicas import Watermarks

HEALTH_CHECK_SECONDS = 30  # how long a worker may take to start or to respond to its parent before it is replaced


class Worker:
    """The ASGI app of one worker process. It opens the store at lifespan startup and closes it at shutdown."""

    def __init__(self, settings: Settings, token: str, folder: Path) -> None:
        self._settings = settings
        self._token = token
        self._folder = folder
        self._app: GracefulShutdown | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert self._app is not None  # noqa: S101, for the type checker: no request precedes startup
            await self._app(scope, receive, send)
            return
        await receive()
        configure_logging(self._settings.log_level)
        try:
            with Watermarks.open_shared(self._folder / "watermarks", self._settings.workers) as watermarks:
                async with running_app(self._settings, self._token, watermarks) as self._app:
                    self._app.install_signal_handlers()
                    gc.collect()
                    gc.freeze()
                    await send({"type": "lifespan.startup.complete"})
                    parent_check = asyncio.create_task(_exit_with_parent())
                    await receive()
                    parent_check.cancel()
        except (StoreUnusableError, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


async def _exit_with_parent() -> None:
    """Shut this process down when its parent is gone, for instance after a kill. No other process would do so."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110, the end of a parent is no event
        await asyncio.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _shared_folder() -> Iterator[Path]:
    """Create the folder that the workers share. prometheus_client reads the variable when it is imported."""
    with TemporaryDirectory(prefix="netsessions-workers-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield Path(folder)


def serve(settings: Settings, token: str, listener: socket) -> None:
    """Run the workers on a socket until a signal arrives. Replace workers that exit unexpectedly."""
    with _shared_folder() as folder:
        worker = Worker(settings, token, folder)
        config = uvicorn_config(
            worker, settings, workers=settings.workers, timeout_worker_healthcheck=HEALTH_CHECK_SECONDS
        )
        Multiprocess(config, [listener]).run()
