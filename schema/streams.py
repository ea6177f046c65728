"""What GraphQL answers more than once: over WebSocket and as server-sent events, in the words of `schema.errors`."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, cast

from graphql import GraphQLError
from graphql.error import GraphQLFormattedError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Send
from starlette.websockets import WebSocketDisconnect
from strawberry import Schema
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from schema.errors import formatted
from schema.types import Request

PATIENCE = 10.0  # seconds for which a client may keep an answer waiting on the way to it
TOO_SLOW = 4508  # the private WebSocket code of a client that was cut off so


class _ShownError(GraphQLError):
    """An error that formats itself as clients are to see it."""

    def __init__(self, error: GraphQLError) -> None:
        super().__init__(error.message, error.nodes, path=error.path, original_error=error.original_error)
        self._shown = formatted(error)

    @property
    def formatted(self) -> GraphQLFormattedError:
        return cast("GraphQLFormattedError", self._shown)


class Streams(Schema):
    """A schema whose operations over a long-lived connection are as fresh, and as clear, as single requests."""

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
        return _shown(results)


async def _shown(results: Any) -> AsyncGenerator[Any, None]:
    async with aclosing(results):
        async for result in results:
            if isinstance(result, ExecutionResult) and result.errors:
                yield replace(result, errors=[_ShownError(error) for error in result.errors])
            else:
                yield result


class Patient:
    """Sends to a client, and cuts it off when it does not take what it is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._over = False

    async def __call__(self, message: Message) -> None:
        if self._over:
            raise WebSocketDisconnect(TOO_SLOW)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._send(message)
        except TimeoutError:
            self._over = True
            if not message["type"].startswith("websocket"):
                raise ClientDisconnect from None
            reason = "What was sent was not read in time; subscribe again after the last cursor that you saw."
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._send({"type": "websocket.close", "code": TOO_SLOW, "reason": reason})
            raise WebSocketDisconnect(TOO_SLOW) from None
