"""What alembic runs: migrate over the connection that `services.state.database.migrate` opened."""

from alembic import context

from services.state.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
