"""Add an expiry to tokens. Tokens may have other scopes than `calendar`."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("token", sa.Column("expires_at", sa.BigInteger, comment="when it ends; null: when it is withdrawn"))
    if op.get_bind().dialect.name == "postgresql":  # SQLite stores no comments
        op.alter_column("token", "scope", comment="what it may do: calendar, read, write or admin")
