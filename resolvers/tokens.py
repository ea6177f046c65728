"""Tokens beside the server's own: each does what its scope says and nothing else, until it ends or is withdrawn.

A token is known by its digest alone, so that whoever reads the database cannot ask in its name. It is 256 random bits:
nothing that is guessed, which a slow digest would have to guard.
"""

import secrets
from hashlib import sha256
from typing import Any

from resolvers.context import OWN, Context
from resolvers.errors import InvalidInputError, NotFoundError, shown
from resolvers.validation.models import NewToken
from storage.queries import tokens as ask
from storage.queries.tokens import TokenRow
from storage.store import Transaction


def digest_of(token: bytes) -> str:
    """By what a token is known."""
    return sha256(token).hexdigest()


async def make(context: Context, new: NewToken) -> str:
    """A new token, which nobody can be told again; raises InvalidInputError where there is one of the name."""
    token = secrets.token_urlsafe(32)
    row: dict[str, Any] = {"name": new.name, "digest": digest_of(token.encode()), "scope": new.scope}
    row |= {"made_at": context.clock.now(), "expires_at": new.expires}

    async def change(transaction: Transaction) -> int:
        return await transaction.execute(ask.make(), row)

    if new.name == OWN:
        raise InvalidInputError("name", f"{OWN} is what the server's own token is called; choose another name")
    if not await context.store.write(change):
        raise InvalidInputError("name", f"{shown(new.name)} is taken; withdraw that token, or choose another name")
    return token


async def every(context: Context) -> list[TokenRow]:
    """All tokens that are not withdrawn, by name."""
    return [TokenRow._make(row) for row in await context.store.fetch(ask.every(), {})]


async def withdraw(context: Context, name: str) -> None:
    """From now on the token is refused, by every process; raises NotFoundError."""

    async def change(transaction: Transaction) -> int:
        return await transaction.execute(ask.withdraw(), {"name": name})

    if not await context.store.write(change):
        raise NotFoundError(f"name: there is no token called {shown(name)}")


async def of_digest(context: Context, digest: str) -> TokenRow | None:
    """The token that is known by a digest; None where there is none, or it has ended."""
    # A replica may not know yet that it was withdrawn.
    found = await context.store.fetch(ask.by_digest(), {"digest": digest}, short=True, current=True)
    now = context.clock.now()
    tokens = (TokenRow._make(row) for row in found)
    return next((token for token in tokens if token.expires_at is None or now < token.expires_at), None)
