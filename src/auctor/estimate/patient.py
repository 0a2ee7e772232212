"""One patient's estimates as `Predictor`s: a priori, MAP, Laplace and importance resampling.

All four hold draws of eta (n_draws, p) and read exposure and curves off the same engine; they differ in where the draws come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Metric, Regimen
from auctor.errors import Notice
from auctor.estimate.map import MapFit, Mode, map_batch
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import of_case, stack_observations
from auctor.estimate.sir import importance_resample
from auctor.estimate.steady import settled_draws, settled_values, settles
from auctor.models.model import DrugModel
from auctor.pk.exposure import curves, exposures
from auctor.pk.timeline import build, stack
from auctor.predictor import Draws, Prediction

Array = NDArray[np.float64]

LOW_ESS = 200.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """Draws of one patient's eta and what follows from them; a `Predictor`.

    `etas` (n_draws, p) in the order of `model.eta_names`; `eta_point` (p,) is what the method reports (the mode, the prior mode,
    or, for the posterior, the mean). A point of exposure or of a curve is the draws' mean for the posterior, the value at
    `eta_point` otherwise.
    """

    name: str
    model: DrugModel
    case: Case
    etas: Array
    eta_point: Array
    notices: tuple[Notice, ...] = ()
    sd: Array | None = None
    ofv: float | None = None
    ess: float | None = None
    log_marginal: float | None = None
    modes: tuple[Mode, ...] = field(default=())
    mean_is_point: bool = False

    @property
    def params_point(self) -> dict[str, float]:
        """Individual parameters at `eta_point` and the last known covariates, engine units."""
        values = self.model.individual(self.case.covariates.at(np.inf), self.eta_point)
        return {name: float(value) for name, value in values.items()}

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Concentrations mg/L, (n_draws, n_times), under the history or any other regimen; OutOfDomain without a steady state."""
        times = np.asarray(times_h, dtype=np.float64)
        found = curves(self.model, regimen, times, self._covariates(regimen), self._draws_and_point())
        values = settled_values(self.model, found, last_is_point=not self.mean_is_point)
        return Prediction(times_h=times, values=values[:-1], point=self._point(values))

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """The metric, mg*h/L or mg/L, (n_draws,): inf for the few draws without a steady state, OutOfDomain where they are many."""
        found = exposures(self.model, regimen, metric, self._covariates(regimen), self._draws_and_point())
        values = settled_values(self.model, found, last_is_point=not self.mean_is_point)
        return Draws(values=values[:-1], point=float(self._point(values)))

    def _point(self, values: Array) -> Array:
        """The draws' mean or the last row; the median where a few draws without a steady state leave no mean."""
        if not self.mean_is_point:
            return np.asarray(values[-1])
        mean = values[:-1].mean(axis=0)
        return np.asarray(mean if np.isfinite(mean).all() else np.median(values[:-1], axis=0))

    def _draws_and_point(self) -> Array:
        """The draws with `eta_point` below them, so that one run of the engine answers for both."""
        return np.vstack([self.etas, self.eta_point])

    def _covariates(self, regimen: Regimen) -> Covariates:
        """The recorded course of the covariates for the history (and what continues it); the last values for a regimen of the future."""
        own = self.case.history.doses
        if own and regimen.doses[: len(own)] == own:
            return self.case.covariates
        return Covariates.constant(self.case.covariates.at(np.inf))


def sample_predictions(model: DrugModel, case: Case, etas: Array) -> Array:
    """Concentrations mg/L at the case's sample times, (n_draws, n_samples)."""
    times = np.asarray([s.time_h for s in case.samples])
    return curves(model, case.history, times, case.covariates, etas) if times.size else np.zeros((len(etas), 0))


def individual_weighted_residuals(model: DrugModel, case: Case, eta: Array) -> Array:
    """(y - f) / sd at each sample for eta (p,): IWRES; NaN-free (a censored sample is read at its limit)."""
    f = sample_predictions(model, case, eta[None])[0]
    seen = of_case(case)
    y = np.where(seen.censored, seen.limit, seen.value)
    return np.asarray(deviation(model.residual, f, y) / np.sqrt(variance(model.residual, f)))


def a_priori(model: DrugModel, case: Case, n_draws: int = 2000, seed: int = 0) -> Estimate:
    """The population prediction: eta ~ N(0, Omega), samples unused."""
    p = len(model.eta_names)
    rng, root = np.random.default_rng(seed), np.linalg.cholesky(model.omega).T
    etas, notices = settled_draws(model, case, lambda n: rng.standard_normal((n, p)) @ root, n_draws)
    # where the typical patient has no steady state under the recorded dose, the draws that have one speak for the population
    typical = bool(settles(model, case, np.zeros((1, p)))[0])
    return Estimate(
        name="A priori",
        model=model,
        case=case,
        etas=etas,
        eta_point=np.zeros(p) if typical else etas.mean(axis=0),
        sd=np.sqrt(np.diag(model.omega)),
        notices=notices,
        mean_is_point=not typical,
    )


