"""How the web server treats connections: what it accepts on them, and whom it tells that one is lost."""

from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from netsessions.settings import Settings

GRACE_SECONDS = 30  # for requests under way when the server is told to stop


class _Connection(HttpToolsProtocol):
    """Tells each of the requests that came together that their connection is lost.

    The web server tells only the last of them; the one that is being answered would wait for it for ever.
    """

    _earlier: Sequence[RequestResponseCycle] = ()

    def on_headers_complete(self) -> None:
        before = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            self._earlier = [each for each in (*self._earlier, before) if not each.response_complete]

    def connection_lost(self, exc: Exception | None) -> None:
        for each in self._earlier:
            if not each.response_complete:
                each.disconnected = True
                each.message_event.set()
        super().connection_lost(exc)


def configured(app: Any, settings: Settings, **more: Any) -> uvicorn.Config:
    """How an app is served. Of WebSockets a message holds no more than a body may, and none is compressed: to do so for
    each subscriber is what would take longest."""
    return uvicorn.Config(
        app,
        http=_Connection,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        ws_max_size=settings.max_body,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **more,
    )
