"""The fast path: lists of sessions whose JSON the database makes, and known queries that skip what was settled before.

graphql-core completes a list leaf by leaf, at about 5 µs each: 1,000 sessions of eight fields are 8,000 leaves and 40 ms,
of which the database spends two. Here such a list is one statement that answers each session as the JSON object that was
selected, and orjson puts those texts into the answer as they are. How a query gets there:

1.  A resolver answers a `Planned`: a list that was asked for and not yet read. Whoever awaits it gets the objects of
    `schema/types.py`, and that is what graphql-core does where this module is not in use.
2.  `CompiledExecutor` meets it before it is awaited. graphql-core's own `collect_subfields` tells what was selected, so
    that aliases, fragments, `@skip`, `@include` and variables stay the library's work. What was selected becomes a
    `Selection`, if it consists of plain columns; one other field among them (`device`), a second list of the same page, or
    more fields than an SQL function takes, and the list is awaited and completed in the ordinary way.
3.  The database answers null instead of an object where GraphQL would answer an error in it (a duration beyond Int): then
    also the ordinary way is taken, which words the error.
4.  `KnownQueries` keeps documents that were parsed, validated and found within all limits; for those only execution is
    left. `plain` tells a request that asks for nothing of HTTP but an answer in JSON. Everything else, and every query the
    first time, is Strawberry's.

Without it (`build.py` names both classes) every query is answered the same, more slowly; a property test holds the two
against each other, byte for byte.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

import orjson
from graphql import (
    DocumentNode,
    Executor,
    GraphQLNamedType,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_named_type,
    get_operation_ast,
    is_list_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from starlette.types import Scope
from strawberry import Schema
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.extensions import SchemaExtension
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType
from strawberry.utils.str_converters import to_camel_case

from resolvers.paging import Slice
from schema.inputs import Inputs
from schema.types import Planned
from storage.json import FIELDS, Selection

COLUMNS = {to_camel_case(name): name for name in FIELDS}
MOST_FIELDS = 60  # of one object; each takes two of the arguments of an SQL function, which has 127 at least
KNOWN, LONGEST = 256, 20_000  # documents that are kept, and the characters that one of them may have


class _Completed(NamedTuple):
    """What needs no completing any more."""

    value: Any


class _NotPlainError(Exception):
    """Something was selected that the fast path leaves to the ordinary one."""


class CompiledExecutor(Executor[Any]):
    """Completes `Planned` lists by the database, everything else as graphql-core does."""

    def __init__(self, *arguments: Any, operation_extensions: Any = None, **how: Any) -> None:
        # Strawberry hands these to every executor of one's own; they are for the schema's extensions.
        super().__init__(*arguments, **how)

    def complete_awaitable_value(  # type: ignore[override]  # not a coroutine function, but it answers a coroutine
        self,
        return_type: Any,
        field_details_list: FieldDetailsList,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Awaitable[Any]:
        if isinstance(result, Planned):
            with suppress(_NotPlainError):
                result = self._compiled(return_type, field_details_list, result)
        return super().complete_awaitable_value(return_type, field_details_list, info, path, result, position_context)

    def complete_list_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        if type(result) is _Completed:
            return result.value
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def complete_object_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        if type(result) is _Completed:
            return result.value
        return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)

    def _selected(self, of: GraphQLNamedType, details: FieldDetailsList) -> Iterator[tuple[str, str, FieldDetailsList]]:
        """What is selected of an object type: the name in the answer, the field, and where to look further."""
        fields = self.collect_subfields(cast("GraphQLObjectType", of), details).grouped_field_set
        return ((name, each[0].node.name.value, each) for name, each in fields.items())

    def _session(self, of: GraphQLNamedType, details: FieldDetailsList) -> Selection:
        """The selection of a session's plain columns."""
        found: list[tuple[str, str | tuple[str]]] = []
        for name, field, _ in self._selected(of, details):
            if field != "__typename" and field not in COLUMNS:
                raise _NotPlainError
            found.append((name, (of.name,) if field == "__typename" else COLUMNS[field]))
        if len(found) > MOST_FIELDS:
            raise _NotPlainError
        return tuple(found)

    def _compiled(self, return_type: Any, details: FieldDetailsList, planned: Planned[Any]) -> Awaitable[Any]:
        """The list or connection to come; raises `_NotPlainError`."""
        of = get_named_type(return_type)
        bare = getattr(return_type, "of_type", return_type)
        if is_list_type(bare):
            return self._list(planned, self._session(of, details))
        return self._connection(planned, of, details)

    async def _list(self, planned: Planned[Any], selection: Selection) -> Any:
        found = await planned.plan.json(selection)
        return await planned if found is None else _Completed(_array(found.rows))

    def _connection(self, planned: Planned[Any], of: GraphQLNamedType, details: FieldDetailsList) -> Awaitable[Any]:
        selection: Selection | None = None
        parts: dict[str, Callable[[Slice[str]], Any]] = {}
        counts: list[str] = []
        for name, field, further in self._selected(of, details):
            inner = of if field == "__typename" else _type_of(of, field)
            match field:
                case "__typename":
                    parts[name] = partial(_constant, of.name)
                case "totalCount":
                    parts[name] = partial(_constant, None)
                    counts.append(name)
                case "pageInfo":
                    info = [(as_, f) for as_, f, _ in self._selected(inner, further)]
                    parts[name] = partial(_page_info, inner.name, info)
                case "nodes" | "edges" if selection is None:
                    if field == "nodes":
                        selection = self._session(inner, further)
                        parts[name] = lambda found: _array(found.rows)
                    else:
                        edge = list(self._selected(inner, further))
                        nodes = [each for _, f, each in edge if f == "node"]
                        if len(nodes) != 1:
                            raise _NotPlainError
                        selection = self._session(_type_of(inner, "node"), nodes[0])
                        parts[name] = partial(_edges, inner.name, [(as_, f) for as_, f, _ in edge])
                case _:
                    raise _NotPlainError
        if selection is None:
            raise _NotPlainError
        return self._page(planned, selection, parts, counts)

    async def _page(
        self,
        planned: Planned[Any],
        selection: Selection,
        parts: dict[str, Callable[[Slice[str]], Any]],
        counts: list[str],
    ) -> Any:
        found = await planned.plan.json(selection)
        if found is None:
            return await planned
        answer = {name: part(found) for name, part in parts.items()}
        if counts and planned.count is not None:
            try:
                answer |= dict.fromkeys(counts, await planned.count())
            except Exception:
                return await planned  # the ordinary way says of which field it is the failure
        return _Completed(answer)


