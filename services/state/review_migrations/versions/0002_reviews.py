"""The review queue: items, votes, the random sample, and what is counted of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("use_case", sa.String(64), nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("why", sa.String(200), nullable=False),
        sa.Column("route", sa.String(100), nullable=False),
        sa.Column("answered", sa.String(200)),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.Column("agreement", sa.Integer, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.String(32)),
        sa.Column("lease_by", sa.String(64)),
        sa.Column("lease_until", sa.String(32)),
        sa.Column("correct", sa.Boolean),
        sa.Column("label", sa.String(200)),
        sa.Column("resolved_at", sa.String(32)),
    )
    op.create_index("reviews_waiting", "reviews", ["tenant", "use_case", "resolved_at", "rank"])
    op.create_table(
        "review_votes",
        sa.Column("review_id", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("correct", sa.Boolean, nullable=False),
        sa.Column("label", sa.String(200)),
        sa.Column("at", sa.String(32), nullable=False),
    )
    op.create_table(
        "review_samples",
        sa.Column("decision_id", sa.String(64), primary_key=True),
        sa.Column("review_id", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("use_case", sa.String(64), nullable=False),
        sa.Column("route", sa.String(100), nullable=False),
        sa.Column("answered", sa.String(200)),
        sa.Column("rate", sa.Float, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )
    op.create_index("review_samples_use_case_at", "review_samples", ["use_case", "at"])
    op.create_table(
        "review_tallies",
        sa.Column("tenant", sa.String(63), primary_key=True),
        sa.Column("use_case", sa.String(64), primary_key=True),
        sa.Column("what", sa.String(20), primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("review_tallies", "review_samples", "review_votes", "reviews"):
        op.drop_table(table)
