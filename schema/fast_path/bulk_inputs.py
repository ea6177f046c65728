"""The fast way of input: new sessions reach the resolver as they came.

For each of 10,000 sessions graphql-core would coerce seven fields, and Strawberry would make an object of them that is
taken apart again: together 80 µs a session, where the store takes eight. Nothing of it changes anything, as every field of
the input is text that a resolver validates. So a list in a variable whose members hold nothing but texts and nulls under
known names is put past both; any other list goes the whole way, and meets its error there. Who deletes this module, and
where `build.py` and `compiled.py` name it, gets the same answers, more slowly.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from graphql import ListTypeNode, NamedTypeNode, NonNullTypeNode, OperationDefinitionNode, TypeNode
from strawberry import Schema
from strawberry.utils.str_converters import to_camel_case

from schema.inputs import CreateSessionInput
from schema.operations import create_session, create_sessions
from schema.types import CreateSessionPayload, CreateSessionsPayload, Request

INPUT = "CreateSessionInput"
REQUIRED = ("mac", "ip")


class Inputs:
    """What a schema knows of the input of new sessions."""

    def __init__(self, schema: Schema) -> None:
        core = schema._schema
        fields: Mapping[str, Any] = core.type_map[INPUT].fields  # type: ignore[attr-defined]
        self._names = {to_camel_case(field.name): field.name for field in dataclasses.fields(CreateSessionInput)}
        assert self._names.keys() == fields.keys()  # noqa: S101, a program error, not an input
        assert core.mutation_type  # noqa: S101, for the type checker
        core.mutation_type.fields["createSession"].resolve = self._create_session
        core.mutation_type.fields["createSessions"].resolve = self._create_sessions

    def _plain(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {self._names[name]: value for name, value in given.items()}

    async def _create_session(self, _: Any, info: Any, input: Any) -> CreateSessionPayload:  # noqa: A002
        request: Request = info.context
        return await create_session(request.context, self._plain(input))

    async def _create_sessions(self, _: Any, info: Any, input: Any) -> CreateSessionsPayload:  # noqa: A002
        request: Request = info.context
        return await create_sessions(request.context, list(map(self._plain, input)))

    def put_past(self, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        """Those of the variables that need no coercion."""
        given = variables or {}
        lists = (each.variable.name.value for each in operation.variable_definitions or () if _lists_inputs(each.type))
        return {name: given[name] for name in lists if self._are_plain(given.get(name))}

    def _are_plain(self, value: Any) -> bool:
        """Whether coercion would leave every member of a list as it is, but for defaults that the resolver has too."""
        names = self._names.keys()
        return isinstance(value, list) and all(
            type(one) is dict
            and one.keys() <= names
            and all(type(v) is str or (v is None and name not in REQUIRED) for name, v in one.items())
            and all(name in one for name in REQUIRED)
            for one in value
        )


def _lists_inputs(node: TypeNode) -> bool:
    """Whether a variable's type is a list of new sessions."""
    if isinstance(node, NonNullTypeNode):
        node = node.type
    if not isinstance(node, ListTypeNode):
        return False
    member = node.type.type if isinstance(node.type, NonNullTypeNode) else node.type
    return isinstance(member, NamedTypeNode) and member.name.value == INPUT
