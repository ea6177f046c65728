"""The GraphQL door: HTTP in, the schema over the resolvers, HTTP out."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
from cross_web import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.exceptions import MissingQueryError
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.context import Context
from resolvers.errors import ForbiddenError
from schema.build import build
from schema.errors import body, cause_of, formatted
from schema.http.requests import EVENTS, JSON, RESPONSE, RefusedError, media_type, requested
from schema.http.streams import QuietHandler, TextWebSocket
from schema.types import Request
from storage.errors import StoreFullError, StoreUnavailableError, TookTooLongError

SUBSCRIPTIONS = 100  # operations of one WebSocket at a time, unless told
INIT = timedelta(seconds=10)  # for a client that has connected to begin
SUBSCRIBE = (
    "A subscription is answered more than once: send it over WebSocket (graphql-transport-ws), or by POST with "
    "Accept: text/event-stream."
)

_ALLOWED = {method: OperationType.from_http(method) - {OperationType.SUBSCRIPTION} for method in ("GET", "POST")}


class GraphQLDoor(GraphQL[Request, None]):
    """`/graphql`. Whoever mounts it has checked the token.

    What is answered once is read and answered here; what is answered again and again, by Strawberry.
    """

    websocket_adapter_class = TextWebSocket
    graphql_transport_ws_handler_class = QuietHandler

    def __init__(self, context: Context, origins: Sequence[str] = (), subscriptions: int = SUBSCRIPTIONS) -> None:
        """Pages of `origins`, and of its own, may open WebSockets, each with so many operations at a time."""
        super().__init__(
            build(context.limits),
            graphql_ide=None,
            allowed_origins=origins,
            max_subscriptions_per_connection=subscriptions,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=INIT,
        )
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        media = JSON
        try:
            headers = dict(scope["headers"])
            media = media_type(headers.get(b"accept", b"*/*"))
            content = await _read(receive, self._context.limits.body)
            request = requested(scope, headers, content)
            if media == EVENTS:
                response = await self.run(HTTPRequest(scope, _replaying(content, receive)))
            else:
                response = await self._answer(request, scope["method"], media)
        except HTTPException as refusal:
            told = refusal.headers if isinstance(refusal, RefusedError) else None
            response = body(refusal.reason, "BAD_USER_INPUT", refusal.status_code, told, _written(media))
        await response(scope, receive, send)

    async def _answer(self, request: GraphQLRequestData, method: str, media: str) -> Response:
        try:
            result = await self.schema.execute(
                request.query,
                request.variables,
                Request(self._context),
                None,
                request.operation_name,
                _ALLOWED[method],
                request.extensions,
            )
        except InvalidOperationTypeError as problem:
            if problem.operation_type is OperationType.SUBSCRIPTION:
                raise RefusedError(400, SUBSCRIBE) from None
            raise RefusedError(405, "GET takes queries; send a mutation by POST.", Allow="POST") from None
        except CannotGetOperationTypeError as problem:
            raise RefusedError(400, problem.as_http_error_reason()) from None
        except MissingQueryError:
            raise RefusedError(400, "query: is empty.") from None
        shown = _shown(result)
        # In plain JSON what was wrong with a query has always been told under 200.
        status = 400 if media == RESPONSE and "data" not in shown else 200
        response = Response(orjson.dumps(shown), status, media_type=_written(media))
        if result.errors:
            _tell(response, result)
        return response

    async def get_context(self, request: Any, response: Any) -> Request:
        return Request(self._context)

    async def process_result(self, request: HTTPRequest, result: ExecutionResult) -> GraphQLHTTPResponse:
        return _shown(result)

    def decode_json(self, data: str | bytes) -> object:
        decoded: object = orjson.loads(data)
        return decoded

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


def _written(media: str) -> str:
    return f"{RESPONSE}; charset=utf-8" if media == RESPONSE else JSON


def _tell(response: Response, result: ExecutionResult) -> None:
    """Lets who looks at the status alone, a proxy or a client that tries again, know of what failed."""
    for cause in map(cause_of, result.errors or ()):
        match cause:
            case StoreUnavailableError():
                response.status_code = 507 if isinstance(cause, StoreFullError) else 503
                response.headers["Retry-After"] = str(cause.retry_after)
                return
            case TookTooLongError():
                response.status_code = 408
            case ForbiddenError():
                response.status_code = 403


def _shown(result: ExecutionResult) -> GraphQLHTTPResponse:
    if not result.errors:
        return {"data": result.data}
    errors: Any = [formatted(error) for error in result.errors]
    # An error of a field has a path. Without one, nothing was executed, and there is no data that could be null.
    if result.data is None and all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"data": result.data, "errors": errors}


async def _read(receive: Receive, most: int) -> bytes:
    """The body of a request; a larger one than may be is refused before it is held."""
    held = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        held += message.get("body", b"")
        if len(held) > most:
            raise RefusedError(413, f"The body is larger than {most} bytes; send it in parts.")
        if not message.get("more_body", False):
            return bytes(held)


def _replaying(content: bytes, receive: Receive) -> Receive:
    """A channel that has the body still before it."""
    pending = [content]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay
