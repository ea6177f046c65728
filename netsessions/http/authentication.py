"""ASGI middleware that authenticates callers by their bearer token."""

import hmac
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import parse_qsl

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from netsessions.http.connection_limits import ConnectionLimiter, Register
from netsessions.http.login_throttle import LoginThrottle, network_of
from netsessions.settings import DEFAULT_ACCESS, AccessPolicy
from resolvers import tokens
from resolvers.context import SERVER_ACTOR, Context, actor
from resolvers.errors import ForbiddenError, TooManyRequestsError, UnauthenticatedError
from resolvers.failures import failure_of
from resolvers.scopes import current_scope, require_scope
from storage.errors import StoreUnavailableError
from storage.queries.tokens import Scope as TokenScope
from storage.replicas import client_address
from storage.tables import SECOND

MAX_INIT_LENGTH = 8192  # of a connection_init message, whose sender is not authenticated yet
TOKEN_REQUIRED = "A valid token is required: send it as Authorization: Bearer <token>."  # noqa: S105
TOKEN_REQUIRED_IN_INIT = "A valid token is required: send it as Authorization in the payload of connection_init."  # noqa: S105

# The errors that authentication and connection limits raise.
ACCESS_ERRORS = (UnauthenticatedError, ForbiddenError, TooManyRequestsError, StoreUnavailableError)


class Caller(NamedTuple):
    """The authenticated caller: token name, scope, digest and expiry (microseconds)."""

    name: str
    scope: TokenScope
    digest: str
    expires_at: int | None = None

    def authorize(self, required_scope: TokenScope) -> None:
        """Make this caller the actor of the current task. Raise ForbiddenError if its scope is not sufficient."""
        actor.set(self.name)
        current_scope.set(self.scope)
        require_scope(required_scope)


class Authenticator:
    """Finds the caller of a token. Both APIs share one, so that wrong tokens are counted together."""

    def __init__(self, context: Context, token: str, access: AccessPolicy = DEFAULT_ACCESS) -> None:
        self._context = context
        self._token = token.encode()
        self._own = Caller(SERVER_ACTOR, "admin", tokens.digest_of(self._token))
        self._throttle = LoginThrottle(access.wrong_tokens_per_minute)
        self.connections = ConnectionLimiter(access.connections_per_token, self._is_valid)

    async def authenticate(self, address: str, token: bytes) -> Caller | None:
        """Return the caller, or None for a wrong token.

        Raise TooManyRequestsError if the address sent too many wrong tokens.
        """
        network = network_of(address)
        self._throttle.check(network, token)
        # Compared in constant time, because the duration would reveal the token, and as bytes, because only ASCII text can
        # be. Created tokens are looked up by their digest, whose comparison reveals nothing about the token.
        is_own = hmac.compare_digest(token, self._token)
        caller = self._own if is_own else await self._find_created(tokens.digest_of(token))
        if caller is None:
            self._throttle.record_failure(network)
        else:
            self._throttle.record_success(network, caller.digest)
        return caller

    async def _find_created(self, digest: str) -> Caller | None:
        # Not cached, so that a revoked token is rejected at once.
        row = await tokens.find_by_digest(self._context, digest)
        return None if row is None else Caller(row.name, row.scope, digest, row.expires_at)

    async def _is_valid(self, digest: str) -> bool:
        return digest == self._own.digest or await tokens.find_by_digest(self._context, digest) is not None

    def register_connection(self, caller: Caller, register: Register) -> None:
        """Count a long-lived connection of the caller. Raise TooManyRequestsError."""
        expires_at = caller.expires_at
        register(caller.digest, None if expires_at is None else (expires_at - self._context.clock.now()) / SECOND)


