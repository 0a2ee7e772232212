"""The four interpretations in plain sentences: Expectedness, Suitability, Prediction, Remonitoring.

The four questions are those of the Tucuxi interpretation pane (sotalya/tucuxi-gui); the wording and the rules are ours. Each sentence is
`said` from a message with named values: the message is what a catalogue of another language is looked up by (`web/pages/engine_words.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from auctor.analysis.result import Analysis, MethodResult
from auctor.case import FutureIov
from auctor.dosing.candidates import OptionKind
from auctor.dosing.concordance import State
from auctor.dosing.recommend import Action, Forecast
from auctor.pk.disposition import modes
from auctor.report.shown import Shown, exposure, frequencies

EXPECTED = (5.0, 95.0)  # percentiles of the a-priori prediction
HALF_LIVES_TO_STEADY = 4.0  # 94 % of the new steady state: 1 - 2**-4


@dataclass(frozen=True, kw_only=True)
class Interpretation:
    """One of the four texts: the question it answers and the answer."""

    name: str
    question: str
    text: str


def said(message: str, **values: object) -> str:
    """A message with its `%(name)s` filled in: English, whatever the reader's language.

    >>> said("%(n)s of 2", n=1)
    '1 of 2'
    """
    return message % values


def interpretations(analysis: Analysis) -> tuple[Interpretation, ...]:
    """The four texts for one analysis, in the order in which a clinician asks."""
    return (
        Interpretation(
            name="Expectedness", question="Are the levels what this patient's covariates let one expect?", text=_expected(analysis)
        ),
        Interpretation(name="Suitability", question="Does the current regimen reach the target?", text=_suitable(analysis)),
        Interpretation(name="Prediction", question="What would another regimen do?", text=_predicted(analysis)),
        Interpretation(name="Remonitoring", question="When is the next level useful?", text=_next_level(analysis)),
    )


def occasions(analysis: Analysis) -> str:
    """How inter-occasion variability enters: the occasions of the history, and what forecasts do with the next one's. Empty without any."""
    if analysis.future_iov is None:
        return ""
    found = ", ".join(f"{s.number} until {s.end_h:.4g} h" if s.end_h < math.inf else f"{s.number}" for s in analysis.occasions)
    history = f"{len(analysis.occasions)} occasion(s) in the history ({found})" if found else "no occasion in the history"
    ahead = {
        FutureIov.DRAW: "a new one in forecasts, drawn for intervals and shares and zero for the point",
        FutureIov.ZERO: "none in forecasts, whose intervals are therefore those of the average occasion",
    }[analysis.future_iov]
    return f"Inter-occasion variability: {history}; {ahead}."


def risk(forecast: Forecast) -> str:
    """The three shares in natural frequencies."""
    below, inside, above = frequencies(forecast.shares)
    return said("%(below)s below, %(inside)s within and %(above)s above the target", below=below, inside=inside, above=above)


def terminal_half_life(method: MethodResult, analysis: Analysis) -> float | None:
    """Half-life of the slowest disposition phase, h: ln 2 / lambda_z; None without parameters.

    lambda_z is the slowest mode of the linear disposition (Gibaldi & Perrier 1982, eq. 2.14-2.16); saturable elimination has none.
    """
    s, p = analysis.model.structure, method.params
    if not s.linear or s.clearance not in p or s.central not in p:
        return None
    return float(math.log(2) / modes(s, {name: np.asarray(value) for name, value in p.items()}, np).rate[-1])


def _expected(analysis: Analysis) -> str:
    judged = [(k, row.percentile) for k, row in enumerate(analysis.samples, start=1) if row.percentile is not None]
    if not judged:
        return "There is no level to judge: everything here follows from the covariates and the published variability alone."
    odd = [
        said("sample %(number)s at the %(percentile)s percentile", number=k, percentile=_ordinal(p))
        for k, p in judged
        if not EXPECTED[0] <= p <= EXPECTED[1]
    ]
    values = {"n": len(odd), "all": len(judged), "range": "{:g}-{:g}".format(*EXPECTED), "odd": ", ".join(odd)}
    if not odd:
        return said("All %(all)s level(s) lie within the %(range)s %% range predicted before any level was used.", **values)
    message = "%(n)s of %(all)s level(s) lies outside the %(range)s %% range predicted beforehand: %(odd)s."
    if len(odd) > 1:
        message = "%(n)s of %(all)s level(s) lie outside the %(range)s %% range predicted beforehand: %(odd)s."
    return f"{said(message, **values)} Check times and doses before trusting the fit."


def _suitable(analysis: Analysis) -> str:
    method, shown = analysis.preferred, exposure(analysis.model, analysis.target.metric)
    now = method.recommendation.current if method.recommendation else None
    if now is None or now.exposure is None:
        return "The current regimen is not known, so its exposure cannot be judged."
    return said(
        "%(regimen)s: %(metric)s %(median)s %(unit)s (90 %% interval %(interval)s) at steady state (%(method)s). "
        "In natural frequencies: %(risk)s.",
        regimen=now.option.label,
        **_exposure(now, analysis, shown),
        method=method.title,
        risk=risk(now),
    )


