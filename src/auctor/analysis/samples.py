"""Each sample against the model: a-priori percentile, population and individual prediction, weighted residual."""

from __future__ import annotations

import math

import numpy as np

from auctor.analysis.result import SampleRow
from auctor.case import Blq, Case, Sample, given_times
from auctor.errors import Notice
from auctor.estimate.objective import variance
from auctor.estimate.occasions import Prepared
from auctor.models.model import OCCASION, Residual
from auctor.predictor import Array, Predictor

WORST_IWRES = 3.0  # ours: a used sample this many SDs away from its individual prediction makes the fit bad
UNEXPECTED = (1.0, 99.0)  # percentiles of the a-priori prediction, as in Tucuxi-CDSS


def sample_rows(ready: Prepared, case: Case, *, prior: Predictor, individual: Predictor | None) -> tuple[SampleRow, ...]:
    """One row per sample in the order of the case; predictions in mg/L from `prior` and, where given, `individual`."""
    if not case.samples:
        return ()
    times = np.asarray([s.time_h for s in ready.case.samples], dtype=np.float64)
    before = prior.predict(case.history, times)
    after = None if individual is None else individual.predict(case.history, times).point
    return tuple(
        _row(
            case,
            sample,
            ready.model.residual,
            before.values[:, k],
            (float(before.point[k]), None if after is None else float(after[k])),
            occasion=_occasion(ready, float(times[k])),
        )
        for k, sample in enumerate(case.samples)
    )


def _occasion(ready: Prepared, time_h: float) -> int | None:
    number = int(ready.case.covariates.at(time_h).get(OCCASION, 0)) if ready.spans else 0
    return number if 0 < number <= len(ready.spans) else None


def fit_notices(rows: tuple[SampleRow, ...]) -> tuple[Notice, ...]:
    """A `bad-fit` for a used sample far from its individual prediction, an `unexpected-level` for one far from the a-priori one."""
    found = []
    for k, row in enumerate(rows):
        if row.used and row.iwres is not None and abs(row.iwres) > WORST_IWRES:
            found.append(_bad_fit(k))
        if row.percentile is not None and not UNEXPECTED[0] <= row.percentile <= UNEXPECTED[1]:
            found.append(_unexpected(k))
    return tuple(found)


def after_dose(case: Case, time_h: float) -> float | None:
    """Hours since the last dose given before `time_h`; one interval when only a steady state came before; None before any dose.

    >>> from auctor.case import Regimen, Route
    >>> case = Case(label="A", drug="x", history=Regimen.steady(5, every_h=12, route=Route.ORAL))
    >>> after_dose(case, 0.0), after_dose(case, 13.0)
    (12.0, 1.0)
    """
    past = [(t, d) for t, d in given_times(case.history, until_h=time_h) if t < time_h]
    if past:
        return float(time_h - past[-1][0])
    steady = [d for d in case.history.doses if d.steady_state and d.time_h == time_h]
    return float(steady[0].every_h) if steady else None


def _row(
    case: Case, sample: Sample, residual: Residual, draws: Array, points: tuple[float, float | None], *, occasion: int | None
) -> SampleRow:
    known, (pred, ipred) = not sample.censored, points
    left_out = case.blq is Blq.M1 and sample.below_lloq
    return SampleRow(
        time_h=sample.time_h,
        after_dose_h=after_dose(case, sample.time_h),
        observed=sample.value,
        below_lloq=sample.below_lloq,
        lloq=sample.lloq,
        used=case.counts(sample),
        pred=pred,
        ipred=ipred,
        percentile=_percentile(residual, sample.value, draws) if known else None,
        iwres=float(_deviate(residual, sample.value, np.asarray([ipred]))[0]) if known and ipred is not None else None,
        occasion=occasion,
        above_uloq=sample.above_uloq,
        uloq=sample.uloq,
        weight=sample.weight,
        reason=sample.reason or ("below the LLOQ, method M1" if left_out else ""),
    )


def _deviate(residual: Residual, value: float, f: Array) -> Array:
    """(y - f) / sd(f), on the log scale for a log error."""
    sd = np.sqrt(np.asarray(variance(residual, f), dtype=np.float64))
    if residual.kind == "log":
        tiny = np.finfo(np.float64).tiny
        return np.asarray(np.log(max(value, tiny)) - np.log(np.maximum(f, tiny)), dtype=np.float64) / sd
    return np.asarray(value - f, dtype=np.float64) / sd


def _percentile(residual: Residual, value: float, draws: Array) -> float:
    """100 P(a measured value <= this one), averaged over the draws with the residual error normal around each."""
    z = _deviate(residual, value, draws)
    return 100.0 * float(np.mean([0.5 * math.erfc(-one / math.sqrt(2)) for one in z]))


def _bad_fit(k: int) -> Notice:
    return Notice(
        code="bad-fit",
        where=f"samples[{k}]",
        what=f"lies more than {WORST_IWRES:g} residual SDs from its individual prediction",
        remedy="check the sampling and dosing times and the unit; the model may not represent this patient",
        blocks_signing=True,
    )


def _unexpected(k: int) -> Notice:
    low, high = UNEXPECTED
    return Notice(
        code="unexpected-level",
        where=f"samples[{k}]",
        what=f"lies outside the {low:g}-{high:g} % range expected before any sample",
        remedy="check the sampling and dosing times, the dose really taken and the unit",
    )
