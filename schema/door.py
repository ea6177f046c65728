"""The GraphQL door: HTTP in, the schema over the resolvers, HTTP out."""

from datetime import timedelta
from typing import Any

import orjson
from cross_web import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.context import Context
from schema.build import build
from schema.errors import body, formatted, unavailable
from schema.known import KnownQueries, plain
from schema.streams import QuietHandler, TextWebSocket
from schema.types import Request
from storage.errors import StoreFullError, StoreUnavailableError

MAX_BODY = 8 * 1024 * 1024  # bytes: 10,000 sessions with everything said about each fit

FAILED = "netsessions.failed"  # in a scope: the failure of the store that its request met

INIT = timedelta(seconds=10)  # for a client that has connected to begin
SUBSCRIBE = (
    "A subscription is answered more than once: send it over WebSocket (graphql-transport-ws), or by POST with "
    "Accept: text/event-stream."
)

_POST = OperationType.from_http("POST") - {OperationType.SUBSCRIPTION}


class _TooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413, f"The body is larger than {MAX_BODY} bytes; send it in parts.")


class GraphQLDoor(GraphQL[Request, None]):
    """`/graphql`. Whoever mounts it has checked the token."""

    websocket_adapter_class = TextWebSocket
    graphql_transport_ws_handler_class = QuietHandler

    def __init__(self, context: Context) -> None:
        super().__init__(
            build(),
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL),
            connection_init_wait_timeout=INIT,
        )
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            content = await _read(receive)
            request = plain(scope, content)
            if request and self._knows(request):
                response = await self._answer(request)
            else:
                response = await self.run(HTTPRequest(scope, _replaying(content, receive)))
                _tell(response, scope.get(FAILED))
        except HTTPException as refusal:
            reason = SUBSCRIBE if refusal.reason.startswith("subscriptions are not allowed") else refusal.reason
            response = body(reason, "BAD_USER_INPUT", refusal.status_code)
        await response(scope, receive, send)

    def _knows(self, request: GraphQLRequestData) -> bool:
        schema = self.schema
        return isinstance(schema, KnownQueries) and bool(schema.known(request.query, request.operation_name, _POST))

    async def _answer(self, request: GraphQLRequestData) -> Response:
        """What `run` answers to such a request, without what it does for others."""
        context = Request(self._context)
        result = await self.schema.execute(
            request.query, request.variables, context, None, request.operation_name, _POST
        )
        response = Response(self.encode_json(_shown(result)), media_type="application/json")
        _tell(response, unavailable(result.errors))
        return response

    async def get_context(self, request: Any, response: Any) -> Request:
        return Request(self._context)

    async def process_result(self, request: HTTPRequest, result: ExecutionResult) -> GraphQLHTTPResponse:
        request.scope[FAILED] = unavailable(result.errors)
        return _shown(result)

    def decode_json(self, data: str | bytes) -> object:
        decoded: object = orjson.loads(data)
        if not isinstance(decoded, dict | list):
            raise HTTPException(400, 'Send a JSON object, as in {"query": "{ sessionTotals { all } }"}.')
        return decoded

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


def _tell(response: Response, problem: StoreUnavailableError | None) -> None:
    """Lets who looks at the status alone, a proxy or a client that tries again, know of a store that failed."""
    if problem is not None:
        response.status_code = 507 if isinstance(problem, StoreFullError) else 503
        response.headers["Retry-After"] = str(problem.retry_after)


def _shown(result: ExecutionResult) -> GraphQLHTTPResponse:
    answer: GraphQLHTTPResponse = {"data": result.data}
    if result.errors:
        answer["errors"] = [formatted(error) for error in result.errors]
    return answer


async def _read(receive: Receive) -> bytes:
    """The body of a request; a larger one than may be is refused before it is held."""
    held = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        held += message.get("body", b"")
        if len(held) > MAX_BODY:
            raise _TooLarge
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