def _exposed(forecast: Forecast, analysis: Analysis, shown: Shown) -> str:
    values = _exposure(forecast, analysis, shown)
    return said("%(metric)s %(median)s %(unit)s (90 %% interval %(interval)s) at steady state", **values)


def _exposure(forecast: Forecast, analysis: Analysis, shown: Shown) -> dict[str, str]:
    """The values of a sentence about an exposure."""
    median, interval = shown.text(forecast.median), shown.span(forecast.interval90)
    return {"metric": analysis.target.metric.name, "median": median, "unit": shown.pretty, "interval": interval}


def _predicted(analysis: Analysis) -> str:
    method, shown = analysis.preferred, exposure(analysis.model, analysis.target.metric)
    found = method.recommendation
    if found is None or found.favoured is None:
        return "No regimen is selected; the candidates are listed with their probabilities."
    if found.action is Action.HOLD:
        return "Every dose that could be given is more likely above the target than not: hold, measure again, restart lower."
    best = found.best or found.favoured
    message = "%(method)s selects %(regimen)s: %(exposure)s; %(risk)s."
    if not found.best:
        message = "Favoured, but it needs confirmation: %(regimen)s: %(exposure)s; %(risk)s."
    values = {"method": method.title, "regimen": best.option.label, "exposure": _exposed(best, analysis, shown), "risk": risk(best)}
    return f"{said(message, **values)} {_agreement(analysis, method)}".strip()


def preselected(analysis: Analysis) -> Forecast | None:
    """The regimen the report highlights: the preferred method's choice, and only where no other method contradicts it."""
    found = analysis.preferred.recommendation
    settled = analysis.concordance.state in (State.AGREE, State.ALONE)
    return found.best if found is not None and settled else None


def next_dose(analysis: Analysis) -> str:
    """The one sentence at the top: the regimen preselected, or why there is none."""
    found, best = analysis.preferred.recommendation, preselected(analysis)
    if best is not None and found is not None and found.action is not None:
        return f"{found.action.value}: {best.option.label}"
    picks = "; ".join(f"{title}: {label}" for title, label in _picks(analysis).items())
    if analysis.concordance.state in (State.AGREE, State.ALONE):
        return "no regimen is selected: see the warnings and the candidates"
    why = "the methods differ" if analysis.concordance.state is State.CAUTION else "the methods disagree or one cannot be trusted here"
    return f"no regimen is preselected, because {why} ({picks or 'none selects one'})"


def _picks(analysis: Analysis) -> dict[str, str]:
    informed = [m for m in analysis.methods if m.key != "a_priori" and m.recommendation is not None and m.recommendation.best is not None]
    return {m.title: m.recommendation.best.option.label for m in informed if m.recommendation and m.recommendation.best}


def _agreement(analysis: Analysis, method: MethodResult) -> str:
    other = [f"{title}: {label}" for title, label in _picks(analysis).items() if title != method.title]
    return said("Other methods select: %(others)s.", others="; ".join(other)) if other else ""


def _next_level(analysis: Analysis) -> str:
    method = analysis.preferred
    half_life = terminal_half_life(method, analysis)
    if half_life is None:
        return "The method gives no half-life; measure again after the next change of dose, condition or comedication."
    found = method.recommendation
    best = found.best if found else None
    wait = HALF_LIVES_TO_STEADY * half_life
    values = {"half_life": _span(half_life), "method": method.title, "wait": _span(wait)}
    if best is None or best.option.kind is OptionKind.HOLD or best.option.every_h <= 0:
        message = "The slowest half-life is about %(half_life)s (%(method)s); without a dose the concentration halves in each of them."
        return f"{said(message, **values)} Measure again before restarting."
    steady = "The slowest half-life is about %(half_life)s (%(method)s), so a changed regimen comes near its steady state after %(wait)s."
    useful = "The estimate does not need steady state: a level with exact times from %(half_life)s on already narrows it."
    earlier = "Measure earlier when the condition, an interacting drug or the route changes."
    return f"{said(steady, **values)} {said(useful, **values)} {earlier}"


def _span(hours: float) -> str:
    """`36 h` up to three days, whole days beyond."""
    return f"{hours:.0f} h" if hours <= 72 else f"{hours / 24:.0f} days"


def _ordinal(percentile: float) -> str:
    """`97th`, and one digit more where it matters: `99.6th`."""
    shown = f"{percentile:.1f}" if percentile < 1 or percentile > 99 else f"{percentile:.0f}"
    teens = shown.endswith(("11", "12", "13"))
    return shown + ("th" if teens or "." in shown else {"1": "st", "2": "nd", "3": "rd"}.get(shown[-1], "th"))
