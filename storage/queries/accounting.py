"""Named questions and changes about the names by which network access servers know their sessions."""

from functools import cache
from typing import Any

from sqlalchemy import Delete, Insert, Select, and_, delete, exists, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import COLUMNS, number, text
from storage.tables import ACCOUNTING, OPEN, SESSIONS, session

accounting = ACCOUNTING.c
_MEANT = and_(session.mac == accounting.mac, session.id == accounting.id)


@cache
def known() -> Select[Any]:
    """Of the name `acct_session_id` of `nas`: MAC, when it was first told of, and the session and when that was last seen,
    nulls where it is gone."""
    return (
        select(accounting.mac, accounting.at, *COLUMNS, session.seen_at)
        .select_from(ACCOUNTING.outerjoin(SESSIONS, _MEANT))
        .where(accounting.nas == text("nas"), accounting.acct_session_id == text("acct_session_id"))
    )


@cache
def name() -> Insert:
    """From now on the name `acct_session_id` of `nas` means the session of `mac` and `id`, told of at the instant `at`."""
    means = {"mac": text("mac"), "id": number("id"), "at": number("at")}
    key = {"nas": text("nas"), "acct_session_id": text("acct_session_id")}
    made = insert(ACCOUNTING).values(key | means)
    return made.on_conflict_do_update(
        index_elements=list(key), set_={column: made.excluded[column] for column in means}
    )


@cache
def open_of_nas() -> Select[Any]:
    """The open sessions of `nas` that began before the instant `at`, at most `limit`."""
    return (
        select(*COLUMNS)
        .select_from(ACCOUNTING.join(SESSIONS, _MEANT))
        .where(accounting.nas == text("nas"), session.span == OPEN, session.starts_at < number("at"))
        .order_by(accounting.acct_session_id)
        .limit(number("limit"))
    )


@cache
def forget() -> Delete:
    """Names that were first told of before the instant `before`, of sessions that ended before it or are gone."""
    lately = or_(session.span == OPEN, session.disconnected_at >= number("before"))
    needed = exists(literal_column("1")).where(_MEANT, lately)
    return delete(ACCOUNTING).where(accounting.at < number("before"), ~needed)
