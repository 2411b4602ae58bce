"""What is stored can be checked: codes of the audit, checksums of tables, one-time passwords.

``looks`` counts what a case has looked at, so that many narrow searches do not make a wide one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add columns and two tables; the program fills in the checksums after this."""
    # plain ALTER statements: a rebuilt table would lose the audit's triggers
    op.add_column("audit", sa.Column("mac", sa.String(64)))
    op.add_column("searches", sa.Column("digest", sa.String(64)))
    op.add_column(
        "accounts",
        sa.Column("must_change", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.add_column("accounts", sa.Column("code_until", sa.BigInteger))
    op.create_table(
        "checksums",
        sa.Column("table", sa.String(64), primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "looks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case", sa.String(64), nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("cameras", sa.JSON, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
    )
    op.create_index("looks_of_case", "looks", ["case", "time"])
