"""The uvicorn configuration, and its HTTP protocol with a fix for lost connections."""

from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from netsessions.settings import Settings

GRACE_SECONDS = 30  # for requests in progress at shutdown


class _PipeliningProtocol(HttpToolsProtocol):
    """Reports a lost connection to every pipelined request.

    uvicorn reports it to the last request only. The request in progress would wait for the disconnect forever.
    """

    _earlier_requests: Sequence[RequestResponseCycle] = ()

    def on_headers_complete(self) -> None:
        previous = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            self._earlier_requests = [
                request for request in (*self._earlier_requests, previous) if not request.response_complete
            ]

    def connection_lost(self, exc: Exception | None) -> None:
        for request in self._earlier_requests:
            if not request.response_complete:
                request.disconnected = True
                request.message_event.set()
        super().connection_lost(exc)


def uvicorn_config(app: Any, settings: Settings, **options: Any) -> uvicorn.Config:
    """Return the configuration for an app; `options` are further arguments of `uvicorn.Config`.

    WebSocket messages have the size limit of request bodies. They are not compressed: compressing each message for each
    subscriber would take most of the processor time.
    """
    return uvicorn.Config(
        app,
        http=_PipeliningProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=settings.max_body,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **options,
    )
