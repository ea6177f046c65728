"""The limits of a query: of its text before it is validated, and of its cost for the variables of each request.

1.  `check_limits` counts depth, aliases, directives and root fields before the document is validated, because validation
    takes longer. It visits each fragment once, however often it is spread. Strawberry's own limiters follow every spread:
    25 fragments that spread the next one twice keep them busy for minutes.
2.  `Cost` is the largest number of values in a response: the selected leaves, multiplied by the page sizes of the lists that
    contain them. A list without a page size counts with its entry in `ESTIMATED_LENGTHS`, and an argument that is a list with
    its length.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.utilities import value_from_ast_untyped

from resolvers.failures import QUERY_TOO_COMPLEX
from resolvers.limits import Limits
from resolvers.validation.models import Page

# Typical lengths of lists without a page size: a busy day's calendar, a device's last weeks, a year by days.
ESTIMATED_LENGTHS = {"sessionCalendar": 1000, "deviceSessions": 1000, "presence": 400}
DEFAULT_LENGTH = 100
INTROSPECTION_COST = 10_000  # values, about the whole schema
LIST_ARGUMENTS = {"createSessions": "input", "heartbeat": "devices"}
VALUES_PER_MEMBER = 8  # about the number of fields of a new session
MAX_MEMBERS = 2**31

Variables = Mapping[str, Any]


class Size(NamedTuple):
    """The length of a list, as a function of the variables, and its maximum for all variables."""

    length: Callable[[Variables], int]
    maximum: int


Sizes = tuple[Size, ...]  # the lists that contain a value, from the outside in


def too_complex_error(message: str) -> GraphQLError:
    """Return the error for a query that exceeds a limit."""
    return GraphQLError(message, extensions={"code": QUERY_TOO_COMPLEX.code})


class Counts(NamedTuple):
    """The counts of a selection set, including the fragments that it spreads."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    fields: int = 0  # at the first level


