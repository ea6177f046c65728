"""The GraphQL schema."""

from strawberry.schema.config import StrawberryConfig

from resolvers.limits import DEFAULT_LIMITS, Limits
from schema.http.streams import StreamingSchema
from schema.mutations import Mutation, override_resolvers
from schema.private_api import core_schema, limit_field_comparisons
from schema.queries import Query
from schema.scalars import SCALARS
from schema.subscriptions import Subscription
from schema.types import Device, Session

# False gives the same responses, more slowly, and works without the package `schema/fast_path`.
FAST_PATH = True

# A tenth of the default of graphql-core, which allows a validation to take one second.
limit_field_comparisons(50_000)


def build(limits: Limits = DEFAULT_LIMITS, *, fast: bool = FAST_PATH) -> StreamingSchema:
    """Return a new schema. Each server needs its own, because the schema holds caches."""
    schema = _schema_class(fast)(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Session, Device],
        config=StrawberryConfig(scalar_map=SCALARS),
        limits=limits,
    )
    override_resolvers(core_schema(schema))
    return schema


def _schema_class(fast: bool) -> type[StreamingSchema]:
    if not fast:
        return StreamingSchema
    from schema.fast_path import CachingSchema as FastSchema

    return FastSchema


def sdl() -> str:
    """Return the schema definition, as committed in `schema/schema.graphql`."""
    return build().as_str() + "\n"
