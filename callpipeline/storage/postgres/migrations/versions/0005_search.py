"""Add a full-text index of segments."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Index segments with English stemming: `cancel` finds `cancelled`."""
    op.execute(
        "CREATE INDEX segments_by_words ON segments USING gin (to_tsvector('english', text))"
    )
