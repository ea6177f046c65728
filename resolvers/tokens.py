"""Access tokens in addition to the server's own. Each has a scope and may expire or be revoked.

Only the SHA-256 digest of a token is stored, so a reader of the database cannot use it. A token has 256 random bits.
It cannot be guessed, so a slow hash is unnecessary.
"""

import secrets
from hashlib import sha256
from typing import Any

from resolvers.context import SERVER_ACTOR, Context
from resolvers.errors import InvalidInputError, NotFoundError, short_repr
from resolvers.validation.models import NewToken
from storage.queries import tokens as token_queries
from storage.queries.tokens import Scope as Scope
from storage.queries.tokens import TokenRow as TokenRow
from storage.store import Transaction


def digest_of(token: bytes) -> str:
    """Return the hexadecimal SHA-256 digest under which a token is stored."""
    return sha256(token).hexdigest()


async def create(context: Context, new: NewToken) -> str:
    """Create a token and return its secret, which cannot be read again. Raise InvalidInputError if the name exists."""
    if new.name == SERVER_ACTOR:
        raise InvalidInputError("name", f"{SERVER_ACTOR} is reserved for the server's own token; choose another name")
    token = secrets.token_urlsafe(32)
    row: dict[str, Any] = {"name": new.name, "digest": digest_of(token.encode()), "scope": new.scope}
    row |= {"made_at": context.clock.now(), "expires_at": new.expires}

    async def create_transaction(transaction: Transaction) -> int:
        return await transaction.execute(token_queries.insert_token(), row)

    if not await context.store.write(create_transaction):
        raise InvalidInputError(
            "name", f"{short_repr(new.name)} already exists; revoke that token, or choose another name"
        )
    return token


async def list_tokens(context: Context) -> list[TokenRow]:
    """Return all tokens, expired ones included, ordered by name."""
    return [TokenRow._make(row) for row in await context.store.fetch(token_queries.all_tokens(), {})]


async def revoke(context: Context, name: str) -> None:
    """Delete a token. Every process rejects it from now on. Raise NotFoundError if no token has the name."""

    async def delete_transaction(transaction: Transaction) -> int:
        return await transaction.execute(token_queries.delete_token(), {"name": name})

    if not await context.store.write(delete_transaction):
        raise NotFoundError(f"name: no token has the name {short_repr(name)}")


async def find_by_digest(context: Context, digest: str) -> TokenRow | None:
    """Return the token with a digest, or None if there is none or it has expired."""
    # Read from the primary: a replica may still have a revoked token.
    rows = await context.store.fetch(token_queries.token_by_digest(), {"digest": digest}, inline=True, primary=True)
    now = context.clock.now()
    tokens = (TokenRow._make(row) for row in rows)
    return next((token for token in tokens if token.expires_at is None or now < token.expires_at), None)
