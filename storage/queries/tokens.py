"""Statements on access tokens other than the server's own."""

from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import Delete, Insert, Select, delete, select
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import table_parameters, text_param
from storage.tables import TOKENS, token

Scope = Literal["calendar", "read", "write", "admin"]  # each includes those before it


class TokenRow(NamedTuple):
    """A token without its secret; instants in microseconds since 1970-01-01T00:00Z."""

    name: str
    scope: Scope
    made_at: int
    expires_at: int | None


_ROW_COLUMNS = tuple(token[name] for name in TokenRow._fields)


@cache
def insert_token() -> Insert:
    """Insert a token unless its name exists."""
    return insert(TOKENS).values(table_parameters(TOKENS, TOKENS.c.keys())).on_conflict_do_nothing()


@cache
def token_by_digest() -> Select[Any]:
    """Select the token of `digest`."""
    return select(*_ROW_COLUMNS).where(token.digest == text_param("digest"))


@cache
def all_tokens() -> Select[Any]:
    """Select all tokens by name."""
    return select(*_ROW_COLUMNS).order_by(token.name)


@cache
def delete_token() -> Delete:
    """Delete the token `name`."""
    return delete(TOKENS).where(token.name == text_param("name"))
