"""Requests that may be sent again: for a day, the same key is given the first answer, and nothing is done twice."""

from typing import NamedTuple, Protocol

from resolvers.context import Context, acting
from resolvers.errors import InvalidInputError, shown
from resolvers.validation.models import KEY_LENGTH
from storage.queries import idempotency as ask
from storage.store import Change, Transaction
from storage.tables import DAY

FIELD = "Idempotency-Key"


def parse_key(text: str) -> str:
    """A key as a client sends it; raises InvalidInputError."""
    if not 0 < len(text) <= KEY_LENGTH or not text.isascii() or not text.isprintable():
        raise InvalidInputError(FIELD, f"{shown(text)} is not a key; send 1 to {KEY_LENGTH} visible ASCII characters")
    return text


class Key(NamedTuple):
    """A key, and what tells the request that it came with from another."""

    key: str
    asked: str


class Done(Protocol):
    """What became of a change: the sentence that is answered, and how many sessions are new."""

    @property
    def message(self) -> str: ...

    @property
    def new(self) -> int: ...


async def once(context: Context, key: Key | None, change: Change[Done]) -> str:
    """What a change answers, or what it answered when its key was sent before.

    Raises InvalidInputError for the key of another request.
    """
    new = 0

    async def carried_out(transaction: Transaction) -> str:
        nonlocal new
        done = await change(transaction)
        new = done.new
        return done.message

    message = await context.store.write(carried_out if key is None else _kept(context, key, carried_out))
    context.on_written(new)
    return message


def _kept(context: Context, key: Key, change: Change[str]) -> Change[str]:
    now = context.clock.now()
    name = f"{acting.get()} {key.key}"

    async def work(transaction: Transaction) -> str:
        await transaction.execute(ask.forget_one(), {"key": name, "until": now - DAY})
        # Who sends it at the same time waits here for the first.
        if not await transaction.execute(ask.claim(), {"key": name, "asked": key.asked, "at": now}):
            ((before, message),) = await transaction.fetch(ask.given(), {"key": name})
            if before != key.asked:
                raise InvalidInputError(FIELD, "was sent with another request; make a new key for each")
            return str(message)
        message = await change(transaction)
        await transaction.execute(ask.give(), {"of": name, "message": message})
        return message

    return work
