"""`INSERT … ON CONFLICT` for both databases that we run on."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def inserting(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """The insert of the database at hand; both have the same `on_conflict_…` methods."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)
