"""Findings of the plausibility check are kept as questions: what each says, and when a course's record was last checked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ROLE = "auctor_application"
OF_OWN_COURSES = "EXISTS (SELECT 1 FROM course c WHERE c.id = course_id)"


def upgrade() -> None:
    """An empty column, which changes no digest of a row that is there, and a table of heads, which the application's role may change."""
    op.add_column("question", sa.Column("finding", sa.Text(), nullable=True))
    op.create_table(
        "record_check",
        sa.Column("course_id", sa.String(length=32), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("engine", sa.String(length=64), nullable=False),
        sa.Column("checked_by", sa.String(length=200), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["course_id"], ["course.id"], name=op.f("fk_record_check_course_id_course")),
        sa.PrimaryKeyConstraint("course_id", name=op.f("pk_record_check")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("REVOKE ALL ON record_check FROM PUBLIC")
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON record_check TO {ROLE}")
        op.execute("ALTER TABLE record_check ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_own_wards ON record_check TO {ROLE} USING ({OF_OWN_COURSES}) WITH CHECK ({OF_OWN_COURSES})")
