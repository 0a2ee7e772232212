"""Every table of the store, one set for SQLite and PostgreSQL.

`Fact`, `Result`, `Signature`, `Reopening`, `Question`, `Settlement`, `Prediction`, `Score`, `ShownCard`, `Feedback` and `Audit` are
append-only. The others may be changed, by a unit of work that leaves an audit entry. A new column or table needs a migration beside it
(docs/store.md).

>>> from auctor.web.store.tables import Patient
>>> row = Patient(id="p1", ward_id="icu", identifier="123", authority="demo", family="Doe", given="Ann", demo=True)
>>> row.row_key(), row.as_data()["family"]
('p1', 'Doe')
"""

from auctor.web.store.tables.asked import PLAUSIBILITY, VERDICTS, Question, RecordCheck, RecordRead, Settlement
from auctor.web.store.tables.clinical import (
    KINDS,
    SOURCES,
    Course,
    Fact,
    Patient,
    Prediction,
    Reopening,
    Result,
    Score,
    Signature,
)
from auctor.web.store.tables.columns import Table, canonical, iso, new_id, now
from auctor.web.store.tables.people import Account, AccountWard, ApiKey, Credential, Session, SignInFailure, Ward
from auctor.web.store.tables.traffic import Feedback, Message, Outbox, ShownCard
from auctor.web.store.tables.trail import Audit

__all__ = [
    "Account", "AccountWard", "ApiKey", "Audit", "Course", "Credential", "Fact", "Feedback", "KINDS", "Message", "Outbox",
    "PLAUSIBILITY", "Patient", "Prediction", "Question", "RecordCheck", "RecordRead", "Reopening", "Result", "SOURCES", "Score", "Session",
    "Settlement", "ShownCard", "SignInFailure", "Signature", "Table", "VERDICTS", "Ward", "canonical", "iso", "new_id", "now",
]  # fmt: skip
