"""One case under one model, integrated: the draws, the recorded levels' densities at each, and means over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Metric, Regimen
from auctor.data.plausibility.draws import Draws, draw, levels_of
from auctor.data.plausibility.likelihood import log_density, log_density_if, observed, scaled
from auctor.estimate.observations import Observations
from auctor.estimate.occasions import prepared, sampled_rows
from auctor.models.model import DrugModel, Residual
from auctor.models.occasions import idle
from auctor.pk.direct import is_direct
from auctor.pk.exposure import exposures, steady_auc

Array = NDArray[np.float64]

N_DRAWS = 1024
AUC = Metric.parse("AUC0-24")
THOUSAND = 1000.0
DAY_H = 24.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """`levels` (n, K) mg/L at the recorded times for every draw, `density` (n, K) the log densities of what was measured there.

    `counted` (K,) are the samples that an estimation looks at: they are the evidence in which another one is judged.
    `model` and `case` are laid out with their occasions.
    """

    model: DrugModel
    case: Case
    draws: Draws
    seen: Observations
    counted: NDArray[np.bool_]
    levels: Array
    density: Array

    @cached_property
    def total(self) -> Array:
        """Log likelihood of all samples that count as recorded, (n,)."""
        return np.asarray(self.density[:, self.counted].sum(axis=1))

    def without(self, k: int) -> Array:
        """That of the others, (n,)."""
        return np.asarray(self.density[:, self.counted & (np.arange(len(self.counted)) != k)].sum(axis=1))

    def recorded(self, k: int) -> Array:
        """That of the others and of sample k, (n,)."""
        return self.without(k) + self.density[:, k]

    def at(self, times_h: Array, *, regimen: Regimen | None = None, covariates: Covariates | None = None) -> Array:
        """Levels (n, times) under the recorded history or another one."""
        history, known = regimen or self.case.history, covariates or self.case.covariates
        return levels_of(self.model, history, times_h, known)(self.draws.etas)

    def all_samples(self, levels: Array) -> Array:
        """Log likelihood (n,) of the samples that count at other levels (n, K)."""
        return np.asarray(log_density(self.model.residual, levels, self.seen)[:, self.counted].sum(axis=1))

    def log_mean(self, log_likelihood: Array) -> float:
        """Log of the marginal likelihood: the mean over the prior, by importance weights; -inf where no draw has any."""
        terms = self.draws.log_weight + log_likelihood
        top = float(terms.max())
        return top + float(np.log(np.mean(np.exp(terms - top)))) if np.isfinite(top) else -np.inf

    def shares(self, log_likelihood: Array | float) -> Array:
        """Posterior weights of the draws under that likelihood, adding up to 1; the prior's where no draw has any."""
        terms = self.draws.log_weight + log_likelihood
        if not np.isfinite(terms.max()):
            terms = self.draws.log_weight
        weight = np.exp(terms - terms.max())
        return np.asarray(weight / weight.sum())

    def ess(self, log_likelihood: Array | float) -> float:
        """Effective number of draws behind a posterior mean."""
        return float(1.0 / np.sum(self.shares(log_likelihood) ** 2))

    @cached_property
    def aucs(self) -> Array | None:
        """AUC0-24 (mg*h/L) under the current regimen for every draw, None where that is not known."""
        if self.case.current is None or not self.case.current.doses:
            return None
        known, every = self.case.covariates.at(np.inf), self.case.current.doses[0].every_h
        if is_direct(self.model) and self.model.structure.bioavailability is None and every > 0 and math.fmod(DAY_H, every) == 0:
            return steady_auc(self.model, self.model.individual(known, self.draws.etas), self.case.current.daily_mg)
        found = exposures(self.model, self.case.current, AUC, Covariates.constant(known), self.draws.etas)
        return np.where(np.isfinite(found), found, np.nan)

    def auc(self, log_likelihood: Array) -> float | None:
        """Its posterior mean, mg*h/L, under that likelihood."""
        if self.aucs is None:
            return None
        real = np.isfinite(self.aucs)
        share = self.shares(log_likelihood)[real]
        return float(share @ self.aucs[real] / share.sum()) if share.sum() > 0 else None


def gather(case: Case, model: DrugModel, *, n_draws: int = N_DRAWS, seed: int = 0) -> Evidence:
    """Lay out occasions, draw, and read the recorded samples; `n_draws` in all, about. Errors as of the engine and the estimators."""
    ready = prepared(model, case)
    seen, counted = observed(ready.case)
    times = np.asarray([s.time_h for s in ready.case.samples], dtype=np.float64)
    predict = levels_of(ready.model, ready.case.history, times, ready.case.covariates)
    still = idle(ready.model, sampled_rows(ready.case))
    lanes = _lanes(seen, counted, typical=predict(np.zeros((1, len(ready.model.eta_names)))), residual=ready.model.residual)
    draws = draw(ready.model, predict, lanes, still=still, n=n_draws, seed=seed)
    levels = predict(draws.etas) if times.size else np.zeros((len(draws.etas), 0))
    return Evidence(
        model=ready.model,
        case=ready.case,
        draws=draws,
        seen=seen,
        counted=counted,
        levels=levels,
        density=log_density(ready.model.residual, levels, seen),
    )


def _lanes(seen: Observations, counted: NDArray[np.bool_], *, typical: Array, residual: Residual) -> Observations:
    """Data sets to propose for, stacked: as recorded, without each sample that counts, and all in another unit where that is likelier.

    `typical` (1, K) are the levels of the typical patient.
    """
    k, weight = len(counted), counted.astype(np.float64)
    sets = [seen._replace(weight=weight)]
    if counted.sum() > 1:
        sets += [seen._replace(weight=weight * (np.arange(k) != j)) for j in np.flatnonzero(counted)]
    fit = [float(log_density_if(residual, typical, seen, f)[0, counted].sum()) for f in (1.0, THOUSAND, 1 / THOUSAND)]
    sets += [scaled(seen, f)._replace(weight=weight) for f, one in zip((THOUSAND, 1 / THOUSAND), fit[1:], strict=True) if one > fit[0]]
    return Observations(*(np.stack(column) for column in zip(*sets, strict=True)))
