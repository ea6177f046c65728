"""What GraphQL answers more than once: over WebSocket and as server-sent events, in the words of `schema.errors`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import orjson
from cross_web import HTTPException
from graphql import GraphQLError, get_operation_ast, parse
from graphql.error import GraphQLFormattedError
from starlette.websockets import WebSocketDisconnect
from strawberry import Schema
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.broadcast import Broadcast, Following, TooSlowError
from schema.errors import formatted
from schema.types import Request
from schema.validation.documents import KNOWN, LONGEST

TOO_MANY = 4429  # the private WebSocket code that stands for 429
LINGER = 1.0  # seconds for which what nobody follows any more goes on


class _ShownError(GraphQLError):
    """An error that formats itself as clients are to see it."""

    def __init__(self, error: GraphQLError) -> None:
        self._shown = formatted(error)
        super().__init__(
            error.message,
            error.nodes,
            path=error.path,
            original_error=error.original_error,
            extensions=self._shown["extensions"],
        )

    @property
    def formatted(self) -> GraphQLFormattedError:
        return cast("GraphQLFormattedError", self._shown)


class Streams(Schema):
    """A schema whose operations over a long-lived connection are as fresh, and as clear, as single requests.

    Who subscribes in the same words as others is told with them: each change is executed and written once for all.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._shared: dict[bytes, _Shared] = {}

    async def stream(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
    ) -> Any:
        # Of its connection's context an operation takes what never changes; what is loaded and when now is are its own.
        own = Request(context_value.context)
        results = await super().stream(
            query, variable_values, own, root_value, operation_name, operation_extensions, allowed_operation_types
        )
        if not isinstance(query, str) or not _is_shared(query, str(operation_name or "")):
            return _shown(results)
        try:
            key = orjson.dumps([query, variable_values, operation_name])
        except TypeError:  # nested more deeply than it writes
            return _shown(results)
        shared = self._shared.get(key)
        if shared is None or shared.over:
            shared = self._shared[key] = _Shared(_shown(results), lambda: self._forget(key))
        else:
            await results.aclose()
        return shared.follow(shared.results.follow())

    def _forget(self, key: bytes) -> None:
        if (shared := self._shared.get(key)) is not None and shared.over:
            del self._shared[key]


@lru_cache(KNOWN)
def _is_shared(query: str, operation_name: str) -> bool:
    """Whether all who send a query are to be told the same: a subscription that begins at no place of its own."""
    if len(query) > LONGEST or "after" in query:
        return False
    try:
        operation = get_operation_ast(parse(query, max_tokens=LONGEST), operation_name or None)
    except (GraphQLError, RecursionError):
        return False
    return operation is not None and operation.operation.value == "subscription"


class _Shared:
    """The results of one subscription for all who follow it; it is over a moment after nobody does."""

    def __init__(self, results: AsyncGenerator[Any, None], forget: Callable[[], None]) -> None:
        self.results: Broadcast[Any] = Broadcast()
        self.over = False
        self._followers = 0
        self._forget = forget
        self._task = asyncio.create_task(self._tell(results))
        # Whoever was to follow may be gone before it began.
        asyncio.get_running_loop().call_later(LINGER, self._end_alone)

    async def _tell(self, results: AsyncGenerator[Any, None]) -> None:
        try:
            async with aclosing(results):
                async for result in results:
                    if isinstance(result, ExecutionResult) and result.data is not None:
                        result.data = cast("Any", orjson.Fragment(orjson.dumps(result.data)))
                    # Who comes after an error is to meet it, too.
                    self.over = self.over or bool(result.errors)
                    self.results.tell([result])
        finally:
            self.over = True
            self._forget()
            self.results.end()

    async def follow(self, results: Following[Any]) -> AsyncGenerator[Any, None]:
        """The results, for one who follows them."""
        self._followers += 1
        try:
            async for result in results:
                yield result
        except TooSlowError as problem:
            yield ExecutionResult(data=None, errors=[_ShownError(GraphQLError(str(problem), original_error=problem))])
        finally:
            self._followers -= 1
            # Somebody may be about to follow.
            asyncio.get_running_loop().call_later(LINGER, self._end_alone)

    def _end_alone(self) -> None:
        if not self._followers:
            self._task.cancel()


async def _shown(results: Any) -> AsyncGenerator[Any, None]:
    async with aclosing(results):
        async for result in results:
            if isinstance(result, ExecutionResult) and result.errors:
                yield replace(result, errors=[_ShownError(error) for error in result.errors])
            else:
                yield result


class TextWebSocket(ASGIWebSocketAdapter):
    """Sends text, as the protocol and browsers want it, where JSON is made as bytes; takes nothing but messages."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        try:
            async with aclosing(super().iter_json(ignore_parsing_errors=ignore_parsing_errors)) as messages:
                async for message in messages:
                    if not isinstance(message, dict) or not _is_message(message):
                        raise NonJsonMessageReceived
                    yield message
        except HTTPException as refusal:
            raise NonJsonMessageReceived from refusal

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except WebSocketDisconnect as cause:
            raise WebSocketDisconnected from cause


def _is_message(message: dict[str, Any]) -> bool:
    payload = message.get("payload")
    return isinstance(message.get("id", ""), str) and (payload is None or isinstance(payload, dict))


class QuietHandler(BaseGraphQLTransportWSHandler[Request, None]):
    """Takes a client that has gone for what it is, and no failure of ours; closes on one that asks for too much at once."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        most = self.max_subscriptions_per_connection
        if self.connection_acknowledged and most is not None and len(self.operations) >= most:
            reason = (
                f"At most {most} operations at a time are answered on one connection; complete some, or open another."
            )
            await self.websocket.close(code=TOO_MANY, reason=reason)
            return
        await super().handle_subscribe(message)

    async def handle_task_exception(self, error: Exception) -> None:
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)
