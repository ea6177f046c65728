"""Add live sessions, the journal, saved responses of idempotent requests, tokens, and accounting ids."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
# SQLite generates values only for a key of type INTEGER. AUTOINCREMENT never reuses them.
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN_AND_LIVE = "live = 1 AND disconnected_at IS NULL AND disconnection_event IS NULL"


def upgrade() -> None:
    op.add_column(
        "session",
        sa.Column("live", sa.SmallInteger, nullable=False, server_default="0", comment="1: reported as it happened"),
    )
    op.add_column("session", sa.Column("seen_at", sa.BigInteger, comment="the last heartbeat while it was open"))
    op.add_column(
        "session", sa.Column("told_at", sa.BigInteger, comment="the last start that was reported while it was open")
    )
    op.create_index(
        "session_open_once",
        "session",
        ["mac"],
        unique=True,
        sqlite_where=sa.text(OPEN_AND_LIVE),
        postgresql_where=sa.text(OPEN_AND_LIVE),
    )
    op.create_table(
        "change",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=True, comment="in the order of commits"),
        sa.Column("at", sa.BigInteger, nullable=False, comment="when it was written"),
        sa.Column("kind", TEXT, nullable=False, comment="CREATED, UPDATED or DELETED"),
        sa.Column("mac", TEXT, nullable=False),
        sa.Column("id", sa.BigInteger, nullable=False, comment="of the session, with its MAC"),
        sa.Column("who", TEXT, nullable=False, comment="name of the token, or of the command"),
        sa.Column("before", TEXT, comment="the session as JSON; null where it was created"),
        sa.Column("after", TEXT, comment="the session as JSON; null where it was created or deleted"),
        sqlite_autoincrement=True,
    )
    changed = "before IS NOT NULL"
    op.create_index(
        "change_of_session",
        "change",
        ["mac", "id"],
        sqlite_where=sa.text(changed),
        postgresql_where=sa.text(changed),
    )
    op.create_table(
        "answer",
        sa.Column("key", TEXT, primary_key=True, comment="an Idempotency-Key, and whose"),
        sa.Column("asked", TEXT, nullable=False, comment="digest of the request that it came with"),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("message", TEXT, comment="the answer"),
    )
    op.create_table(
        "token",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False, unique=True, comment="SHA-256 of the token"),
        sa.Column("scope", TEXT, nullable=False, comment="what it may do: calendar"),
        sa.Column("made_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "accounting",
        sa.Column("nas", TEXT, primary_key=True, comment="the network access server"),
        sa.Column("acct_session_id", TEXT, primary_key=True, comment="its name for the session"),
        sa.Column("mac", TEXT, nullable=False),
        sa.Column("id", sa.BigInteger, nullable=False, comment="of the session, with its MAC"),
        sa.Column("at", sa.BigInteger, nullable=False, comment="when it was first told of"),
    )
