"""A real result.json for tests, and the ways it may be sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auctor.cli.question import Question, answer
from auctor.fhir.returned import Return, Signed, Standing
from auctor.report.result import as_dict

SOURCES = ("Observation/peak", "Observation/trough", "MedicationAdministration/a1")
CHOSEN = "1250 mg every 24 h over 1.25 h"
SIGNED = Signed(by="Dr B. Exemple", at="2026-03-03T09:00:00+01:00", regimen=CHOSEN, reason="renal function", reference="Practitioner/d1")
PDF = b"%PDF-1.7 the report"


def real_result(root: Path) -> dict[str, Any]:
    """The vancomycin example, analysed without machine learning, whose column therefore says why it abstains."""
    asked = Question(case=root / "examples" / "vancomycin_two_levels.toml", ml=False, draws=200)
    return as_dict(answer(asked, tell=lambda line: None, progress=lambda step, share: None))


def sent(standing: Standing = Standing.PRELIMINARY, **changes: Any) -> Return:
    """One way of sending it."""
    signed = None if standing is Standing.PRELIMINARY else SIGNED
    given: dict[str, Any] = {"patient": "Patient/p1", "identifier": "r2", "at": "2026-03-03T08:00:00+01:00", "sources": SOURCES, "pdf": PDF}
    return Return(**(given | {"standing": standing, "signed": signed, "replaces": "r1" if standing.replacing else ""} | changes))
