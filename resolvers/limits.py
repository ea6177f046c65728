"""Limits of a request. Each is a setting; the defaults are defined here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a request: the first three apply to both APIs, the others to GraphQL documents."""

    body: int = 8 * 1024 * 1024  # bytes; fits 10,000 sessions with all fields
    seconds: float = 30  # time that a request may read from the database
    page: int = 10_000  # rows of a list
    tokens: int = 10_000  # lexical tokens of the document
    depth: int = 20  # levels of nested fields
    aliases: int = 30
    directives: int = 50
    root_fields: int = 30
    cost: int = 250_000  # values in the response; fits the largest page of sessions with all fields and devices


DEFAULT_LIMITS = Limits()
