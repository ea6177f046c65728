"""Every use of an API of Strawberry or graphql-core that is not public.

`tests/unit/test_private_api.py` checks that each one still exists and works, so that an upgrade cannot silently remove it.
The upper bounds of both libraries in `pyproject.toml` are there for the same reason.
"""

from typing import Any

from graphql import Executor, GraphQLSchema
from graphql.language.parser import Parser
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry import Schema
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.schema.schema import validate_document
from strawberry.types import ExecutionContext

__all__ = [
    "Parser",
    "core_schema",
    "limit_field_comparisons",
    "optimized_is_awaitable",
    "provided_operation_name",
    "use_own_subfield_cache",
    "validate_document",
]


def core_schema(schema: Schema) -> GraphQLSchema:
    """Return the graphql-core schema of a Strawberry schema."""
    return schema._schema


def provided_operation_name(context: ExecutionContext) -> str | None:
    """Return the operation name in the request. `context.operation_name` falls back to the first operation."""
    return context._provided_operation_name


def use_own_subfield_cache(executor: Executor[Any]) -> None:
    """Give an executor its own cache of collected subfields. By default it shares the cache of the subscription."""
    executor._relevant_sub_fields = {}


def limit_field_comparisons(budget: int) -> None:
    """Set how many pairs of equally named fields the validation of a document compares at most."""
    overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = budget
