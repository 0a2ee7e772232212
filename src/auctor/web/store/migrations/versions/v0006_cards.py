"""Cards that were shown in the hospital's ordering screens: without patient or ward, written once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROLE = "auctor_application"


def upgrade() -> None:
    """The table, and what keeps its rows as they were written on either database."""
    op.create_table(
        "card",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("indicator", sa.String(length=64), nullable=False),
        sa.Column("drug", sa.String(length=200), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card")),
    )
    op.create_index(op.f("ix_card_shown_at"), "card", ["shown_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TRIGGER card_written_once BEFORE UPDATE OR DELETE ON card FOR EACH ROW EXECUTE FUNCTION auctor_refuse()")
        op.execute("CREATE TRIGGER card_not_emptied BEFORE TRUNCATE ON card FOR EACH STATEMENT EXECUTE FUNCTION auctor_refuse()")
        op.execute("REVOKE ALL ON card FROM PUBLIC")
        op.execute(f"GRANT SELECT, INSERT ON card TO {ROLE}")
    else:
        _sqlite()


def _sqlite() -> None:
    for verb in ("UPDATE", "DELETE"):
        refused = f"SELECT RAISE(ABORT, 'append-only: {verb} of card')"
        op.execute(f"CREATE TRIGGER card_no_{verb.lower()} BEFORE {verb} ON card BEGIN {refused}; END")
    op.execute(
        "CREATE TRIGGER card_no_replace BEFORE INSERT ON card WHEN EXISTS (SELECT 1 FROM card WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'append-only: REPLACE in card'); END"
    )
