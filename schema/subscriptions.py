"""The GraphQL subscriptions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry
from strawberry import UNSET, argument

from resolvers.validation import models
from schema.arguments import provided_args
from schema.context import Info
from schema.scalars import MAC
from schema.types import SessionChange


@strawberry.type(description="The subscriptions.")
class Subscription:
    @strawberry.subscription(
        description="Sessions that are created, updated or deleted, through any API and any process, in commit order."
    )
    async def session_changes(
        self,
        info: Info,
        macs: Annotated[list[MAC] | None, argument(description="Only these devices. Default all devices.")] = UNSET,
        after: Annotated[
            str | None,
            argument(
                description="Cursor of the last change you received, at most one hour old. "
                "Changes after it are sent first. Default now."
            ),
        ] = UNSET,
    ) -> AsyncGenerator[SessionChange, None]:
        context = info.context.context
        query = models.validate(models.ChangesQuery, provided_args(macs=macs, after=after), context.clock)
        async with aclosing(context.feed.subscribe(query.devices, query.after)) as changes:
            async for change in changes:
                info.context.reset_loaders()
                yield SessionChange.from_row(change)
