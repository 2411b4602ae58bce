"""What Alembic runs: the catalogue's revisions on the connection that it was given.

The program gives the connection (``passerby.city.schema``). A developer's ``alembic revision
--autogenerate`` gives ``metadata`` too.
"""

from alembic import context

CONNECTION = context.config.attributes["connection"]

context.configure(
    connection=CONNECTION,
    target_metadata=context.config.attributes.get("metadata"),
    transactional_ddl=True,  # on SQLite too: the engine begins each transaction itself
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
