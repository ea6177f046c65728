"""Rename columns of the session and answer tables, and store journal snapshots by column name instead of by position."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

RENAMED = {
    "session": {"seen_at": "last_seen_at", "told_at": "last_reported_at"},
    "answer": {"asked": "request_hash", "message": "response"},
}

# The columns of a snapshot in the order in which earlier releases stored them.
SNAPSHOT_COLUMNS = (
    "mac",
    "id",
    "ip",
    "connected_at",
    "disconnected_at",
    "connection_event",
    "disconnection_event",
    "info",
    "state",
)

COMMENTS = {
    "session": {
        "mac": "AA:BB:CC:DD:EE:FF; in every unique key, for sharding",
        "connected_at": "null: the connection was not observed",
        "disconnected_at": "null: still connected, or the disconnection was not observed",
        "state": "computed from the ends",
        "starts_at": "the first observed end; the sort key of lists",
        "span": "span class; read only from indexes",
        "last_reported_at": "the last repeated start report while it was open",
    },
    "device": {"name": "set by a person", "owner": "set by a person"},
    "change": {
        "who": "name of the token or of the command",
        "before": "the session before, as a JSON object by column name; null if created",
        "after": "the session after, in the same form; null if created or deleted",
    },
    "answer": {
        "key": "the Idempotency-Key, and the caller's name",
        "request_hash": "hash of the request",
        "response": "the response; null while the request runs",
    },
    "token": {"scope": "calendar, read, write or admin", "expires_at": "null: when it is revoked"},
    "accounting": {"acct_session_id": "Acct-Session-Id", "at": "when it was first reported"},
}


def _snapshot(column: str, *, is_postgresql: bool) -> str:
    """Return the SQL that converts a snapshot, or null, from a JSON array to an object."""
    if is_postgresql:
        function, values = "json_build_object", [f"{column}::json -> {n}" for n in range(len(SNAPSHOT_COLUMNS))]
    else:
        function, values = "json_object", [f"json_extract({column}, '$[{n}]')" for n in range(len(SNAPSHOT_COLUMNS))]
    pairs = ", ".join(f"'{name}', {value}" for name, value in zip(SNAPSHOT_COLUMNS, values, strict=True))
    cast = "::text" if is_postgresql else ""
    return f"CASE WHEN {column} IS NOT NULL THEN {function}({pairs}){cast} END"


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    before, after = (_snapshot(column, is_postgresql=is_postgresql) for column in ("before", "after"))
    # First, because it takes longest: the renames lock the tables until the commit.
    op.execute(f"UPDATE change SET before = {before}, after = {after} WHERE before IS NOT NULL")  # noqa: S608, from above
    for table, columns in RENAMED.items():
        for old, new in columns.items():
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    if is_postgresql:  # SQLite stores no comments
        for table, comments in COMMENTS.items():
            for column, comment in comments.items():
                op.alter_column(table, column, comment=comment)
