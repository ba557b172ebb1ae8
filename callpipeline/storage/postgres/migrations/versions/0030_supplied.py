"""Add flags of supplied transcripts, and corrections of what is known about calls."""

from pathlib import Path

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Run the statements in the file of the same name."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