class AuthenticationMiddleware:
    """Requires `Authorization: Bearer <token>`; otherwise sends the `error_response`.

    `calendar_paths` also accept tokens with the scope `calendar`, which may be sent as `?token=`, because calendar programs
    cannot send headers. Other tokens are rejected in a URL, because URLs are logged and shared.

    Pages in a browser cannot send headers with a WebSocket. They send the token in the first message instead:
    `{"type": "connection_init", "payload": {"Authorization": "Bearer <token>"}}`.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        error_response: Callable[[Exception], Response],
        calendar_paths: Collection[str] = (),
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._error_response = error_response
        self._calendar_paths = calendar_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[bytes] = []
        is_websocket = is_long_lived = scope["type"] == "websocket"
        for name, value in scope["headers"]:
            if name == b"authorization":
                headers.append(value)
            elif name == b"accept" and b"text/event-stream" in value:
                is_long_lived = True
        try:
            caller = None
            if headers or not is_websocket:
                caller = await self._authenticate(scope, headers)
                caller.authorize("calendar" if scope["path"] in self._calendar_paths else "read")
        except ACCESS_ERRORS as error:
            await self._error_response(error)(scope, receive, send)
            return
        if is_long_lived:
            await self._serve_long_lived(scope, receive, send, caller)
        else:
            await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope, headers: list[bytes]) -> Caller:
        in_query = _tokens_in_query(scope["query_string"]) if scope["path"] in self._calendar_paths else []
        tokens = [*map(_bearer_token, headers), *in_query]
        # With two tokens, a proxy might have checked the other one.
        token = tokens[0] if len(tokens) == 1 else None
        caller = None if token is None else await self._authenticator.authenticate(_client_host(scope), token)
        if caller is None or (in_query and caller.scope != "calendar"):
            raise UnauthenticatedError(TOKEN_REQUIRED)
        return caller

    async def _serve_long_lived(self, scope: Scope, receive: Receive, send: Send, caller: Caller | None) -> None:
        """Run the app for a WebSocket or an event stream. The caller of a WebSocket may be authenticated later."""
        is_websocket, started = scope["type"] == "websocket", False

        async def observed_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with self._authenticator.connections.track() as register:
                if is_websocket:
                    receive = self._authenticating_receive(scope, receive, caller, register)
                elif caller is not None:
                    self._authenticator.register_connection(caller, register)
                await self._app(scope, receive, observed_send)
        except ACCESS_ERRORS as error:
            if not started:
                await self._error_response(error)(scope, receive, send)
                return
            end: Message = {"type": "http.response.body", "body": b""}
            if is_websocket:
                failure = failure_of(error)
                end = {"type": "websocket.close", "code": failure.close_code, "reason": failure.message_for(error)}
            with suppress(OSError, RuntimeError):  # the client may have disconnected
                await send(end)

    def _authenticating_receive(
        self, scope: Scope, receive: Receive, caller: Caller | None, register: Register
    ) -> Receive:
        """Return a channel that authenticates the caller by the first message if there is no caller yet.

        It raises access errors only once the WebSocket is open, so that a close code can be sent.
        """
        is_open = is_registered = False

        async def authenticating_receive() -> Message:
            nonlocal is_open, is_registered, caller
            if is_open and not is_registered and caller is not None:
                is_registered = True
                self._authenticator.register_connection(caller, register)
            message = await receive()
            if message["type"] == "websocket.receive" and caller is None:
                is_registered = True
                caller = await self._authenticate_by_init(scope, message)
                self._authenticator.register_connection(caller, register)
            is_open = True
            return message

        return authenticating_receive

    async def _authenticate_by_init(self, scope: Scope, message: Message) -> Caller:
        token = _token_in_init(message)
        caller = None if token is None else await self._authenticator.authenticate(_client_host(scope), token)
        if caller is None:
            raise UnauthenticatedError(TOKEN_REQUIRED_IN_INIT)
        caller.authorize("read")
        return caller


def _client_host(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def _token_in_init(message: Message) -> bytes | None:
    content = message.get("text") or message.get("bytes") or b""
    if len(content) > MAX_INIT_LENGTH:
        return None
    try:
        init = orjson.loads(content)
        header = {name.lower(): value for name, value in init["payload"].items()}["authorization"]
        return _bearer_token(header.encode()) if init["type"] == "connection_init" else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _bearer_token(header: bytes) -> bytes | None:
    scheme, _, token = header.strip(b" \t").partition(b" ")
    return token.lstrip(b" ") if scheme.lower() == b"bearer" else None


def _tokens_in_query(query: bytes) -> list[bytes]:
    # Latin-1 decodes any bytes. The percent-encoded bytes of a value are UTF-8.
    return [value.encode() for name, value in parse_qsl(query.decode("latin-1")) if name == "token"]


class ClientAddressMiddleware:
    """Passes the client's address to the store, which uses replicas only after they have what that client wrote."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("client"):
            client_address.set(scope["client"][0])
        await self._app(scope, receive, send)
