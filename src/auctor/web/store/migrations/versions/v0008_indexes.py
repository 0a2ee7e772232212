"""Indexes for a store that has grown: whether a level was scored, a course's last result, answers to cards by when they came."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The same on either database; the index on courses alone is the first part of the new one."""
    op.create_index(op.f("ix_score_fact_id_fact_revision"), "score", ["fact_id", "fact_revision"], unique=False)
    op.create_index(op.f("ix_feedback_received_at"), "feedback", ["received_at"], unique=False)
    op.create_index(op.f("ix_result_course_id_made_at"), "result", ["course_id", "made_at"], unique=False)
    op.drop_index(op.f("ix_result_course_id"), table_name="result")
