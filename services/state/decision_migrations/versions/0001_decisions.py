"""Shipped decisions, how far each journal file is shipped, the signed log, and what retention did."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("use_case", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("node", sa.String(16), nullable=False),
        sa.Column("file", sa.String(100), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("line", sa.Text, nullable=False),
    )
    op.create_index("decisions_tenant_at", "decisions", ["tenant", "at"])
    op.create_index("decisions_at", "decisions", ["at"])
    op.create_index("decisions_place", "decisions", ["file", "seq"], unique=True)
    op.create_table(
        "shipped",
        sa.Column("file", sa.String(100), primary_key=True),
        sa.Column("node", sa.String(16), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger, nullable=False),
        sa.Column("rewrites", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.create_index("shipped_node", "shipped", ["node"])
    op.create_table(
        "evidence_log",
        sa.Column("node", sa.String(16), primary_key=True),
        sa.Column("log", sa.String(64), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("entry", sa.Text, nullable=False),
    )
    op.create_table(
        "retentions",
        sa.Column("event", sa.String(32), primary_key=True),
        sa.Column("file", sa.String(100), nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in ("retentions", "evidence_log", "shipped", "decisions"):
        op.drop_table(table)
