"""Tables of the decisions database. Migrations make them; these definitions are for writing queries."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

VERSION_TABLE = "decisions_version"
metadata = MetaData()

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("use_case", String(64), nullable=False),
    Column("at", String(32), nullable=False),
    Column("node", String(16), nullable=False),  # whose journal it stands in
    Column("file", String(100), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("line", Text, nullable=False),  # the journal's own line: it still proves itself
    Index("decisions_tenant_at", "tenant", "at"),
    Index("decisions_at", "at"),
    Index("decisions_place", "file", "seq", unique=True),
)

shipped = Table(
    "shipped",
    metadata,
    Column("file", String(100), primary_key=True),
    Column("node", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),  # the last record that was looked at, and its hash
    Column("hash", String(64), nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),  # where the next one begins, unless rewritten
    Column("rewrites", Integer, nullable=False),  # counts what retention did to the file
    Column("problem", Text),  # why nothing after `seq` is shipped
    Index("shipped_node", "node"),
)

evidence_log = Table(
    "evidence_log",
    metadata,
    Column("node", String(16), primary_key=True),
    Column("log", String(64), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("entry", Text, nullable=False),
)

retentions = Table(
    "retentions",
    metadata,
    Column("event", String(32), primary_key=True),
    Column("file", String(100), nullable=False),
    Column("records", Integer, nullable=False),
)
