"""Tables of the state database. Migrations make them; these definitions are for writing queries.

Times are ISO 8601 text in UTC, so that SQLite and PostgreSQL order them alike.
"""

from sqlalchemy import Column, Index, MetaData, String, Table, Text

metadata = MetaData()

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("roles", String(100), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32), nullable=False),
    Column("revoked_at", String(32)),
    Index("api_keys_tenant", "tenant"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("key_hash", String(64), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("response", Text),  # redacted; NULL while the first request is still at work
    Column("expires_at", String(32), nullable=False),
    Index("idempotency_expires_at", "expires_at"),
)

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),  # redacted
    Column("expires_at", String(32), nullable=False),
    Index("kept_answers_expires_at", "expires_at"),
)
