"""What the plausibility check found, as a table, sentences and JSON; the same words on every page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from auctor.data.plausibility.finding import Finding, Plausibility, SamplePlace
from auctor.models.model import DrugModel
from auctor.report.finding_words import Telling
from auctor.report.shown import AUC, exposure, significant
from auctor.report.voice import ENGLISH, N_, Voice

if TYPE_CHECKING:
    from rich.table import Table

MANY = 10_000.0
HOURS = Telling()
NOTHING = "Nothing here explains the levels so much better than the record itself that it should be asked about."


def sentence(finding: Finding, model: DrugModel, told: Telling = HOURS) -> str:
    """One finding in plain words: what, how much better it explains the levels, what it would change, what to ask."""
    what = told.what(finding)
    words = f"{finding.where}: {what}{'' if what.endswith('?') else '.'} {_how_much(finding)}"
    if finding.auc_recorded is not None and finding.auc_if is not None and finding.change is not None:
        shown = exposure(model, AUC)
        new, old = shown.text(finding.auc_if), shown.text(finding.auc_recorded)
        words += f" AUC0-24 under the current regimen would be {new} instead of {old} {shown.pretty} ({100 * finding.change:+.0f} %)."
    return f"{words} To do: {told.question(finding)}."


def _how_much(finding: Finding) -> str:
    ratio = finding.likelihood_ratio
    times = f"more than {MANY:g}" if ratio > MANY else significant(ratio, 2)
    odds = _odds(finding.log_posterior_odds)
    return f"The levels fit that {times} times as well as the record; with prior odds of {finding.prior_odds:.2g} its odds are {odds}."


def _odds(log_odds: float) -> str:
    odds = math.exp(min(log_odds, 600.0))
    if odds >= 1:
        return f"{significant(odds, 2) if odds < MANY else f'more than {MANY:g}'} to 1"
    return f"1 to {significant(1 / odds, 2)}"


def sentences(found: Plausibility, model: DrugModel, told: Telling = HOURS) -> tuple[str, ...]:
    """Every finding, the most probable first, or that there is none; with clock times where `told` has a start."""
    return tuple(sentence(f, model, told) for f in found.findings) or (NOTHING,)


def place_text(pair: tuple[float, float], voice: Voice = ENGLISH) -> str:
    """A percentile, or the range of one that only a limit is known of.

    >>> place_text((50.0, 50.0)), place_text((0.0, 12.34))
    ('50 %', 'at most 12 %')
    """
    low, high = pair
    if low == high:
        return voice.local(_percent(low))
    if low == 0:
        return voice.say(N_("at most %(percentile)s"), percentile=voice.local(_percent(high)))
    return voice.say(N_("at least %(percentile)s"), percentile=voice.local(_percent(low)))


def _percent(value: float) -> str:
    if 1 <= value <= 99:
        return f"{value:.0f} %"
    if value < 0.01:
        return "< 0.01 %"
    return f"{value:.2g} %" if value < 1 else f"{min(value, 99.999):.5g} %"


def places_table(found: Plausibility, title: str) -> Table:
    """A rich table of every sample's place among what was expected."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption=_caption(found), caption_justify="left")
    for heading in ("Sample", "Time (h)", "Before any sample", "From the others"):
        table.add_column(heading)
    for place in found.places:
        table.add_row(place.where, f"{place.time_h:g}", place_text(place.a_priori), place_text(place.leave_one_out))
    return table


def what_ifs_table(found: Plausibility, model: DrugModel, told: Telling = HOURS) -> Table:
    """Everything that was weighed: likelihood ratio against the record and the AUC that each implies."""
    from rich.table import Table

    shown = exposure(model, AUC)
    table = Table(title=f"As recorded, AUC0-24 {shown.text(found.auc_recorded)} {shown.pretty}", title_justify="left")
    for heading in ("Where", "If", "Likelihood ratio", f"AUC0-24 ({shown.pretty})"):
        table.add_column(heading)
    for f in found.alternatives:
        table.add_row(f.where, told.what(f), f"{min(f.likelihood_ratio, 1e300):.2g}", shown.text(f.auc_if))
    return table


def _caption(found: Plausibility) -> str:
    how = "calibrated for this model" if found.calibrated else "by the general bound, not calibrated for this model"
    return f"Percentiles of what was expected, residual error included. Thresholds {how}; {found.ess:.0f} effective draws."


def document(found: Plausibility) -> dict[str, Any]:
    """The JSON document: percentiles 0-100, natural logarithms, AUC in mg*h/L, times in h."""
    return {
        "model": found.model,
        "calibrated": found.calibrated,
        "effective_draws": found.ess,
        "auc0_24_recorded_mg_h_L": found.auc_recorded,
        "samples": [_place(place) for place in found.places],
        "families": {
            family.value: {
                "log_bayes_factor": factor,
                "log_threshold": found.thresholds[family],
                "flagged": factor >= found.thresholds[family],
            }
            for family, factor in found.log_factors.items()
        },
        "findings": [_finding(f) for f in found.findings],
        "alternatives": [_finding(f) for f in found.alternatives],
    }


def _place(place: SamplePlace) -> dict[str, Any]:
    return {"where": place.where, "time_h": place.time_h, "a_priori": list(place.a_priori), "leave_one_out": list(place.leave_one_out)}


def _finding(f: Finding) -> dict[str, Any]:
    return {
        "kind": f.kind.value,
        "family": f.family.value,
        "where": f.where,
        "what": HOURS.what(f),
        "facts": f.facts.as_data(),
        "log_likelihood_ratio": f.log_likelihood_ratio,
        "prior_odds": f.prior_odds,
        "log_posterior_odds": f.log_posterior_odds,
        "auc0_24_if_mg_h_L": f.auc_if,
        "change": f.change,
        "question": HOURS.question(f),
    }
