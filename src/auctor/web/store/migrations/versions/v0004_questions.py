"""Questions of a feed, how they were settled, and when a record was last read: tables, triggers, rights and row-level security."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROLE = "auctor_application"
WRITTEN_ONCE = ("question", "settlement")
RULES = {
    "question": "EXISTS (SELECT 1 FROM course c WHERE c.id = course_id)",
    "record_read": "EXISTS (SELECT 1 FROM course c WHERE c.id = course_id)",
    "settlement": "EXISTS (SELECT 1 FROM question q WHERE q.id = question_id)",
}


def upgrade() -> None:
    """The tables, and what keeps them as they should be on either database."""
    _question()
    _settlement()
    _record_read()
    if op.get_bind().dialect.name == "postgresql":
        _postgresql()
    else:
        _sqlite()


def _fact_columns() -> list[sa.Column[object]]:
    return [sa.Column("fact_id", sa.String(length=32), nullable=True), sa.Column("fact_revision", sa.Integer(), nullable=True)]


def _fact_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["fact_id", "fact_revision"], ["fact.id", "fact.revision"], name=op.f(f"fk_{table}_fact_id_fact"))


def _question() -> None:
    op.create_table(
        "question",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("course_id", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("reference", sa.String(length=400), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=200), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("draft", sa.Text(), nullable=True),
        *_fact_columns(),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("raised_by", sa.String(length=200), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["course_id"], ["course.id"], name=op.f("fk_question_course_id_course")),
        _fact_key("question"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_question")),
    )
    op.create_index(op.f("ix_question_course_id"), "question", ["course_id"], unique=False)
    op.create_index(op.f("ix_question_digest"), "question", ["digest"], unique=False)


def _settlement() -> None:
    op.create_table(
        "settlement",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("question_id", sa.String(length=32), nullable=False),
        sa.Column("verdict", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        *_fact_columns(),
        sa.Column("settled_by", sa.String(length=200), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("verdict IN ('answered', 'confirmed', 'dismissed', 'gone')", name=op.f("ck_settlement_verdict")),
        sa.ForeignKeyConstraint(["question_id"], ["question.id"], name=op.f("fk_settlement_question_id_question")),
        _fact_key("settlement"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement")),
        sa.UniqueConstraint("question_id", name=op.f("uq_settlement_question_id")),
    )


def _record_read() -> None:
    op.create_table(
        "record_read",
        sa.Column("course_id", sa.String(length=32), nullable=False),
        sa.Column("server", sa.String(length=400), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["course_id"], ["course.id"], name=op.f("fk_record_read_course_id_course")),
        sa.PrimaryKeyConstraint("course_id", name=op.f("pk_record_read")),
    )


def _sqlite() -> None:
    for table in WRITTEN_ONCE:
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only: {verb} of {table}'); END")
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
            f"BEGIN SELECT RAISE(ABORT, 'append-only: REPLACE in {table}'); END"
        )


def _postgresql() -> None:
    for table in WRITTEN_ONCE:
        op.execute(f"CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION auctor_refuse()")
        op.execute(f"CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION auctor_refuse()")
    for table, rule in RULES.items():
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC")
        op.execute(f"GRANT SELECT, INSERT ON {table} TO {ROLE}")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_own_wards ON {table} TO {ROLE} USING ({rule}) WITH CHECK ({rule})")
    op.execute(f"GRANT UPDATE ON record_read TO {ROLE}")
