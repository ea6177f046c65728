"""Input of new sessions that bypasses coercion.

For each session, graphql-core coerces every field, and Strawberry makes an object that the resolver takes apart again:
80 µs, where the store takes 8 µs. This changes no value, because every field is text that the resolver validates.
A variable that is a list of objects with known keys and values of text or null is therefore passed to the resolver
unchanged. Any other value is coerced as usual, which also reports its errors.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLSchema, ListTypeNode, NamedTypeNode, NonNullTypeNode, OperationDefinitionNode, TypeNode
from strawberry.utils.str_converters import to_camel_case

from schema.context import RequestContext
from schema.inputs import CreateSessionInput
from schema.mutations import create_session, create_sessions
from schema.payloads import CreateSessionPayload, CreateSessionsPayload

INPUT_TYPE = "CreateSessionInput"
REQUIRED_FIELDS = ("mac", "ip")


class BulkInputs:
    """Resolvers of `createSession` and `createSessions` that take dicts, and the check for values that need no coercion."""

    def __init__(self, schema: GraphQLSchema) -> None:
        fields: Mapping[str, Any] = schema.type_map[INPUT_TYPE].fields  # type: ignore[attr-defined]
        self._names = {to_camel_case(field.name): field.name for field in dataclasses.fields(CreateSessionInput)}
        if self._names.keys() != fields.keys() or schema.mutation_type is None:
            raise TypeError(f"{INPUT_TYPE} does not have the fields {', '.join(self._names)}.")
        schema.mutation_type.fields["createSession"].resolve = self._create_session
        schema.mutation_type.fields["createSessions"].resolve = self._create_sessions

    def _to_snake_case_keys(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {self._names[name]: member for name, member in value.items()}

    async def _create_session(self, _: Any, info: Any, input: Any) -> CreateSessionPayload:  # noqa: A002, a public name
        request: RequestContext = info.context
        return await create_session(request.context, self._to_snake_case_keys(input))

    async def _create_sessions(self, _: Any, info: Any, input: Any) -> CreateSessionsPayload:  # noqa: A002, a public name
        request: RequestContext = info.context
        return await create_sessions(request.context, list(map(self._to_snake_case_keys, input)))

    def bypass_coercion(
        self, operation: OperationDefinitionNode, variables: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return the variables that need no coercion."""
        values = variables or {}
        definitions = operation.variable_definitions or ()
        names = (definition.variable.name.value for definition in definitions if _is_input_list(definition.type))
        return {name: values[name] for name in names if self._needs_no_coercion(values.get(name))}

    def _needs_no_coercion(self, value: Any) -> bool:
        """Return whether coercion would only add defaults, which the resolver adds too."""
        names = self._names.keys()
        return isinstance(value, list) and all(
            type(member) is dict
            and member.keys() <= names
            and all(type(v) is str or (v is None and name not in REQUIRED_FIELDS) for name, v in member.items())
            and all(name in member for name in REQUIRED_FIELDS)
            for member in value
        )


def _is_input_list(node: TypeNode) -> bool:
    """Return whether the type of a variable is a list of `CreateSessionInput`."""
    if isinstance(node, NonNullTypeNode):
        node = node.type
    if not isinstance(node, ListTypeNode):
        return False
    member = node.type.type if isinstance(node.type, NonNullTypeNode) else node.type
    return isinstance(member, NamedTypeNode) and member.name.value == INPUT_TYPE
