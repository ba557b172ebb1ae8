"""Keep evaluations on labels, so that a change that makes results worse is noticed."""

from pathlib import Path

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Run the statements in the file of the same name."""
    op.execute(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:"))
