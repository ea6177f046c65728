"""Documents on their way from text to execution: parsed, measured, validated and priced, and kept within a bound.

To read a text takes long, for what the event loop may be kept from all others. So one is read after the other, with what
is known already between them; and after one that had to be refused the next has to wait for some times as long. Whoever
sends nothing else takes a small part of the time so, however many they are.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, get_operation_ast, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document
from strawberry.types.graphql import OperationType

from resolvers.limits import Limits
from schema.validation.limits import Cost, Variables, measured, too_complex
from storage.deadline import deadline

KNOWN, LONGEST = 256, 20_000  # queries of which something is kept, and the characters that one of them may have
TOGETHER = 1_000_000  # characters of all of them; parsed, each takes up to 300 bytes
PAUSE, SHORTEST = 4, 0.005  # after a refusal: times what it took, and seconds
PER_TOKEN = 20  # characters; text in quotes, blanks and comments are read, too, though they are few tokens or none


@dataclass
class Document:
    """What is known of a text."""

    parsed: DocumentNode
    errors: list[GraphQLError] | None = None  # until it is validated
    costs: dict[str | None, Cost | None] = field(default_factory=dict)  # by name of operation
    straight: dict[str | None, Any] = field(default_factory=dict)  # by name of operation, for `known.py`

    def too_dear(
        self,
        operation: OperationDefinitionNode,
        name: str | None,
        variables: Variables | None,
        schema: Any,
        limits: Limits,
    ) -> GraphQLError | None:
        """Why its operation of that name is not carried out with these variables, if it is not."""
        if name not in self.costs:
            self.costs[name] = Cost.of(schema, self.parsed, operation, limits)
        cost = self.costs[name]
        return cost.refused(variables) if cost else None


class Documents:
    """What a schema has made of the texts that it was sent last."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.recent: OrderedDict[str, Document] = OrderedDict()  # what is kept; the latest is the last
        self._characters = 0  # of their texts
        self._turn = asyncio.Lock()
        self._next = 0.0  # by the event loop's clock

    async def turn(self) -> None:
        """Waits until a text may be read. What follows must not wait for anything."""
        async with self._turn:
            await asyncio.sleep(max(self._next - asyncio.get_running_loop().time(), 0))

    @contextmanager
    def refusing(self) -> Iterator[list[GraphQLError]]:
        """Around what may refuse a text: by an exception, or by errors in the list."""
        loop = asyncio.get_running_loop()
        began, refused = loop.time(), True
        errors: list[GraphQLError] = []
        try:
            yield errors
            refused = bool(errors)
        finally:
            if refused:
                self._next = loop.time() + max((loop.time() - began) * PAUSE, SHORTEST)

    def known(self, text: str) -> Document | None:
        """What is kept of a text that was read before, if anything is."""
        if found := self.recent.get(text):
            self.recent.move_to_end(text)
        return found

    def of(self, text: str) -> Document:
        """The document of a text; raises GraphQLError."""
        if found := self.known(text):
            return found
        tokens = self.limits.tokens
        if len(text) > tokens * PER_TOKEN:
            raise too_complex(
                f"The query has {len(text)} characters; at most {tokens * PER_TOKEN} may be. Use variables."
            )
        found = Document(parse(text, max_tokens=tokens))
        self._keep(text, found)
        return found

    def _keep(self, text: str, document: Document) -> None:
        if len(text) > LONGEST:
            return
        self.recent[text] = document
        self._characters += len(text)
        while len(self.recent) > KNOWN or self._characters > TOGETHER:
            oldest, _ = self.recent.popitem(last=False)
            self._characters -= len(oldest)


class Judged(SchemaExtension):
    """Lets through what is valid and within the limits."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._found: Document | None = None

    async def on_parse(self) -> AsyncIterator[None]:
        context = self.execution_context
        if context.query:
            await self._documents.turn()
            with self._documents.refusing():
                self._found = self._documents.of(context.query)
            context.graphql_document = self._found.parsed
        yield

    def on_validate(self) -> Iterator[None]:
        with self._documents.refusing() as errors:
            errors += self._judged()
        self.execution_context.pre_execution_errors = errors
        yield

    def _judged(self) -> list[GraphQLError]:
        context, limits = self.execution_context, self._documents.limits
        found = self._found
        assert found is not None  # noqa: S101, for the type checker: it was parsed
        schema = cast("Any", context.schema)._schema
        if found.errors is None:
            too_much = measured(found.parsed, limits)
            found.errors = [too_much] if too_much else validate_document(schema, found.parsed, context.validation_rules)
        if found.errors:
            return found.errors
        # Not the name that Strawberry makes up where none is given: of several operations, none is meant then.
        operation = get_operation_ast(found.parsed, context._provided_operation_name)
        if operation is None:
            return [GraphQLError("operationName: is required, as there are several.")]
        too_dear = found.too_dear(operation, context._provided_operation_name, context.variables, schema, limits)
        return [too_dear] if too_dear else []

    def on_execute(self) -> Iterator[None]:
        if self.execution_context.operation_type is OperationType.QUERY:
            begin(self._documents.limits)
        yield


def begin(limits: Limits) -> None:
    """From now on the store has so long for what this task reads. A change is not cut off, nor is a subscription."""
    deadline.set(asyncio.get_running_loop().time() + limits.seconds)
