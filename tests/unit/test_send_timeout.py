"""The middleware that disconnects clients that stop reading."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from netsessions.http.send_timeout import SendTimeoutMiddleware
from tests.conftest import run


def test_response_ends_when_the_client_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not hold the source of the response open for ever."""
    monkeypatch.setattr("netsessions.http.send_timeout.TIMEOUT_SECONDS", 0.05)
    stopped = []

    async def app(_: Any, __: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        finally:
            stopped.append(True)

    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientDisconnect):
        run(SendTimeoutMiddleware(app)({"type": "http"}, never, never))  # type: ignore[arg-type]
    assert stopped
