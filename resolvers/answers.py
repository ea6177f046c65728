"""Requests that may be sent again: for a day, the same key is given the first answer, and nothing is done twice."""

from resolvers.context import Context, acting
from resolvers.errors import InvalidInputError, shown
from resolvers.inputs import KEY_LENGTH
from storage import answers as ask
from storage.store import Change, Transaction
from storage.tables import DAY

FIELD = "Idempotency-Key"


def parse_key(text: str) -> str:
    """A key as a client sends it; raises InvalidInputError."""
    if not 0 < len(text) <= KEY_LENGTH or not text.isascii() or not text.isprintable():
        raise InvalidInputError(FIELD, f"{shown(text)} is not a key; send 1 to {KEY_LENGTH} visible ASCII characters")
    return text


async def once(context: Context, key: str, asked: str, change: Change[str]) -> str:
    """What a change answers, or what it answered when the key was sent before. `asked` tells one request from another.

    Raises InvalidInputError for the key of another request.
    """
    now = context.clock.now()
    name = f"{acting.get()} {key}"

    async def work(transaction: Transaction) -> str:
        await transaction.execute(ask.forget_one(), {"key": name, "until": now - DAY})
        # Who sends it at the same time waits here for the first.
        if not await transaction.execute(ask.claim(), {"key": name, "asked": asked, "at": now}):
            ((before, message),) = await transaction.fetch(ask.given(), {"key": name})
            if before != asked:
                raise InvalidInputError(FIELD, "was sent with another request; make a new key for each")
            return str(message)
        message = await change(transaction)
        await transaction.execute(ask.give(), {"of": name, "message": message})
        return message

    return await context.store.write(work)
