"""The caller's identity: only a request that carries the token reaches the door behind."""

import hmac
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from storage.marks import asking

UNAUTHENTICATED = 4401  # the private WebSocket code that stands for 401


class RequireToken:
    """Passes `Authorization: Bearer <token>`; anything else gets what `refuse` makes."""

    def __init__(self, app: ASGIApp, token: str, refuse: Callable[[], Response]) -> None:
        self._app = app
        self._token = token.encode()
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door: ASGIApp = self._app
        if not self._carries_token(scope):
            door = WebSocketClose(UNAUTHENTICATED) if scope["type"] == "websocket" else self._refuse()
        await door(scope, receive, send)

    def _carries_token(self, scope: Scope) -> bool:
        given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
        # Of two it would be open which one another program on the way has checked.
        if len(given) != 1:
            return False
        scheme, _, token = given[0].strip(b" \t").partition(b" ")
        # Bytes, as text outside ASCII cannot be compared; in constant time, as the time would tell the token.
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.lstrip(b" "), self._token)


class Asking:
    """Lets the store know which client asks: one that wrote must read it again, whatever replicas there are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            asking.set(scope["client"][0])
        await self._app(scope, receive, send)
