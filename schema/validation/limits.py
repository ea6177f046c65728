"""What a query may ask for: judged when its text is met first, and once more where its variables decide.

1.  `Measure` is what a text alone tells: how deep, how many aliases, directives and fields of the root. It is taken before
    the query is validated, which takes longer. Each fragment is looked at once, however often it is spread: Strawberry's
    own limiters follow every spread anew, and 25 fragments that spread the next one twice keep them busy for minutes.
2.  `Cost` is how many values an answer can have: the leaves that are selected, times the page sizes of the lists that they
    are in. A list without a page size counts as `ESTIMATES` says, and an argument that is a list by its members.
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

from resolvers.limits import Limits
from resolvers.validation.models import Page

# Members of a list that has no page size, about: of a busy day's calendar, of a device's last weeks, of a year by days.
ESTIMATES = {"sessionCalendar": 1000, "deviceSessions": 1000, "presence": 400}
OTHERS = 100
INTROSPECTION = 10_000  # values, about, of the whole schema
MEMBERS = {"createSessions": "input", "heartbeat": "devices"}
PER_MEMBER = 8  # values, about as many as a new session's fields

MOST_MEMBERS = 2**31

Variables = Mapping[str, Any]


class Size(NamedTuple):
    """Of a list: by the variables, and the largest that it can be."""

    by: Callable[[Variables], int]
    most: int


Sizes = tuple[Size, ...]  # of a list in a list


def too_complex(what: str) -> GraphQLError:
    """What a client is told of a query that asks for too much."""
    return GraphQLError(what, extensions={"code": "QUERY_TOO_COMPLEX"})


class Measure(NamedTuple):
    """Of a selection, with all that it spreads."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    fields: int = 0  # at its first level


class _Measuring:
    def __init__(self, document: DocumentNode) -> None:
        definitions = document.definitions
        self._fragments = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
        self._known: dict[str, Measure] = {}

    def of(self, selection_set: SelectionSetNode | None) -> Measure:
        depth = aliases = directives = fields = 0
        for node in selection_set.selections if selection_set else ():
            directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                inner = self.of(node.selection_set)
                depth = max(depth, inner.depth + 1)
                aliases += node.alias is not None
                fields += 1
            else:
                if isinstance(node, FragmentSpreadNode):
                    inner = self._fragment(node.name.value)
                else:
                    inner = self.of(cast("InlineFragmentNode", node).selection_set)
                depth = max(depth, inner.depth)
                fields += inner.fields
            aliases += inner.aliases
            directives += inner.directives
        return Measure(depth, aliases, directives, fields)

    def _fragment(self, name: str) -> Measure:
        if name not in self._known:
            self._known[name] = Measure()  # of one that spreads itself; validation refuses it
            if fragment := self._fragments.get(name):
                found = self.of(fragment.selection_set)
                self._known[name] = found._replace(directives=found.directives + len(fragment.directives or ()))
        return self._known[name]


def measured(document: DocumentNode, limits: Limits) -> GraphQLError | None:
    """Why a document is not even validated, if it is not."""
    measuring = _Measuring(document)
    for operation in document.definitions:
        if not isinstance(operation, OperationDefinitionNode):
            continue
        found = measuring.of(operation.selection_set)
        own = len(operation.directives or ())
        own += sum(len(each.directives or ()) for each in operation.variable_definitions or ())
        for name, has, most in (
            ("aliases", found.aliases, limits.aliases),
            ("directives", found.directives + own, limits.directives),
            ("fields of the root", found.fields, limits.root_fields),
            ("levels of fields", found.depth, limits.depth),
        ):
            if has > most:
                return too_complex(
                    f"The query has {has if has < 10**9 else 'far too many'} {name}; at most {most} may be."
                )
    return None


@dataclass(frozen=True)
class Cost:
    """Of an operation: values, each as often as the sizes say."""

    values: Mapping[Sizes, int]
    most: int

    @classmethod
    def of(
        cls, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, limits: Limits
    ) -> "Cost | None":
        """The cost of a valid operation; None for one that is allowed whatever its variables are."""
        values = _Costing(schema, document, operation, limits.page).of_operation()
        dearest = sum(count * prod(size.most for size in sizes) for sizes, count in values.items())
        return cls(values, limits.cost) if dearest > limits.cost else None

    def refused(self, variables: Variables | None) -> GraphQLError | None:
        """Why the operation is not carried out with such variables, if it is not."""
        given = variables or {}
        values = sum(count * prod(size.by(given) for size in sizes) for sizes, count in self.values.items())
        if values <= self.most:
            return None
        return too_complex(
            f"The query asks for up to {values if values < 10**12 else 'far too many'} values; at most {self.most} may be: "
            "ask for smaller pages, or for fewer fields."
        )


