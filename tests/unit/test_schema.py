"""The GraphQL schema: descriptions and scalar specifications."""

from collections.abc import Iterator

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, GraphQLScalarType

from schema.build import build
from schema.private_api import core_schema

BUILT_IN = {"Boolean", "Float", "ID", "Int", "String"}
SCHEMA = core_schema(build())
TYPES = {name: type_ for name, type_ in SCHEMA.type_map.items() if not name.startswith("__") and name not in BUILT_IN}


def descriptions() -> Iterator[tuple[str, str | None]]:
    """Yield the path and the description of each type, field, argument, input field and enum value."""
    for name, type_ in TYPES.items():
        yield name, type_.description
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in type_.fields.items():
                yield f"{name}.{field_name}", field.description
                for argument_name, argument in field.args.items():
                    yield f"{name}.{field_name}({argument_name})", argument.description
        elif isinstance(type_, GraphQLInputObjectType):
            for field_name, input_field in type_.fields.items():
                yield f"{name}.{field_name}", input_field.description
        elif isinstance(type_, GraphQLEnumType):
            for value_name, value in type_.values.items():
                yield f"{name}.{value_name}", value.description


def test_every_element_of_the_schema_has_a_description() -> None:
    """A description is one or more sentences, of at most 200 characters."""
    by_path = dict(descriptions())
    assert len(by_path) > 250
    assert [path for path, description in by_path.items() if not description] == []
    assert [
        path for path, text in by_path.items() if text and (len(text) > 200 or not text.endswith((".", "`.")))
    ] == []


def test_scalars_name_their_specification() -> None:
    """Except `Period`, whose format is our own."""
    scalars = {name: type_ for name, type_ in TYPES.items() if isinstance(type_, GraphQLScalarType)}
    assert sorted(scalars) == ["Date", "DateTime", "IPAddress", "MAC", "Period"]
    assert [name for name, scalar in scalars.items() if not scalar.specified_by_url] == ["Period"]
