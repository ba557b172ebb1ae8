"""Exact places of corrected words in the transcript that was corrected."""

from pathlib import Path

from alembic import op

revision = "0052"
down_revision = "0051"


def upgrade() -> None:
    """Run the statements in the file of the same name."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
