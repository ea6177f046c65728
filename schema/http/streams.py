"""The schema class, which executes subscriptions and other operations with several results."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import orjson
from graphql import GraphQLError, get_operation_ast, parse
from graphql.error import GraphQLFormattedError
from strawberry import Schema
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.broadcast import Broadcast, Subscriber, SubscriberTooSlowError
from resolvers.limits import Limits
from schema.context import RequestContext
from schema.errors import format_error
from schema.validation.documents import MAX_DOCUMENT_LENGTH, MAX_DOCUMENTS, DocumentCache, QueryLimiter

LINGER_SECONDS = 1.0  # how long a shared subscription continues without subscribers


class _ClientError(GraphQLError):
    """An error whose `formatted` is what clients get, with message and code from `schema.errors`."""

    def __init__(self, error: GraphQLError) -> None:
        self._formatted = format_error(error)
        super().__init__(
            error.message,
            error.nodes,
            path=error.path,
            original_error=error.original_error,
            extensions=self._formatted["extensions"],
        )

    @property
    def formatted(self) -> GraphQLFormattedError:
        return cast("GraphQLFormattedError", self._formatted)


class StreamingSchema(Schema):
    """A schema with limits, errors in the format of this API, and shared subscriptions.

    Clients that send the same subscription share one execution: each event is executed and serialized once for all.
    """

    def __init__(self, *, limits: Limits, **options: Any) -> None:
        self.documents = DocumentCache(limits)
        self._subscriptions: dict[bytes, SharedSubscription] = {}
        super().__init__(extensions=[lambda: QueryLimiter(self.documents)], **options)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log nothing: `schema.errors` logs failures of the server, and not the mistakes of clients."""

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
        # A connection runs several operations. Each one needs its own current time and data loaders.
        context = RequestContext(context_value.context)
        results = await super().stream(
            query, variable_values, context, root_value, operation_name, operation_extensions, allowed_operation_types
        )
        if not isinstance(query, str) or not _is_shareable(query, str(operation_name or "")):
            return _with_client_errors(results)
        try:
            key = orjson.dumps([query, variable_values, operation_name])
        except TypeError:  # the variables are nested too deeply for orjson
            return _with_client_errors(results)
        shared = self._subscriptions.get(key)
        if shared is None or shared.is_closed:
            results = _with_client_errors(results)
            shared = self._subscriptions[key] = SharedSubscription(results, lambda: self._forget(key))
        else:
            await results.aclose()
        return shared.subscribe(shared.results.subscribe())

    def _forget(self, key: bytes) -> None:
        if (shared := self._subscriptions.get(key)) is not None and shared.is_closed:
            del self._subscriptions[key]


@lru_cache(MAX_DOCUMENTS)
def _is_shareable(query: str, operation_name: str) -> bool:
    """Return whether all clients that send the query get the same events: a subscription without the argument `after`."""
    if len(query) > MAX_DOCUMENT_LENGTH or "after" in query:
        return False
    try:
        operation = get_operation_ast(parse(query, max_tokens=MAX_DOCUMENT_LENGTH), operation_name or None)
    except (GraphQLError, RecursionError):
        return False
    return operation is not None and operation.operation.value == "subscription"


class SharedSubscription:
    """One execution of a subscription, and its subscribers. It ends a moment after the last subscriber leaves."""

    def __init__(self, results: AsyncGenerator[Any, None], on_close: Callable[[], None]) -> None:
        self.results: Broadcast[Any] = Broadcast()
        self.is_closed = False
        self._subscribers = 0
        self._on_close = on_close
        self._task = asyncio.create_task(self._publish(results))
        # The first client may disconnect before it subscribes.
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close_if_unused)

    async def _publish(self, results: AsyncGenerator[Any, None]) -> None:
        try:
            async with aclosing(results):
                async for result in results:
                    if isinstance(result, ExecutionResult) and result.data is not None:
                        result.data = cast("Any", orjson.Fragment(orjson.dumps(result.data)))
                    # After an error, new subscribers start an execution of their own, which reports the error to them.
                    self.is_closed = self.is_closed or bool(result.errors)
                    self.results.publish([result])
        finally:
            self.is_closed = True
            self._on_close()
            self.results.close()

    async def subscribe(self, results: Subscriber[Any]) -> AsyncGenerator[Any, None]:
        """Yield the results from now on; the last one is an error if the subscriber falls too far behind."""
        self._subscribers += 1
        try:
            async for result in results:
                yield result
        except SubscriberTooSlowError as error:
            yield ExecutionResult(data=None, errors=[_ClientError(GraphQLError(str(error), original_error=error))])
        finally:
            self._subscribers -= 1
            # Another client may be about to subscribe.
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._close_if_unused)

    def _close_if_unused(self) -> None:
        if not self._subscribers:
            self._task.cancel()


async def _with_client_errors(results: Any) -> AsyncGenerator[Any, None]:
    async with aclosing(results):
        async for result in results:
            if isinstance(result, ExecutionResult) and result.errors:
                yield replace(result, errors=[_ClientError(error) for error in result.errors])
            else:
                yield result
