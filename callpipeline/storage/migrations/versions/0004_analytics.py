"""Schema `analytics`: views with plain names for people and programs that ask questions."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the views and who may read them; the statements stand beside this file."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
