"""Erasure and retention: what is to be erased, and a record of each deletion."""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables; the statements stand beside this file."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
