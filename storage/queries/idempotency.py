"""Statements on idempotency keys and the responses saved for them."""

from functools import cache
from typing import Any

from sqlalchemy import Delete, Insert, Select, Update, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import integer_param, text_param
from storage.tables import SAVED_RESPONSES, saved_response


@cache
def reserve_key() -> Insert:
    """Insert the `key` of a request that is about to run, with its `request_hash`, unless the key exists."""
    values = {"key": text_param("key"), "request_hash": text_param("request_hash"), "at": integer_param("at")}
    return insert(SAVED_RESPONSES).values(values).on_conflict_do_nothing()


@cache
def save_response() -> Update:
    """Store the `response` for the key `where_key`."""
    return (
        update(SAVED_RESPONSES)
        .where(saved_response.key == text_param("where_key"))
        .values(response=text_param("response"))
    )


@cache
def load_response() -> Select[Any]:
    """Select the request hash and the stored response of `key`."""
    return select(saved_response.request_hash, saved_response.response).where(saved_response.key == text_param("key"))


@cache
def delete_expired_key() -> Delete:
    """Delete `key` if it was inserted before the instant `until`."""
    return delete(SAVED_RESPONSES).where(
        saved_response.key == text_param("key"), saved_response.at < integer_param("until")
    )


@cache
def delete_expired_keys() -> Delete:
    """Delete all keys inserted before the instant `until`."""
    return delete(SAVED_RESPONSES).where(saved_response.at < integer_param("until"))
