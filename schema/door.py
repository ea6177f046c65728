"""The GraphQL door: HTTP in, the schema over the resolvers, HTTP out."""

from typing import Any

import orjson
from cross_web import HTTPException
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.types import ExecutionResult

from resolvers.context import Context
from schema.build import build
from schema.errors import body, formatted
from schema.types import Request

MAX_BODY = 8 * 1024 * 1024  # bytes: 10,000 sessions with everything said about each fit


class _TooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413, f"The body is larger than {MAX_BODY} bytes; send it in parts.")


class GraphQLDoor(GraphQL[Request, None]):
    """`/graphql`. Whoever mounts it has checked the token."""

    def __init__(self, context: Context) -> None:
        super().__init__(build(), graphql_ide=None, subscription_protocols=())
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def bounded() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise _TooLarge
            return message

        try:
            response: Response = await self.run(HTTPRequest(scope, bounded))
        except HTTPException as refusal:
            response = body(refusal.reason, "BAD_USER_INPUT", refusal.status_code)
        await response(scope, receive, send)

    async def get_context(self, request: Any, response: Any) -> Request:
        return Request(self._context)

    async def process_result(self, request: HTTPRequest, result: ExecutionResult) -> GraphQLHTTPResponse:
        answer: GraphQLHTTPResponse = {"data": result.data}
        if result.errors:
            answer["errors"] = [formatted(error) for error in result.errors]
        return answer

    def decode_json(self, data: str | bytes) -> object:
        decoded: object = orjson.loads(data)
        if not isinstance(decoded, dict | list):
            raise HTTPException(400, 'Send a JSON object, as in {"query": "{ sessionTotals { all } }"}.')
        return decoded

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)