class _Costing:
    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, largest: int
    ) -> None:
        definitions = document.definitions
        self._schema = schema
        self._operation = operation
        self._largest = largest
        self._fragments = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
        self._known: dict[tuple[str, Size | None], Counter[Sizes]] = {}
        defaults = ((v.variable.name.value, v.default_value) for v in operation.variable_definitions or ())
        self._defaults = {name: value_from_ast_untyped(value) for name, value in defaults if value is not None}

    def of_operation(self) -> Counter[Sizes]:
        return self._of(self._schema.get_root_type(self._operation.operation), self._operation.selection_set, None)

    def _of(self, parent: Any, selection_set: SelectionSetNode, page: Size | None) -> Counter[Sizes]:
        """What is selected of a type, below a list of a page size if there is one."""
        found: Counter[Sizes] = Counter()
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                found.update(self._of_field(parent, node, page))
            elif isinstance(node, FragmentSpreadNode):
                found.update(self._of_fragment(node.name.value, page))
            else:
                inline = cast("InlineFragmentNode", node)
                of = self._schema.type_map[inline.type_condition.name.value] if inline.type_condition else parent
                found.update(self._of(of, inline.selection_set, page))
        return found

    def _of_fragment(self, name: str, page: Size | None) -> Counter[Sizes]:
        if (name, page) not in self._known:
            fragment = self._fragments[name]
            of = self._schema.type_map[fragment.type_condition.name.value]
            self._known[name, page] = self._of(of, fragment.selection_set, page)
        return self._known[name, page]

    def _of_field(self, parent: Any, node: FieldNode, page: Size | None) -> Counter[Sizes]:
        name = node.name.value
        if name.startswith("__"):
            return Counter({(): 1 if name == "__typename" else INTROSPECTION})
        field: GraphQLField = parent.fields[name]
        own: Counter[Sizes] = Counter()
        if name in MEMBERS:
            own[(self._members(node, MEMBERS[name]),)] = PER_MEMBER
        if "first" in field.args:
            page = self._page(node)
        if node.selection_set is None:
            own[()] += 1
            return own
        inner = self._of(get_named_type(field.type), node.selection_set, page)
        if is_list_type(get_nullable_type(field.type)):
            size = page or _constant(ESTIMATES.get(name, OTHERS))
            inner = Counter({(size, *sizes): count for sizes, count in inner.items()})
        own.update(inner)
        return own

    def _page(self, node: FieldNode) -> Size:
        first, last = self._argument(node, "first"), self._argument(node, "last")

        def size(given: Variables) -> int:
            asked = [n for n in (first.value(given), last.value(given)) if isinstance(n, int)]
            # A page that is too large, or none at all, is refused where it is read, and told of there.
            return max(0, min(max(asked, default=Page.DEFAULT), self._largest))

        return Size(size, self._largest if first.varies or last.varies else size({}))

    def _members(self, node: FieldNode, name: str) -> Size:
        argument = self._argument(node, name)

        def size(given: Variables) -> int:
            value = argument.value(given)
            return len(value) if isinstance(value, list) else 1

        return Size(size, MOST_MEMBERS if argument.varies else size({}))

    def _argument(self, node: FieldNode, name: str) -> "_Argument":
        written = next((each.value for each in node.arguments or () if each.name.value == name), None)
        return _Argument(written, self._defaults)


class _Argument(NamedTuple):
    written: ValueNode | None
    defaults: Mapping[str, Any]

    @property
    def varies(self) -> bool:
        return isinstance(self.written, VariableNode)

    def value(self, given: Variables) -> Any:
        if isinstance(self.written, VariableNode):
            name = self.written.name.value
            return given.get(name, self.defaults.get(name))
        if isinstance(self.written, ListValueNode):
            return list(self.written.values)
        return int(self.written.value) if isinstance(self.written, IntValueNode) else None


def _constant(size: int) -> Size:
    return Size(lambda _: size, size)
