"""ASGI middleware that logs and counts requests, and responds where an app fails."""

import asyncio
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from netsessions.http.metrics import Metrics, api_of, outcome_of
from rest_compat.errors import internal_error_response
from storage.errors import StoreUnavailableError

MAX_PATH_LENGTH = 200  # characters of a path in the log
CLIENT_CLOSED_REQUEST = 499  # the status that nginx logs for a client that disconnected
CLOSED_TRANSPORT = "the handler is closed"  # uvloop raises a RuntimeError without a type or code of its own

log: structlog.stdlib.BoundLogger = structlog.get_logger("netsessions")
# The level is the standard library's, because structlog's own loggers have none until `configure_logging` is called.
_std_log = logging.getLogger("netsessions")


class AccessLog:
    """Middleware that writes a log line and counts each HTTP request. It is the last to handle exceptions."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._lines: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Read before the app runs, which may change the scope. The query string is not logged: it may hold a token.
        method, path = scope["method"], scope["path"]
        started = perf_counter()
        status: int | None = None
        complete = False

        async def observed_send(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
            if not complete:
                status = CLIENT_CLOSED_REQUEST
        except ClientDisconnect:
            status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            if isinstance(error, RuntimeError) and CLOSED_TRANSPORT in str(error):
                status = CLIENT_CLOSED_REQUEST
                # Wait until the web server notices the disconnect. It would report an error if the app returned before.
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            if isinstance(error.__cause__, StoreUnavailableError):
                log.warning("store unavailable", cause=str(error.__cause__), method=method, path=path[:MAX_PATH_LENGTH])
            else:
                log.exception("request failed", method=method, path=path[:MAX_PATH_LENGTH])
            if status is None:
                await internal_error_response()(scope, receive, observed_send)
            # A response that has started stays incomplete: the web server closes the connection, and the client notices.
            status = 500
        finally:
            self._record(method, path, CLIENT_CLOSED_REQUEST if status is None else status, perf_counter() - started)

    def _record(self, method: str, path: str, status: int, seconds: float) -> None:
        api = api_of(path)
        requests, times = self._metrics.for_request(api, outcome_of(status))
        requests.inc()
        times.observe(seconds)
        if _std_log.isEnabledFor(logging.INFO):
            # Serialized here, because the log's chain of processors would take longer than many requests.
            line = {
                "method": method,
                "path": path[:MAX_PATH_LENGTH],
                "status": status,
                "ms": round(seconds * 1000, 2),
                "door": api,
                "event": "request",
                "level": "info",
                "logger": "netsessions",
                "timestamp": datetime.now(UTC),
            }
            if not self._lines:
                asyncio.get_running_loop().call_soon(self._write_lines)
            self._lines.append(orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))

    def _write_lines(self) -> None:
        """Write all lines of one iteration of the event loop at once."""
        lines, self._lines = b"".join(self._lines), []
        with suppress(OSError):  # requests are served even if the disk of the log is full
            sys.stderr.write(lines.decode())
