"""The tables of the database, and what is derived from the definition of the session table.

Instants are integer microseconds since 1970-01-01T00:00Z.
"""

from typing import Any, ClassVar, NamedTuple

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, Integer, SmallInteger, Text, text
from sqlmodel import Field, SQLModel

MISSING_EVENT = "<missing event>"
CONNECTED, COMPLETE = "CONNECTED", "COMPLETE"
MISSING_CONNECTION, MISSING_DISCONNECTION = "MISSING_CONNECTION", "MISSING_DISCONNECTION"

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

# Span classes. A session with both ends belongs to the first class n with a duration of at most SPAN_LIMITS[n], or to
# LONGEST. A session of class n that overlaps a window started at most SPAN_LIMITS[n] before it, so that one short index
# range per class finds all of them. Open sessions and sessions with a missing end have classes of their own.
SPAN_LIMITS = (HOUR, 4 * HOUR, DAY, 7 * DAY, 30 * DAY, 120 * DAY)
LONGEST = len(SPAN_LIMITS)
OPEN, NO_START, NO_END = LONGEST + 1, LONGEST + 2, LONGEST + 3
SPAN_CLASSES = range(NO_END + 1)

INLINE_ROWS = 1024  # SQLite reads up to this many rows on the event loop, in about two milliseconds

# Conditions of partial indexes. A query must repeat them literally to use the index. Other event types are rare.
UNUSUAL_START, UNUSUAL_END = "connection_event <> 'Connected'", "disconnection_event <> 'Disconnected'"

# A device has at most one open session among those that were reported live.
OPEN_AND_LIVE = "live = 1 AND disconnected_at IS NULL AND disconnection_event IS NULL"

_STATE_SQL = f"""CASE
    WHEN connected_at IS NULL THEN '{MISSING_CONNECTION}'
    WHEN disconnected_at IS NOT NULL THEN '{COMPLETE}'
    WHEN disconnection_event IS NULL THEN '{CONNECTED}'
    ELSE '{MISSING_DISCONNECTION}' END"""

_SPAN_SQL = f"""CASE
    WHEN connected_at IS NULL THEN {NO_START}
    WHEN disconnected_at IS NULL AND disconnection_event IS NULL THEN {OPEN}
    WHEN disconnected_at IS NULL THEN {NO_END}
    {" ".join(f"WHEN disconnected_at - connected_at <= {limit} THEN {n}" for n, limit in enumerate(SPAN_LIMITS))}
    ELSE {LONGEST} END"""


# Compared by code point, as SQLite does, so that a cursor means the same on every database.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")


# SQLite generates values only for a key of type INTEGER.
_ROW_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

_INTERNAL = {"internal": True}  # `Column.info` of columns that `SessionRow` leaves out


def _text_column(comment: str, *, nullable: bool = False, primary_key: bool = False) -> Column[str]:
    return Column(TEXT, nullable=nullable, primary_key=primary_key, comment=comment)


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


class Session(SQLModel, table=True):
    """A period in which a device was connected to the network, stored once. The database computes what its ends imply."""

    __tablename__: ClassVar[str] = "session"

    mac: str = Field(sa_column=_text_column("AA:BB:CC:DD:EE:FF; in every unique key, for sharding", primary_key=True))
    id: int = Field(
        sa_column=Column(
            BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="made by the program: milliseconds since 1970, then 21 random bits",
        )
    )
    ip: str = Field(sa_column=_text_column("IPv4 or IPv6 in canonical form"))
    connected_at: int | None = Field(sa_column=Column(BigInteger, comment="null: the connection was not observed"))
    disconnected_at: int | None = Field(
        sa_column=Column(BigInteger, comment="null: still connected, or the disconnection was not observed")
    )
    connection_event: str = Field(sa_column=_text_column("event type of the start"))
    disconnection_event: str | None = Field(
        sa_column=_text_column("event type of the end; null: connected", nullable=True)
    )
    info: str = Field(sa_column=_text_column("free text"))
    state: str = Field(sa_column=Column(TEXT, Computed(_STATE_SQL, persisted=True), comment="computed from the ends"))
    starts_at: int = Field(
        sa_column=Column(
            BigInteger,
            Computed("coalesce(connected_at, disconnected_at)", persisted=True),
            nullable=False,
            comment="the first observed end; the sort key of lists",
            info=_INTERNAL,
        )
    )
    span: int = Field(
        sa_column=Column(
            SmallInteger, Computed(_SPAN_SQL), comment="span class; read only from indexes", info=_INTERNAL
        )
    )
    live: int = Field(
        sa_column=Column(
            SmallInteger, nullable=False, server_default="0", comment="1: reported as it happened", info=_INTERNAL
        )
    )
    last_seen_at: int | None = Field(
        sa_column=Column(BigInteger, comment="the last heartbeat while it was open", info=_INTERNAL)
    )
    last_reported_at: int | None = Field(
        sa_column=Column(BigInteger, comment="the last repeated start report while it was open", info=_INTERNAL)
    )

    __table_args__ = (
        CheckConstraint("connected_at <= disconnected_at", name="session_end_not_before_start"),
        CheckConstraint("connected_at IS NOT NULL OR disconnected_at IS NOT NULL", name="session_has_at_least_one_end"),
        CheckConstraint(
            f"(connected_at IS NULL) = (connection_event = '{MISSING_EVENT}')",
            name="session_missing_connection_is_named",
        ),
        CheckConstraint(
            f"(disconnected_at IS NULL) = (disconnection_event IS NULL OR disconnection_event = '{MISSING_EVENT}')",
            name="session_missing_disconnection_is_named",
        ),
        # These two indexes serve every list: sessions are ordered within a class, and a list merges the classes.
        Index("session_by_device", "mac", "span", "starts_at"),
        Index("session_by_span", "span", "starts_at", "id"),
        # PostgreSQL uses these for lists without an overlap condition, because merging costs more there.
        Index("session_in_order", "starts_at", "id").ddl_if(dialect="postgresql"),
        Index("session_of_device_in_order", "mac", "starts_at", "id").ddl_if(dialect="postgresql"),
        _partial_index("session_open_once", "mac", where=OPEN_AND_LIVE, unique=True),
        _partial_index("session_by_marked_start", "connection_event", "starts_at", where=UNUSUAL_START),
        _partial_index("session_by_marked_end", "disconnection_event", "disconnected_at", where=UNUSUAL_END),
    )


