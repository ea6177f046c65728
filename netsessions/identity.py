"""The caller's identity: only a request that carries a right token reaches the door behind."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolvers.context import OWN, acting
from storage.marks import asking

LONGEST_INTRODUCTION = 8192  # of a client that nobody knows yet
UNAUTHENTICATED = 4401  # the private WebSocket code that stands for 401

NameOf = Callable[[str], Awaitable[str | None]]  # what a token is called that may; None for one that may not


class RequireToken:
    """Passes `Authorization: Bearer <token>`; anything else gets what `refuse` makes.

    The paths in `also` are open to other tokens, too. Those may come as `?token=`: not everybody can send headers.

    A page in a browser can give a WebSocket no header: there, the first message may carry it instead, as
    `{"type": "connection_init", "payload": {"Authorization": "Bearer <token>"}}`.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        refuse: Callable[[], Response],
        also: Mapping[str, NameOf] = MappingProxyType({}),
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._refuse = refuse
        self._also = also

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
        if scope["type"] == "websocket" and not given:
            acting.set(OWN)
            await self._app(scope, self._introduced(receive, send), send)
            return
        door: ASGIApp = self._app
        who = await self._who(scope, given)
        if who is not None:
            acting.set(who)
        else:
            door = self._refuse()
        await door(scope, receive, send)

    async def _who(self, scope: Scope, given: list[bytes]) -> str | None:
        """Whose token a request carries that may have what it asks for; None for any other."""
        name_of = self._also.get(scope["path"])
        in_address = [] if name_of is None else _tokens_in(scope["query_string"])
        # Of two it would be open which one another program on the way has checked.
        if len(given) + len(in_address) != 1:
            return None
        if given and self._is_right(given[0]):
            return OWN
        token = in_address[0] if in_address else _bearer(given[0])
        return None if name_of is None or token is None else await name_of(token.decode("utf-8", "replace"))

    def _is_right(self, given: bytes) -> bool:
        token = _bearer(given)
        # Bytes, as text outside ASCII cannot be compared; in constant time, as the time would tell the token.
        return token is not None and hmac.compare_digest(token, self._token)

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
        said = message.get("text") or message.get("bytes") or b""
        if len(said) > LONGEST_INTRODUCTION:
            return False
        try:
            told = orjson.loads(said)
            given = {name.lower(): value for name, value in told["payload"].items()}["authorization"]
            return bool(told["type"] == "connection_init") and self._is_right(given.encode())
        except (ValueError, TypeError, KeyError, AttributeError):
            return False


def _bearer(header: bytes) -> bytes | None:
    scheme, _, token = header.strip(b" \t").partition(b" ")
    return token.lstrip(b" ") if scheme.lower() == b"bearer" else None


def _tokens_in(query: bytes) -> list[bytes]:
    # Latin-1 takes whatever bytes were sent; what they were percent-encoded from is UTF-8.
    return [value.encode() for name, value in parse_qsl(query.decode("latin-1")) if name == "token"]


class Asking:
    """Lets the store know which client asks: one that wrote must read it again, whatever replicas there are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            asking.set(scope["client"][0])
        await self._app(scope, receive, send)
