"""Named questions and changes about the tokens beside the server's own."""

from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Delete, Insert, Select, delete, select
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import number, text
from storage.tables import TOKENS, token

Scope = Literal["calendar", "read", "write", "admin"]  # each may also do what those before it may


class TokenRow(NamedTuple):
    """A token as it is told of, which is never itself; instants in microseconds since 1970-01-01T00:00Z."""

    name: str
    scope: Scope
    made_at: int
    expires_at: int | None


_TOLD = (token.name, token.scope, token.made_at, token.expires_at)


@cache
def make() -> Insert:
    """A token, unless its name is taken."""
    texts = {name: text(name) for name in ("name", "digest", "scope")}
    numbers = {name: number(name) for name in ("made_at", "expires_at")}
    return insert(TOKENS).values(texts | numbers).on_conflict_do_nothing()


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
