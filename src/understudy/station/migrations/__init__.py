"""Steps from each version of the tables to the next, run by Alembic. A step that was released stays."""
