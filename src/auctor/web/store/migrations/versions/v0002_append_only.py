"""What is written once stays: triggers refuse a change, a deletion and the emptying of the append-only tables."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("audit", "fact", "feedback", "prediction", "reopening", "result", "score", "signature")

REFUSE = """
CREATE FUNCTION auctor_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'append-only: % of %', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""


def upgrade() -> None:
    """The triggers of either database."""
    if op.get_bind().dialect.name == "postgresql":
        _postgresql()
    else:
        _sqlite()


def _sqlite() -> None:
    for table in TABLES:
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only: {verb} of {table}'); END")
        _sqlite_no_replacement(table)


def _sqlite_no_replacement(table: str) -> None:
    """INSERT OR REPLACE would delete the old row without its trigger."""
    key = {"audit": "sequence = NEW.sequence", "fact": "id = NEW.id AND revision = NEW.revision"}.get(table, "id = NEW.id")
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {key}) "
        f"BEGIN SELECT RAISE(ABORT, 'append-only: REPLACE in {table}'); END"
    )


def _postgresql() -> None:
    op.execute(REFUSE)
    for table in TABLES:
        op.execute(f"CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION auctor_refuse()")
        op.execute(f"CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION auctor_refuse()")
