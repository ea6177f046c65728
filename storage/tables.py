"""The tables. A session is stored once; what can be read off its ends is computed by the database, so it cannot disagree.

Instants are whole microseconds since 1970-01-01T00:00Z.
"""

from typing import ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, Integer, SmallInteger, Text, text
from sqlmodel import Field, SQLModel

MISSING = "<missing event>"
CONNECTED, COMPLETE = "CONNECTED", "COMPLETE"
MISSING_CONNECTION, MISSING_DISCONNECTION = "MISSING_CONNECTION", "MISSING_DISCONNECTION"

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

# The span classes. A session with both ends seen is of the first class n that is as long as it, SPANS[n], or of the longer
# ones: whoever overlaps a window and belongs to a class started at most that long before it, so a window is one short
# seek a class. Those without an end, and those of which one end was never seen, are classes of their own.
SPANS = (HOUR, 4 * HOUR, DAY, 7 * DAY, 30 * DAY, 120 * DAY)
LONGER = len(SPANS)
OPEN, NO_START, NO_END = LONGER + 1, LONGER + 2, LONGER + 3
CLASSES = range(NO_END + 1)

SHORT = 1024  # rows that are few: on SQLite they are read on the event loop, in about two milliseconds

# Conditions of indexes, which a question repeats word for word to be answered by them: events of other types are few, and
# asked for by type.
MARKED_START, MARKED_END = "connection_event <> 'Connected'", "disconnection_event <> 'Disconnected'"

# A device has one open session at most of those that are reported as they happen.
OPEN_AND_LIVE = "live = 1 AND disconnected_at IS NULL AND disconnection_event IS NULL"

_STATE = f"""CASE
    WHEN connected_at IS NULL THEN '{MISSING_CONNECTION}'
    WHEN disconnected_at IS NOT NULL THEN '{COMPLETE}'
    WHEN disconnection_event IS NULL THEN '{CONNECTED}'
    ELSE '{MISSING_DISCONNECTION}' END"""

_SPAN = f"""CASE
    WHEN connected_at IS NULL THEN {NO_START}
    WHEN disconnected_at IS NULL AND disconnection_event IS NULL THEN {OPEN}
    WHEN disconnected_at IS NULL THEN {NO_END}
    {" ".join(f"WHEN disconnected_at - connected_at <= {span} THEN {n}" for n, span in enumerate(SPANS))}
    ELSE {LONGER} END"""


# Compared by code points everywhere, as SQLite does: a place in a list is the same on every database.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")


# SQLite numbers rows by itself where the key is an INTEGER.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")


def _text(comment: str, *, nullable: bool = False, primary_key: bool = False) -> Column[str]:
    return Column(TEXT, nullable=nullable, primary_key=primary_key, comment=comment)


def _where(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


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
    state: str = Field(sa_column=Column(TEXT, Computed(_STATE, persisted=True), comment="read off the two ends"))
    starts_at: int = Field(
        sa_column=Column(
            BigInteger,
            Computed("coalesce(connected_at, disconnected_at)", persisted=True),
            nullable=False,
            comment="the first end that was seen; what lists are ordered by",
        )
    )
    span: int = Field(sa_column=Column(SmallInteger, Computed(_SPAN), comment="span class; read from indexes only"))
    live: int = Field(
        sa_column=Column(SmallInteger, nullable=False, server_default="0", comment="1: reported as it happened")
    )
    seen_at: int | None = Field(sa_column=Column(BigInteger, comment="the last heartbeat while it was open"))
    told_at: int | None = Field(
        sa_column=Column(BigInteger, comment="the last start that was reported while it was open")
    )

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
        # Two indexes carry every list: in order within a class, and a list over all of them is merged of these.
        Index("session_by_device", "mac", "span", "starts_at"),
        Index("session_by_span", "span", "starts_at", "id"),
        # On PostgreSQL, lists that ask for no overlap walk these instead: merging costs more there.
        Index("session_in_order", "starts_at", "id").ddl_if(dialect="postgresql"),
        Index("session_of_device_in_order", "mac", "starts_at", "id").ddl_if(dialect="postgresql"),
        _where("session_open_once", "mac", where=OPEN_AND_LIVE, unique=True),
        _where("session_by_marked_start", "connection_event", "starts_at", where=MARKED_START),
        _where("session_by_marked_end", "disconnection_event", "disconnected_at", where=MARKED_END),
    )


