"""What Alembic runs: it upgrades over the connection that it is handed."""

from alembic import context

from storage.tables import SQLModel

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
