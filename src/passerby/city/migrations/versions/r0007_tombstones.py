"""Tombstones of sightings that were erased: hashes, so that nothing brings them back."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "tombstones",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("erased", sa.BigInteger, nullable=False),
        sa.Column("options", sa.JSON),
    )
