"""Named questions and changes about answers that are given again."""

from functools import cache
from typing import Any

from sqlalchemy import Delete, Insert, Select, Update, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import number, text
from storage.tables import ANSWERS, answer


@cache
def claim() -> Insert:
    """The key of a request that is about to be carried out, unless it is there."""
    values = {"key": text("key"), "asked": text("asked"), "at": number("at")}
    return insert(ANSWERS).values(values).on_conflict_do_nothing()


@cache
def give() -> Update:
    """What the request of the key `of` was answered."""
    return update(ANSWERS).where(answer.key == text("of")).values(message=text("message"))


@cache
def given() -> Select[Any]:
    """With what request the key came, and what that was answered."""
    return select(answer.asked, answer.message).where(answer.key == text("key"))


@cache
def forget_one() -> Delete:
    """The key, if it came before the instant `until`."""
    return delete(ANSWERS).where(answer.key == text("key"), answer.at < number("until"))


@cache
def forget() -> Delete:
    """All keys that came before the instant `until`."""
    return delete(ANSWERS).where(answer.at < number("until"))
