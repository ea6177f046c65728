"""The fast path of requests: a query that was asked before skips what was settled then.

1.  `KnownQueries` looks whether `Documents` has the query, and has found it valid; for such only execution is left, and a
    look at its cost, where that depends on variables.
2.  Of a known query that is one list of sessions and nothing else, without directives, most of execution is settled too:
    which list, what is selected of it. `Straight` keeps that. Variables and arguments are still coerced by graphql-core,
    and checked by the resolvers.

Everything else, and every query the first time, is Strawberry's. `compiled.py` says how to do without.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
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
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from schema.fast_path.bulk_inputs import Inputs
from schema.fast_path.executor import CompiledExecutor, Completed, NotPlainError, Shape
from schema.operations import LISTS, spelled
from schema.validation.documents import Documents, begin

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


class KnownQueries(Schema):
    """A schema that goes by what is known of a document once it was found valid."""

    def __init__(self, *, documents: Documents, **how: Any) -> None:
        super().__init__(**how)
        self._documents = documents
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
        known = self._documents.known(query) if isinstance(query, str) else None
        operation = get_operation_ast(known.parsed, operation_name) if known and known.errors == [] else None
        allowed = operation and OperationType(operation.operation.value) in allowed_operation_types
        if query is None or not known or not operation or not allowed:
            return await super().execute(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                allowed_operation_types,
                operation_extensions,
            )
        limits = self._documents.limits
        if too_dear := known.too_dear(operation, operation_name, variable_values, self._schema, limits):
            return ExecutionResult(data=None, errors=[too_dear])
        if operation.operation.value == "query":
            begin(limits)
        if (straight := known.straight.get(operation_name)) and (
            answer := await straight.answer(self._schema, variable_values, context_value)
        ):
            return answer
        ready = self._inputs.put_past(operation, variable_values)
        executor = CompiledExecutor.build(
            self._schema,
            known.parsed,
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
