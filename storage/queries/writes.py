"""Named changes: what can be done to the tables, as statements."""

from functools import cache
from typing import Any

from sqlalchemy import Delete, Insert, Update, delete, exists, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert

from storage.queries.clauses import COLUMNS, number, of_classes, text
from storage.tables import CLASSES, DEVICES, OPEN, SESSIONS, device, session

WRITTEN = (
    "mac", "id", "ip", "connected_at", "disconnected_at", "connection_event", "disconnection_event", "info", "live",
    "seen_at",
)  # fmt: skip
NUMBERS = ("id", "connected_at", "disconnected_at", "live", "seen_at", "told_at")


def _parameter(name: str) -> Any:
    return number(name) if name in NUMBERS else text(name)


@cache
def insert_session() -> Insert:
    """A session, of the parameters in `WRITTEN`."""
    return insert(SESSIONS).values({name: _parameter(name) for name in WRITTEN})


@cache
def insert_one_session() -> ReturningInsert[Any]:
    """The same for one session, which it answers as the store has it."""
    return insert_session().returning(*COLUMNS)


@cache
def insert_unknown_session() -> Insert:
    """The same, unless its id is there already."""
    return insert(SESSIONS).values({name: _parameter(name) for name in WRITTEN}).on_conflict_do_nothing()


@cache
def insert_new_session() -> Insert:
    """The same, unless the store already holds this stay: the same device and address at the same two ends."""
    known = exists(literal_column("1")).where(
        session.mac == text("mac"),
        of_classes(session.span, *CLASSES),
        session.starts_at == number("starts_at"),
        session.connected_at.is_not_distinct_from(number("connected_at")),
        session.disconnected_at.is_not_distinct_from(number("disconnected_at")),
        session.ip == text("ip"),
    )
    return insert(SESSIONS).from_select(WRITTEN, select(*map(_parameter, WRITTEN)).where(~known))


@cache
def insert_device() -> Insert:
    """A device row for `mac`, unless there is one: every session's device has a row."""
    return insert(DEVICES).values(mac=text("mac")).on_conflict_do_nothing()


@cache
def name_device() -> Insert:
    """A device row for `mac` with `name` and `owner`, unless there is one."""
    return insert(DEVICES).values({name: text(name) for name in ("mac", "name", "owner")}).on_conflict_do_nothing()


@cache
def fill_device() -> Update:
    """`name` and `owner` where the device has none yet: what a person wrote here stays."""
    return (
        update(DEVICES)
        .where(device.mac == text("of"))
        .values(name=func.coalesce(device.name, text("name")), owner=func.coalesce(device.owner, text("owner")))
    )


@cache
def update_device(*columns: str) -> Update:
    """Sets the named columns of the device `of`."""
    return update(DEVICES).where(device.mac == text("of")).values({name: text(name) for name in columns})


@cache
def end_session() -> Update:
    """Ends the open session of `of` at `ip` that began at `began`: a later look at a stay that was known as open."""
    return (
        update(SESSIONS)
        .where(
            session.mac == text("of"),
            session.starts_at == number("began"),
            session.ip == text("at"),
            session.span == OPEN,
        )
        .values(disconnected_at=number("disconnected_at"), disconnection_event=text("disconnection_event"))
    )


@cache
def update_session(*columns: str) -> Update:
    """Sets the named columns of the session `of`, `which`."""
    return (
        update(SESSIONS)
        .where(session.mac == text("of"), session.id == number("which"))
        .values({name: _parameter(name) for name in columns})
    )


@cache
def end_one_session() -> Update:
    """Ends the open session `one` of `of`."""
    return (
        update(SESSIONS)
        .where(session.mac == text("of"), session.id == number("one"), session.span == OPEN)
        .values(disconnected_at=number("disconnected_at"), disconnection_event=text("disconnection_event"))
    )


@cache
def delete_session() -> Delete:
    """The session of `mac` and `id`."""
    return delete(SESSIONS).where(session.mac == text("mac"), session.id == number("id"))


@cache
def delete_sessions() -> Delete:
    """All sessions of `mac`."""
    return delete(SESSIONS).where(session.mac == text("mac"))


@cache
def delete_bare_device() -> Delete:
    """The row of `mac`, if it has no session, name or owner any more."""
    known = exists(literal_column("1")).where(session.mac == text("mac"))
    return delete(DEVICES).where(device.mac == text("mac"), device.name.is_(None), device.owner.is_(None), ~known)
