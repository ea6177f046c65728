"""Tokens beside the server's own: each does what its scope says and nothing else, until it is withdrawn.

A token is known by its digest alone, so that whoever reads the database cannot ask in its name. It is 256 random bits:
nothing that is guessed, which a slow digest would have to guard.
"""

import secrets
from hashlib import sha256

from resolvers.context import OWN, Context
from resolvers.errors import InvalidInputError, NotFoundError, shown
from resolvers.inputs import NewToken, Scope
from storage import tokens as ask
from storage.store import Transaction
from storage.tokens import TokenRow


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def make(context: Context, new: NewToken) -> str:
    """A new token, which nobody can be told again; raises InvalidInputError where there is one of the name."""
    token = secrets.token_urlsafe(32)
    row = {"name": new.name, "digest": _digest(token), "scope": new.scope, "made_at": context.clock.now()}

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


async def name_of(context: Context, token: str, scope: Scope) -> str | None:
    """What a token of the scope is called; None for anything else."""
    # A replica may not know yet that it was withdrawn.
    found = await context.store.fetch(ask.by_digest(), {"digest": _digest(token)}, short=True, current=True)
    return next((row.name for row in map(TokenRow._make, found) if row.scope == scope), None)
