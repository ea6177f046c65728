"""A schema that skips, for a document that it has executed before, the steps whose result cannot change."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_argument_values,
    get_operation_ast,
    get_variable_values,
    located_error,
)
from graphql.execution.collect_fields import collect_fields
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.deadline import start_deadline
from schema.arguments import to_snake_case_keys
from schema.fast_path.bulk_inputs import BulkInputs
from schema.fast_path.executor import CompilingExecutor, Completed, NotCompilableError, ReadList
from schema.http.streams import StreamingSchema
from schema.private_api import core_schema, optimized_is_awaitable
from schema.queries import LAZY_FIELDS

MAX_VARIABLE_ERRORS = 50  # the default of graphql-core


@dataclass(frozen=True)
class CachedListPlan:
    """The parts of an operation that do not depend on variables, if it selects one list of sessions and nothing else."""

    operation: OperationDefinitionNode
    response_name: str
    field: GraphQLField
    nodes: list[FieldNode]
    read_list: ReadList

    @classmethod
    def from_executor(cls, executor: CompilingExecutor) -> "CachedListPlan | None":
        """Return the plan of an operation without directives, or None if it is not such a list."""
        operation, root = executor.operation, executor.schema.query_type
        if operation.operation.value != "query" or not isinstance(root, GraphQLObjectType):
            return None
        collected = collect_fields(
            executor.schema, executor.fragments, executor.variable_values, root, operation, False
        )
        (response_name, details), *others = collected.grouped_field_set.items()
        nodes = [detail.node for detail in details]
        if others or nodes[0].name.value not in LAZY_FIELDS:
            return None
        field = root.fields[nodes[0].name.value]
        try:
            return cls(operation, response_name, field, nodes, executor.compile(field.type, details))
        except NotCompilableError:
            return None

    async def execute(
        self, schema: GraphQLSchema, variables: dict[str, Any] | None, context: Any
    ) -> ExecutionResult | None:
        """Return the result, or None if only an executor can make it."""
        definitions = self.operation.variable_definitions or ()
        values = get_variable_values(schema, definitions, variables or {}, max_errors=MAX_VARIABLE_ERRORS)
        if isinstance(values, list):
            return ExecutionResult(data=None, errors=values)
        try:
            arguments = to_snake_case_keys(get_argument_values(self.field, self.nodes[0], values))
            result = await self.read_list(LAZY_FIELDS[self.nodes[0].name.value](context, arguments))
        except Exception as error:
            # Both list fields are non-null, so that the error of one makes the whole of `data` null.
            located: GraphQLError = located_error(error, self.nodes, [self.response_name])
            return ExecutionResult(data=None, errors=[located])
        if type(result) is not Completed:
            return None
        return ExecutionResult(data={self.response_name: result.value}, errors=None)


class CachingSchema(StreamingSchema):
    """Executes documents that are in the cache and valid without parsing and validating them again.

    The cost of an operation is checked in each request, because it depends on variables. Strawberry executes all other
    documents as usual. The first execution of an operation stores its `CachedListPlan`, if it has one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(execution_context_class=CompilingExecutor, **options)
        self._core = core_schema(self)
        self._bulk_inputs = BulkInputs(self._core)

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
        # A subscription has several results, which `stream` returns.
        allowed_operation_types = set(allowed_operation_types or OperationType) - {OperationType.SUBSCRIPTION}
        document = self.documents.get(query) if isinstance(query, str) else None
        operation = get_operation_ast(document.ast, operation_name) if document and document.errors == [] else None
        is_allowed = operation and OperationType(operation.operation.value) in allowed_operation_types
        if query is None or not document or not operation or not is_allowed:
            return await super().execute(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                allowed_operation_types,
                operation_extensions,
            )
        limits = self.documents.limits
        if error := document.check_cost(operation, operation_name, variable_values, self._core, limits):
            return ExecutionResult(data=None, errors=[error])
        if operation.operation.value == "query":
            start_deadline(limits)
        if (plan := document.plans.get(operation_name)) and (
            planned_result := await plan.execute(self._core, variable_values, context_value)
        ):
            return planned_result
        uncoerced = self._bulk_inputs.bypass_coercion(operation, variable_values)
        executor = CompilingExecutor.build(
            self._core,
            document.ast,
            root_value,
            context_value,
            {**(variable_values or {}), **{name: [] for name in uncoerced}},
            operation_name,
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
        )
        if isinstance(executor, list):
            return ExecutionResult(data=None, errors=executor)
        if operation_name not in document.plans:
            # Directives can change the selection from request to request.
            has_directives = "@" in query
            document.plans[operation_name] = (
                None if has_directives else CachedListPlan.from_executor(cast("CompilingExecutor", executor))
            )
        executor.variable_values.coerced.update(uncoerced)
        result: Any = executor.execute_operation()
        if optimized_is_awaitable(result):
            result = await result
        return ExecutionResult(data=result.data, errors=result.errors)
