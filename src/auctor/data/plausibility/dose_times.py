"""What-ifs of the doses around each sample: the one before it missed or two hours late, the next one early: before the blood was drawn.

Where the model is linear and nothing changes over time, what one dose brings is subtracted and added again at another time
(superposition); otherwise the other history is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Dose, Regimen
from auctor.data.plausibility.administered import SLACK_H, Given, administrations, following, moved, previous, without
from auctor.data.plausibility.draws import levels_of
from auctor.data.plausibility.evidence import Evidence
from auctor.data.plausibility.finding import Facts, Kind
from auctor.data.plausibility.hypothesis import Hypothesis
from auctor.pk.direct import is_direct

Array = NDArray[np.float64]

OFF_H = 2.0


class Otherwise(NamedTuple):
    """Administration `dose` of the history given `by_h` later (None: not at all)."""

    kind: Kind
    dose: int
    by_h: float | None


def misgiven(evidence: Evidence) -> Iterator[Hypothesis]:
    """Each dose that a sample hangs on, given otherwise than charted; every sample's level is the one that follows from that."""
    given = administrations(evidence.case)
    found = list(_otherwise(given, [s.time_h for s in evidence.case.samples]))
    levels = superposed(evidence, given, found) if _adds_up(evidence) else simulated(evidence, given, found)
    for one, changed in zip(found, levels, strict=True):
        at = given[one.dose].dose.time_h
        facts = Facts(dose_h=at) if one.by_h is None else Facts(dose_h=at, at_h=at, then_h=at + one.by_h)
        yield Hypothesis(one.kind, f"doses[{given[one.dose].entry}]", facts, evidence.all_samples(changed), evidence.total)


def simulated(evidence: Evidence, given: tuple[Given, ...], found: list[Otherwise]) -> Iterator[Array]:
    """Levels (n, K) under each, from the history that results."""
    times = _times(evidence)
    for _, k, by_h in found:
        yield evidence.at(times, regimen=without(given, k) if by_h is None else moved(given, k, by_h))


def superposed(evidence: Evidence, given: tuple[Given, ...], found: list[Otherwise]) -> Iterator[Array]:
    """The same by subtracting what the dose brings, and adding it at its other time."""
    brought = _Brought(evidence, [(given[k].dose, shift) for _, k, by_h in found for shift in (0.0, by_h or 0.0)])
    for _, k, by_h in found:
        left = evidence.levels - brought.levels(given[k].dose, 0.0)
        yield np.maximum(left if by_h is None else left + brought.levels(given[k].dose, by_h), 0.0)


class _Brought:
    """What single doses bring at the sampled times: one run of the engine for all doses of one route and length."""

    def __init__(self, evidence: Evidence, doses: list[tuple[Dose, float]]) -> None:
        self.times, self.columns = _times(evidence), dict[tuple[float, Dose], Array]()
        for unit in dict.fromkeys(_unit(dose) for dose, _ in doses):
            lags = {lag for dose, shift in doses if _unit(dose) == unit for lag in self._lags(dose, shift) if lag > SLACK_H}
            after = np.asarray(sorted(lags))
            run = levels_of(evidence.model, Regimen(doses=(unit,)), after, evidence.case.covariates)
            self.columns |= {(lag, unit): column for lag, column in zip(after.tolist(), run(evidence.draws.etas).T, strict=True)}
        self.nothing = np.zeros(len(evidence.draws.etas))

    def levels(self, dose: Dose, shift: float) -> Array:
        unit, found = _unit(dose), [self.columns.get((lag, _unit(dose)), self.nothing) for lag in self._lags(dose, shift)]
        return np.stack(found, axis=1) * (dose.amount_mg / unit.amount_mg)

    def _lags(self, dose: Dose, shift: float) -> list[float]:
        return [round(t - dose.time_h - shift, 9) for t in self.times.tolist()]


def _unit(dose: Dose) -> Dose:
    return replace(dose, time_h=0.0, amount_mg=1.0)


def _adds_up(evidence: Evidence) -> bool:
    return is_direct(evidence.model) and not evidence.model.occasions and not evidence.case.covariates.change_times()


def _times(evidence: Evidence) -> Array:
    return np.asarray([s.time_h for s in evidence.case.samples], dtype=np.float64)


def _otherwise(given: tuple[Given, ...], times: list[float]) -> Iterator[Otherwise]:
    """Each dose once."""
    movable = {k for k, g in enumerate(given) if not g.dose.steady_state}
    for k in sorted({k for t in times if (k := previous(given, t)) is not None} & movable):
        yield Otherwise(Kind.DOSE_MISSED, k, None)
        yield Otherwise(Kind.DOSE_LATE, k, OFF_H)
    coming = {k for t in times if (k := following(given, t)) is not None and given[k].dose.time_h - t < OFF_H}
    for k in sorted(coming & movable):
        yield Otherwise(Kind.DOSE_EARLY, k, -OFF_H)
