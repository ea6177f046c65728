"""Alembic's environment: runs migrations on the connection that the caller passes."""

from alembic import context
from sqlmodel import SQLModel

import storage.tables  # noqa: F401, registers the tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
