"""Serve every list from two indexes, ordered within a span class, by device and overall; index rare events by type.

Sessions with a missing end get classes of their own. The class is not stored in rows, because only indexes read it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SPAN = """CASE
    WHEN connected_at IS NULL THEN 8
    WHEN disconnected_at IS NULL AND disconnection_event IS NULL THEN 7
    WHEN disconnected_at IS NULL THEN 9
    WHEN disconnected_at - connected_at <= 3600000000 THEN 0
    WHEN disconnected_at - connected_at <= 14400000000 THEN 1
    WHEN disconnected_at - connected_at <= 86400000000 THEN 2
    WHEN disconnected_at - connected_at <= 604800000000 THEN 3
    WHEN disconnected_at - connected_at <= 2592000000000 THEN 4
    WHEN disconnected_at - connected_at <= 10368000000000 THEN 5
    ELSE 6 END"""


def upgrade() -> None:
    for name in ("start", "device", "device_end", "span"):
        op.drop_index(f"session_by_{name}", "session")
    # PostgreSQL cannot index a computed column that is not stored.
    stored = True if op.get_bind().dialect.name == "postgresql" else None
    op.drop_column("session", "span")
    comment = "span class; read from indexes only"
    op.add_column("session", sa.Column("span", sa.SmallInteger, sa.Computed(SPAN, persisted=stored), comment=comment))
    op.create_index("session_by_device", "session", ["mac", "span", "starts_at"])
    op.create_index("session_by_span", "session", ["span", "starts_at", "id"])
    op.create_index(
        "session_by_marked_start",
        "session",
        ["connection_event", "starts_at"],
        sqlite_where=sa.text("connection_event <> 'Connected'"),
        postgresql_where=sa.text("connection_event <> 'Connected'"),
    )
    op.create_index(
        "session_by_marked_end",
        "session",
        ["disconnection_event", "disconnected_at"],
        sqlite_where=sa.text("disconnection_event <> 'Disconnected'"),
        postgresql_where=sa.text("disconnection_event <> 'Disconnected'"),
    )
    if op.get_bind().dialect.name == "sqlite":
        # Statistics of a typical network for the planner, which would otherwise guess: the number of rows, then of rows per
        # value of the first column, of the first two columns, and so on.
        op.execute("ANALYZE sqlite_schema")
        for table, index, counts in (
            ("session", "session_by_device", "1000000 1000 100 1"),
            ("session", "session_by_span", "1000000 100000 2 1"),
            ("session", "session_by_marked_start", "50000 10000 1"),
            ("session", "session_by_marked_end", "50000 10000 1"),
            ("session", "sqlite_autoindex_session_1", "1000000 1000 1"),
            ("device", "sqlite_autoindex_device_1", "1000 1"),
        ):
            op.execute(f"INSERT INTO sqlite_stat1 VALUES ('{table}', '{index}', '{counts}')")  # noqa: S608, from above
