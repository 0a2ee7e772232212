"""Failed sign-ins: counted in the store, so that every process shares them and a restart does not forget them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROLE = "auctor_application"


def upgrade() -> None:
    """The table, which holds no patient and no history: the application's role may change and delete its rows."""
    op.create_table(
        "sign_in_failure",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_failure")),
    )
    op.create_index(op.f("ix_sign_in_failure_last_at"), "sign_in_failure", ["last_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("REVOKE ALL ON sign_in_failure FROM PUBLIC")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_failure TO {ROLE}")
