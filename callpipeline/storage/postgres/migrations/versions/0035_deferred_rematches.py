"""Let calls of a rematch wait for a judge that is away."""

from pathlib import Path

from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Run the statements in the file of the same name."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
