"""Documents on their way from text to execution: parsed, measured, validated and priced, and kept within a bound."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, TypeVar

from graphql import DocumentNode, GraphQLError, get_operation_ast, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document
from strawberry.types.graphql import OperationType

from resolvers.limits import Limits
from schema.limits import Cost, measured, too_complex
from storage.deadline import deadline

KNOWN, LONGEST = 256, 20_000  # queries of which something is kept, and the characters that one of them may have
TOGETHER = 1_000_000  # characters of all of them; parsed, each takes up to 300 bytes
PER_TOKEN = 20  # characters; text in quotes, blanks and comments are read, too, though they are few tokens or none


Kept = TypeVar("Kept")


class Recent(OrderedDict[str, Kept]):
    """What is kept of the latest texts that are not too long."""

    def keep(self, text: str, what: Kept) -> None:
        """Keeps it, and lets go of the oldest where there is too much."""
        if len(text) > LONGEST:
            return
        self[text] = what
        while len(self) > KNOWN or sum(map(len, self)) > TOGETHER:
            self.popitem(last=False)


class _Document:
    def __init__(self, parsed: DocumentNode) -> None:
        self.parsed = parsed
        self.errors: list[GraphQLError] | None = None  # until it is validated


class Documents:
    """What a schema has made of the texts that it was sent last."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.recent: Recent[_Document] = Recent()

    def of(self, text: str) -> _Document:
        """The document of a text; raises GraphQLError."""
        if found := self.recent.get(text):
            self.recent.move_to_end(text)
            return found
        tokens = self.limits.tokens
        if len(text) > tokens * PER_TOKEN:
            raise too_complex(
                f"The query has {len(text)} characters; at most {tokens * PER_TOKEN} may be. Use variables."
            )
        found = _Document(parse(text, max_tokens=tokens))
        self.recent.keep(text, found)
        return found


class Judged(SchemaExtension):
    """Lets through what is valid and within the limits."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._found: _Document | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if context.query:
            self._found = self._documents.of(context.query)
            context.graphql_document = self._found.parsed
        yield

    def on_validate(self) -> Iterator[None]:
        context, limits = self.execution_context, self._documents.limits
        schema: Any = context.schema
        found = self._found
        assert found is not None  # noqa: S101, for the type checker: it was parsed
        if found.errors is None:
            too_much = measured(found.parsed, limits)
            found.errors = (
                [too_much] if too_much else validate_document(schema._schema, found.parsed, context.validation_rules)
            )
        context.pre_execution_errors = list(found.errors)
        if not found.errors:
            # Not the name that Strawberry makes up where none is given: of several operations, none is meant then.
            operation = get_operation_ast(found.parsed, context._provided_operation_name)
            if operation is None:
                context.pre_execution_errors = [GraphQLError("operationName: is required, as there are several.")]
            elif (cost := Cost.of(schema._schema, found.parsed, operation, limits)) and (
                too_dear := cost.refused(context.variables)
            ):
                context.pre_execution_errors = [too_dear]
        yield

    def on_execute(self) -> Iterator[None]:
        if self.execution_context.operation_type is OperationType.QUERY:
            begin(self._documents.limits)
        yield


def begin(limits: Limits) -> None:
    """From now on the store has so long for what this task reads. A change is not cut off, nor is a subscription."""
    deadline.set(asyncio.get_running_loop().time() + limits.seconds)
