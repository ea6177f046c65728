"""How much one request may ask for. An operator sets it; what is here is what holds unless told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of both doors the first three, of GraphQL the others."""

    body: int = 8 * 1024 * 1024  # bytes: 10,000 sessions with everything said about each fit
    seconds: float = 30  # for which the store works for what reads
    page: int = 10_000  # rows of a list
    tokens: int = 10_000  # of a document
    depth: int = 20  # fields within fields
    aliases: int = 30
    directives: int = 50
    root_fields: int = 30
    cost: int = 250_000  # values of an answer: a largest page of sessions with all their fields and their devices fits


DEFAULT = Limits()
