"""What the operator sees of each request: a log line and metrics; and the last resort where a door fails."""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rest_compat.errors import failure
from storage.errors import StoreUnavailableError

LONGEST_PATH = 200  # characters of a path in the log
ABORTED = 499  # status, by nginx's custom, of a request whose client went away
HUNG_UP = "the handler is closed"  # in the words of uvloop, where others say nothing: there is nobody to send it to

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")


class Metrics:
    """The counts since the start, in a registry of their own: two servers in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "netsessions_requests", "Requests answered", ["door", "outcome"], registry=self.registry
        )
        self.seconds = Histogram(
            "netsessions_request_seconds", "Time to the end of the answer", ["door"], registry=self.registry
        )
        self.of = lru_cache(lambda door, outcome: (self.requests.labels(door, outcome), self.seconds.labels(door)))
        self.written = Counter("netsessions_sessions_written", "Sessions written", registry=self.registry)

    def of_all_workers(self) -> CollectorRegistry:
        """The counts to show: where there are workers, of all of them together."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry
        together = CollectorRegistry()
        _Together(together)  # type: ignore[no-untyped-call]
        return together


class _Together(MultiProcessCollector):
    """Reads the files of all workers. One that starts has made its file a moment before there is anything in it."""

    def collect(self) -> Any:
        files = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db")
        return self.merge([str(file) for file in files if file.stat().st_size], accumulate=True)  # type: ignore[no-untyped-call]


def door_of(path: str) -> str:
    """The door that a path leads to."""
    match path.split("/", 2)[1:2]:
        case ["graphql"]:
            return "graphql"
        case ["sessions"]:
            return "rest"
    return "other"


def outcome_of(status: int) -> str:
    """A status as an operator counts it."""
    if status < 400:
        return "ok"
    return "refused" if status < 500 else "failed"


class Observe:
    """Around everything that answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._lines: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Doors may change the scope. The query is left out: a token may be in it by mistake.
        method, path = scope["method"], scope["path"]
        began = perf_counter()
        status: int | None = None
        complete = False

        async def watched(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, watched)
            if not complete:
                status = ABORTED
        except ClientDisconnect:
            status = ABORTED
        except Exception as problem:
            if isinstance(problem, RuntimeError) and HUNG_UP in str(problem):
                status = ABORTED
                # The web server will notice in a moment; to return before it has would be an error to it.
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            if isinstance(problem.__cause__, StoreUnavailableError):
                log.warning("store unavailable", cause=str(problem.__cause__), method=method, path=path[:LONGEST_PATH])
            else:
                log.exception("request failed", method=method, path=path[:LONGEST_PATH])
            if status is None:
                answer = failure(500, "The server could not answer; its log has the cause.", "internal")
                await answer(scope, receive, watched)
            # An answer under way stays unfinished, so that the server breaks the connection and the client notices.
            status = 500
        finally:
            self._record(method, path, ABORTED if status is None else status, perf_counter() - began)

    def _record(self, method: str, path: str, status: int, seconds: float) -> None:
        door = door_of(path)
        requests, times = self._metrics.of(door, outcome_of(status))
        requests.inc()
        times.observe(seconds)
        if log.isEnabledFor(logging.INFO):
            # Written here: the ways of a log that takes anything from anywhere cost more than many a request.
            line = {
                "method": method,
                "path": path[:LONGEST_PATH],
                "status": status,
                "ms": round(seconds * 1000, 2),
                "door": door,
                "event": "request",
                "level": "info",
                "logger": "netsessions",
                "timestamp": datetime.now(UTC),
            }
            if not self._lines:
                asyncio.get_running_loop().call_soon(self._write)
            self._lines.append(orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))

    def _write(self) -> None:
        """The lines of one turn of the event loop in one write."""
        lines, self._lines = b"".join(self._lines), []
        with suppress(OSError):  # no room for a log is no reason not to answer
            sys.stderr.write(lines.decode())


def _of_no_websocket(record: logging.LogRecord) -> bool:
    """Of WebSockets the web server logs addresses with their queries, and, when asked to, headers and messages."""
    return record.levelno >= logging.WARNING or "websockets" not in record.pathname


def configure_logging(level: str) -> None:
    """One JSON object a line on stderr, from this program and from its libraries alike; times in UTC."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn.access").disabled = True  # the line of `Observe` says more
    logging.getLogger("uvicorn.error").addFilter(_of_no_websocket)
    if level == "info":
        logging.getLogger("alembic").setLevel(logging.WARNING)  # at every start it tells what it is about to look at
