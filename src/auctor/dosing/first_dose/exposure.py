"""Exposure of many virtual patients under every rung: per mg in closed form for a linear model, dose by dose for any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Metric, MetricKind
from auctor.dosing.first_dose.goals import Goal, JointTarget
from auctor.dosing.first_dose.ladder import Ladder, Rung
from auctor.dosing.windows import metric_for
from auctor.errors import OutOfDomain
from auctor.models.model import DrugModel
from auctor.population.virtual import exposure_per_rate, parameters

Array = NDArray[np.float64]
SMALL, BLOCK = 256, 8192  # patients of one compiled shape; the last block is padded
GRID_POINTS = 240  # of an interval, as `auctor.pk.exposure` has it
AT_ONCE_H = 1e-6  # just after a bolus


def is_linear(model: DrugModel) -> bool:
    """Whether exposure is proportional to the dose and has the closed form used here."""
    return model.system is None and model.structure.linear


def require_linear(model: DrugModel) -> None:
    """OutOfDomain where exposure is not proportional to the dose."""
    if not is_linear(model):
        what = "exposure is not proportional to the dose under this model"
        raise OutOfDomain(where=model.name, what=what, remedy="use the popPK integration, which simulates every dose")


def per_mg(model: DrugModel, params: Mapping[str, Array], metric: Metric, rung: Rung) -> Array:
    """The metric at steady state per mg of each dose, (n,): h/L for an AUC, 1/L for the others; linear models.

    An AUC is F/CL of a whole interval (`metric_for`); Cmax and Cmin of an intravenous dose fall on the end of the infusion and the
    trough, of any other dose they are read on a grid of the interval.
    """
    require_linear(model)
    fitted = metric_for(metric, rung.every_h)
    if metric.kind in (MetricKind.AUC, MetricKind.CAVG):
        window = fitted.metric.stop_h - fitted.metric.start_h
        area = exposure_per_rate(model, params) * window / rung.every_h * fitted.factor
        return np.asarray(area if metric.kind is MetricKind.AUC else area / (metric.stop_h - metric.start_h), dtype=np.float64)
    found = _levels(model, params, _hours(model, metric, rung), rung)
    return np.asarray(found.max(axis=1) if metric.kind is MetricKind.CMAX else found.min(axis=1), dtype=np.float64)


def _hours(model: DrugModel, metric: Metric, rung: Rung) -> Array:
    """Hours after a dose at which the metric is read; the whole interval stands for any window."""
    if metric.kind is MetricKind.CONC:
        return np.asarray([metric.start_h])
    if model.structure.absorption == "none":
        return np.asarray([max(rung.duration_h, AT_ONCE_H) if metric.kind is MetricKind.CMAX else rung.every_h])
    return np.linspace(0.0, rung.every_h, GRID_POINTS + 1)[1:]


def _levels(model: DrugModel, params: Mapping[str, Array], hours: Array, rung: Rung) -> Array:
    from auctor.pk.steady import steady_profile

    n = len(next(iter(params.values())))
    block = SMALL if n <= SMALL else BLOCK
    times = np.tile(hours, (block, 1))
    parts = []
    for start in range(0, n, block):
        some = {name: _filled(values[start : start + block], block) for name, values in params.items()}
        found = steady_profile(model, some, 1.0, rung.every_h, times, duration_h=rung.duration_h)
        parts.append(found[: min(block, n - start)])
    return np.concatenate(parts)


def _filled(values: Array, size: int) -> Array:
    return np.concatenate([values, np.full(size - len(values), values[-1])])


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """Exposure per mg of n patients: goal x rung -> (n,); rungs of one interval and length share an array."""

    columns: Mapping[tuple[str, float, float], Array]

    def values(self, goal: Goal, rung: Rung, mg: Array) -> Array:
        """The goal's metric for doses (n,) mg."""
        return self.columns[(goal.metric.name, rung.every_h, rung.duration_h)] * mg


def unit_exposures(model: DrugModel, covariates: Mapping[str, Array], etas: Array, target: JointTarget, ladder: Ladder) -> Unit:
    """Exposure per mg for covariates (n,) and etas (n, p), for every goal and kind of rung.

    NaN where a clearance or volume is not above zero, which a published formula may give at its edge: such a patient cannot exist.
    """
    params = parameters(model, covariates, etas)
    real = possible(model, params)
    kinds = dict.fromkeys((r.every_h, r.duration_h) for r in ladder.rungs)
    columns = {
        (name, every, length): np.where(
            real, per_mg(model, params, Metric.parse(name), Rung(amount=1.0, every_h=every, duration_h=length)), np.nan
        )
        for name in dict.fromkeys(goal.metric.name for goal in target.goals)
        for every, length in kinds
    }
    return Unit(columns=columns)


def possible(model: DrugModel, params: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Whether every clearance and volume of the disposition is above zero, (n,)."""
    s = model.structure
    named = (s.linear_clearance, s.central, *(name for pair in s.peripherals for name in pair))
    return np.asarray(np.all([params[name] > 0 for name in named], axis=0))


def outcomes(unit: Unit, target: JointTarget, ladder: Ladder, doses_mg: Array) -> list[list[Array]]:
    """Exposures rung by rung, goal by goal, each (n,), for doses (n, rungs) mg."""
    return [[unit.values(goal, rung, doses_mg[:, j]) for goal in target.goals] for j, rung in enumerate(ladder.rungs)]


def one_patient(
    model: DrugModel, covariates: Mapping[str, float], etas: Array, target: JointTarget, ladder: Ladder
) -> Sequence[list[Array] | None]:
    """Exposures of one patient for eta draws (n, p): a list over goals for each rung, None for a rung above a cap; any model."""
    from auctor.pk.exposure import exposures

    if is_linear(model):
        repeated = {name: np.full(len(etas), value) for name, value in covariates.items()}
        unit = unit_exposures(model, repeated, etas, target, ladder)
        doses = ladder.doses_mg(repeated)
        found = outcomes(unit, target, ladder, doses)
        return [values if np.isfinite(mg) else None for values, mg in zip(found, doses[0], strict=True)]
    held = Covariates.constant(covariates)
    rows: list[list[Array] | None] = []
    for option in ladder.all_options(covariates):
        if option is None:
            rows.append(None)
            continue
        fitted = [metric_for(goal.metric, option.every_h) for goal in target.goals]
        rows.append([exposures(model, option.regimen, f.metric, held, etas) * f.factor for f in fitted])
    return rows
