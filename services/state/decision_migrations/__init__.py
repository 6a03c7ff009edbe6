"""How the state database came to have the form that it has (alembic)."""
