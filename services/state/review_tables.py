"""Tables of the reviews database. Migrations make them; these definitions are for writing queries."""

from sqlalchemy import Boolean, Column, Index, MetaData, String, Table

VERSION_TABLE = "reviews_version"
metadata = MetaData()

feedback = Table(
    "feedback",
    metadata,
    Column("decision_id", String(64), primary_key=True),
    Column("source", String(64), primary_key=True),  # the key that sent it
    Column("tenant", String(63), nullable=False),
    Column("use_case", String(64), nullable=False),
    Column("correct", Boolean, nullable=False),
    Column("label", String(200)),
    Column("at", String(32), nullable=False),
    Index("feedback_source_at", "tenant", "source", "at"),
)
