"""Parsing and validation rules that report the limits of graphql-core as QUERY_TOO_COMPLEX."""

from graphql import DocumentNode, GraphQLError, GraphQLSyntaxError
from graphql.validation import MaxIntrospectionDepthRule, specified_rules

from schema.private_api import Parser
from schema.validation.limits import too_complex_error


def parse_document(text: str, max_tokens: int) -> DocumentNode:
    """Parse a document. Raise GraphQLError if it is invalid, nested too deeply or has more tokens than allowed."""
    parser = Parser(text, max_tokens=max_tokens)
    try:
        return parser.parse_document()
    except RecursionError:
        pass
    except GraphQLSyntaxError as error:
        # The parser counts comments, too. In a run of comments, the lexer stops at the first that exceeds the limit.
        at_comment = text.startswith("#", next(iter(error.positions or ()), 0))
        if parser.token_count > max_tokens or at_comment:
            error.extensions = too_complex_error(error.message).extensions
        raise
    # Raised outside the except block, so that the error does not keep the frames of the recursion.
    raise too_complex_error("The query is nested too deeply.")


class IntrospectionDepthRule(MaxIntrospectionDepthRule):
    """The introspection limit of graphql-core, with the error code of a limit."""

    def report_error(self, error: GraphQLError) -> None:
        error.extensions = too_complex_error(error.message).extensions
        super().report_error(error)


VALIDATION_RULES = tuple(
    IntrospectionDepthRule if rule is MaxIntrospectionDepthRule else rule for rule in specified_rules
)
