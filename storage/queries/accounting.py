"""Statements on the session ids of RADIUS accounting: which session a network access server (NAS) refers to."""

from functools import cache
from typing import Any

from sqlalchemy import Delete, Insert, Select, and_, delete, exists, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert

from storage.queries.clauses import integer_param, text_param
from storage.tables import ACCOUNTING, OPEN, SESSION_COLUMNS, SESSIONS, session

accounting = ACCOUNTING.c
_IS_SAME_SESSION = and_(session.mac == accounting.mac, session.id == accounting.id)


@cache
def session_by_accounting_id() -> Select[Any]:
    """Select MAC, first report, session and last heartbeat for `acct_session_id` of `nas`.

    The columns of the session are null if it no longer exists.
    """
    return (
        select(accounting.mac, accounting.at, *SESSION_COLUMNS, session.last_seen_at)
        .select_from(ACCOUNTING.outerjoin(SESSIONS, _IS_SAME_SESSION))
        .where(accounting.nas == text_param("nas"), accounting.acct_session_id == text_param("acct_session_id"))
    )


@cache
def upsert_accounting_id() -> Insert:
    """Assign `acct_session_id` of `nas` to session `mac`, `id`, first reported at the instant `at`."""
    values = {"mac": text_param("mac"), "id": integer_param("id"), "at": integer_param("at")}
    key = {"nas": text_param("nas"), "acct_session_id": text_param("acct_session_id")}
    statement = insert(ACCOUNTING).values(key | values)
    return statement.on_conflict_do_update(
        index_elements=list(key), set_={column: statement.excluded[column] for column in values}
    )


@cache
def open_sessions_of_nas() -> Select[Any]:
    """Select the open sessions of `nas` that started before the instant `at`, at most `limit`."""
    return (
        select(*SESSION_COLUMNS)
        .select_from(ACCOUNTING.join(SESSIONS, _IS_SAME_SESSION))
        .where(accounting.nas == text_param("nas"), session.span == OPEN, session.starts_at < integer_param("at"))
        .order_by(accounting.acct_session_id)
        .limit(integer_param("limit"))
    )


@cache
def delete_expired_accounting_ids() -> Delete:
    """Delete ids first reported before the instant `before`, unless their session is open or ended later."""
    is_recent = or_(session.span == OPEN, session.disconnected_at >= integer_param("before"))
    is_needed = exists(literal_column("1")).where(_IS_SAME_SESSION, is_recent)
    return delete(ACCOUNTING).where(accounting.at < integer_param("before"), ~is_needed)
