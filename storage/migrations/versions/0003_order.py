"""PostgreSQL takes twice as long to merge the span classes of a list as to walk one index: two more, in plain order.

SQLite merges for next to nothing, and each index costs an insert a tenth; there the classes serve both.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("session_in_order", "session", ["starts_at", "id"])
        op.create_index("session_of_device_in_order", "session", ["mac", "starts_at", "id"])
