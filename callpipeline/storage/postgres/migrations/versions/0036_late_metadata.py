"""Read metadata that arrives late, and distinguish recordings of one name."""

from pathlib import Path

from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Run the statements in the file of the same name."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
