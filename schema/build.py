"""Puts the schema together, and prints it."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import strawberry
from graphql import GraphQLError
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.types import ExecutionContext
from strawberry.utils.str_converters import to_camel_case

from resolvers.limits import DEFAULT, Limits
from schema.fast_path.executor import CompiledExecutor
from schema.fast_path.known_queries import KnownQueries
from schema.http.streams import Streams
from schema.operations import TAKING_INFO, Mutation, Query, Subscription, spelled
from schema.scalars import SCALARS
from schema.types import Device, Session
from schema.validation.documents import Documents, Judged

# Of comparing fields that are asked for more than once, a tenth of what graphql-core allows, which takes a second.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 50_000


class _Names(NameConverter):
    """Spells each name once: Strawberry asks for those of arguments with every request."""

    def apply_naming_config(self, name: str) -> str:
        return _spelled(name)


_spelled = lru_cache(1024)(to_camel_case)


class _Quiet(Streams):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Leaves logging to `schema.errors`, which knows a client's mistake from the server's."""


class _Ordinary(_Quiet):
    """Everything as Strawberry and graphql-core do it."""


class _Fast(_Quiet, KnownQueries):
    """The same answers, sooner."""


def build(limits: Limits = DEFAULT, *, fast: bool = True) -> strawberry.Schema:
    """The public schema. A fresh one each time: its caches belong to one server. Without `fast`, as its types say alone."""
    documents = Documents(limits)
    schema = (partial(_Fast, documents=documents) if fast else _Ordinary)(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Session, Device],
        execution_context_class=CompiledExecutor if fast else None,
        config=StrawberryConfig(scalar_map=SCALARS, name_converter=_Names()),
        extensions=[lambda: Judged(documents)],
    )
    mutations = schema._schema.mutation_type
    assert mutations is not None  # noqa: S101, for the type checker
    for name, function in TAKING_INFO.items():
        mutations.fields[name].resolve = partial(_called, function)
    return schema


def _called(function: Callable[..., Any], _source: Any, info: Any, /, **given: Any) -> Any:
    return function(info.context.context, spelled(given))


def sdl() -> str:
    """The schema definition, as it is committed beside this module."""
    return build().as_str() + "\n"
