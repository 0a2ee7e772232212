"""PostgreSQL: the application's role with no more rights than it needs, and row-level security by ward."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROLE = "auctor_application"
CHANGING = ("account", "account_ward", "api_key", "course", "message", "outbox", "patient", "session", "ward", "webauthn_credential")
WRITTEN_ONCE = ("audit", "fact", "feedback", "prediction", "reopening", "result", "score", "signature")

SEES = """
CREATE FUNCTION auctor_sees(ward text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(string_to_array(nullif(current_setting('auctor.wards', true), ''), ',') && ARRAY[ward, '*'], false)
$$
"""
AUDIT_END = """
CREATE FUNCTION audit_end() RETURNS TABLE (sequence integer, hash varchar) LANGUAGE sql STABLE SECURITY DEFINER
  SET search_path FROM CURRENT AS $$ SELECT a.sequence, a.hash FROM audit a ORDER BY a.sequence DESC LIMIT 1 $$
"""
RULES = {
    "patient": "auctor_sees(ward_id)",
    "message": "auctor_sees(ward_id)",
    "course": "EXISTS (SELECT 1 FROM patient p WHERE p.id = patient_id)",
    "fact": "EXISTS (SELECT 1 FROM course c WHERE c.id = course_id)",
    "result": "EXISTS (SELECT 1 FROM course c WHERE c.id = course_id)",
    "prediction": "EXISTS (SELECT 1 FROM course c WHERE c.id = course_id)",
    "signature": "EXISTS (SELECT 1 FROM result r WHERE r.id = result_id)",
    "reopening": "EXISTS (SELECT 1 FROM result r WHERE r.id = result_id)",
    "outbox": "EXISTS (SELECT 1 FROM result r WHERE r.id = result_id)",
    "score": "EXISTS (SELECT 1 FROM prediction p WHERE p.id = prediction_id)",
}


def upgrade() -> None:
    """Nothing on SQLite, which has neither roles nor row-level security."""
    if op.get_bind().dialect.name != "postgresql":
        return
    _role()
    _rights()
    op.execute(SEES)
    op.execute(AUDIT_END)
    for table, rule in RULES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_own_wards ON {table} TO {ROLE} USING ({rule}) WITH CHECK ({rule})")
    _audit()


def _role() -> None:
    """The role belongs to the cluster: it may be there already. The owner of the tables becomes a member of it."""
    bind = op.get_bind()
    if not bind.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": ROLE}):
        op.execute(f"CREATE ROLE {ROLE} NOLOGIN")
    if not bind.scalar(sa.text("SELECT pg_has_role(current_user, :name, 'MEMBER')"), {"name": ROLE}):
        op.execute(f"GRANT {ROLE} TO CURRENT_USER")


def _rights() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
    op.execute(f"GRANT SELECT ON alembic_version TO {ROLE}")
    for table in (*CHANGING, *WRITTEN_ONCE):
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC")
        op.execute(f"GRANT SELECT, INSERT ON {table} TO {ROLE}")
    for table in CHANGING:
        op.execute(f"GRANT UPDATE, DELETE ON {table} TO {ROLE}")


def _audit() -> None:
    op.execute("ALTER TABLE audit ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY of_own_wards ON audit FOR SELECT TO {ROLE} USING (ward IS NULL OR auctor_sees(ward))")
    op.execute(f"CREATE POLICY anybody_appends ON audit FOR INSERT TO {ROLE} WITH CHECK (true)")
    op.execute("REVOKE ALL ON FUNCTION audit_end() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION audit_end() TO {ROLE}")
