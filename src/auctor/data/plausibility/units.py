"""Unit slips: a level or all of them in another unit, doses in micrograms for milligrams; a dilution by ten forgotten or applied twice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from auctor.case import Regimen
from auctor.data.plausibility.evidence import Evidence
from auctor.data.plausibility.finding import Facts, Kind
from auctor.data.plausibility.hypothesis import Hypothesis
from auctor.data.plausibility.likelihood import log_density_if, one
from auctor.data.plausibility.usual import log_usual
from auctor.pk.direct import is_direct

Array = NDArray[np.float64]

LEAST_LOG = 0.1  # a factor nearer to 1 than this changes nothing that anybody could see
THOUSAND = 1000.0
TEN = 10.0
BELOW_CAP, SPREAD = 3.0, 0.8  # doses are lognormal around a third of the largest one of the dosing table: assumed


def wrong_units(evidence: Evidence) -> Iterator[Hypothesis]:
    """Each measured level, and all together, if the number belongs to another unit; and every dose in the other of mg and micrograms."""
    for kind, slip in _slips(evidence):
        yield from _levels(evidence, kind, slip)
    for factor in (THOUSAND, 1 / THOUSAND) if evidence.counted.any() else ():
        levels, facts = _dosed(evidence, factor), Facts(factor=factor, every=True)
        yield Hypothesis(Kind.DOSE_UNIT, "doses", facts, evidence.all_samples(levels), evidence.total, _usual(evidence, factor))


def diluted(evidence: Evidence) -> Iterator[Hypothesis]:
    """Each measured level ten times too low (dilution not counted) or too high (counted twice)."""
    for k in np.flatnonzero(~evidence.seen.censored).tolist():
        for factor in (TEN, 1 / TEN):
            yield _level(evidence, Kind.DILUTION, k, Facts(factor=factor))


def _slips(evidence: Evidence) -> Iterator[tuple[Kind, Facts]]:
    """Units that a level may belong to instead of its own."""
    yield Kind.UNIT_THOUSAND, Facts(factor=1 / THOUSAND, meant="ug/L", written="mg/L")
    yield Kind.UNIT_THOUSAND, Facts(factor=THOUSAND, meant="mg/L", written="ug/L")
    molar = (evidence.model.molar_mass or THOUSAND) / THOUSAND
    if abs(math.log(molar)) > LEAST_LOG:
        yield Kind.UNIT_MOLAR, Facts(factor=molar, meant="umol/L", written="mg/L")
        yield Kind.UNIT_MOLAR, Facts(factor=1 / molar, meant="mg/L", written="umol/L")


def _levels(evidence: Evidence, kind: Kind, slip: Facts) -> Iterator[Hypothesis]:
    for k in np.flatnonzero(~evidence.seen.censored).tolist():
        yield _level(evidence, kind, k, slip)
    if evidence.counted.sum() > 1:
        density = log_density_if(evidence.model.residual, evidence.levels, evidence.seen, _factor(slip))[:, evidence.counted].sum(axis=1)
        yield Hypothesis(kind, "samples", replace(slip, every=True), density, evidence.total)


def _level(evidence: Evidence, kind: Kind, k: int, slip: Facts) -> Hypothesis:
    density = log_density_if(evidence.model.residual, evidence.levels[:, k : k + 1], one(evidence.seen, k), _factor(slip))[:, 0]
    return Hypothesis(kind, f"samples[{k}]", slip, evidence.without(k) + density, evidence.recorded(k))


def _factor(slip: Facts) -> float:
    assert slip.factor is not None
    return slip.factor


def _usual(evidence: Evidence, factor: float) -> float:
    """How much more usual the median dose is if it was `factor` times as large, by the model's dosing table; 0 without one."""
    dosing, doses = evidence.model.dosing, evidence.case.history.doses
    known = evidence.case.covariates.at(np.inf)
    if dosing is None or (dosing.per_kg and "WT" not in known):
        return 0.0
    centre = dosing.max_dose_mg / BELOW_CAP * (known["WT"] if dosing.per_kg else 1.0)
    amount = median(dose.amount_mg for dose in doses)
    return log_usual(amount * factor, centre, SPREAD) - log_usual(amount, centre, SPREAD) + math.log(factor)


def _dosed(evidence: Evidence, factor: float) -> Array:
    """Levels (n, K) if every dose was `factor` times as large; where the model is linear they are, too."""
    if is_direct(evidence.model):
        return evidence.levels * factor
    doses = tuple(replace(dose, amount_mg=dose.amount_mg * factor) for dose in evidence.case.history.doses)
    times = np.asarray([s.time_h for s in evidence.case.samples], dtype=np.float64)
    return evidence.at(times, regimen=Regimen(doses=doses))
