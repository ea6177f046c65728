"""The caller's identity: only a request that carries a right token reaches the door behind."""

import hmac
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import parse_qsl

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from netsessions.http.connection_limits import Join, Watchers
from netsessions.http.login_throttle import Failures, network_of
from netsessions.settings import ACCESS, Access
from resolvers import tokens
from resolvers.context import OWN, Context, acting
from resolvers.errors import ForbiddenError, TooManyError, UnauthenticatedError
from resolvers.scopes import granted, require
from storage.errors import StoreUnavailableError
from storage.queries.tokens import Scope as Permission
from storage.replicas import asking
from storage.tables import SECOND

LONGEST_INTRODUCTION = 8192  # of a client that nobody knows yet
NEEDED = "A right token is needed: send it as Authorization: Bearer <token>."
NEEDED_FIRST = "A right token is needed: send it as Authorization in the payload of connection_init."

# The private WebSocket codes that stand for 401, 403 and 429, and the public one for a while.
CODES: dict[type[Exception], int] = {
    UnauthenticatedError: 4401,
    ForbiddenError: 4403,
    TooManyError: 4429,
    StoreUnavailableError: 1013,
}
REFUSED = tuple(CODES)


class Caller(NamedTuple):
    """Whose token came: what it is called, what it may do, by what it is known, and when it ends (microseconds)."""

    name: str
    scope: Permission
    digest: str
    expires_at: int | None = None

    def acts(self, needed: Permission) -> None:
        """From here on the caller is who acts; raises ForbiddenError where even that needs more."""
        acting.set(self.name)
        granted.set(self.scope)
        require(needed)


class Guard:
    """Knows callers by their tokens. Both doors have the same, so that whoever guesses is counted once."""

    def __init__(self, context: Context, token: str, access: Access = ACCESS) -> None:
        self._context = context
        self._token = token.encode()
        self._own = Caller(OWN, "admin", tokens.digest_of(self._token))
        self._failures = Failures(access.wrong_tokens)
        self.watchers = Watchers(access.connections, self._is_right)

    async def caller(self, address: str, token: bytes) -> Caller | None:
        """Whose token it is; None for a wrong one. Raises TooManyError for an address that sent too many of those."""
        network = network_of(address)
        self._failures.check(network, token)
        # Bytes, as text outside ASCII cannot be compared; in constant time, as the time would tell the token. Others are
        # sought by their digests, of which the time tells nothing that leads back to them.
        found = self._own if hmac.compare_digest(token, self._token) else await self._made(tokens.digest_of(token))
        if found is None:
            self._failures.wrong(network)
        else:
            self._failures.right(network, found.digest)
        return found

    async def _made(self, digest: str) -> Caller | None:
        # Asked for each request, and not remembered: one that is withdrawn is refused from that moment on.
        row = await tokens.of_digest(self._context, digest)
        return None if row is None else Caller(row.name, row.scope, digest, row.expires_at)

    async def _is_right(self, digest: str) -> bool:
        return digest == self._own.digest or await tokens.of_digest(self._context, digest) is not None

    def joins(self, caller: Caller, join: Join) -> None:
        """Counts a caller among those who watch; raises TooManyError."""
        ends = caller.expires_at
        join(caller.digest, None if ends is None else (ends - self._context.clock.now()) / SECOND)


class RequireToken:
    """Passes `Authorization: Bearer <token>`; anything else gets what `refused` makes of the problem.

    The paths in `calendars` are open to tokens of that scope, too. Those may come as `?token=`: not everybody can send
    headers. No other may: addresses are kept and passed on.

    A page in a browser can give a WebSocket no header: there, the first message may carry it instead, as
    `{"type": "connection_init", "payload": {"Authorization": "Bearer <token>"}}`.
    """

    def __init__(
        self, app: ASGIApp, guard: Guard, refused: Callable[[Exception], Response], calendars: Collection[str] = ()
    ) -> None:
        self._app = app
        self._guard = guard
        self._refused = refused
        self._calendars = calendars

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given: list[bytes] = []
        watches = scope["type"] == "websocket"
        for name, value in scope["headers"]:
            if name == b"authorization":
                given.append(value)
            elif name == b"accept" and b"text/event-stream" in value:
                watches = True
        try:
            caller = None
            if given or scope["type"] != "websocket":
                caller = await self._caller(scope, given)
                caller.acts("calendar" if scope["path"] in self._calendars else "read")
        except REFUSED as problem:
            await self._refused(problem)(scope, receive, send)
            return
        if watches:
            await self._watched(scope, receive, send, caller)
        else:
            await self._app(scope, receive, send)

    async def _caller(self, scope: Scope, given: list[bytes]) -> Caller:
        in_address = _tokens_in(scope["query_string"]) if scope["path"] in self._calendars else []
        sent = [*map(_bearer, given), *in_address]
        # Of two it would be open which one another program on the way has checked.
        token = sent[0] if len(sent) == 1 else None
        caller = None if token is None else await self._guard.caller(_address(scope), token)
        if caller is None or (in_address and caller.scope != "calendar"):
            raise UnauthenticatedError(NEEDED)
        return caller

    async def _watched(self, scope: Scope, receive: Receive, send: Send, caller: Caller | None) -> None:
        """A connection that stays open. Of a WebSocket it may turn out later whose it is."""
        is_websocket, begun = scope["type"] == "websocket", False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with self._guard.watchers.watching() as join:
                if is_websocket:
                    receive = self._introduced(scope, receive, caller, join)
                elif caller is not None:
                    self._guard.joins(caller, join)
                await self._app(scope, receive, told)
        except REFUSED as problem:
            if not begun:
                await self._refused(problem)(scope, receive, send)
                return
            end: Message = {"type": "http.response.body", "body": b""}
            if is_websocket:
                end = {"type": "websocket.close", "code": CODES[type(problem)], "reason": str(problem)}
            with suppress(OSError, RuntimeError):  # the client may have gone meanwhile
                await send(end)

    def _introduced(self, scope: Scope, receive: Receive, caller: Caller | None, join: Join) -> Receive:
        """A channel that raises what is wrong with the caller, once the connection is there to say so."""
        opened = joined = False

        async def channel() -> Message:
            nonlocal opened, joined, caller
            if opened and not joined and caller is not None:
                joined = True
                self._guard.joins(caller, join)
            message = await receive()
            if message["type"] == "websocket.receive" and caller is None:
                joined = True
                caller = await self._introduction(scope, message)
                self._guard.joins(caller, join)
            opened = True
            return message

        return channel

    async def _introduction(self, scope: Scope, message: Message) -> Caller:
        """Whose token the first message carries."""
        token = _carried(message)
        caller = None if token is None else await self._guard.caller(_address(scope), token)
        if caller is None:
            raise UnauthenticatedError(NEEDED_FIRST)
        caller.acts("read")
        return caller


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def _carried(message: Message) -> bytes | None:
    """The token that an introduction carries."""
    said = message.get("text") or message.get("bytes") or b""
    if len(said) > LONGEST_INTRODUCTION:
        return None
    try:
        told = orjson.loads(said)
        given = {name.lower(): value for name, value in told["payload"].items()}["authorization"]
        return _bearer(given.encode()) if told["type"] == "connection_init" else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


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
