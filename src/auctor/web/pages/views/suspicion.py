"""What the plausibility check found, as rows: the place of each sample, what to ask about, and every what-if that was weighed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from auctor.case import Metric
from auctor.report.plausibility import place_text
from auctor.report.shown import exposure
from auctor.web.pages.language import Language
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import read

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Finding, Plausibility

MOST = 12  # what-ifs shown beyond the findings
MANY = 10_000.0


def suspicion_view(file: CourseFile, found: Plausibility, language: Language) -> dict[str, Any]:
    """The context of the page."""
    shown = exposure(read(found.model), Metric.parse("AUC0-24"))
    others = sorted((f for f in found.alternatives if f not in found.findings), key=lambda f: -f.log_likelihood_ratio)
    places = [
        {"where": p.where, "before": language.local(place_text(p.a_priori)), "others": language.local(place_text(p.leave_one_out))}
        for p in found.places
    ]
    return {
        "places": places,
        "findings": [_row(f, shown, language) for f in found.findings],
        "others": [_row(f, shown, language) for f in others[:MOST]],
        "unit": shown.pretty,
        "recorded": "\u2013" if found.auc_recorded is None else language.number(shown.value(found.auc_recorded)),
        "calibrated": found.calibrated,
    }


def _row(finding: Finding, shown: Any, language: Language) -> dict[str, str]:
    odds = finding.log_posterior_odds
    ratio = finding.likelihood_ratio
    one_to = language.number(math.exp(min(abs(odds), 600.0)), 2)
    return {
        "where": finding.where,
        "what": finding.what,
        "ratio": f"> {MANY:g}" if ratio > MANY else language.number(ratio, 2),
        "odds": f"{one_to} : 1" if odds >= 0 else f"1 : {one_to}",
        "auc": "\u2013" if finding.auc_if is None else language.number(shown.value(finding.auc_if)),
        "change": "" if finding.change is None else f"{100 * finding.change:+.0f} %",
        "question": finding.question,
    }
