"""Statements that insert, update and delete sessions and devices.

The parameters of a condition are called `where_…` if the statement also sets the column.
"""

from functools import cache
from typing import Any

from sqlalchemy import Delete, Insert, Update, delete, exists, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from storage.queries.clauses import in_span_classes, integer_param, table_parameters, text_param
from storage.tables import DEVICES, INSERT_COLUMNS, OPEN, SESSION_COLUMNS, SESSIONS, SPAN_CLASSES, device, session


@cache
def insert_session() -> Insert:
    """Insert a session with the parameters `INSERT_COLUMNS`."""
    return insert(SESSIONS).values(table_parameters(SESSIONS, INSERT_COLUMNS))


@cache
def insert_one_session() -> ReturningInsert[Any]:
    """Insert a session and return it as a `SessionRow`."""
    return insert_session().returning(*SESSION_COLUMNS)


@cache
def insert_session_if_absent() -> Insert:
    """Insert a session unless its id exists."""
    return insert(SESSIONS).values(table_parameters(SESSIONS, INSERT_COLUMNS)).on_conflict_do_nothing()


@cache
def insert_session_unless_imported() -> Insert:
    """Insert a session unless the device has one with the same address and the same ends."""
    is_stored = exists(literal_column("1")).where(
        session.mac == text_param("mac"),
        in_span_classes(session.span, *SPAN_CLASSES),
        session.starts_at == integer_param("starts_at"),
        session.connected_at.is_not_distinct_from(integer_param("connected_at")),
        session.disconnected_at.is_not_distinct_from(integer_param("disconnected_at")),
        session.ip == text_param("ip"),
    )
    values = table_parameters(SESSIONS, INSERT_COLUMNS).values()
    return insert(SESSIONS).from_select(INSERT_COLUMNS, select(*values).where(~is_stored))


@cache
def insert_device() -> Insert:
    """Insert a row for the device `mac` unless it exists. Every device with sessions has a row."""
    return insert(DEVICES).values(mac=text_param("mac")).on_conflict_do_nothing()


@cache
def insert_named_device() -> Insert:
    """Insert a row for the device `mac` with `name` and `owner` unless the device exists."""
    return insert(DEVICES).values(table_parameters(DEVICES, ("mac", "name", "owner"))).on_conflict_do_nothing()


@cache
def fill_device_names() -> Update:
    """Set `name` and `owner` of the device `where_mac` where they are null. Names that a person entered are kept."""
    return (
        update(DEVICES)
        .where(device.mac == text_param("where_mac"))
        .values(
            name=func.coalesce(device.name, text_param("name")), owner=func.coalesce(device.owner, text_param("owner"))
        )
    )


@cache
def update_device(*columns: str) -> Update:
    """Set the named columns of the device `where_mac`."""
    return update(DEVICES).where(device.mac == text_param("where_mac")).values(table_parameters(DEVICES, columns))


@cache
def end_imported_session() -> Update:
    """End the open session of `where_mac` at `where_ip` that started at `where_start`, when a later import has its end."""
    return (
        update(SESSIONS)
        .where(
            session.mac == text_param("where_mac"),
            session.starts_at == integer_param("where_start"),
            session.ip == text_param("where_ip"),
            session.span == OPEN,
        )
        .values(disconnected_at=integer_param("disconnected_at"), disconnection_event=text_param("disconnection_event"))
    )


@cache
def update_session(*columns: str) -> Update:
    """Set the named columns of session `where_mac`, `where_id`."""
    return (
        update(SESSIONS)
        .where(session.mac == text_param("where_mac"), session.id == integer_param("where_id"))
        .values(table_parameters(SESSIONS, columns))
    )


@cache
def end_session_by_id() -> Update:
    """End session `where_mac`, `where_id` if it is open."""
    return (
        update(SESSIONS)
        .where(session.mac == text_param("where_mac"), session.id == integer_param("where_id"), session.span == OPEN)
        .values(disconnected_at=integer_param("disconnected_at"), disconnection_event=text_param("disconnection_event"))
    )


@cache
def delete_session() -> Delete:
    """Delete session `mac`, `id`."""
    return delete(SESSIONS).where(session.mac == text_param("mac"), session.id == integer_param("id"))


@cache
def delete_sessions_of_device() -> Delete:
    """Delete all sessions of `mac`."""
    return delete(SESSIONS).where(session.mac == text_param("mac"))


@cache
def delete_unused_device() -> Delete:
    """Delete the row of the device `mac` if the device has no session, name or owner."""
    has_sessions = exists(literal_column("1")).where(session.mac == text_param("mac"))
    is_unused = (device.mac == text_param("mac"), device.name.is_(None), device.owner.is_(None), ~has_sessions)
    return delete(DEVICES).where(*is_unused)
