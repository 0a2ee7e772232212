"""What a first dose is for: several exposure ranges that must hold together, some of them divided by the MIC."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Metric
from auctor.errors import CaseError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A range of one metric at steady state, mg*h/L or mg/L (h or 1 when `per_mic`); one end may be open (0, infinity).

    >>> Goal(metric=Metric.parse("AUC0-24"), low=666.0, high=math.inf, per_mic=True).label
    'AUC0-24/MIC above 666'
    """

    metric: Metric
    low: float
    high: float
    per_mic: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high or (self.low == 0 and math.isinf(self.high)):
            raise CaseError(where=f"target {self.metric.name}", what="not a range", remedy="give low, high or both, low below high")

    @property
    def label(self) -> str:
        """As printed: `AUC0-24 400 to 600`, `C0 below 24.3`."""
        name = f"{self.metric.name}/MIC" if self.per_mic else self.metric.name
        if math.isinf(self.high):
            return f"{name} above {self.low:g}"
        return f"{name} below {self.high:g}" if self.low == 0 else f"{name} {self.low:g} to {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Mic:
    """The minimum inhibitory concentration, mg/L: one value, or several with the share of isolates at each.

    >>> Mic(values=(1.0,)).shares
    (1.0,)
    """

    values: tuple[float, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        weights = self.weights or (1.0,) * len(self.values)
        usable = len(weights) == len(self.values) > 0 and min(weights) >= 0 and sum(weights) > 0
        if not usable or not all(math.isfinite(v) and v > 0 for v in self.values):
            raise CaseError(where="mic", what="not a MIC or a distribution of MICs", remedy="give values above zero, each with its share")

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of isolates at each value; they add up to 1."""
        weights = self.weights or (1.0,) * len(self.values)
        return tuple(w / sum(weights) for w in weights)


_Test = Callable[[Goal, Array, float], NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class JointTarget:
    """Goals that must all hold. `mic` is needed where one is divided by it.

    >>> both = JointTarget(goals=(Goal(metric=Metric.parse("AUC0-24"), low=400.0, high=600.0),))
    >>> both.share([np.array([300.0, 500.0])]).tolist()
    [0.0, 1.0]
    """

    goals: tuple[Goal, ...]
    mic: Mic | None = None

    def __post_init__(self) -> None:
        if not self.goals:
            raise CaseError(where="target", what="missing", remedy="give at least one, for example 'AUC0-24:400-600 mg*h/L'")
        if self.mic is None and any(goal.per_mic for goal in self.goals):
            raise CaseError(where="mic", what="missing, and a target is divided by it", remedy="give the MIC, for example '1 mg/L'")

    @property
    def label(self) -> str:
        """As printed, the goals joined by `and`."""
        return " and ".join(goal.label for goal in self.goals)

    def share(self, values: Sequence[Array]) -> Array:
        """Probability over the MIC that every goal holds, for exposures in the order of the goals, each of one shape."""
        return self._over_mics(values, lambda goal, x, mic: (x >= goal.low * mic) & (x <= goal.high * mic), every=True)

    def above(self, values: Sequence[Array]) -> Array:
        """Probability over the MIC that some exposure exceeds the upper end of its range (toxicity), same shape."""
        return self._over_mics(values, lambda goal, x, mic: x > goal.high * mic, every=False)

    def margin(self, values: Sequence[Array]) -> Array:
        """How far inside the ranges, as the least log distance to any end at the highest MIC; negative outside, same shape."""
        mic = max(self.mic.values) if self.mic else 1.0
        ends = []
        for goal, x in zip(self.goals, values, strict=True):
            by = mic if goal.per_mic else 1.0
            ends += [np.log(x / (goal.low * by))] if goal.low > 0 else []
            ends += [np.log(goal.high * by / x)] if math.isfinite(goal.high) else []
        return np.asarray(np.min(ends, axis=0), dtype=np.float64)

    def _over_mics(self, values: Sequence[Array], holds: _Test, *, every: bool) -> Array:
        total = np.zeros(np.shape(values[0]))
        mic = self.mic or Mic(values=(1.0,))
        for value, share in zip(mic.values, mic.shares, strict=True):
            met = [holds(goal, x, value if goal.per_mic else 1.0) for goal, x in zip(self.goals, values, strict=True)]
            total += share * (np.logical_and if every else np.logical_or).reduce(met)
        return total
