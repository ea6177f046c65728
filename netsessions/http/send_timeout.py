"""ASGI middleware that disconnects clients that stop reading."""

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from resolvers.failures import TOO_SLOW

TIMEOUT_SECONDS = 10.0  # to send one message
CLOSE_CODE = TOO_SLOW.close_code


class SendTimeoutMiddleware:
    """Limits how long each part of a streamed response, and each WebSocket message, takes to send.

    A response in one piece has no limit: the web server buffers it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        timed_out = False

        async def send_in_time(message: Message) -> None:
            nonlocal timed_out
            if timed_out:
                raise WebSocketDisconnect(CLOSE_CODE)
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await send(message)
            except TimeoutError:
                timed_out = True
                if scope["type"] != "websocket":
                    raise ClientDisconnect from None
                reason = "Messages were not read in time. Subscribe again after the last cursor that you received."
                with suppress(Exception):  # the connection may be closed already, or accept nothing
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await send({"type": "websocket.close", "code": CLOSE_CODE, "reason": reason})
                raise WebSocketDisconnect(CLOSE_CODE) from None

        async def limited_send(message: Message) -> None:
            is_limited = message.get("more_body") or scope["type"] == "websocket"
            await (send_in_time if is_limited else send)(message)

        await self._app(scope, receive, limited_send)
