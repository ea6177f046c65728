"""The cache of parsed documents, and the extension that validates documents and checks them against the limits.

Parsing and validating block the event loop. Documents are therefore parsed one at a time, and cached documents run in
between. After a document is rejected, the next one waits for a multiple of the time that the rejection took. Clients that
send only invalid documents therefore get a small part of the processor time, regardless of their number.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, get_operation_ast
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from resolvers.deadline import start_deadline
from resolvers.limits import Limits
from schema.private_api import core_schema, provided_operation_name, validate_document
from schema.validation.limits import Cost, Variables, check_limits, too_complex_error
from schema.validation.rules import VALIDATION_RULES, parse_document

MAX_DOCUMENTS = 256  # in the cache
MAX_DOCUMENT_LENGTH = 20_000  # characters; longer documents are not cached
MAX_TOTAL_LENGTH = 1_000_000  # characters of all cached documents; a parsed character takes up to 300 bytes
DELAY_FACTOR = 4  # delay after a rejection, in multiples of the time that it took
MIN_DELAY = 0.005  # seconds
MAX_CHARACTERS_PER_TOKEN = 20  # strings, whitespace and comments take time to read, but are few tokens or none


@dataclass
class CachedDocument:
    """A parsed document, and what is known about its operations. The keys are operation names as in requests."""

    ast: DocumentNode
    errors: list[GraphQLError] | None = None  # None until the document is validated
    costs: dict[str | None, Cost | None] = field(default_factory=dict)
    plans: dict[str | None, Any] = field(default_factory=dict)  # for the schema class; deleted with the document

    def check_cost(
        self,
        operation: OperationDefinitionNode,
        name: str | None,
        variables: Variables | None,
        schema: GraphQLSchema,
        limits: Limits,
    ) -> GraphQLError | None:
        """Return an error if the operation costs too much with these variables."""
        if name not in self.costs:
            self.costs[name] = Cost.estimate(schema, self.ast, operation, limits)
        cost = self.costs[name]
        return cost.check(variables) if cost else None


class DocumentCache:
    """The most recently used documents of a schema, by text."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.recent: OrderedDict[str, CachedDocument] = OrderedDict()  # least recently used first
        self._total_length = 0  # characters of all texts
        self._turn = asyncio.Lock()
        self._next_turn = 0.0  # by the clock of the event loop

    async def wait_turn(self) -> None:
        """Wait until a document may be parsed. The caller must parse it before it awaits anything."""
        async with self._turn:
            await asyncio.sleep(max(self._next_turn - asyncio.get_running_loop().time(), 0))

    @contextmanager
    def delay_after_rejection(self) -> Iterator[list[GraphQLError]]:
        """Delay the next turn if the block raises an exception or adds errors to the list."""
        loop = asyncio.get_running_loop()
        started_at, rejected = loop.time(), True
        errors: list[GraphQLError] = []
        try:
            yield errors
            rejected = bool(errors)
        finally:
            if rejected:
                self._next_turn = loop.time() + max((loop.time() - started_at) * DELAY_FACTOR, MIN_DELAY)

    def get(self, text: str) -> CachedDocument | None:
        """Return the cached document of a text, if there is one."""
        if document := self.recent.get(text):
            self.recent.move_to_end(text)
        return document

    def get_or_parse(self, text: str) -> CachedDocument:
        """Return the document of a text. Raise GraphQLError if it is too long or not valid syntax."""
        if document := self.get(text):
            return document
        max_length = self.limits.tokens * MAX_CHARACTERS_PER_TOKEN
        if len(text) > max_length:
            raise too_complex_error(
                f"The query has {len(text)} characters; at most {max_length} are allowed. Use variables."
            )
        document = CachedDocument(parse_document(text, self.limits.tokens))
        self._add(text, document)
        return document

    def _add(self, text: str, document: CachedDocument) -> None:
        if len(text) > MAX_DOCUMENT_LENGTH:
            return
        self.recent[text] = document
        self._total_length += len(text)
        while len(self.recent) > MAX_DOCUMENTS or self._total_length > MAX_TOTAL_LENGTH:
            oldest, _ = self.recent.popitem(last=False)
            self._total_length -= len(oldest)


class QueryLimiter(SchemaExtension):
    """Parses and validates documents through the cache, and rejects those that exceed a limit."""

    def __init__(self, documents: DocumentCache) -> None:
        self._documents = documents
        self._document: CachedDocument | None = None

    async def on_parse(self) -> AsyncIterator[None]:
        context = self.execution_context
        if context.query:
            await self._documents.wait_turn()
            with self._documents.delay_after_rejection():
                self._document = self._documents.get_or_parse(context.query)
            context.graphql_document = self._document.ast
        yield

    def on_validate(self) -> Iterator[None]:
        with self._documents.delay_after_rejection() as errors:
            errors += self._validate()
        self.execution_context.pre_execution_errors = errors
        yield

    def _validate(self) -> list[GraphQLError]:
        context, limits, document = self.execution_context, self._documents.limits, self._document
        assert document is not None  # noqa: S101, for the type checker: it was parsed
        schema = core_schema(context.schema)
        if document.errors is None:
            too_complex = check_limits(document.ast, limits)
            document.errors = (
                [too_complex] if too_complex else validate_document(schema, document.ast, VALIDATION_RULES)
            )
        if document.errors:
            return document.errors
        name = provided_operation_name(context)
        operation = get_operation_ast(document.ast, name)
        if operation is None:
            return [GraphQLError("operationName: is required, because the document has several operations.")]
        too_expensive = document.check_cost(operation, name, context.variables, schema, limits)
        return [too_expensive] if too_expensive else []

    def on_execute(self) -> Iterator[None]:
        if self.execution_context.operation_type is OperationType.QUERY:
            start_deadline(self._documents.limits)
        yield
