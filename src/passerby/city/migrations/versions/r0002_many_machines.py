"""Room for a city on several machines.

A grant holds any unit's code (they have up to 64 signs, grants had 32), PostgreSQL counts the
audit in 64 bits (SQLite always did), and what the service looks up by has an index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Widen and index."""
    with op.batch_alter_table("grants") as grants:
        grants.alter_column("unit", existing_type=sa.String(32), type_=sa.String(64))
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("audit", "number", existing_type=sa.Integer(), type_=sa.BigInteger())
        op.alter_column("searches", "audit", existing_type=sa.Integer(), type_=sa.BigInteger())
    op.create_index("searches_of_account", "searches", ["account", "created"])
    op.create_index("approvals_of_case", "approvals", ["case", "account"])
    op.create_index("sessions_of_account", "sessions", ["account"])
