"""An index of the words that were said, for full-text search."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Index the words of segments as English reads them: cancel finds cancelled."""
    op.execute(
        "CREATE INDEX segments_by_words ON segments USING gin (to_tsvector('english', text))"
    )
