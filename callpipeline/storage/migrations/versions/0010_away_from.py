"""Calls and mentions know for which service they wait, so that one of them tries for all."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns; the statements stand beside this file."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
