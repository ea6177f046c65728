"""Around everything that answers: a client that does not take what it is sent is cut off, and holds up nothing for ever."""

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

SECONDS = 10.0  # for which a client may keep an answer waiting on the way to it
TOO_SLOW = 4508  # the private WebSocket code of a client that was cut off so


class Patience:
    """Bounds the time that a part of a long answer takes on its way; what is answered in one piece is not waited for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        over = False

        async def patient(message: Message) -> None:
            nonlocal over
            if over:
                raise WebSocketDisconnect(TOO_SLOW)
            try:
                async with asyncio.timeout(SECONDS):
                    await send(message)
            except TimeoutError:
                over = True
                if scope["type"] != "websocket":
                    raise ClientDisconnect from None
                reason = "What was sent was not read in time; subscribe again after the last cursor that you saw."
                with suppress(Exception):  # it may be closed already, or take nothing at all
                    async with asyncio.timeout(SECONDS):
                        await send({"type": "websocket.close", "code": TOO_SLOW, "reason": reason})
                raise WebSocketDisconnect(TOO_SLOW) from None

        async def sent(message: Message) -> None:
            await (patient if message.get("more_body") or scope["type"] == "websocket" else send)(message)

        await self._app(scope, receive, sent)
