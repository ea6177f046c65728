"""The caller's identity: only a request that carries the token reaches the door behind."""

import hmac
from collections.abc import Callable

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolvers.context import acting
from storage.marks import asking

UNAUTHENTICATED = 4401  # the private WebSocket code that stands for 401
OWN = "API_TOKEN"  # the name of the server's own token


class RequireToken:
    """Passes `Authorization: Bearer <token>`; anything else gets what `refuse` makes.

    A page in a browser can give a WebSocket no header: there, the first message may carry it instead, as
    `{"type": "connection_init", "payload": {"Authorization": "Bearer <token>"}}`.
    """

    def __init__(self, app: ASGIApp, token: str, refuse: Callable[[], Response]) -> None:
        self._app = app
        self._token = token.encode()
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
        acting.set(OWN)
        if scope["type"] == "websocket" and not given:
            await self._app(scope, self._introduced(receive, send), send)
            return
        door: ASGIApp = self._app
        # Of two it would be open which one another program on the way has checked.
        if len(given) != 1 or not self._is_right(given[0]):
            door = self._refuse()
        await door(scope, receive, send)

    def _is_right(self, given: bytes) -> bool:
        scheme, _, token = given.strip(b" \t").partition(b" ")
        # Bytes, as text outside ASCII cannot be compared; in constant time, as the time would tell the token.
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.lstrip(b" "), self._token)

    def _introduced(self, receive: Receive, send: Send) -> Receive:
        """A channel that ends unless the first message of the client carries the token."""
        introduced = False

        async def channel() -> Message:
            nonlocal introduced
            message = await receive()
            if introduced or message["type"] != "websocket.receive":
                return message
            introduced = self._carries_token(message)
            if introduced:
                return message
            reason = "A token is needed: send it as Authorization in the payload of connection_init."
            await send({"type": "websocket.close", "code": UNAUTHENTICATED, "reason": reason})
            return {"type": "websocket.disconnect", "code": UNAUTHENTICATED}

        return channel

    def _carries_token(self, message: Message) -> bool:
        try:
            told = orjson.loads(message.get("text") or message.get("bytes") or b"")
            given = {name.lower(): value for name, value in told["payload"].items()}["authorization"]
            return bool(told["type"] == "connection_init") and self._is_right(given.encode())
        except (ValueError, TypeError, KeyError, AttributeError):
            return False


class Asking:
    """Lets the store know which client asks: one that wrote must read it again, whatever replicas there are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            asking.set(scope["client"][0])
        await self._app(scope, receive, send)
