"""Named questions and changes about the tokens beside the server's own."""

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Delete, Insert, Select, delete, select
from sqlalchemy.dialects.postgresql import insert

from storage.clauses import number, text
from storage.tables import TOKENS, token


class TokenRow(NamedTuple):
    """A token as it is told of, which is never itself; `made_at` in microseconds since 1970-01-01T00:00Z."""

    name: str
    scope: str
    made_at: int


_TOLD = (token.name, token.scope, token.made_at)


@cache
def make() -> Insert:
    """A token, unless its name is taken."""
    values = {"name": text("name"), "digest": text("digest"), "scope": text("scope"), "made_at": number("made_at")}
    return insert(TOKENS).values(values).on_conflict_do_nothing()


@cache
def by_digest() -> Select[Any]:
    """The token of `digest`."""
    return select(*_TOLD).where(token.digest == text("digest"))


@cache
def every() -> Select[Any]:
    """All tokens, by name."""
    return select(*_TOLD).order_by(token.name)


@cache
def withdraw() -> Delete:
    """The token called `name`."""
    return delete(TOKENS).where(token.name == text("name"))
