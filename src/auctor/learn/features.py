"""Named features: each is a formula over `Observed`; a name outside the registry is refused (PlanError).

Names: `C1` raw level, `C1/dose`, `C1-C0`, `(C1-C0)/dose`, `C1/C0`, `dt:C1` relative deviation from the nominal time,
`noise:C1` expected relative error of the level, `trapezoid/dose` area through the samples over one interval per mg, `dose_mg`,
`every_h`, `dose_rate`, `planned_mg`,
`planned_every_h`, `cov:NAME`, `log_typical` (F/CL of the typical patient, or the target of a plan of scale `relative`);
irregular plans (L1 is the latest level): `log_ratio:L1` = log(observed/PRED),
`after:L1`, `log_since:L1`, `slope_CL:L1`, `slope_V:L1`. `log:` before any of them takes its logarithm.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.learn.observed import Observed, noise_share
from auctor.population.plan import Plan
from auctor.population.targets import RELATIVE

Array = NDArray[np.float64]
Formula = Callable[[Observed, re.Match[str]], Array]
SAMPLE = r"([A-Za-z]\w*)"
LOG = "log:"


def matrix(observed: Observed) -> Array:
    """The feature matrix (n, n_features) in the order of `plan.learning.features`; NaN only where a sample was not taken."""
    columns = [column(observed, name) for name in observed.plan.learning.features]
    return np.stack(columns, axis=1).astype(np.float64)


def require_finite(x: Array, plan: Plan) -> None:
    """Refuse a feature that is infinite for some of the training patients, as the logarithm of 0 is (PlanError)."""
    for j in np.flatnonzero(np.isinf(x).any(axis=0)):
        name = plan.learning.features[j]
        raise _refusal(plan, name, "is infinite for some patients: its logarithm is taken and it is not always positive")


def check_features(plan: Plan) -> None:
    """Refuse features outside the registry, or about samples and covariates the plan does not have (PlanError)."""
    if not plan.learning.features:
        raise PlanError(where=f"{plan.name}.learner", what="is missing: the plan is for simulation alone", remedy="add a [learner] table")
    for given in plan.learning.features:
        name = given.removeprefix(LOG)
        _, match = _find(plan, name)
        for part in match.groups():
            known = plan.covariates if name.startswith("cov:") else plan.sample_names
            if part not in known:
                raise _refusal(plan, name, f"refers to {part!r}, which the plan does not have")
        if re.match(r"trapezoid|every_h|dose_rate", name) and plan.dosage.start:
            raise _refusal(plan, name, "needs nominal samples and one interval: real histories are irregular")
        if re.match(r"log_ratio|slope_|log_since", name) and not plan.dosage.start:
            raise _refusal(plan, name, "is defined for irregular samples only")
        if re.match(r"dt:", name) and plan.irregular is not None:
            raise _refusal(plan, name, "needs nominal samples")
        if re.match(r"log_typical", name) and not plan.proportional and plan.scale != RELATIVE:
            raise _refusal(plan, name, "needs F/CL, which a nonlinear model does not have")
        if re.match(r"slope_", name) and not plan.proportional:
            raise _refusal(plan, name, "needs a clearance and a volume, which a nonlinear model does not name")


def _refusal(plan: Plan, name: str, what: str) -> PlanError:
    return PlanError(
        where=f"{plan.name}.learner.features.{name}",
        what=what,
        remedy="docs/plan-file.md lists the features; all are built from doses, covariates and samples",
    )


def _find(plan: Plan, name: str) -> tuple[Formula, re.Match[str]]:
    for pattern, formula in _REGISTRY:
        match = re.fullmatch(pattern, name)
        if match:
            return formula, match
    raise _refusal(plan, name, "is not a feature")


def known(plan: Plan, name: str) -> bool:
    """Whether the plan can have this feature."""
    try:
        check_features(replace(plan, learning=replace(plan.learning, features=(name,))))
    except PlanError:
        return False
    return True


def column(observed: Observed, name: str) -> Array:
    """One feature (n,). Raises PlanError for a name outside the registry."""
    formula, match = _find(observed.plan, name.removeprefix(LOG))
    found = formula(observed, match)
    if not name.startswith(LOG):
        return found
    # of a quantity that is not positive -inf: outside every training range, so that the learner abstains
    with np.errstate(divide="ignore"):
        return np.log(np.where(np.isnan(found), np.nan, np.maximum(found, 0.0)))


def _at(observed: Observed, values: Array, sample: str) -> Array:
    return values[:, observed.plan.sample_names.index(sample)]


def _level(o: Observed, m: re.Match[str], group: int = 1) -> Array:
    return _at(o, o.value, m[group])


def _deviation(o: Observed, m: re.Match[str]) -> Array:
    due = _at(o, o.nominal_h, m[1])
    return (_at(o, o.after_h, m[1]) - due) / due


def _trapezoid(o: Observed, m: re.Match[str]) -> Array:
    """Linear trapezoids through the samples in time order; the trough at the end is also the level at the start (steady state)."""
    del m
    order = np.argsort(o.after_h, axis=1)
    times, values = np.take_along_axis(o.after_h, order, axis=1), np.take_along_axis(o.value, order, axis=1)
    times = np.concatenate([times[:, -1:] - o.every_h[:, None], times], axis=1)
    values = np.concatenate([values[:, -1:], values], axis=1)
    return np.asarray(np.sum(np.diff(times, axis=1) * (values[:, 1:] + values[:, :-1]) / 2, axis=1) / o.dose_mg, dtype=np.float64)


def _pred(o: Observed) -> Array:
    assert o.pred is not None
    return o.pred


def _slope(role: str) -> Formula:
    def slope(o: Observed, m: re.Match[str]) -> Array:
        if role not in o.slopes:
            what = f"the plan's first model has no {role} with a log-normal eta of its own"
            raise PlanError(where=f"features.{m[0]}", what=what, remedy="leave this feature out")
        return _at(o, o.slopes[role], m[1])

    return slope


_REGISTRY: tuple[tuple[str, Formula], ...] = (
    (r"dose_mg", lambda o, m: o.dose_mg),
    (r"every_h", lambda o, m: o.every_h),
    (r"planned_mg", lambda o, m: o.planned_mg),
    (r"planned_every_h", lambda o, m: o.planned_every_h),
    (r"dose_rate", lambda o, m: o.dose_mg / o.every_h),
    (r"log_typical", lambda o, m: np.log(o.typical)),
    (r"trapezoid/dose", _trapezoid),
    (r"cov:(\w+)", lambda o, m: o.covariates[m[1]]),
    (rf"dt:{SAMPLE}", _deviation),
    (rf"noise:{SAMPLE}", lambda o, m: _at(o, noise_share(o), m[1])),
    (rf"after:{SAMPLE}", lambda o, m: _at(o, o.after_h, m[1])),
    (rf"log_since:{SAMPLE}", lambda o, m: np.log(_at(o, o.since_h, m[1]))),
    (rf"log_ratio:{SAMPLE}", lambda o, m: np.log(_level(o, m) / _at(o, _pred(o), m[1]))),
    (rf"slope_CL:{SAMPLE}", _slope("CL")),
    (rf"slope_V:{SAMPLE}", _slope("V")),
    (rf"{SAMPLE}/dose", lambda o, m: _level(o, m) / o.dose_mg),
    (rf"{SAMPLE}-{SAMPLE}", lambda o, m: _level(o, m) - _level(o, m, 2)),
    (rf"\({SAMPLE}-{SAMPLE}\)/dose", lambda o, m: (_level(o, m) - _level(o, m, 2)) / o.dose_mg),
    (rf"{SAMPLE}/{SAMPLE}", lambda o, m: _level(o, m) / _level(o, m, 2)),
    (SAMPLE, _level),
)
