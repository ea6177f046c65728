"""The APIs of Strawberry and graphql-core that are not public still exist, and work as this program expects.

A failure means that an upgrade changed one of them: adapt `schema/private_api.py` or the subclass that overrides it.
"""

import inspect
from typing import Any

import pytest
from graphql import Executor, GraphQLError, parse
from graphql.validation import specified_rules
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError
from strawberry import Schema
from strawberry.schema.config import StrawberryConfig
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.types import ExecutionContext

from schema.build import build
from schema.private_api import (
    Parser,
    core_schema,
    limit_field_comparisons,
    optimized_is_awaitable,
    provided_operation_name,
    use_own_subfield_cache,
    validate_document,
)

COMPLETION = ["self", "return_type", "field_details_list", "info", "path", "result", "position_context"]


def executor(query: str) -> Executor[Any]:
    built = Executor.build(core_schema(build()), parse(query))
    assert isinstance(built, Executor)
    return built


def test_core_schema_has_the_types_of_the_schema() -> None:
    assert core_schema(build()).type_map["Session"]


def test_documents_are_validated_against_the_core_schema() -> None:
    [error] = validate_document(core_schema(build()), parse("{ nonsense }"), specified_rules)
    assert isinstance(error, GraphQLError)


@pytest.mark.parametrize("name", [None, "B"])
def test_provided_operation_name_does_not_fall_back_to_the_first_operation(name: str | None) -> None:
    schema = build()
    context: ExecutionContext = ExecutionContext(
        query="query A { __typename } query B { __typename }",
        schema=schema,
        allowed_operations=[],
        provided_operation_name=name,
    )
    assert provided_operation_name(context) == name


def test_awaitables_are_recognized() -> None:
    async def coroutine() -> None: ...

    awaitable = coroutine()
    assert optimized_is_awaitable(awaitable)
    awaitable.close()
    assert not optimized_is_awaitable({})


def test_executors_of_a_subscription_share_their_subfield_cache_by_default() -> None:
    """Otherwise `use_own_subfield_cache` is no longer needed."""
    parent = executor("subscription { sessionChanges { mac } }")
    child = Executor.build_per_event_executor(parent, None)
    assert child._relevant_sub_fields is parent._relevant_sub_fields
    use_own_subfield_cache(child)
    assert child._relevant_sub_fields is not parent._relevant_sub_fields


def test_validation_compares_a_limited_number_of_fields() -> None:
    budget = overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET
    assert budget == 50_000, "set by schema.build"
    query = parse("{ " + "node: sessionTotals { all } " * 100 + "}")
    try:
        limit_field_comparisons(10)
        errors = validate_document(core_schema(build()), query, specified_rules)
        assert [type(error) for error in errors] == [ValidationAbortedError]
        limit_field_comparisons(budget)
        assert validate_document(core_schema(build()), query, specified_rules) == []
    finally:
        overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = budget


@pytest.mark.parametrize("method", ["complete_awaitable_value", "complete_list_value", "complete_object_value"])
def test_executor_completes_values_in_methods_that_can_be_overridden(method: str) -> None:
    assert list(inspect.signature(getattr(Executor, method)).parameters) == COMPLETION


def test_executor_collects_subfields() -> None:
    assert list(inspect.signature(Executor.collect_subfields).parameters) == [
        "self",
        "return_type",
        "field_details_list",
    ]


def test_schema_methods_have_the_overridden_signatures() -> None:
    arguments = {"self", "query", "variable_values", "context_value", "root_value", "operation_name"}
    arguments |= {"allowed_operation_types", "operation_extensions"}
    assert set(inspect.signature(Schema.execute).parameters) == arguments
    assert set(inspect.signature(Schema.stream).parameters) == arguments
    assert list(inspect.signature(Schema.process_errors).parameters) == ["self", "errors", "execution_context"]
    assert "scalar_map" in inspect.signature(StrawberryConfig).parameters


def test_websocket_handler_has_the_overridden_methods_and_attributes() -> None:
    handler = BaseGraphQLTransportWSHandler
    assert list(inspect.signature(handler.handle_subscribe).parameters) == ["self", "message"]
    assert list(inspect.signature(handler.handle_task_exception).parameters) == ["self", "error"]
    source = inspect.getsource(handler.__init__)
    for attribute in ("max_subscriptions_per_connection", "connection_acknowledged", "operations", "websocket"):
        assert f"self.{attribute}" in source


def test_parser_counts_tokens() -> None:
    parser = Parser("{ a }", max_tokens=10)
    parser.parse_document()
    assert parser.token_count
