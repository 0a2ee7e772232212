"""Where the network was trained, and a typed refusal outside: drug, covariates, doses, intervals, samples, and levels unlike any it saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from auctor.case import Case
from auctor.errors import OutOfDomain
from auctor.learn.amortised.normal import Normal
from auctor.learn.amortised.plan import AmortisedPlan
from auctor.learn.amortised.shown import Shown
from auctor.learn.amortised.world import World
from auctor.population.virtual import route_of

INSTEAD = "use the posterior of one model, or model averaging: the network does not extrapolate"
SLACK_H = 0.25


def span(world: World, misfit: Sequence[float]) -> dict[str, Any]:
    """What the training patients spanned: ranges as [low, high], in mg, h and the covariates' own units."""
    doses = [d for r in world.regimens for d in r.doses]
    gaps = [b.time_h - a.time_h for r in world.regimens for a, b in pairwise(r.doses)]
    gaps += [d.every_h for d in doses if d.steady_state]
    return {
        "route": route_of(world.plan.models[0]).value,
        "dose_mg": _range([d.amount_mg for d in doses]),
        "infusion_h": _range([d.duration_h for d in doses]),
        "interval_h": _range(gaps),
        "doses": [1, max(len(r.doses) for r in world.regimens)],
        "steady": bool(world.plan.dosing.steady > 0),
        "samples": list(world.plan.sampling.count),
        "since_dose_h": _range(world.since_dose.ravel()),
        "covariates": {name: _range(world.covariates[name]) for name in world.plan.covariates},
        "misfit": [float(m) for m in misfit],
    }


def _range(values: Any) -> list[float]:
    return [float(np.min(values)), float(np.max(values))]


def require_case(domain: Mapping[str, Any], plan: AmortisedPlan, case: Case) -> None:
    """Raise OutOfDomain for a drug, a covariate or a dosing history that the training patients did not have."""
    if case.drug not in plan.drugs:
        raise _refused("drug", f"{plan.name} was trained for {' and '.join(plan.drugs)}")
    if not case.history.doses:
        raise _refused("doses", "there are none")
    for name, bounds in domain["covariates"].items():
        points = case.covariates.series.get(name)
        if not points:
            raise OutOfDomain(where=f"covariates.{name}", what="is not given", remedy="give it: every model of the plan is asked")
        if len({value for _, value in points}) > 1:
            raise _refused(f"covariates.{name}", "changes, which no training patient's did")
        _inside(points[0][1], bounds, plan.margin, where=f"covariates.{name}", name=name)
    _require_dosing(domain, plan, case)


def _require_dosing(domain: Mapping[str, Any], plan: AmortisedPlan, case: Case) -> None:
    doses = case.history.doses
    for k, dose in enumerate(doses):
        if dose.route.value != domain["route"]:
            raise _refused(f"doses[{k}].route", "is not the route of the training patients")
        _inside(dose.amount_mg, domain["dose_mg"], plan.margin, where=f"doses[{k}].amount", name="the dose")
        _inside(dose.duration_h, domain["infusion_h"], plan.margin, where=f"doses[{k}].duration", name="the infusion length")
    if any(d.steady_state for d in doses):
        if not domain["steady"] or len(doses) > 1:
            raise _refused("doses", "a steady state beside other doses is not a history that the training patients had")
        _inside(doses[0].every_h, domain["interval_h"], plan.margin, where="doses[0].every", name="the interval")
        return
    starts = sorted(d.time_h + k * d.every_h for d in doses for k in range(d.additional + 1))
    last = max((s.time_h for s in case.samples if case.counts(s)), default=starts[-1])
    starts = [t for t in starts if t < last] or starts[:1]
    if len(starts) > domain["doses"][1]:
        raise _refused("doses", f"there are more than {domain['doses'][1]} before the last sample")
    for a, b in pairwise(starts):
        _inside(b - a, domain["interval_h"], plan.margin, where="doses", name="the time between two doses")


def require_samples(domain: Mapping[str, Any], plan: AmortisedPlan, case: Case, shown: Shown) -> None:
    """Raise OutOfDomain for more samples than the training patients had, at other times, or of another kind."""
    own = [s for s in case.samples if case.counts(s)]
    if len(own) > domain["samples"][1]:
        raise _refused("samples", f"there are more than {domain['samples'][1]}")
    if any(s.above_uloq or s.weight != 1 for s in own):
        raise _refused("samples", "one is above the assay's range or weighted, which no training patient's was")
    for since in shown.since_dose[shown.used]:
        _inside(float(since), domain["since_dose_h"], plan.margin, where="samples.time", name="the time since the last dose")


def require_likely(domain: Mapping[str, Any], normals: Sequence[Normal], shown: Shown) -> None:
    """Raise OutOfDomain where the levels fit no model of the plan as well as the worst training patient's fitted their own."""
    count = max(1, int(shown.used.sum()))
    if all(float(one.misfit[0]) / count > most for one, most in zip(normals, domain["misfit"], strict=True)):
        raise _refused("samples", "the levels are unlike those of every training patient under every model of the plan")


def _inside(value: float, bounds: Sequence[float], margin: float, *, where: str, name: str) -> None:
    low, high = bounds
    slack = margin * (high - low) + 1e-9 * max(abs(low), abs(high))
    if not low - slack <= value <= high + slack:
        raise _refused(where, f"{name} is outside the training range {low:.4g} to {high:.4g}")


def _refused(where: str, what: str) -> OutOfDomain:
    return OutOfDomain(where=where, what=what, remedy=INSTEAD)