class _Counter:
    """Counts the selection sets of a document. Keeps the counts of each fragment."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = _fragments(document)
        self._counts: dict[str, Counts] = {}

    def count(self, selection_set: SelectionSetNode | None) -> Counts:
        depth = aliases = directives = fields = 0
        for node in selection_set.selections if selection_set else ():
            directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                inner = self.count(node.selection_set)
                depth = max(depth, inner.depth + 1)
                aliases += node.alias is not None
                fields += 1
            else:
                if isinstance(node, FragmentSpreadNode):
                    inner = self._count_fragment(node.name.value)
                else:
                    inner = self.count(cast("InlineFragmentNode", node).selection_set)
                depth = max(depth, inner.depth)
                fields += inner.fields
            aliases += inner.aliases
            directives += inner.directives
        return Counts(depth, aliases, directives, fields)

    def _count_fragment(self, name: str) -> Counts:
        if name not in self._counts:
            self._counts[name] = Counts()  # for a fragment that spreads itself, which validation rejects
            if fragment := self._fragments.get(name):
                counts = self.count(fragment.selection_set)
                self._counts[name] = counts._replace(directives=counts.directives + len(fragment.directives or ()))
        return self._counts[name]


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    definitions = (node for node in document.definitions if isinstance(node, FragmentDefinitionNode))
    return {fragment.name.value: fragment for fragment in definitions}


def check_limits(document: DocumentNode, limits: Limits) -> GraphQLError | None:
    """Return an error if an operation of the document exceeds a limit, whatever its variables are."""
    counter = _Counter(document)
    for operation in document.definitions:
        if not isinstance(operation, OperationDefinitionNode):
            continue
        counts = counter.count(operation.selection_set)
        directives = counts.directives + len(operation.directives or ())
        directives += sum(len(variable.directives or ()) for variable in operation.variable_definitions or ())
        for name, count, limit in (
            ("aliases", counts.aliases, limits.aliases),
            ("directives", directives, limits.directives),
            ("root fields", counts.fields, limits.root_fields),
            ("levels of fields", counts.depth, limits.depth),
        ):
            if count > limit:
                shown_count = count if count < 10**9 else "far too many"
                return too_complex_error(f"The query has {shown_count} {name}; at most {limit} are allowed.")
    return None


@dataclass(frozen=True)
class Cost:
    """The cost of an operation as a function of its variables: the number of values for each combination of lists."""

    values: Mapping[Sizes, int]
    limit: int

    @classmethod
    def estimate(
        cls, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, limits: Limits
    ) -> "Cost | None":
        """Return the cost of a valid operation, or None if no variables can make it exceed the limit."""
        values = _Estimator(schema, document, operation, limits.page).estimate()
        maximum = sum(count * prod(size.maximum for size in sizes) for sizes, count in values.items())
        return cls(values, limits.cost) if maximum > limits.cost else None

    def check(self, variables: Variables | None) -> GraphQLError | None:
        """Return an error if the operation exceeds the limit with these variables."""
        provided = variables or {}
        values = sum(count * prod(size.length(provided) for size in sizes) for sizes, count in self.values.items())
        if values <= self.limit:
            return None
        shown_values = values if values < 10**12 else "far too many"
        return too_complex_error(
            f"The query selects up to {shown_values} values; at most {self.limit} are allowed. "
            "Use smaller pages or fewer fields."
        )


class _Estimator:
    """Estimates the cost of one operation. Keeps the values of each fragment."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, max_page: int
    ) -> None:
        self._schema = schema
        self._operation = operation
        self._max_page = max_page
        self._fragments = _fragments(document)
        self._fragment_values: dict[tuple[str, Size | None], Counter[Sizes]] = {}
        defaults = ((v.variable.name.value, v.default_value) for v in operation.variable_definitions or ())
        self._defaults = {name: value_from_ast_untyped(value) for name, value in defaults if value is not None}

    def estimate(self) -> Counter[Sizes]:
        root = self._schema.get_root_type(self._operation.operation)
        return self._selection_values(root, self._operation.selection_set, None)

    def _selection_values(self, parent: Any, selection_set: SelectionSetNode, page: Size | None) -> Counter[Sizes]:
        """Return the values that are selected on a type. `page` is the page size of the connection around it."""
        values: Counter[Sizes] = Counter()
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                values.update(self._field_values(parent, node, page))
            elif isinstance(node, FragmentSpreadNode):
                values.update(self._spread_values(node.name.value, page))
            else:
                inline = cast("InlineFragmentNode", node)
                condition = inline.type_condition
                narrowed = self._schema.type_map[condition.name.value] if condition else parent
                values.update(self._selection_values(narrowed, inline.selection_set, page))
        return values

    def _spread_values(self, name: str, page: Size | None) -> Counter[Sizes]:
        if (name, page) not in self._fragment_values:
            fragment = self._fragments[name]
            parent = self._schema.type_map[fragment.type_condition.name.value]
            self._fragment_values[name, page] = self._selection_values(parent, fragment.selection_set, page)
        return self._fragment_values[name, page]

    def _field_values(self, parent: Any, node: FieldNode, page: Size | None) -> Counter[Sizes]:
        name = node.name.value
        if name.startswith("__"):
            return Counter({(): 1 if name == "__typename" else INTROSPECTION_COST})
        field: GraphQLField = parent.fields[name]
        values: Counter[Sizes] = Counter()
        if name in LIST_ARGUMENTS:
            values[(self._argument_size(node, LIST_ARGUMENTS[name]),)] = VALUES_PER_MEMBER
        if "first" in field.args:
            page = self._page_size(node)
        if node.selection_set is None:
            values[()] += 1
            return values
        inner = self._selection_values(get_named_type(field.type), node.selection_set, page)
        if is_list_type(get_nullable_type(field.type)):
            size = page or _constant_size(ESTIMATED_LENGTHS.get(name, DEFAULT_LENGTH))
            inner = Counter({(size, *sizes): count for sizes, count in inner.items()})
        values.update(inner)
        return values

    def _page_size(self, node: FieldNode) -> Size:
        first, last = self._argument(node, "first"), self._argument(node, "last")

        def size(variables: Variables) -> int:
            numbers = [n for n in (first.value(variables), last.value(variables)) if isinstance(n, int)]
            # The resolver rejects a page size that is out of range.
            return max(0, min(max(numbers, default=Page.DEFAULT), self._max_page))

        return Size(size, self._max_page if first.is_variable or last.is_variable else size({}))

    def _argument_size(self, node: FieldNode, name: str) -> Size:
        argument = self._argument(node, name)

        def size(variables: Variables) -> int:
            value = argument.value(variables)
            return len(value) if isinstance(value, list) else 1

        return Size(size, MAX_MEMBERS if argument.is_variable else size({}))

    def _argument(self, node: FieldNode, name: str) -> "_Argument":
        arguments = node.arguments or ()
        return _Argument(next((a.value for a in arguments if a.name.value == name), None), self._defaults)


class _Argument(NamedTuple):
    """An argument as written in the document, and the defaults of variables."""

    node: ValueNode | None
    defaults: Mapping[str, Any]

    @property
    def is_variable(self) -> bool:
        return isinstance(self.node, VariableNode)

    def value(self, variables: Variables) -> Any:
        """Return a number, a list, or None. The members of a list literal are nodes."""
        if isinstance(self.node, VariableNode):
            name = self.node.name.value
            return variables.get(name, self.defaults.get(name))
        if isinstance(self.node, ListValueNode):
            return list(self.node.values)
        return int(self.node.value) if isinstance(self.node, IntValueNode) else None


def _constant_size(size: int) -> Size:
    return Size(lambda _: size, size)
