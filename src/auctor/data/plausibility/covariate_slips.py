"""Covariates in another unit: weight in pounds, height in inches or metres, creatinine in umol/L for mg/dL, and the like.

Two things speak: how well the value fits the model's source population (and weight with height), and how well the levels fit the patient
that it makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np

from auctor.case import Covariates
from auctor.data.plausibility.evidence import Evidence
from auctor.data.plausibility.finding import Facts, Kind
from auctor.data.plausibility.hypothesis import Hypothesis
from auctor.data.plausibility.usual import log_lognormal, log_usual
from auctor.models.model import Covariate

CREATININE = 88.4017  # umol/L in 1 mg/dL, 113.12 g/mol
POUND, INCH = 0.45359237, 2.54
# by covariate and unit of the model: true over recorded number, and the unit that was meant (that of the model was written)
SLIPS: Mapping[tuple[str, str], tuple[tuple[float, str], ...]] = {
    ("WT", "kg"): ((POUND, "pounds"), (1 / POUND, "kg")),  # kg that somebody took for pounds and converted
    ("HT", "cm"): ((INCH, "inches"), (100.0, "metres")),
    ("HT", "m"): ((INCH / 100, "inches"), (0.01, "cm")),
    ("SCR", "mg/dL"): ((1 / CREATININE, "umol/L"),),
    ("SCR", "umol/L"): ((CREATININE, "mg/dL"),),
    ("CRCL", "mL/min"): ((50 / 3, "L/h"), (60.0, "mL/s")),
    ("ALB", "g/L"): ((10.0, "g/dL"),),
    ("ALB", "g/dL"): ((0.1, "g/L"),),
    ("HGB", "g/L"): ((10.0, "g/dL"),),
    ("HCT", "%"): ((100.0, "a fraction"),),
    ("AGE", "year"): ((1 / 12, "months"),),
}
WIDEN, LEAST = 1.3, 0.1  # source populations are narrower than those a model is used in
UNKNOWN = 0.8  # log-SD where the model file gives a reference value alone
WITHIN = 0.3  # log-SD of one patient's values over time: assumed
LOSING = -7.0  # a slip that the population alone speaks against by this much is not simulated


class _Slip(NamedTuple):
    name: str
    point: int
    factor: float
    meant: str
    log_prior_ratio: float


def covariate_slips(evidence: Evidence) -> Iterator[Hypothesis]:
    """Each value of each covariate that another unit would make more likely."""
    times = np.asarray([s.time_h for s in evidence.case.samples], dtype=np.float64)
    for slip in _slips(evidence):
        known = _corrected(evidence.case.covariates, slip)
        total = evidence.all_samples(evidence.at(times, covariates=known)) if times.size else evidence.total
        where = f"covariates.{slip.name}" if slip.point < 0 else f"covariates.{slip.name}[{slip.point}]"
        at = None if slip.point < 0 else evidence.case.covariates.series[slip.name][slip.point][0]
        facts = Facts(at_h=at, factor=slip.factor, meant=slip.meant, written=evidence.model.covariates[slip.name].unit)
        yield Hypothesis(Kind.COVARIATE_UNIT, where, facts, total, evidence.total, slip.log_prior_ratio)


def _slips(evidence: Evidence) -> Iterator[_Slip]:
    for name, covariate in evidence.model.covariates.items():
        points = evidence.case.covariates.series.get(name, ())
        for factor, meant in SLIPS.get((name, covariate.unit), ()):
            yield from _of_points(evidence, covariate, [v for _, v in points], (factor, meant))


def _of_points(evidence: Evidence, covariate: Covariate, values: list[float], slip: tuple[float, str]) -> Iterator[_Slip]:
    """The whole series in another unit, and each of several values by itself."""
    factor, meant = slip
    if not values or min(values) <= 0:
        return
    middle = median(values)
    whole = _log_typical(covariate, middle * factor) - _log_typical(covariate, middle) + math.log(factor)
    whole += _log_build(evidence, covariate.name, factor)
    if whole > LOSING:
        yield _Slip(covariate.name, -1, factor, meant, whole)
    for k in range(len(values) if len(values) > 1 else 0):
        others = median(v for j, v in enumerate(values) if j != k)
        ratio = log_lognormal(values[k] * factor, others, WITHIN) - log_lognormal(values[k], others, WITHIN) + math.log(factor)
        if ratio > LOSING:
            yield _Slip(covariate.name, k, factor, meant, ratio)


def _corrected(covariates: Covariates, slip: _Slip) -> Covariates:
    series = tuple((t, v * slip.factor if slip.point in (-1, k) else v) for k, (t, v) in enumerate(covariates.series[slip.name]))
    return replace(covariates, series={**covariates.series, slip.name: series})


def _log_typical(covariate: Covariate, value: float) -> float:
    """Log density (per unit) in the source population, with heavier tails."""
    centre, spread = _population(covariate)
    return log_usual(value, centre, max(spread * WIDEN, LEAST))


def _population(covariate: Covariate) -> tuple[float, float]:
    """Median and log-SD of the source population, from its distribution, else its range, else the reference value."""
    table = covariate.distribution or {}
    if table.get("kind") in ("normal", "truncnormal") and table["mean"] > 0:
        return float(table["mean"]), float(table["sd"] / table["mean"])
    if table.get("kind") == "lognormal":
        return float(table["median"]), float(table["sd_log"]) if "sd_log" in table else math.sqrt(math.log(1 + table["cv"] ** 2))
    low, high = table.get("low", covariate.low), table.get("high", covariate.high)
    if low and high and 0 < low < high:
        return math.sqrt(low * high), math.log(high / low) / 4
    return abs(covariate.reference) or 1.0, UNKNOWN


def _log_build(evidence: Evidence, name: str, factor: float) -> float:
    """What weight and height together say: the body mass index, lognormal around 24 kg/m2 (16 below 1.3 m), log-SD 0.25: assumed."""
    known = evidence.case.covariates.at(np.inf)
    if name not in ("WT", "HT") or "WT" not in known or "HT" not in known:
        return 0.0
    metres = known["HT"] / (100.0 if evidence.model.covariates["HT"].unit == "cm" else 1.0)

    def fit(weight: float, height: float) -> float:
        return -0.5 * (math.log(weight / height**2 / (24.0 if height > 1.3 else 16.0)) / 0.25) ** 2

    taller, heavier = (factor, 1.0) if name == "HT" else (1.0, factor)
    return fit(known["WT"] * heavier, metres * taller) - fit(known["WT"], metres)
