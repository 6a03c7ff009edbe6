"""How the reviews database came to have the form that it has (alembic)."""
