"""What the plausibility check finds, as rows: the place of each sample, what to ask about, and every what-if that was weighed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auctor.report.finding_words import Telling
from auctor.report.plausibility import place_text
from auctor.report.shown import AUC, exposure
from auctor.web.pages.language import Language
from auctor.web.pages.views.finding import finding_rows, weighed_row
from auctor.web.pages.voice import PageVoice
from auctor.web.pages.words import field_name
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import read

if TYPE_CHECKING:
    from auctor.web.service.suspicion import Suspicion

MOST = 12  # what-ifs shown beyond the findings


def suspicion_view(suspicion: Suspicion, file: CourseFile, language: Language) -> dict[str, Any]:
    """The context of the page; its sentences in the reader's language, with the times of the ward's clock."""
    found, start = suspicion.found, suspicion.start
    told = Telling(voice=PageVoice(language), start=None if start is None else start.astimezone(file.zone))
    shown = exposure(read(found.model), AUC)
    others = sorted((f for f in found.alternatives if f not in found.findings), key=lambda f: -f.log_likelihood_ratio)
    places = [
        {
            "where": field_name(p.where, language),
            "before": place_text(p.a_priori, told.voice),
            "others": place_text(p.leave_one_out, told.voice),
        }
        for p in found.places
    ]
    kept = finding_rows(file.findings, file, language)
    latest = {_name(row): row for row in kept}
    present = [row | {"kept": latest.get(_name(row))} for row in (weighed_row(f, shown, told, language) for f in found.findings)]
    return {
        "places": places,
        "findings": present,
        "others": [weighed_row(f, shown, told, language) for f in others[:MOST]],
        "earlier": [row for row in kept if _name(row) not in {_name(row) for row in present}],
        "unit": shown.pretty,
        "recorded": "\u2013" if found.auc_recorded is None else language.number(shown.value(found.auc_recorded)),
        "calibrated": found.calibrated,
    }


def _name(row: dict[str, Any]) -> tuple[str, str]:
    """What a finding is known by: the slip, and the entry that it doubts."""
    return row["kind"], row["where"]