def fit(model: DrugModel, case: Case) -> MapFit:
    """The MAP search for one case: every distinct mode with its curvature."""
    times = np.asarray([s.time_h for s in case.samples], dtype=np.float64)
    batch = stack([build(model, case.history, case.covariates, times)])
    return map_batch(model, batch, stack_observations([of_case(case)], batch.arrays["wanted"].shape[1]))


def map_estimate(model: DrugModel, case: Case, *, found: MapFit | None = None) -> Estimate:
    """The mode of the posterior: a single draw. `found` reuses a search already made."""
    found = found or fit(model, case)
    best = found.modes[0][0]
    return Estimate(
        name="MAP",
        model=model,
        case=case,
        etas=best.eta[None],
        eta_point=best.eta,
        notices=_search_notices(found),
        sd=found.sd[0],
        ofv=best.ofv,
        modes=found.modes[0],
    )


def laplace_estimate(model: DrugModel, case: Case, n_draws: int = 2000, seed: int = 0, *, found: MapFit | None = None) -> Estimate:
    """MAP with draws from the normal approximation at the mode (inverse Hessian)."""
    found = found or fit(model, case)
    best = found.modes[0][0]
    rng, root = np.random.default_rng(seed), np.linalg.cholesky(best.covariance).T
    etas, notices = settled_draws(model, case, lambda n: best.eta + rng.standard_normal((n, len(best.eta))) @ root, n_draws)
    return Estimate(
        name="MAP",
        model=model,
        case=case,
        etas=etas,
        eta_point=best.eta,
        notices=_search_notices(found) + notices,
        sd=found.sd[0],
        ofv=best.ofv,
        modes=found.modes[0],
    )


def posterior_estimate(model: DrugModel, case: Case, n_draws: int = 2000, seed: int = 0, *, found: MapFit | None = None) -> Estimate:
    """The full posterior by importance resampling around every mode; the point is the posterior mean."""
    found = found or fit(model, case)
    drawn = importance_resample(found.modes[0], lambda etas: case_ofv(model, case, etas), n_draws=n_draws, seed=seed)
    mean = drawn.etas.mean(axis=0)
    notices = _search_notices(found)
    if drawn.ess < LOW_ESS:
        notices += (
            Notice(
                code="low-ess",
                where="posterior",
                what=f"effective sample size {drawn.ess:.0f} is low",
                remedy="read the posterior interval with care; ask for more draws",
            ),
        )
    return Estimate(
        name="Posterior",
        model=model,
        case=case,
        etas=drawn.etas,
        eta_point=mean,
        notices=notices,
        sd=drawn.etas.std(axis=0),
        ofv=found.modes[0][0].ofv,
        ess=drawn.ess,
        log_marginal=drawn.log_marginal - 0.5 * float(np.linalg.slogdet(model.omega)[1]),
        modes=found.modes[0],
        mean_is_point=True,
    )


def case_ofv(model: DrugModel, case: Case, etas: Array) -> Array:
    """OFV of one case at many etas, (n,): the same objective as the search, evaluated in NumPy."""
    f = sample_predictions(model, case, etas)
    with np.errstate(invalid="ignore"):  # a draw without a steady state has no finite prediction, and so no weight
        return np.asarray(sample_terms(model.residual, f, of_case(case)).sum(axis=1) + penalty(model, etas))


def penalty(model: DrugModel, etas: Array) -> Array:
    """eta' Omega^-1 eta, (n,)."""
    return np.asarray(np.sum(np.linalg.solve(np.linalg.cholesky(model.omega), etas.T) ** 2, axis=0))


def _search_notices(found: MapFit) -> tuple[Notice, ...]:
    notices: tuple[Notice, ...] = ()
    if not found.converged[0]:
        notices += (
            Notice(
                code="not-converged",
                where="MAP",
                what="the search did not reach its gradient tolerance",
                remedy="check doses, samples and units",
                blocks_signing=True,
            ),
        )
    if len(found.modes[0]) > 1:
        notices += (
            Notice(
                code="several-modes",
                where="MAP",
                what=f"the samples fit {len(found.modes[0])} different parameter sets",
                remedy="read the posterior, which weighs them all",
            ),
        )
    return notices
