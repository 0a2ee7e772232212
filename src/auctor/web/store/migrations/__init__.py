"""Alembic scripts: each brings a database from one version of the tables to the next, and never changes once released."""
