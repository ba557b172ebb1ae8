"""Mentions that could not be judged: why, and when they are tried again."""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the table; the statements stand beside this file."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
