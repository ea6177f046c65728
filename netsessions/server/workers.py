"""Several processes on one port and one database: each runs the app that one process would, and they share two things.

A folder holds the counts of each, which `/metrics` adds up, and the marks by which a client reads what it wrote, whichever
worker answers it.
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
from netsessions.http.access_log import configure_logging
from netsessions.http.shutdown import Ending
from netsessions.server.config import configured
from netsessions.settings import Settings
from storage.errors import StoreUnusableError
from storage.replicas import Marks

SLOW_SECONDS = 30  # that a worker may take to start, or to answer its parent, before it is taken for stuck and replaced


class Worker:
    """The app of one process, opened and closed with its lifespan: the web server starts the process, and not we."""

    def __init__(self, settings: Settings, token: str, folder: Path) -> None:
        self._settings = settings
        self._token = token
        self._folder = folder
        self._app: Ending | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            assert self._app is not None  # noqa: S101, for the type checker: nothing is asked before the start
            await self._app(scope, receive, send)
            return
        await receive()
        configure_logging(self._settings.log_level)
        try:
            with Marks.claimed(self._folder / "marks", self._settings.workers) as marks:
                async with running_app(self._settings, self._token, marks) as self._app:
                    self._app.listen()
                    gc.collect()
                    gc.freeze()
                    await send({"type": "lifespan.startup.complete"})
                    watching = asyncio.create_task(_end_with_parent())
                    await receive()
                    watching.cancel()
        except (StoreUnusableError, OSError) as problem:
            await send({"type": "lifespan.startup.failed", "message": str(problem)})
            return
        await send({"type": "lifespan.shutdown.complete"})


async def _end_with_parent() -> None:
    """Ends this process in order when the one that started it is gone, in whatever way: nobody else would."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110, no event tells of it
        await asyncio.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _shared() -> Iterator[Path]:
    """The folder that the workers share; prometheus_client finds it by the variable, when it is imported."""
    with TemporaryDirectory(prefix="netsessions-workers-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield Path(folder)


def serve(settings: Settings, token: str, listener: socket) -> None:
    """Runs the workers on a socket until a signal ends them, and starts anew those that end by themselves."""
    with _shared() as folder:
        worker = Worker(settings, token, folder)
        config = configured(worker, settings, workers=settings.workers, timeout_worker_healthcheck=SLOW_SECONDS)
        Multiprocess(config, [listener]).run()
