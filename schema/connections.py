"""Connection types for paginated lists, and lists that are read only when they are needed."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar, cast

import strawberry

from resolvers.paging import Slice
from resolvers.sessions import SessionPlan, SessionRow

NodeT = TypeVar("NodeT")
RowT = TypeVar("RowT")
ResultT = TypeVar("ResultT")


@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether rows follow this page.")
    has_previous_page: bool = strawberry.field(description="Whether rows precede this page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first row. Null on an empty page.")
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last row. Pass it as `after` to get the next page. Null on an empty page."
    )


@strawberry.type(description="A row of a page and its cursor.")
class Edge(Generic[NodeT]):
    cursor: str = strawberry.field(description="Opaque position of the row. Pass it as `after` or `before`.")
    node: NodeT = strawberry.field(description="The row.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[NodeT]):
    edges: list[Edge[NodeT]] = strawberry.field(description="The rows of the page, each with its cursor.")
    nodes: list[NodeT] = strawberry.field(description="The rows of the page.")
    page_info: PageInfo = strawberry.field(description="The position of the page in the list.")
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(description="Number of rows in the whole list. It costs one more statement.")
    async def total_count(self) -> int:
        return await self.count()

    @classmethod
    def from_page(
        cls, page: Slice[RowT], to_node: Callable[[RowT], NodeT], count: Callable[[], Awaitable[int]]
    ) -> "Connection[NodeT]":
        """Return the connection for a page of rows. `count` is awaited only if `totalCount` is selected."""
        nodes = [to_node(row) for row in page.rows]
        return cls(
            edges=[Edge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)],
            nodes=nodes,
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=page.has_previous,
                start_cursor=page.start_cursor,
                end_cursor=page.end_cursor,
            ),
            count=count,
        )


class LazyConnection(Generic[ResultT]):
    """A list or connection of sessions that is read when it is awaited.

    `plan` can return rows, or JSON objects that the database builds. An executor that needs the JSON only reads it from
    the plan. Awaiting the object returns the GraphQL types.
    """

    def __init__(
        self,
        plan: SessionPlan,
        convert: Callable[[Slice[SessionRow]], ResultT],
        count: Callable[[], Awaitable[int]] | None,
    ) -> None:
        self.plan = plan
        self.count = count
        self._convert = convert

    def __await__(self) -> Generator[Any, None, ResultT]:
        return self._read().__await__()

    async def _read(self) -> ResultT:
        return self._convert(await self.plan.rows())


def lazy(
    plan: SessionPlan,
    convert: Callable[[Slice[SessionRow]], ResultT],
    count: Callable[[], Awaitable[int]] | None = None,
) -> ResultT:
    """Return a `LazyConnection`, typed as its result so that it fits the signature of a resolver."""
    return cast("ResultT", LazyConnection(plan, convert, count))
