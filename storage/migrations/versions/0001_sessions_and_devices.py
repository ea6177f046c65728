"""Create the session and device tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

STATE = """CASE
    WHEN connected_at IS NULL THEN 'MISSING_CONNECTION'
    WHEN disconnected_at IS NOT NULL THEN 'COMPLETE'
    WHEN disconnection_event IS NULL THEN 'CONNECTED'
    ELSE 'MISSING_DISCONNECTION' END"""

SPAN = """CASE
    WHEN disconnected_at IS NULL AND disconnection_event IS NULL THEN 5
    WHEN connected_at IS NULL OR disconnected_at IS NULL THEN 0
    WHEN disconnected_at - connected_at <= 3600000000 THEN 0
    WHEN disconnected_at - connected_at <= 14400000000 THEN 1
    WHEN disconnected_at - connected_at <= 86400000000 THEN 2
    WHEN disconnected_at - connected_at <= 604800000000 THEN 3
    ELSE 4 END"""


def upgrade() -> None:
    op.create_table(
        "device",
        sa.Column("mac", TEXT, primary_key=True, comment="AA:BB:CC:DD:EE:FF"),
        sa.Column("name", TEXT, comment="given by a person"),
        sa.Column("owner", TEXT, comment="given by a person"),
    )
    op.create_table(
        "session",
        sa.Column("mac", TEXT, primary_key=True, comment="AA:BB:CC:DD:EE:FF; in every key, so that it can shard"),
        sa.Column(
            "id",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="made by the program: milliseconds since 1970, then 21 random bits",
        ),
        sa.Column("ip", TEXT, nullable=False, comment="IPv4 or IPv6 in canonical form"),
        sa.Column("connected_at", sa.BigInteger, comment="null: the connection was never seen"),
        sa.Column("disconnected_at", sa.BigInteger, comment="null: still connected, or never seen"),
        sa.Column("connection_event", TEXT, nullable=False, comment="event type of the start"),
        sa.Column("disconnection_event", TEXT, comment="event type of the end; null: connected"),
        sa.Column("info", TEXT, nullable=False, comment="free text"),
        sa.Column("state", TEXT, sa.Computed(STATE, persisted=True), comment="read off the two ends"),
        sa.Column(
            "starts_at",
            sa.BigInteger,
            sa.Computed("coalesce(connected_at, disconnected_at)", persisted=True),
            nullable=False,
            comment="the first end that was seen; what lists are ordered by",
        ),
        sa.Column("span", sa.SmallInteger, sa.Computed(SPAN, persisted=True), comment="span class"),
        sa.CheckConstraint("connected_at <= disconnected_at", name="session_end_not_before_start"),
        sa.CheckConstraint(
            "connected_at IS NOT NULL OR disconnected_at IS NOT NULL", name="session_has_at_least_one_end"
        ),
        sa.CheckConstraint(
            "(connected_at IS NULL) = (connection_event = '<missing event>')",
            name="session_missing_connection_is_named",
        ),
        sa.CheckConstraint(
            "(disconnected_at IS NULL) = (disconnection_event IS NULL OR disconnection_event = '<missing event>')",
            name="session_missing_disconnection_is_named",
        ),
    )
    op.create_index("session_by_start", "session", ["starts_at", "id"])
    op.create_index("session_by_device", "session", ["mac", "starts_at", "id"])
    op.create_index("session_by_device_end", "session", ["mac", "disconnected_at"])
    op.create_index("session_by_span", "session", ["span", "starts_at"])
