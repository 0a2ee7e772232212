"""What enters and what is eliminated in a model's course, by a quadrature that knows nothing of the engine's own mass balance."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.models.checks import Check, at_eta_zero, entering, saturable
from auctor.models.model import DrugModel, System
from auctor.models.quantities import MASS, TIME, read_unit
from auctor.models.systems import TIMES as CLOCKS
from auctor.pk.probe import TIMES, Probe

Array = NDArray[np.float64]

NODES = 12  # 24 change no balance of the library by more than 3e-9
SHORTEST, LONGEST = 50.0, 1e5  # h, how far a single dose is followed
GONE = 1e-10  # of the highest level
_INPUT = tuple(sorted({**dict(MASS), "time": -1}.items()))


@dataclass(frozen=True)
class Balance:
    """The balance of one check: over its interval at steady state, or from one dose until nothing is left."""

    model: DrugModel
    check: Check

    @property
    def values(self) -> Mapping[str, float]:
        """Parameters and individual formulas of the typical patient."""
        return at_eta_zero(self.model, self.check.patient)

    def given(self) -> float:
        """What enters with one dose (mg): F * dose."""
        assert self.check.dose is not None
        return entering(self.model, self.check.dose, self.values, self.check.patient)

    def alone(self) -> Balance:
        """The same dose given once."""
        assert self.check.dose is not None
        return replace(self, check=replace(self.check, dose=replace(self.check.dose, every_h=0.0, steady_state=False)))

    def eliminated(self) -> float:
        """What leaves (mg) over the window: the elimination rate of the file's formulas, integrated over the simulated course."""
        rate = self._by_levels if self.model.system is None else self._by_formulas(self.model.system)
        return self.integral(rate, self.window())

    def window(self) -> float:
        """The interval at steady state; of one dose the hours until less than 1e-10 of the peak is left, or no more leaves."""
        assert self.check.dose is not None
        if self.check.dose.steady_state:
            return self.check.dose.every_h
        until, before = SHORTEST, np.inf
        while until < LONGEST:
            levels = self._levels(np.geomspace(1e-2, until, TIMES))
            least = GONE * levels.max()
            if not abs(before - levels[-1]) > least or levels[-1] <= least:
                break  # gone, or what is left stays
            until, before = until * 4.0, float(levels[-1])  # an adaptive solver takes no more steps than the drug needs to leave
        return until

    def _levels(self, times: Array) -> Array:
        """What is left to leave: total drug of a written-out model, else the central concentration (mg/L)."""
        probe = Probe(self.model, self.check.regimen(), self.check.patient)
        if self.model.system is None:
            return probe.read(times).concentration / self.model.scale
        left: Array = probe.amounts(times)[:, self._counted()].sum(axis=1)
        return left

    def _counted(self) -> list[int]:
        size = 0 if self.model.system is None else self.model.system.size
        return [k - 1 for k in self.check.compartments] or list(range(size))

    def _by_levels(self, times: Array) -> Array:
        s, values, level = self.model.structure, self.values, self._levels(times)
        linear = values[s.clearance] * level if s.clearance else np.zeros_like(level)
        names = saturable(self.model)
        return linear if names is None else linear + values[names[0]] * level / (values[names[1]] + level)

    def _by_formulas(self, system: System) -> Callable[[Array], Array]:
        def rate(times: Array) -> Array:
            states = Probe(self.model, self.check.regimen(), self.check.patient).amounts(times)
            named = {f"A{k + 1}": states[:, k] for k in range(system.size)}
            known = {**self.check.patient, **self.values, **named, "t": times, "tad": times}
            if self.check.eliminated is not None:
                return np.asarray(np.broadcast_to(self.check.eliminated.evaluate(known, np), times.shape))
            gained = [np.broadcast_to(system.derivatives[k].evaluate(known, np), times.shape) for k in self._counted()]
            return np.asarray(-np.sum(gained, axis=0))

        return rate

    def integral(self, function: Callable[[Array], Array], until: float) -> float:
        """Integral from 0 to `until` of what has kinks where an input starts or ends: Gauss-Legendre on panels graded after each kink."""
        edges = self.breaks(until)
        panels = [edge for a, b in itertools.pairwise(edges) for edge in _graded(a, b)]
        bounds = np.unique([*panels, until])
        x, w = np.polynomial.legendre.leggauss(NODES)
        half, middle = np.diff(bounds)[:, None] / 2, (bounds[1:] + bounds[:-1])[:, None] / 2
        values = function((middle + half * x).reshape(-1))
        return float(np.sum((half * w).reshape(-1) * values))

    def breaks(self, until: float) -> tuple[float, ...]:
        """0, `until` and every time between (h) at which an input may start or end or a formula switches, modulo the interval."""
        dose, patient = self.check.dose, self.check.patient
        assert dose is not None
        delays = [0.0, *self._delays(patient)]
        lengths = [0.0, dose.duration_h, dose.duration_h * self.given() / dose.amount_mg]
        ends = {delay + other for delay in delays for other in (*lengths, *delays, *self._switches())}
        folded = {end % dose.every_h if dose.every_h else end for end in ends}
        return tuple(sorted({0.0, until, *(end for end in folded if 1e-9 < end < until - 1e-9)}))

    def _switches(self) -> set[float]:
        """Hours after the dose that the formulas compare the time with."""
        formulas = () if self.model.system is None else self.model.system.derivatives
        known = {**self.check.patient, **self.values}
        compared = {e for formula in formulas for name in CLOCKS for e in formula.thresholds(name)}
        return {float(e.evaluate(known, np)) for e in compared if e.names <= known.keys()}

    def _delays(self, patient: Mapping[str, float]) -> list[float]:
        """Every duration among the parameters and the dose formulas (h), and the lengths of inputs of modelled rate."""
        values, named = self.values, self.model.parameters
        powers = {name: read_unit(p.unit, where=name).powers for name, p in named.items()}
        spans = [values[name] for name, power in powers.items() if power == TIME]
        spans += [self.given() / values[name] for name, power in powers.items() if power == _INPUT and values[name] > 0]
        inputs = {} if self.model.system is None else self.model.system.inputs
        known = {**patient, **values}
        spans += [float(e.evaluate(known, np)) for key in ("lag", "duration") for e in inputs.get(key, {}).values()]
        spans += [self.given() / float(e.evaluate(known, np)) for e in inputs.get("rate", {}).values()]
        return sorted({span for span in spans if 0 < span < LONGEST})[:6]


def _graded(start: float, end: float) -> list[float]:
    """Panel edges that grow fourfold from the start: what follows a kink changes fastest there."""
    width, parts = end - start, [start]
    step = max(width * 4.0**-12, 2e-3)
    while step < width:
        parts.append(start + step)
        step *= 4.0
    return parts
