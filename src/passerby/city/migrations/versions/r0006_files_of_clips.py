"""Where the file of a clip is: a column of the clips, no more a setting for each content."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

PREFIX = "context."  # and the first 32 signs of the content's SHA-256


def upgrade() -> None:
    """Add the column and take over the settings; those of clips that are gone go."""
    op.add_column("clips", sa.Column("file", sa.JSON))
    connection = op.get_bind()
    settings = sa.table("settings", sa.column("key"), sa.column("value"))
    clips = sa.table("clips", sa.column("content", sa.String), sa.column("file", sa.JSON))
    known = sa.select(settings).where(settings.c.key.like(f"{PREFIX}%"))
    for key, value in connection.execute(known).all():
        content = clips.c.content.like(f"{key.removeprefix(PREFIX)}%")
        connection.execute(clips.update().where(content).values(file=json.loads(value)))
    connection.execute(settings.delete().where(settings.c.key.like(f"{PREFIX}%")))
