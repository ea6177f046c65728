"""Idempotency keys: for a day, a repeated request gets the first response and changes nothing."""

from typing import NamedTuple, Protocol

from resolvers.context import Context, actor
from resolvers.errors import InvalidInputError, short_repr
from resolvers.validation.models import KEY_LENGTH
from storage.queries import idempotency as idempotency_queries
from storage.store import Transaction, UnitOfWork
from storage.tables import DAY

HEADER = "Idempotency-Key"


def parse_key(text: str) -> str:
    """Return a valid key. Raise InvalidInputError."""
    if not 0 < len(text) <= KEY_LENGTH or not text.isascii() or not text.isprintable():
        raise InvalidInputError(
            HEADER, f"{short_repr(text)} is not a key. Send 1 to {KEY_LENGTH} visible ASCII characters."
        )
    return text


class IdempotencyKey(NamedTuple):
    """A client's key, and a hash that identifies its request."""

    key: str
    request_hash: str


class Result(Protocol):
    """The result of a unit of work: the message for the client, and the number of created sessions."""

    @property
    def message(self) -> str: ...

    @property
    def created(self) -> int: ...


async def run_once(context: Context, key: IdempotencyKey | None, unit_of_work: UnitOfWork[Result]) -> str:
    """Run a unit of work and return its message. If the key was used before, only return the message of the first time.

    Raise InvalidInputError if the key was used for another request.
    """
    created = 0

    async def transact(transaction: Transaction) -> str:
        nonlocal created
        result = await unit_of_work(transaction)
        created = result.created
        return result.message

    message = await context.store.write(transact if key is None else _idempotent(context, key, transact))
    context.on_written(created)
    return message


def _idempotent(context: Context, key: IdempotencyKey, unit_of_work: UnitOfWork[str]) -> UnitOfWork[str]:
    now = context.clock.now()
    name = f"{actor.get()} {key.key}"

    async def transact(transaction: Transaction) -> str:
        await transaction.execute(idempotency_queries.delete_expired_key(), {"key": name, "until": now - DAY})
        # A concurrent request with the same key waits here for the first one.
        reservation = {"key": name, "request_hash": key.request_hash, "at": now}
        if not await transaction.execute(idempotency_queries.reserve_key(), reservation):
            ((request_hash, message),) = await transaction.fetch(idempotency_queries.load_response(), {"key": name})
            if request_hash != key.request_hash:
                raise InvalidInputError(HEADER, "was used for another request. Use a new key for each request.")
            return str(message)
        message = await unit_of_work(transaction)
        await transaction.execute(idempotency_queries.save_response(), {"where_key": name, "response": message})
        return message

    return transact
