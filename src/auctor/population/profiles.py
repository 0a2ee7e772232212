"""Simulated patients as arrays, one row each, and any of them as the case that a method would read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Dose, Regimen, Sample
from auctor.population.dosage import Taken, as_taken
from auctor.population.plan import Plan
from auctor.population.variability import Changes

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Profiles:
    """Simulated patients, one row each (n); k samples a patient, NaN where a patient has fewer.

    `dose_mg`, `loading_mg` (0: none), `every_h`, `infusion_h` (of the maintenance dose) and `loading_infusion_h` (n,);
    `sample_h` (n, k) h since the last dose (steady history) or since the first dose (start history; irregular: latest sample first), as
    recorded; `drawn_h` (n, k) the same when the sample was really drawn;
    `true` and `observed` (n, k) mg/L without and with noise and assay bias; where `below` (n, k) only "under the LLOQ" is known and
    `observed` is half of it. `covariates` (n,) at the start, `changes` what becomes of them. `eta` (n, n_eta) and `kappa` (n, n_kappa),
    zero-padded where models differ; `taken` which doses were, None for all. `target` (n,) the plan's target in engine units (0 or 1 for an
    event); `exposure` (n,) the true F/CL in h/L (AUC over one interval per mg at steady state), NaN for a model that has none;
    `model_index` (n,).
    """

    plan: Plan
    model_index: NDArray[np.int64]
    covariates: Mapping[str, Array]
    dose_mg: Array
    loading_mg: Array
    every_h: Array
    infusion_h: Array
    loading_infusion_h: Array
    sample_h: Array
    drawn_h: Array
    true: Array
    observed: Array
    below: NDArray[np.bool_]
    eta: Array
    kappa: Array
    exposure: Array
    target: Array
    taken: Taken | None = None
    changes: Changes | None = None

    def __len__(self) -> int:
        return len(self.dose_mg)

    def planned(self, i: int) -> Regimen:
        """The doses that patient i was meant to take."""
        every, dose, route = float(self.every_h[i]), float(self.dose_mg[i]), self.plan.route
        kept = Dose(time_h=0.0, amount_mg=dose, route=route, duration_h=float(self.infusion_h[i]), every_h=every, steady_state=True)
        if not self.plan.dosage.start:
            return Regimen(doses=(kept,))
        first_mg = float(self.loading_mg[i]) or dose
        length = float(self.loading_infusion_h[i]) if self.loading_mg[i] else kept.duration_h
        first = Dose(time_h=0.0, amount_mg=first_mg, route=route, duration_h=length)
        more = max(0, int(np.ceil(self.plan.horizon_h / every)) - 1)
        return Regimen(
            doses=(first, Dose(time_h=every, amount_mg=dose, route=route, duration_h=kept.duration_h, every_h=every, additional=more))
        )

    def given(self, i: int) -> Regimen:
        """The doses that patient i really took."""
        return self.planned(i) if self.taken is None else as_taken(self.planned(i), self.taken.taken[i], self.taken.late_h[i])

    def regimen(self, i: int) -> Regimen:
        """The dosing history of patient i as it is known to the methods."""
        true = self.plan.adherence is None or self.plan.adherence.reported == "true"
        return self.given(i) if true else self.planned(i)

    def steady(self, i: int, *, until_h: float = 48.0) -> Regimen:
        """The maintenance dose of patient i at steady state, kept up until `until_h`: what goes on."""
        dose, every, length = (float(values[i]) for values in (self.dose_mg, self.every_h, self.infusion_h))
        return Regimen.steady(dose, every_h=every, route=self.plan.route, duration_h=length, horizon_h=until_h)

    def covariates_of(self, i: int) -> Covariates:
        """The covariates of patient i, with their changes."""
        series = {name: [(0.0, float(values[i]))] for name, values in self.covariates.items()}
        if self.changes is not None:
            for s in np.flatnonzero(np.isfinite(self.changes.from_h[i])):
                for name, values in self.changes.values.items():
                    series[name].append((float(self.changes.from_h[i, s]), float(values[i, s])))
        return Covariates(series={name: tuple(dict(points).items()) for name, points in series.items()})

    def case(self, i: int) -> Case:
        """Patient i as a case, as if read from a file; samples in time order, with noise."""
        order = [j for j in np.argsort(self.sample_h[i], kind="stable") if np.isfinite(self.sample_h[i, j])]
        return Case(
            label=f"virtual-{i}",
            drug=self.plan.model.drug,
            history=self.regimen(i),
            samples=tuple(self._sample(i, j) for j in order),
            covariates=self.covariates_of(i),
            current=self.steady(i),
        )

    def _sample(self, i: int, j: int) -> Sample:
        time, lloq = float(self.sample_h[i, j]), self.plan.assay.lloq
        if self.below[i, j]:
            assert lloq is not None
            return Sample(time_h=time, value=lloq, lloq=lloq, below_lloq=True)
        return Sample(time_h=time, value=float(self.observed[i, j]), lloq=lloq)

    def rows(self, chosen: NDArray[Any]) -> Profiles:
        """Some of the patients."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        cut: dict[str, Any] = {name: value[chosen] for name, value in own.items() if isinstance(value, np.ndarray)}
        cut["covariates"] = {name: values[chosen] for name, values in self.covariates.items()}
        if self.taken is not None:
            cut["taken"] = Taken(*(values[chosen] for values in self.taken))
        if self.changes is not None:
            cut["changes"] = Changes(self.changes.from_h[chosen], {n: v[chosen] for n, v in self.changes.values.items()})
        return replace(self, **cut)
