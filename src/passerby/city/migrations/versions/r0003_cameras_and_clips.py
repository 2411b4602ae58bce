"""Cameras with a history, and a table of clips.

A camera that stood there before has one version without bounds. A clip that was ingested before has
only its name and its options: an older program stored neither its content nor its camera.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ALWAYS = -(1 << 62)
PREFIX = "ingest."
FIELDS = "id, number, name, name_zh, unit, lon, lat, heading, field_of_view, height, range"


def upgrade() -> None:
    """Rebuild the cameras, and make rows of clips from settings."""
    # another primary key: in both databases a new table is the simplest way to it
    op.execute("CREATE TABLE cameras_before AS SELECT * FROM cameras")
    op.drop_table("cameras")
    op.create_table(
        "cameras",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("valid_from", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("valid_to", sa.BigInteger),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_zh", sa.String, nullable=False),
        sa.Column("unit", sa.String(64), sa.ForeignKey("units.code"), nullable=False),
        *(
            sa.Column(name, sa.Double, nullable=False)
            for name in ("lon", "lat", "heading", "field_of_view", "height", "range")
        ),
        sa.Column("clock", sa.BigInteger, nullable=False),
    )
    op.execute(
        f"INSERT INTO cameras (valid_from, clock, {FIELDS}) "
        f"SELECT {ALWAYS}, 0, {FIELDS} FROM cameras_before"
    )
    op.drop_table("cameras_before")
    _create_clips()


def _create_clips() -> None:
    clips = op.create_table(
        "clips",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("content", sa.String(64), nullable=False),
        sa.Column("camera", sa.String(64), nullable=False),
        sa.Column("start", sa.BigInteger),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("target", sa.BigInteger),
        sa.Column("first", sa.BigInteger),
        sa.Column("last", sa.BigInteger),
        sa.Column("gaps", sa.JSON, nullable=False),
        sa.Column("frames", sa.Integer, nullable=False),
        sa.Column("sightings", sa.Integer, nullable=False),
        sa.Column("ingested", sa.BigInteger, nullable=False),
    )
    op.create_index("clips_of_camera", "clips", ["camera", "first"])
    op.create_index("clips_of_content", "clips", ["content"])
    connection = op.get_bind()
    settings = sa.table("settings", sa.column("key"), sa.column("value"))
    known = sa.select(settings).where(settings.c.key.like(f"{PREFIX}%"))
    rows = [
        {
            "name": key.removeprefix(PREFIX),
            "options": json.loads(value),
            "state": "stored",
            **dict.fromkeys(("content", "camera", "source"), ""),
            **dict.fromkeys(("frames", "sightings", "ingested"), 0),
            "gaps": [],
        }
        for key, value in connection.execute(known)
        if len(key) == len(PREFIX) + 16
    ]
    if rows:
        connection.execute(clips.insert(), rows)
    connection.execute(settings.delete().where(settings.c.key.like(f"{PREFIX}%")))
