"""What the plausibility check found, as rows: the place of each sample, what to ask about, and every what-if that was weighed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from auctor.case import Metric
from auctor.data.plausibility.finding import Kind
from auctor.report.finding_words import Telling
from auctor.report.plausibility import place_text
from auctor.report.shown import Shown, exposure
from auctor.web.pages.language import Language
from auctor.web.pages.voice import PageVoice
from auctor.web.service.engine import read

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Finding
    from auctor.web.service.suspicion import Suspicion

MOST = 12  # what-ifs shown beyond the findings
MANY = 10_000.0


def suspicion_view(suspicion: Suspicion, language: Language) -> dict[str, Any]:
    """The context of the page; its sentences in the reader's language, with the times of the ward's clock."""
    found, told = suspicion.found, Telling(voice=PageVoice(language), start=suspicion.start)
    shown = exposure(read(found.model), Metric.parse("AUC0-24"))
    others = sorted((f for f in found.alternatives if f not in found.findings), key=lambda f: -f.log_likelihood_ratio)
    places = [
        {"where": p.where, "before": place_text(p.a_priori, told.voice), "others": place_text(p.leave_one_out, told.voice)}
        for p in found.places
    ]
    return {
        "places": places,
        "findings": [_row(f, shown, told, language) for f in found.findings],
        "others": [_row(f, shown, told, language) for f in others[:MOST]],
        "unit": shown.pretty,
        "recorded": "\u2013" if found.auc_recorded is None else language.number(shown.value(found.auc_recorded)),
        "calibrated": found.calibrated,
    }


def _row(finding: Finding, shown: Shown, told: Telling, language: Language) -> dict[str, str]:
    odds = finding.log_posterior_odds
    ratio = finding.likelihood_ratio
    one_to = math.exp(min(abs(odds), 600.0))
    shares = f"> {MANY:g}" if one_to > MANY else language.number(one_to, 2)
    return {
        "where": _place(finding),
        "what": told.what(finding),
        "ratio": f"> {MANY:g}" if ratio > MANY else language.number(ratio, 2),
        "odds": f"{shares} : 1" if odds >= 0 else f"1 : {shares}",
        "auc": "\u2013" if finding.auc_if is None else language.number(shown.value(finding.auc_if)),
        "change": "" if finding.change is None else f"{round(100 * finding.change):+d} %",
        "question": told.question(finding),
    }


def _place(finding: Finding) -> str:
    """Its field; which of several values of a covariate is meant, the sentence says."""
    return finding.where.partition("[")[0] if finding.kind is Kind.COVARIATE_UNIT else finding.where