class SessionRow(NamedTuple):
    """A session as queries return it: the columns of `SESSION_COLUMNS`, instants in microseconds since 1970."""

    mac: str
    id: int
    ip: str
    connected_at: int | None
    disconnected_at: int | None
    connection_event: str
    disconnection_event: str | None
    info: str
    state: str


class Device(SQLModel, table=True):
    """A device that has sessions, a name or an owner."""

    __tablename__: ClassVar[str] = "device"

    mac: str = Field(sa_column=_text_column("AA:BB:CC:DD:EE:FF", primary_key=True))
    name: str | None = Field(default=None, sa_column=_text_column("set by a person", nullable=True))
    owner: str | None = Field(default=None, sa_column=_text_column("set by a person", nullable=True))


class JournalEntry(SQLModel, table=True):
    """A session that was created, updated or deleted: the source of subscriptions and of a session's history."""

    __tablename__: ClassVar[str] = "change"

    seq: int = Field(
        sa_column=Column(_ROW_NUMBER, primary_key=True, autoincrement=True, comment="in the order of commits")
    )
    at: int = Field(sa_column=Column(BigInteger, nullable=False, comment="when it was written"))
    kind: str = Field(sa_column=_text_column("CREATED, UPDATED or DELETED"))
    mac: str = Field(sa_column=Column(TEXT, nullable=False))
    id: int = Field(sa_column=Column(BigInteger, nullable=False, comment="of the session, with its MAC"))
    who: str = Field(sa_column=_text_column("name of the token or of the command"))
    before: str | None = Field(
        sa_column=_text_column("the session before, as a JSON object by column name; null if created", nullable=True)
    )
    after: str | None = Field(
        sa_column=_text_column("the session after, in the same form; null if created or deleted", nullable=True)
    )

    __table_args__ = (
        _partial_index("change_of_session", "mac", "id", where="before IS NOT NULL"),
        {"sqlite_autoincrement": True},
    )


class SavedResponse(SQLModel, table=True):
    """The response to a request with an idempotency key, for retries of the request."""

    __tablename__: ClassVar[str] = "answer"

    key: str = Field(sa_column=_text_column("the Idempotency-Key, and the caller's name", primary_key=True))
    request_hash: str = Field(sa_column=_text_column("hash of the request"))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    response: str | None = Field(sa_column=_text_column("the response; null while the request runs", nullable=True))


class Token(SQLModel, table=True):
    """An access token in addition to the server's own."""

    __tablename__: ClassVar[str] = "token"

    name: str = Field(sa_column=Column(TEXT, primary_key=True))
    digest: str = Field(sa_column=Column(TEXT, nullable=False, unique=True, comment="SHA-256 of the token"))
    scope: str = Field(sa_column=_text_column("calendar, read, write or admin"))
    made_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_at: int | None = Field(sa_column=Column(BigInteger, comment="null: when it is revoked"))


class Accounting(SQLModel, table=True):
    """The session to which a network access server refers by its Acct-Session-Id."""

    __tablename__: ClassVar[str] = "accounting"

    nas: str = Field(sa_column=_text_column("the network access server", primary_key=True))
    acct_session_id: str = Field(sa_column=_text_column("Acct-Session-Id", primary_key=True))
    mac: str = Field(sa_column=Column(TEXT, nullable=False))
    id: int = Field(sa_column=Column(BigInteger, nullable=False, comment="of the session, with its MAC"))
    at: int = Field(sa_column=Column(BigInteger, nullable=False, comment="when it was first reported"))


# The tables for queries, and their columns by name.
SESSIONS, DEVICES = SQLModel.metadata.tables["session"], SQLModel.metadata.tables["device"]
JOURNAL, SAVED_RESPONSES = SQLModel.metadata.tables["change"], SQLModel.metadata.tables["answer"]
TOKENS, ACCOUNTING = SQLModel.metadata.tables["token"], SQLModel.metadata.tables["accounting"]
session, device = SESSIONS.c, DEVICES.c
entry, saved_response, token = JOURNAL.c, SAVED_RESPONSES.c, TOKENS.c

# Lists of session columns, derived from the table. `tests/unit/test_session_columns.py` checks the few others.
SESSION_COLUMNS = tuple(column for column in SESSIONS.c if not column.info.get("internal"))  # those of `SessionRow`
ROW_WIDTH = len(SESSION_COLUMNS)
INSERT_COLUMNS = tuple(column.name for column in SESSIONS.c if column.computed is None)  # also what `copy` copies
INTEGER_COLUMNS = frozenset(column.name for column in SESSIONS.c if isinstance(column.type, Integer))

# The values of optional columns of a new session.
SESSION_DEFAULTS: dict[str, Any] = {
    name: 0 if SESSIONS.c[name].server_default else None
    for name in INSERT_COLUMNS
    if SESSIONS.c[name].nullable or SESSIONS.c[name].server_default
}

JOURNAL_COLUMNS = tuple(column.name for column in JOURNAL.c if not column.primary_key)
