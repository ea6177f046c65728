"""The ASGI app of the GraphQL API."""

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
from resolvers.failures import BY_STATUS, INVALID_INPUT
from schema.build import build
from schema.context import RequestContext
from schema.errors import apply_status, error_body, format_error
from schema.http.requests import (
    EVENT_STREAM,
    GRAPHQL_RESPONSE,
    JSON,
    RequestError,
    negotiate_media_type,
    parse_request,
)
from schema.http.websocket import TextWebSocketAdapter, WebSocketHandler

DEFAULT_SUBSCRIPTIONS = 100  # operations at a time on one WebSocket
INIT_TIMEOUT = timedelta(seconds=10)  # for a client to send connection_init
USE_A_STREAM = (
    "A subscription has several results. Send it over WebSocket (graphql-transport-ws), or by POST with "
    "Accept: text/event-stream."
)

_ALLOWED_OPERATIONS = {
    method: OperationType.from_http(method) - {OperationType.SUBSCRIPTION} for method in ("GET", "POST")
}


class GraphQLApp(GraphQL[RequestContext, None]):
    """The endpoint `/graphql`. Middleware around it checks the token.

    This class handles requests with one response. Strawberry handles WebSockets and server-sent events.
    """

    websocket_adapter_class = TextWebSocketAdapter
    graphql_transport_ws_handler_class = WebSocketHandler

    def __init__(
        self, context: Context, origins: Sequence[str] = (), subscriptions: int = DEFAULT_SUBSCRIPTIONS
    ) -> None:
        """Allow WebSockets from pages of `origins` and of this server, with up to `subscriptions` operations at a time."""
        super().__init__(
            build(context.limits),
            graphql_ide=None,
            allowed_origins=origins,
            max_subscriptions_per_connection=subscriptions,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=INIT_TIMEOUT,
        )
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        media_type = JSON
        try:
            headers = dict(scope["headers"])
            media_type = negotiate_media_type(headers.get(b"accept", b"*/*"))
            content = await _read_body(receive, self._context.limits.body)
            request = parse_request(scope, headers, content)
            if media_type == EVENT_STREAM:
                response = await self.run(HTTPRequest(scope, _with_body(content, receive)))
            else:
                response = await self._respond(request, scope["method"], media_type)
        except HTTPException as error:
            extra_headers = error.headers if isinstance(error, RequestError) else None
            code = BY_STATUS.get(error.status_code, INVALID_INPUT).code
            response = error_body(error.reason, code, error.status_code, extra_headers, _content_type(media_type))
        await response(scope, receive, send)

    async def _respond(self, request: GraphQLRequestData, method: str, media_type: str) -> Response:
        try:
            result = await self.schema.execute(
                request.query,
                request.variables,
                RequestContext(self._context),
                None,
                request.operation_name,
                _ALLOWED_OPERATIONS[method],
                request.extensions,
            )
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                raise RequestError(400, USE_A_STREAM) from None
            raise RequestError(405, "A mutation is not allowed by GET. Use POST.", Allow="POST") from None
        except CannotGetOperationTypeError as error:
            raise RequestError(400, error.as_http_error_reason()) from None
        except MissingQueryError:
            raise RequestError(400, "query: is empty.") from None
        payload = _payload(result)
        # With application/json, the status of an invalid query is 200, for clients older than GraphQL over HTTP.
        status = 400 if media_type == GRAPHQL_RESPONSE and "data" not in payload else 200
        response = Response(orjson.dumps(payload), status, media_type=_content_type(media_type))
        if result.errors:
            apply_status(response, result.errors)
        return response

    async def get_context(self, request: Any, response: Any) -> RequestContext:
        return RequestContext(self._context)

    async def process_result(self, request: HTTPRequest, result: ExecutionResult) -> GraphQLHTTPResponse:
        return _payload(result)

    def decode_json(self, data: str | bytes) -> object:
        decoded: object = orjson.loads(data)
        return decoded

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


def _content_type(media_type: str) -> str:
    return f"{GRAPHQL_RESPONSE}; charset=utf-8" if media_type == GRAPHQL_RESPONSE else JSON


def _payload(result: ExecutionResult) -> GraphQLHTTPResponse:
    if not result.errors:
        return {"data": result.data}
    errors: Any = [format_error(error) for error in result.errors]
    # The error of a field has a path. If no error has one, nothing was executed, and the payload has no `data`.
    if result.data is None and all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"data": result.data, "errors": errors}


async def _read_body(receive: Receive, max_bytes: int) -> bytes:
    """Return the body of a request. Raise `RequestError` (413) as soon as it exceeds the limit."""
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content += message.get("body", b"")
        if len(content) > max_bytes:
            raise RequestError(413, f"The body is larger than {max_bytes} bytes. Split it into several requests.")
        if not message.get("more_body", False):
            return bytes(content)


def _with_body(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` channel that returns a body that was read already, and then what `receive` returns."""
    pending = [content]

    async def receive_again() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receive_again
