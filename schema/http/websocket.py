"""GraphQL over WebSocket: the adapter and the handler of the protocol `graphql-transport-ws`."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from cross_web import HTTPException
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import NonJsonMessageReceived, WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import SubscribeMessage

from resolvers.failures import TOO_MANY
from schema.context import RequestContext


class TextWebSocketAdapter(ASGIWebSocketAdapter):
    """Sends JSON as text frames, which browsers require, and rejects messages that are not of the protocol."""

    async def iter_json(self, *, ignore_parsing_errors: bool = False) -> AsyncGenerator[object, None]:
        try:
            async with aclosing(super().iter_json(ignore_parsing_errors=ignore_parsing_errors)) as messages:
                async for message in messages:
                    if not isinstance(message, dict) or not _is_protocol_message(message):
                        raise NonJsonMessageReceived
                    yield message
        except HTTPException as error:
            raise NonJsonMessageReceived from error

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error


def _is_protocol_message(message: dict[str, Any]) -> bool:
    payload = message.get("payload")
    return isinstance(message.get("id", ""), str) and (payload is None or isinstance(payload, dict))


class WebSocketHandler(BaseGraphQLTransportWSHandler[RequestContext, None]):
    """Closes connections with too many operations. Does not log the disconnection of a client as an error."""

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        limit = self.max_subscriptions_per_connection
        if self.connection_acknowledged and limit is not None and len(self.operations) >= limit:
            reason = f"At most {limit} operations at a time per connection. Complete some, or open another connection."
            await self.websocket.close(code=TOO_MANY.close_code, reason=reason)
            return
        await super().handle_subscribe(message)

    async def handle_task_exception(self, error: Exception) -> None:
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)
