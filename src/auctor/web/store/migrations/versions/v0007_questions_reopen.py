"""A question may re-open a signed result, as a fact does: `reopening` names the one or the other. Its rows and digests stay as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

EITHER = "(fact_id IS NULL) <> (question_id IS NULL)"
OLD, NEW = "reopening", "reopening_new"


def upgrade() -> None:
    """On PostgreSQL in place; SQLite cannot take back a NOT NULL, so there the table is made anew and filled from the old one."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(OLD, "fact_id", nullable=True)
        op.alter_column(OLD, "fact_revision", nullable=True)
        op.add_column(OLD, sa.Column("question_id", sa.String(length=32), nullable=True))
        op.create_foreign_key(op.f("fk_reopening_question_id_question"), OLD, "question", ["question_id"], ["id"])
        op.create_check_constraint(op.f("ck_reopening_fact_or_question"), OLD, EITHER)
    else:
        _again()
        _written_once()


def _again() -> None:
    op.create_table(
        NEW,
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("result_id", sa.String(length=32), nullable=False),
        sa.Column("fact_id", sa.String(length=32), nullable=True),
        sa.Column("fact_revision", sa.Integer(), nullable=True),
        sa.Column("question_id", sa.String(length=32), nullable=True),
        sa.Column("reopened_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["fact_id", "fact_revision"], ["fact.id", "fact.revision"], name=op.f("fk_reopening_fact_id_fact")),
        sa.ForeignKeyConstraint(["question_id"], ["question.id"], name=op.f("fk_reopening_question_id_question")),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name=op.f("fk_reopening_result_id_result")),
        sa.CheckConstraint(EITHER, name=op.f("ck_reopening_fact_or_question")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reopening")),
    )
    columns = "id, result_id, fact_id, fact_revision, reopened_at"
    op.execute(f"INSERT INTO {NEW} ({columns}) SELECT {columns} FROM {OLD}")
    op.drop_table(OLD)
    op.rename_table(NEW, OLD)
    op.create_index(op.f("ix_reopening_result_id"), OLD, ["result_id"], unique=False)


def _written_once() -> None:
    """The triggers went with the old table."""
    for verb in ("UPDATE", "DELETE"):
        refuse = f"BEGIN SELECT RAISE(ABORT, 'append-only: {verb} of {OLD}'); END"
        op.execute(f"CREATE TRIGGER {OLD}_no_{verb.lower()} BEFORE {verb} ON {OLD} {refuse}")
    op.execute(
        f"CREATE TRIGGER {OLD}_no_replace BEFORE INSERT ON {OLD} WHEN EXISTS (SELECT 1 FROM {OLD} WHERE id = NEW.id) "
        f"BEGIN SELECT RAISE(ABORT, 'append-only: REPLACE in {OLD}'); END"
    )
