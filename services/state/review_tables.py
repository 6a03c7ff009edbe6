"""Tables of the reviews database. Migrations make them; these definitions are for writing queries."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

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

reviews = Table(
    "reviews",
    metadata,
    Column("id", String(64), primary_key=True),  # of tenant, use case and redacted request
    Column("tenant", String(63), nullable=False),
    Column("use_case", String(64), nullable=False),
    Column("decision_id", String(64), nullable=False),  # the first one
    Column("fields", Text, nullable=False),  # redacted; empty once it is resolved
    Column("output", Text, nullable=False),  # as `fields`
    Column("why", String(200), nullable=False),
    Column("route", String(100), nullable=False),
    Column("answered", String(200)),
    Column("rank", Integer, nullable=False),
    Column("seen", Integer, nullable=False),  # how many decisions on this request were to be reviewed
    Column("agreement", Integer, nullable=False),
    Column("at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Column("lease_by", String(64)),
    Column("lease_until", String(32)),
    Column("correct", Boolean),
    Column("label", String(200)),
    Column("resolved_at", String(32)),
    Index("reviews_waiting", "tenant", "use_case", "resolved_at", "rank"),
)

votes = Table(
    "review_votes",
    metadata,
    Column("review_id", String(64), primary_key=True),
    Column("source", String(64), primary_key=True),  # the reviewer's key
    Column("correct", Boolean, nullable=False),
    Column("label", String(200)),
    Column("at", String(32), nullable=False),
)

samples = Table(
    "review_samples",
    metadata,
    Column("decision_id", String(64), primary_key=True),
    Column("review_id", String(64), nullable=False),
    Column("tenant", String(63), nullable=False),
    Column("use_case", String(64), nullable=False),
    Column("route", String(100), nullable=False),
    Column("answered", String(200)),
    Column("rate", Float, nullable=False),  # how likely it was to be drawn
    Column("at", String(32), nullable=False),
    Index("review_samples_use_case_at", "use_case", "at"),
)

tallies = Table(
    "review_tallies",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("use_case", String(64), primary_key=True),
    Column("what", String(20), primary_key=True),  # enqueued, repeated, dropped, expired, resolved, corrected
    Column("n", BigInteger, nullable=False),
)
