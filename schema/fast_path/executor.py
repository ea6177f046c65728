"""An executor that lets the database build the JSON of session lists.

graphql-core completes a list leaf by leaf, at about 5 µs each: 1,000 sessions of eight fields take 40 ms, although the
database needs only 2 ms. Here one statement returns each session as the JSON object that was selected, and orjson inserts
these texts into the response.

1.  A resolver returns a `LazyConnection`. graphql-core awaits it and completes the GraphQL types that it returns.
2.  `CompilingExecutor` gets it first. It collects the selected fields with graphql-core's `collect_subfields`, which handles
    aliases, fragments, `@skip`, `@include` and variables. If all fields are columns of the session, they become a `Selection`
    that the plan of the list compiles to SQL. Otherwise (a `device`, a second list of nodes, more fields than an SQL function
    takes) the list is awaited and completed as usual.
3.  The database returns null instead of an object if GraphQL would report an error in it (a duration that exceeds Int).
    Then the list is also awaited and completed as usual, which reports that error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, cast

import orjson
from graphql import Executor, GraphQLNamedType, GraphQLObjectType, get_named_type, is_list_type
from graphql.execution.collect_fields import FieldDetailsList
from strawberry.utils.str_converters import to_camel_case

from resolvers.paging import Slice
from resolvers.sessions import JSON_FIELDS, Selection
from schema.connections import LazyConnection
from schema.private_api import use_own_subfield_cache
from schema.scalars import to_iso

COLUMNS = {to_camel_case(name): name for name in JSON_FIELDS}
MAX_FIELDS = 60  # of an object; each takes two arguments of an SQL function, which takes at least 127

# A query for presence can return 10,000 buckets. A thread builds them, so that the event loop is not blocked.
BUCKET_TYPE = "PresenceBucket"
BUCKET_FIELDS: dict[str, Callable[[Any], Any]] = {
    "start": lambda bucket: to_iso(bucket.start),
    "end": lambda bucket: to_iso(bucket.end),
    "onlineSeconds": attrgetter("online_seconds"),
    "sessions": attrgetter("sessions"),
    "devices": attrgetter("devices"),
    "peak": attrgetter("peak"),
    "__typename": lambda _: BUCKET_TYPE,
}


class Completed(NamedTuple):
    """A value that is part of the response already and must not be completed."""

    value: Any


class NotCompilableError(Exception):
    """The selection cannot be compiled to SQL; graphql-core has to complete the list."""


# Reads a lazy list. Returns `Completed`, or the GraphQL types if graphql-core has to complete them.
ReadList = Callable[[LazyConnection[Any]], Awaitable[Any]]
# Returns a part of a connection from the page that the database returned.
MakePart = Callable[[Slice[str]], Any]


class CompilingExecutor(Executor[Any]):
    """Compiles the selection of lazy session lists to SQL. Leaves everything else to graphql-core."""

    def __init__(self, *arguments: Any, operation_extensions: Any = None, **options: Any) -> None:
        # Strawberry passes `operation_extensions` to every custom executor; graphql-core does not accept it.
        super().__init__(*arguments, **options)

    def build_per_event_executor(self, payload: Any) -> "CompilingExecutor":
        """Return the executor of one event of a subscription.

        It gets its own cache of collected subfields: the shared one would grow as long as the subscription lasts.
        """
        executor = cast("CompilingExecutor", super().build_per_event_executor(payload))
        use_own_subfield_cache(executor)
        return executor

    def complete_awaitable_value(  # type: ignore[override]  # not a coroutine function, but it returns a coroutine
        self,
        return_type: Any,
        field_details_list: FieldDetailsList,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Awaitable[Any]:
        if isinstance(result, LazyConnection):
            with suppress(NotCompilableError):
                result = self.compile(return_type, field_details_list)(result)
        return super().complete_awaitable_value(return_type, field_details_list, info, path, result, position_context)

    def complete_list_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        if type(result) is Completed:
            return result.value
        item_type = get_named_type(return_type)
        if item_type.name == BUCKET_TYPE and result:
            fields = [(name, BUCKET_FIELDS[field]) for name, field, _ in self._selected(item_type, field_details_list)]
            return asyncio.to_thread(_to_dicts, fields, result)
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def complete_object_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        if type(result) is Completed:
            return result.value
        return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)

    def _selected(
        self, parent: GraphQLNamedType, details: FieldDetailsList
    ) -> Iterator[tuple[str, str, FieldDetailsList]]:
        """Return response name, field name and details of each field that is selected on an object type."""
        fields = self.collect_subfields(cast("GraphQLObjectType", parent), details).grouped_field_set
        return ((name, field_details[0].node.name.value, field_details) for name, field_details in fields.items())

    def _compile_session(self, session_type: GraphQLNamedType, details: FieldDetailsList) -> Selection:
        """Return the selected columns of a session. Raise NotCompilableError."""
        selection: list[tuple[str, str | tuple[str]]] = []
        for name, field, _ in self._selected(session_type, details):
            if field != "__typename" and field not in COLUMNS:
                raise NotCompilableError
            selection.append((name, (session_type.name,) if field == "__typename" else COLUMNS[field]))
        if len(selection) > MAX_FIELDS:
            raise NotCompilableError
        return tuple(selection)

    def compile(self, return_type: Any, details: FieldDetailsList) -> ReadList:
        """Return the function that reads a list or connection of sessions. Raise NotCompilableError."""
        named_type = get_named_type(return_type)
        if is_list_type(getattr(return_type, "of_type", return_type)):
            return partial(_read_list, self._compile_session(named_type, details))
        return self._compile_connection(named_type, details)

    def _compile_connection(self, connection_type: GraphQLNamedType, details: FieldDetailsList) -> ReadList:
        selection: Selection | None = None
        parts: dict[str, MakePart] = {}
        count_names: list[str] = []
        for name, field, subfields in self._selected(connection_type, details):
            match field:
                case "__typename":
                    parts[name] = partial(_constant, connection_type.name)
                case "totalCount":
                    parts[name] = partial(_constant, None)
                    count_names.append(name)
                case "pageInfo":
                    page_info_type = _field_type(connection_type, field)
                    info_fields = [(alias, f) for alias, f, _ in self._selected(page_info_type, subfields)]
                    parts[name] = partial(_page_info, page_info_type.name, info_fields)
                case "nodes" if selection is None:
                    selection = self._compile_session(_field_type(connection_type, field), subfields)
                    parts[name] = lambda page: _array(page.rows)
                case "edges" if selection is None:
                    selection, parts[name] = self._compile_edges(_field_type(connection_type, field), subfields)
                case _:
                    raise NotCompilableError
        if selection is None:
            raise NotCompilableError
        return partial(_read_page, selection, parts, count_names)

    def _compile_edges(self, edge_type: GraphQLNamedType, details: FieldDetailsList) -> tuple[Selection, MakePart]:
        selected = list(self._selected(edge_type, details))
        nodes = [subfields for _, field, subfields in selected if field == "node"]
        if len(nodes) != 1:
            raise NotCompilableError
        selection = self._compile_session(_field_type(edge_type, "node"), nodes[0])
        return selection, partial(_edges, edge_type.name, [(alias, field) for alias, field, _ in selected])


async def _read_list(selection: Selection, sessions: LazyConnection[Any]) -> Any:
    page = await sessions.plan.json(selection)
    return await sessions if page is None else Completed(_array(page.rows))


async def _read_page(
    selection: Selection, parts: dict[str, MakePart], count_names: list[str], sessions: LazyConnection[Any]
) -> Any:
    page = await sessions.plan.json(selection)
    if page is None:
        return await sessions
    connection = {name: make_part(page) for name, make_part in parts.items()}
    if count_names and sessions.count is not None:
        try:
            connection |= dict.fromkeys(count_names, await sessions.count())
        except Exception:
            return await sessions  # graphql-core reports the error with the path of the field
    return Completed(connection)


def _to_dicts(fields: list[tuple[str, Callable[[Any], Any]]], rows: list[Any]) -> list[dict[str, Any]]:
    return [{name: value(row) for name, value in fields} for row in rows]


def _field_type(parent: GraphQLNamedType, field: str) -> GraphQLNamedType:
    return get_named_type(cast("GraphQLObjectType", parent).fields[field].type)


def _constant(value: Any, _: Slice[str]) -> Any:
    return value


def _array(objects: Iterable[str]) -> orjson.Fragment:
    return orjson.Fragment(f"[{','.join(objects)}]")


def _page_info(typename: str, fields: list[tuple[str, str]], page: Slice[str]) -> dict[str, Any]:
    values = {
        "__typename": typename,
        "hasNextPage": page.has_next,
        "hasPreviousPage": page.has_previous,
        "startCursor": page.start_cursor,
        "endCursor": page.end_cursor,
    }
    return {name: values[field] for name, field in fields}


def _edges(typename: str, fields: list[tuple[str, str]], page: Slice[str]) -> orjson.Fragment:
    """Return the edges as JSON. A cursor has only digits, letters and dots, which need no escaping."""

    def edge(node: str, cursor: str) -> str:
        values = {"__typename": f'"{typename}"', "node": node, "cursor": f'"{cursor}"'}
        return "{" + ",".join(f'"{name}":{values[field]}' for name, field in fields) + "}"

    return _array(map(edge, page.rows, page.cursors))
