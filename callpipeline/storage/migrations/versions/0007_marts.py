"""What Dagster counts by day: tables for its daily marts, views of them, and the calls of a day."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make tables and views; the statements stand beside this file."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
