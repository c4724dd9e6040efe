"""Runs migrations on the connection that it is handed; Alembic calls it."""

from alembic import context

from mpi.store import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema.metadata)
context.run_migrations()
