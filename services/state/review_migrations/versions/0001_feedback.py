"""What callers said of the decisions that they got."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("decision_id", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("use_case", sa.String(64), nullable=False),
        sa.Column("correct", sa.Boolean, nullable=False),
        sa.Column("label", sa.String(200)),
        sa.Column("at", sa.String(32), nullable=False),
    )
    op.create_index("feedback_source_at", "feedback", ["tenant", "source", "at"])


def downgrade() -> None:
    op.drop_table("feedback")
