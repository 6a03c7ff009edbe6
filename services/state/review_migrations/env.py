"""What alembic runs for the reviews database, over the connection that `migrate` opened."""

from alembic import context

from services.state.review_tables import VERSION_TABLE, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, transactional_ddl=True, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
