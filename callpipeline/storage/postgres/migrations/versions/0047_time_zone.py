"""Count days in one time zone, which is a setting."""

from pathlib import Path

from alembic import op

revision = "0047"
down_revision = "0042"


def upgrade() -> None:
    """Run the statements in the file of the same name."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
