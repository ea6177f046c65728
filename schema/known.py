"""The fast path of requests: a query that was asked before skips what was settled then.

1.  `KnownQueries` keeps documents that were parsed, validated and found within all limits; for those only execution is left,
    and a look at their cost, where it depends on variables.
2.  Of a known query that is one list of sessions and nothing else, without directives, most of execution is settled too:
    which list, what is selected of it. `Straight` keeps that. Variables and arguments are still coerced by graphql-core,
    and checked by the resolvers.

Everything else, and every query the first time, is Strawberry's. `compiled.py` says how to do without.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_argument_values,
    get_operation_ast,
    get_variable_values,
    located_error,
)
from graphql.execution.collect_fields import collect_fields
from strawberry import Schema
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.limits import Limits
from schema.compiled import CompiledExecutor, Completed, NotPlainError, Shape
from schema.documents import Recent, begin
from schema.inputs import Inputs
from schema.limits import Cost
from schema.operations import LISTS, spelled

MOST_ERRORS = 50  # in variables; as many as graphql-core tells of by itself


@dataclass(frozen=True)
class Straight:
    """A known operation that is one list of sessions."""

    operation: OperationDefinitionNode
    name: str  # in the answer
    field: GraphQLField
    nodes: list[FieldNode]
    shape: Shape

    @classmethod
    def of(cls, executor: CompiledExecutor) -> "Straight | None":
        """What an executor would do again and again, if the operation is such a one. It has no directives."""
        operation, root = executor.operation, executor.schema.query_type
        if operation.operation.value != "query" or not isinstance(root, GraphQLObjectType):
            return None
        fields = collect_fields(executor.schema, executor.fragments, executor.variable_values, root, operation, False)
        (name, details), *more = fields.grouped_field_set.items()
        nodes = [each.node for each in details]
        if more or nodes[0].name.value not in LISTS:
            return None
        of = root.fields[nodes[0].name.value]
        try:
            return cls(operation, name, of, nodes, executor.shape(of.type, details))
        except NotPlainError:
            return None

    async def answer(self, schema: Any, variables: dict[str, Any] | None, context: Any) -> ExecutionResult | None:
        """The answer; None where only the ordinary way can make it."""
        values = get_variable_values(
            schema, self.operation.variable_definitions or (), variables or {}, max_errors=MOST_ERRORS
        )
        if isinstance(values, list):
            return ExecutionResult(data=None, errors=values)
        try:
            given = spelled(get_argument_values(self.field, self.nodes[0], values))
            found = await self.shape(LISTS[self.nodes[0].name.value](context, given))
        except Exception as problem:
            # Both lists are never null, so that an error in one is all that there is to the answer.
            error: GraphQLError = located_error(problem, self.nodes, [self.name])
            return ExecutionResult(data=None, errors=[error])
        return ExecutionResult(data={self.name: found.value}, errors=None) if type(found) is Completed else None


@dataclass
class _Known:
    document: DocumentNode
    cost: dict[str | None, Cost | None] = field(default_factory=dict)  # by name of operation
    straight: dict[str | None, Straight | None] = field(default_factory=dict)  # by name of operation


class KnownQueries(Schema):
    """A schema that remembers the documents which it has found valid."""

    def __init__(self, *, extensions: list[Any], limits: Limits, **how: Any) -> None:
        self._known: Recent[_Known] = Recent()
        self._limits = limits
        super().__init__(extensions=[*extensions, lambda: _Remember(self._known)], **how)
        self._inputs = Inputs(self)

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        # A subscription is answered more than once: by `stream`.
        allowed_operation_types = set(allowed_operation_types or OperationType) - {OperationType.SUBSCRIPTION}
        operation = self.known(query, operation_name, allowed_operation_types)
        if query is None or operation is None:
            return await super().execute(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                allowed_operation_types,
                operation_extensions,
            )
        known = self._known[query]
        if operation_name not in known.cost:
            known.cost[operation_name] = Cost.of(self._schema, known.document, operation, self._limits)
        if (cost := known.cost[operation_name]) and (too_dear := cost.refused(variable_values)):
            return ExecutionResult(data=None, errors=[too_dear])
        if operation.operation.value == "query":
            begin(self._limits)
        if (straight := known.straight.get(operation_name)) and (
            answer := await straight.answer(self._schema, variable_values, context_value)
        ):
            return answer
        ready = self._inputs.put_past(operation, variable_values)
        executor = CompiledExecutor.build(
            self._schema,
            known.document,
            root_value,
            context_value,
            {**(variable_values or {}), **{name: [] for name in ready}},
            operation_name,
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
        )
        if isinstance(executor, list):
            return ExecutionResult(data=None, errors=executor)
        if operation_name not in known.straight:
            # Directives can make each request another one; a query without their sign has none.
            straight = None if "@" in query else Straight.of(cast("CompiledExecutor", executor))
            known.straight[operation_name] = straight
        executor.variable_values.coerced.update(ready)
        result: Any = executor.execute_operation()
        if optimized_is_awaitable(result):
            result = await result
        return ExecutionResult(data=result.data, errors=result.errors)

    def known(
        self, query: str | None, operation_name: str | None, allowed: Iterable[OperationType]
    ) -> OperationDefinitionNode | None:
        """The operation that is to be executed, if its query was found valid before."""
        known = self._known.get(query) if isinstance(query, str) else None
        operation = known and get_operation_ast(known.document, operation_name)
        return operation if operation and OperationType(operation.operation.value) in allowed else None


class _Remember(SchemaExtension):
    """Keeps a document once it is about to be executed: by then it is valid and within the limits."""

    def __init__(self, known: Recent[_Known]) -> None:
        self._known = known

    def on_execute(self) -> Iterator[None]:
        query, document = self.execution_context.query, self.execution_context.graphql_document
        if query is not None and document is not None:
            self._known.keep(query, _Known(document))
        yield
