"""The store: append-only facts and results, one unit of work with one audit entry, on SQLite or PostgreSQL (docs/store.md).

The application opens one `Store`; verbs take an actor and write through `Store.work`:

    with store.work(actor) as work:
        patient = Patient(ward_id="icu", identifier="123", authority="hospital", family="Doe", given="Ann")
        work.session.add(patient)
        work.session.flush()
        work.record("patient.register", "patient", patient.id, ward=patient.ward_id, after=patient.as_data())

`facts` and `results` add what is written once; `tables` are the rows.
"""

from auctor.web.store.errors import AuditError, NotFound, SignatureError, StaleError, StoreError, StoreUnavailable
from auctor.web.store.store import Store
from auctor.web.store.work import Reading, Work

__all__ = ["AuditError", "NotFound", "Reading", "SignatureError", "StaleError", "Store", "StoreError", "StoreUnavailable", "Work"]
