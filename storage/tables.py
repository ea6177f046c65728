"""The two tables. A session is stored once; what can be read off its ends is computed by the database, so it cannot disagree.

Instants are whole microseconds since 1970-01-01T00:00Z.
"""

from typing import ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, SmallInteger, Text
from sqlmodel import Field, SQLModel

MISSING = "<missing event>"
CONNECTED, COMPLETE = "CONNECTED", "COMPLETE"
MISSING_CONNECTION, MISSING_DISCONNECTION = "MISSING_CONNECTION", "MISSING_DISCONNECTION"

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

# The span classes: a session of class n lasts at most SPANS[n]; then come the longer ones, then the open ones.
# Whoever overlaps a window and belongs to a class started at most that long before it: one short seek a class.
SPANS = (HOUR, 4 * HOUR, DAY, 7 * DAY)
LONGER, OPEN = len(SPANS), len(SPANS) + 1

_STATE = f"""CASE
    WHEN connected_at IS NULL THEN '{MISSING_CONNECTION}'
    WHEN disconnected_at IS NOT NULL THEN '{COMPLETE}'
    WHEN disconnection_event IS NULL THEN '{CONNECTED}'
    ELSE '{MISSING_DISCONNECTION}' END"""

_SPAN = f"""CASE
    WHEN disconnected_at IS NULL AND disconnection_event IS NULL THEN {OPEN}
    WHEN connected_at IS NULL OR disconnected_at IS NULL THEN 0
    {" ".join(f"WHEN disconnected_at - connected_at <= {span} THEN {n}" for n, span in enumerate(SPANS))}
    ELSE {LONGER} END"""


def _text(comment: str, *, nullable: bool = False, primary_key: bool = False) -> Column[str]:
    return Column(Text, nullable=nullable, primary_key=primary_key, comment=comment)


class Session(SQLModel, table=True):
    """One stay of a device on the network."""

    __tablename__: ClassVar[str] = "session"

    mac: str = Field(sa_column=_text("AA:BB:CC:DD:EE:FF; in every key, so that it can shard", primary_key=True))
    id: int = Field(
        sa_column=Column(
            BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="made by the program: milliseconds since 1970, then 21 random bits",
        )
    )
    ip: str = Field(sa_column=_text("IPv4 or IPv6 in canonical form"))
    connected_at: int | None = Field(sa_column=Column(BigInteger, comment="null: the connection was never seen"))
    disconnected_at: int | None = Field(sa_column=Column(BigInteger, comment="null: still connected, or never seen"))
    connection_event: str = Field(sa_column=_text("event type of the start"))
    disconnection_event: str | None = Field(sa_column=_text("event type of the end; null: connected", nullable=True))
    info: str = Field(sa_column=_text("free text"))
    state: str = Field(sa_column=Column(Text, Computed(_STATE, persisted=True), comment="read off the two ends"))
    starts_at: int = Field(
        sa_column=Column(
            BigInteger,
            Computed("coalesce(connected_at, disconnected_at)", persisted=True),
            nullable=False,
            comment="the first end that was seen; what lists are ordered by",
        )
    )
    span: int = Field(sa_column=Column(SmallInteger, Computed(_SPAN, persisted=True), comment="span class"))

    __table_args__ = (
        CheckConstraint("connected_at <= disconnected_at", name="session_end_not_before_start"),
        CheckConstraint("connected_at IS NOT NULL OR disconnected_at IS NOT NULL", name="session_has_at_least_one_end"),
        CheckConstraint(
            f"(connected_at IS NULL) = (connection_event = '{MISSING}')", name="session_missing_connection_is_named"
        ),
        CheckConstraint(
            f"(disconnected_at IS NULL) = (disconnection_event IS NULL OR disconnection_event = '{MISSING}')",
            name="session_missing_disconnection_is_named",
        ),
        Index("session_by_start", "starts_at", "id"),
        Index("session_by_device", "mac", "starts_at", "id"),
        Index("session_by_device_end", "mac", "disconnected_at"),
        Index("session_by_span", "span", "starts_at"),
    )


class Device(SQLModel, table=True):
    """A device that has sessions, a name or an owner."""

    __tablename__: ClassVar[str] = "device"

    mac: str = Field(sa_column=_text("AA:BB:CC:DD:EE:FF", primary_key=True))
    name: str | None = Field(default=None, sa_column=_text("given by a person", nullable=True))
    owner: str | None = Field(default=None, sa_column=_text("given by a person", nullable=True))


# What questions are written on: the tables, and their columns by name.
SESSIONS, DEVICES = SQLModel.metadata.tables["session"], SQLModel.metadata.tables["device"]
session, device = SESSIONS.c, DEVICES.c
