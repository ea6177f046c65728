"""Limits of graphql-core are reported with the code QUERY_TOO_COMPLEX."""

import pytest
from graphql import GraphQLError, GraphQLSyntaxError, validate
from graphql.validation.validate import ValidationAbortedError

from resolvers.failures import INVALID_INPUT, QUERY_TOO_COMPLEX
from schema.build import build
from schema.errors import format_error
from schema.private_api import Parser, core_schema
from schema.validation.rules import VALIDATION_RULES, parse_document

CIRCULAR = "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }"


def code_of(query: str, max_tokens: int = 100) -> str:
    """Return the code of the error that parsing a query raises."""
    with pytest.raises(GraphQLError) as raised:
        parse_document(query, max_tokens)
    return str(format_error(raised.value)["extensions"]["code"])


@pytest.mark.parametrize(
    "query",
    [
        "{" + " a" * 101 + " }",
        "{" + " # comment\n" * 200 + " a }",
        "#\n" * 200,
        "{ a }" + "#\n" * 200,
        "{ a" * 50 + " }" * 50,
    ],
)
def test_too_many_tokens_are_too_complex(query: str) -> None:
    assert code_of(query) == QUERY_TOO_COMPLEX.code


def test_deep_nesting_is_too_complex() -> None:
    assert code_of("{ a" * 20_000, 100_000) == QUERY_TOO_COMPLEX.code


@pytest.mark.parametrize(
    "query", ["{", "{ a } #", "{ a(b: #\n) }", '{ a(b: "\\#") }', "query cop {\n# comment\n", "{ a ? }"]
)
def test_syntax_error_is_invalid_input(query: str) -> None:
    if query == "{ a } #":
        assert parse_document(query, 100)
    else:
        assert code_of(query) == INVALID_INPUT.code


def test_introspection_depth_is_too_complex() -> None:
    errors = validate(core_schema(build()), parse_document(CIRCULAR, 1000), VALIDATION_RULES)
    assert [format_error(error)["extensions"]["code"] for error in errors] == [QUERY_TOO_COMPLEX.code]
    assert errors[0].message == "Maximum introspection depth exceeded"


def test_aborted_validation_is_too_complex() -> None:
    errors = validate(core_schema(build()), parse_document("{" + " nope" * 101 + " }", 1000), VALIDATION_RULES)
    assert isinstance(errors[-1], ValidationAbortedError)
    assert format_error(errors[-1])["extensions"]["code"] == QUERY_TOO_COMPLEX.code
    assert format_error(errors[0])["extensions"]["code"] == INVALID_INPUT.code


def test_parser_counts_tokens() -> None:
    """`Parser` is a private API of graphql-core."""
    parser = Parser("{ a # comment\n b c }", max_tokens=4)
    with pytest.raises(GraphQLSyntaxError, match="more than 4 tokens"):
        parser.parse_document()
    assert parser.token_count > 4