class Device(SQLModel, table=True):
    """A device that has sessions, a name or an owner."""

    __tablename__: ClassVar[str] = "device"

    mac: str = Field(sa_column=_text("AA:BB:CC:DD:EE:FF", primary_key=True))
    name: str | None = Field(default=None, sa_column=_text("given by a person", nullable=True))
    owner: str | None = Field(default=None, sa_column=_text("given by a person", nullable=True))


class Change(SQLModel, table=True):
    """A session that was created, or what a change made of one: what subscribers are told, and a session's history."""

    __tablename__: ClassVar[str] = "change"

    seq: int = Field(sa_column=Column(_NUMBER, primary_key=True, autoincrement=True, comment="in the order of commits"))
    at: int = Field(sa_column=Column(BigInteger, nullable=False, comment="when it was written"))
    kind: str = Field(sa_column=_text("CREATED, UPDATED or DELETED"))
    mac: str = Field(sa_column=Column(TEXT, nullable=False))
    id: int = Field(sa_column=Column(BigInteger, nullable=False, comment="of the session, with its MAC"))
    who: str = Field(sa_column=_text("name of the token, or of the command"))
    before: str | None = Field(sa_column=_text("the session as JSON; null where it was created", nullable=True))
    after: str | None = Field(
        sa_column=_text("the session as JSON; null where it was created or deleted", nullable=True)
    )

    __table_args__ = (
        _where("change_of_session", "mac", "id", where="before IS NOT NULL"),
        {"sqlite_autoincrement": True},
    )


class Answer(SQLModel, table=True):
    """What a request was answered that may be sent again."""

    __tablename__: ClassVar[str] = "answer"

    key: str = Field(sa_column=_text("an Idempotency-Key, and whose", primary_key=True))
    asked: str = Field(sa_column=_text("digest of the request that it came with"))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    message: str | None = Field(sa_column=_text("the answer", nullable=True))


class Token(SQLModel, table=True):
    """A token beside the server's own."""

    __tablename__: ClassVar[str] = "token"

    name: str = Field(sa_column=Column(TEXT, primary_key=True))
    digest: str = Field(sa_column=Column(TEXT, nullable=False, unique=True, comment="SHA-256 of the token"))
    scope: str = Field(sa_column=_text("what it may do: calendar, read, write or admin"))
    made_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_at: int | None = Field(sa_column=Column(BigInteger, comment="when it ends; null: when it is withdrawn"))


class Accounting(SQLModel, table=True):
    """Which session a network access server means by its own name for it."""

    __tablename__: ClassVar[str] = "accounting"

    nas: str = Field(sa_column=_text("the network access server", primary_key=True))
    acct_session_id: str = Field(sa_column=_text("its name for the session", primary_key=True))
    mac: str = Field(sa_column=Column(TEXT, nullable=False))
    id: int = Field(sa_column=Column(BigInteger, nullable=False, comment="of the session, with its MAC"))
    at: int = Field(sa_column=Column(BigInteger, nullable=False, comment="when it was first told of"))


# What questions are written on: the tables, and their columns by name.
SESSIONS, DEVICES = SQLModel.metadata.tables["session"], SQLModel.metadata.tables["device"]
CHANGES, ANSWERS = SQLModel.metadata.tables["change"], SQLModel.metadata.tables["answer"]
TOKENS, ACCOUNTING = SQLModel.metadata.tables["token"], SQLModel.metadata.tables["accounting"]
session, device = SESSIONS.c, DEVICES.c
change, answer, token = CHANGES.c, ANSWERS.c, TOKENS.c
