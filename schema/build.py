"""Puts the schema together, and prints it."""

import strawberry
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, ParserCache, QueryDepthLimiter, ValidationCache
from strawberry.schema.config import StrawberryConfig

from schema.operations import Mutation, Query
from schema.scalars import SCALARS
from schema.types import Device, Session

DOCUMENTS = 256  # parsed and validated documents that are kept
MAX_ALIASES, MAX_DEPTH, MAX_TOKENS = 30, 15, 100_000


def build() -> strawberry.Schema:
    """The public schema. A fresh one each time: its caches belong to one server."""
    return strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[Session, Device],
        config=StrawberryConfig(scalar_map=SCALARS),
        extensions=[
            lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
            lambda: MaxAliasesLimiter(max_alias_count=MAX_ALIASES),
            lambda: QueryDepthLimiter(max_depth=MAX_DEPTH),
            lambda: ParserCache(maxsize=DOCUMENTS),
            lambda: ValidationCache(maxsize=DOCUMENTS),
        ],
    )


def sdl() -> str:
    """The schema definition, as it is committed beside this module."""
    return build().as_str() + "\n"
