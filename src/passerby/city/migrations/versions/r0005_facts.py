"""Facts of units: census, land use, weather; and what all facts of a name share."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add two tables."""
    op.create_table(
        "fact_names",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("measure", sa.String, nullable=False),
        sa.Column("rule", sa.String(16), nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("unit", sa.String(64), sa.ForeignKey("units.code"), primary_key=True),
        sa.Column("name", sa.String(128), sa.ForeignKey("fact_names.name"), primary_key=True),
        sa.Column("date", sa.String(32), primary_key=True),
        sa.Column("number", sa.Double),
        sa.Column("text", sa.String),
        sa.Column("source", sa.String, nullable=False),
    )
    op.create_index("facts_of_name", "facts", ["name"])
