"""The tables as they were before revisions were counted.

What is there already stays as it is: an old city in a file has some or all of them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# a row of the audit can be added; the database itself refuses to change or remove one
_SQLITE = """
CREATE TRIGGER IF NOT EXISTS audit_no_{verb} BEFORE {verb} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END
"""
_POSTGRESQL = (
    """
CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$
""",
    """
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
""",
)


def upgrade() -> None:
    """Create what is not there."""
    _create_map()
    _create_people()
    _create_cases()
    _create_work()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("update", "delete"):
            op.execute(_SQLITE.format(verb=verb))
    else:
        for statement in _POSTGRESQL:
            op.execute(statement)


def _create_map() -> None:
    op.create_table(
        "units",
        sa.Column("code", sa.String(64), primary_key=True),
        sa.Column("parent", sa.String(64), sa.ForeignKey("units.code")),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_zh", sa.String, nullable=False),
        sa.Column("geometry", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "cameras",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_zh", sa.String, nullable=False),
        sa.Column("unit", sa.String(64), sa.ForeignKey("units.code"), nullable=False),
        *(
            sa.Column(name, sa.Double, nullable=False)
            for name in ("lon", "lat", "heading", "field_of_view", "height", "range")
        ),
        if_not_exists=True,
    )
    op.create_table(
        "streets",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_zh", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("line", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.String, nullable=False),
        if_not_exists=True,
    )


def _create_people() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "grants",
        sa.Column("account", sa.String(64), sa.ForeignKey("accounts.name"), primary_key=True),
        sa.Column("unit", sa.String(32), primary_key=True),
        if_not_exists=True,
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("account", sa.String(64), sa.ForeignKey("accounts.name"), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )


def _create_cases() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("legal_basis", sa.Text, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("units", sa.JSON, nullable=False),
        sa.Column("opened", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.BigInteger),
        if_not_exists=True,
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case", sa.String(64), sa.ForeignKey("cases.id"), nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("units", sa.JSON, nullable=False),
        sa.Column("start", sa.BigInteger),
        sa.Column("end", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("decided_by", sa.String(64)),
        sa.Column("decided", sa.BigInteger),
        sa.Column("until", sa.BigInteger),
        if_not_exists=True,
    )


def _create_work() -> None:
    op.create_table(
        "searches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("case", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("audit", sa.Integer, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("case", sa.String(64)),
        sa.Column("units", sa.JSON, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        if_not_exists=True,
    )
