"""The fast path of lists: sessions whose JSON the database makes.

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

`known.py` is the rest of the fast path. Without both (`build.py` names both classes) every query is answered the same,
more slowly; property tests hold the two against each other, byte for byte.
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
from schema.scalars import iso
from schema.types import Planned
from storage.queries.json_objects import FIELDS, Selection

COLUMNS = {to_camel_case(name): name for name in FIELDS}
MOST_FIELDS = 60  # of one object; each takes two of the arguments of an SQL function, which has 127 at least

# Of presence there can be 10,000 buckets, too: their fields are plain, and filled in beside the event loop.
BUCKET = "PresenceBucket"
BUCKET_FIELDS: dict[str, Callable[[Any], Any]] = {
    "start": lambda bucket: iso(bucket.start),
    "end": lambda bucket: iso(bucket.end),
    "onlineSeconds": attrgetter("online_seconds"),
    "sessions": attrgetter("sessions"),
    "devices": attrgetter("devices"),
    "peak": attrgetter("peak"),
    "__typename": lambda _: BUCKET,
}


class Completed(NamedTuple):
    """What needs no completing any more."""

    value: Any


class NotPlainError(Exception):
    """Something was selected that the fast path leaves to the ordinary one."""


# What a selection makes of a list that was asked for: `Completed`, or what the list is in the ordinary way.
Shape = Callable[[Planned[Any]], Awaitable[Any]]


class CompiledExecutor(Executor[Any]):
    """Completes `Planned` lists by the database, everything else as graphql-core does."""

    def __init__(self, *arguments: Any, operation_extensions: Any = None, **how: Any) -> None:
        # Strawberry hands these to every executor of one's own; they are for the schema's extensions.
        super().__init__(*arguments, **how)

    def build_per_event_executor(self, payload: Any) -> "CompiledExecutor":
        """Executes a subscription for one event, with a cache of its own.

        graphql-core would put what it finds of each event's fields into one that is kept as long as the subscription.
        """
        executor = cast("CompiledExecutor", super().build_per_event_executor(payload))
        executor._relevant_sub_fields = {}
        return executor

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
            with suppress(NotPlainError):
                result = self.shape(return_type, field_details_list)(result)
        return super().complete_awaitable_value(return_type, field_details_list, info, path, result, position_context)

    def complete_list_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        if type(result) is Completed:
            return result.value
        of = get_named_type(return_type)
        if of.name == BUCKET and result:
            fields = [(name, BUCKET_FIELDS[field]) for name, field, _ in self._selected(of, field_details_list)]
            return asyncio.to_thread(_objects, fields, result)
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)

    def complete_object_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        if type(result) is Completed:
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
                raise NotPlainError
            found.append((name, (of.name,) if field == "__typename" else COLUMNS[field]))
        if len(found) > MOST_FIELDS:
            raise NotPlainError
        return tuple(found)

    def shape(self, return_type: Any, details: FieldDetailsList) -> Shape:
        """What the selection of a list of sessions, or of a connection of them, makes of it; raises `NotPlainError`."""
        of = get_named_type(return_type)
        bare = getattr(return_type, "of_type", return_type)
        if is_list_type(bare):
            return partial(_list, self._session(of, details))
        return self._connection(of, details)

    def _connection(self, of: GraphQLNamedType, details: FieldDetailsList) -> Shape:
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
                            raise NotPlainError
                        selection = self._session(_type_of(inner, "node"), nodes[0])
                        parts[name] = partial(_edges, inner.name, [(as_, f) for as_, f, _ in edge])
                case _:
                    raise NotPlainError
        if selection is None:
            raise NotPlainError
        return partial(_page, selection, parts, counts)


async def _list(selection: Selection, planned: Planned[Any]) -> Any:
    found = await planned.plan.json(selection)
    return await planned if found is None else Completed(_array(found.rows))


async def _page(
    selection: Selection, parts: dict[str, Callable[[Slice[str]], Any]], counts: list[str], planned: Planned[Any]
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
    return Completed(answer)


def _objects(fields: list[tuple[str, Callable[[Any], Any]]], rows: list[Any]) -> list[dict[str, Any]]:
    return [{name: value(row) for name, value in fields} for row in rows]


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