def _type_of(of: GraphQLNamedType, field: str) -> GraphQLNamedType:
    return get_named_type(cast("GraphQLObjectType", of).fields[field].type)


def _constant(value: Any, _: Slice[str]) -> Any:
    return value


def _array(objects: Iterable[str]) -> orjson.Fragment:
    return orjson.Fragment(f"[{','.join(objects)}]")


def _page_info(typename: str, fields: list[tuple[str, str]], found: Slice[str]) -> dict[str, Any]:
    values = {
        "__typename": typename,
        "hasNextPage": found.has_next,
        "hasPreviousPage": found.has_previous,
        "startCursor": found.start_cursor,
        "endCursor": found.end_cursor,
    }
    return {name: values[field] for name, field in fields}


def _edges(typename: str, fields: list[tuple[str, str]], found: Slice[str]) -> orjson.Fragment:
    """Cursors are of digits, letters and dots, which JSON writes as they are."""

    def edge(node: str, cursor: str) -> str:
        values = {"__typename": f'"{typename}"', "node": node, "cursor": f'"{cursor}"'}
        return "{" + ",".join(f'"{name}":{values[field]}' for name, field in fields) + "}"

    return _array(map(edge, found.rows, found.cursors))


class KnownQueries(Schema):
    """A schema that remembers the documents which it has found valid."""

    def __init__(self, *, extensions: list[Any], **how: Any) -> None:
        self._known: OrderedDict[str, DocumentNode] = OrderedDict()
        super().__init__(extensions=[*extensions, lambda: _Remember(self._known)], **how)
        self._inputs = Inputs(self)

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        found = self.known(query, operation_name, allowed_operation_types or OperationType)
        if found is None:
            return await super().execute(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                allowed_operation_types,
                operation_extensions,
            )
        document, operation = found
        ready = self._inputs.put_past(operation, variable_values)
        executor = CompiledExecutor.build(
            self._schema,
            document,
            root_value,
            context_value,
            {**(variable_values or {}), **{name: [] for name in ready}},
            operation_name,
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
        )
        if isinstance(executor, list):
            return ExecutionResult(data=None, errors=executor)
        executor.variable_values.coerced.update(ready)
        result: Any = executor.execute_operation()
        if optimized_is_awaitable(result):
            result = await result
        return ExecutionResult(data=result.data, errors=result.errors)

    def known(
        self, query: str | None, operation_name: str | None, allowed: Iterable[OperationType]
    ) -> tuple[DocumentNode, OperationDefinitionNode] | None:
        """The document of a query that was found valid before, if it has the operation that is to be executed."""
        document = self._known.get(query) if isinstance(query, str) else None
        operation = document and get_operation_ast(document, operation_name)
        if not document or not operation or OperationType(operation.operation.value) not in allowed:
            return None
        return document, operation


PLAIN_ACCEPT = (b"*/*", b"application/json")


def plain(scope: Scope, body: bytes) -> GraphQLRequestData | None:
    """The request of a POST of JSON that is to be answered in JSON; None where there is more to it, or it is mistaken."""
    headers = dict(scope["headers"])
    if (
        scope["method"] != "POST"
        or headers.get(b"content-type") != b"application/json"
        or headers.get(b"accept", b"*/*") not in PLAIN_ACCEPT
    ):
        return None
    try:
        data = orjson.loads(body)
        query, variables, name = data["query"], data.get("variables"), data.get("operationName")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(variables, dict | None) or not isinstance(name, str | None) or "extensions" in data:
        return None
    return GraphQLRequestData(query=query, variables=variables, operation_name=name, extensions=None)


class _Remember(SchemaExtension):
    """Keeps a document once it is about to be executed: by then it is valid and within the limits."""

    def __init__(self, known: OrderedDict[str, DocumentNode]) -> None:
        self._known = known

    def on_execute(self) -> Iterator[None]:
        query, document = self.execution_context.query, self.execution_context.graphql_document
        if query is not None and document is not None and len(query) <= LONGEST:
            self._known[query] = document
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        yield
