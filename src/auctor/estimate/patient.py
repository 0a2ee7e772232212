"""One patient's estimates as `Predictor`s: a priori, MAP, Laplace and importance resampling.

`blq` and `prior_weight` choose what a level below its LLOQ tells (default: the case's own method) and how far the population is
trusted; with `found`, the options are those of that search and have to be given again.

All four hold draws of eta (n_draws, p) and read exposure and curves off the same engine; they differ in where the draws come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq, Case, Covariates, Metric, Regimen
from auctor.errors import Notice
from auctor.estimate.direct_map import direct_map
from auctor.estimate.flatten import flattened
from auctor.estimate.modes import MapFit, Mode, require_etas
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import of_case
from auctor.estimate.occasions import covariate_rows, sampled_rows
from auctor.estimate.sir import resample_beside_idle
from auctor.estimate.steady import settled_draws, settled_values, settles
from auctor.estimate.subjects import prepared, timeline_of
from auctor.models.distributions import refuse_out_of_range
from auctor.models.model import OCCASION, DrugModel
from auctor.models.occasions import has_iov, idle, iov_applies, kappas_of
from auctor.pk.direct import is_direct
from auctor.pk.exposure import curves, exposures, scaling
from auctor.predictor import Draws, Prediction

Array = NDArray[np.float64]

LOW_ESS = 200.0
MOST_KEPT = 16  # regimens of 1 mg whose exposures stay at hand
Weight = float | Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """Draws of one patient's eta and what follows from them; a `Predictor`.

    `etas` (n_draws, p) in the order of `model.eta_names`; `eta_point` (p,) is what the method reports (the mode, the prior mode,
    or, for the posterior, the mean). A point of exposure or of a curve is the draws' mean for the posterior, the value at
    `eta_point` otherwise; with occasions (`auctor.estimate.occasions.prepared`), the next one's kappas are zero for the point.
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
    _of_one_mg: dict[tuple[Regimen, Metric], Array] = field(default_factory=dict, init=False, repr=False)

    @property
    def params_point(self) -> dict[str, float]:
        """Individual parameters at `eta_point` and the last known covariates, engine units."""
        values = self.model.individual(self.case.covariates.at(np.inf), self.eta_point)
        return {name: float(value) for name, value in values.items()}

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Concentrations mg/L, (n_draws, n_times), under the history or any other regimen; OutOfDomain without a steady state."""
        times = np.asarray(times_h, dtype=np.float64)
        found = curves(self.model, regimen, times, self._covariates(regimen), self._draws_and_points())
        values = settled_values(self.model, found, n_draws=len(self.etas))
        return Prediction(times_h=times, values=values[: len(self.etas)], point=self._point(values))

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """The metric, mg*h/L or mg/L, (n_draws,): inf for the few draws without a steady state, OutOfDomain where they are many."""
        values = settled_values(self.model, self._exposures(regimen, metric), n_draws=len(self.etas))
        return Draws(values=values[: len(self.etas)], point=float(self._point(values)))

    def _exposures(self, regimen: Regimen, metric: Metric) -> Array:
        """The metric of every draw and point. Candidates that differ in their amount alone are read off one regimen of 1 mg."""
        amount = None if self._continued(regimen) else scaling(self.model, regimen)
        if amount is None:
            return exposures(self.model, regimen, metric, self._covariates(regimen), self._draws_and_points())
        one = Regimen(doses=tuple(replace(dose, amount_mg=1.0) for dose in regimen.doses))
        found = self._of_one_mg.get((one, metric))
        if found is None:
            found = exposures(self.model, one, metric, self._covariates(one), self._draws_and_points())
            if len(self._of_one_mg) >= MOST_KEPT:
                self._of_one_mg.clear()
            self._of_one_mg[one, metric] = found
        return found * amount

    def _point(self, values: Array) -> Array:
        """The mean of the rows below the draws; their median where a few draws without a steady state leave no mean."""
        points = values[len(self.etas) :]
        mean = points.mean(axis=0)
        return np.asarray(mean if np.isfinite(mean).all() else np.median(points, axis=0))

    def _draws_and_points(self) -> Array:
        """The draws with what the point is the mean over below them, so that one run of the engine answers for both."""
        points = self.etas if self.mean_is_point else self.eta_point[None]
        following = kappas_of(self.model, int(self.case.covariates.at(np.inf).get(OCCASION, 0)))
        unsampled = following & idle(self.model, sampled_rows(self.case)) if following.any() else following
        return np.vstack([self.etas, np.where(unsampled, 0.0, points)])

    def during(self, occasion: int) -> Estimate:
        """The same draws with every regimen asked about under that occasion's kappas (a fitted one's: what the exposure was then)."""
        series = {**self.case.covariates.series, OCCASION: ((-np.inf, float(occasion)),)}
        return replace(self, case=replace(self.case, covariates=Covariates(series=series)))

    def _covariates(self, regimen: Regimen) -> Covariates:
        """The recorded course of the covariates for the history (and what continues it); the last values for a regimen of the future."""
        return self.case.covariates if self._continued(regimen) else Covariates.constant(self.case.covariates.at(np.inf))

    def _continued(self, regimen: Regimen) -> bool:
        """Whether a regimen is the history, or begins with it."""
        own = self.case.history.doses
        return bool(own) and regimen.doses[: len(own)] == own


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
    refuse_out_of_range(model, covariate_rows(case))
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
        notices=(*iov_notices(model, case), *notices),
        sd=np.sqrt(np.diag(model.omega)),
        mean_is_point=not typical,
    )


def chosen(model: DrugModel, case: Case, blq: Blq | None, prior_weight: Weight) -> tuple[DrugModel, Case]:
    """The model under that prior weight and the case under that method for levels below their LLOQ (None: its own)."""
    return flattened(model, prior_weight), case if blq is None else replace(case, blq=Blq(blq))


def fit(model: DrugModel, case: Case, *, compiled: bool | None = None, blq: Blq | None = None, prior_weight: Weight = 1.0) -> MapFit:
    """The MAP search for one case: every distinct mode with its curvature.

    By default a model with a closed form is searched in NumPy, which needs no compiling, any other compiled; `compiled` True asks for the
    compiled search, which is the faster one for many patients in a process.
    Raises ModelError for a prior weight that is not above 0 or names no eta.
    """
    model, case = chosen(model, case, blq, prior_weight)
    refuse_out_of_range(model, covariate_rows(case))
    if not compiled and is_direct(model):
        require_etas(model)
        return direct_map(model, timeline_of(model, case), of_case(case))
    from auctor.estimate.map import map_batch

    return map_batch(model, *prepared(model, [case]))


def map_estimate(
    model: DrugModel, case: Case, *, found: MapFit | None = None, blq: Blq | None = None, prior_weight: Weight = 1.0
) -> Estimate:
    """The mode of the posterior: a single draw. `found` reuses a search already made."""
    model, case = chosen(model, case, blq, prior_weight)
    found = found or fit(model, case)
    best = found.modes[0][0]
    return Estimate(
        name="MAP",
        model=model,
        case=case,
        etas=best.eta[None],
        eta_point=best.eta,
        notices=(*_search_notices(found), *iov_notices(model, case)),
        sd=found.sd[0],
        ofv=best.ofv,
        modes=found.modes[0],
    )


def laplace_estimate(
    model: DrugModel,
    case: Case,
    n_draws: int = 2000,
    seed: int = 0,
    *,
    found: MapFit | None = None,
    blq: Blq | None = None,
    prior_weight: Weight = 1.0,
) -> Estimate:
    """MAP with draws from the normal approximation at the mode (inverse Hessian)."""
    model, case = chosen(model, case, blq, prior_weight)
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
        notices=(*_search_notices(found), *iov_notices(model, case), *notices),
        sd=found.sd[0],
        ofv=best.ofv,
        modes=found.modes[0],
    )


def posterior_estimate(
    model: DrugModel,
    case: Case,
    n_draws: int = 2000,
    seed: int = 0,
    *,
    found: MapFit | None = None,
    blq: Blq | None = None,
    prior_weight: Weight = 1.0,
) -> Estimate:
    """The full posterior by importance resampling around every mode; the point is the posterior mean."""
    model, case = chosen(model, case, blq, prior_weight)
    found = found or fit(model, case)
    without = idle(model, sampled_rows(case))
    drawn = resample_beside_idle(found.modes[0], lambda etas: case_ofv(model, case, etas), model.omega, without, n_draws=n_draws, seed=seed)
    mean = np.where(without, 0.0, drawn.etas.mean(axis=0))
    notices = (*_search_notices(found), *iov_notices(model, case))
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


def iov_notices(model: DrugModel, case: Case) -> tuple[Notice, ...]:
    """The notice that published IOV is left out, where it would apply to this case."""
    if model.occasions or not has_iov(model) or not iov_applies(model, covariate_rows(case)):
        return ()
    return (left_out_iov(model),)


def left_out_iov(model: DrugModel) -> Notice:
    """The notice that published IOV is left out."""
    what = "inter-occasion variability is published and left out here"
    remedy = "expect intervals that are too narrow for a dose given on another day"
    return Notice(code="iov-unused", where=f"model.{model.name}", what=what, remedy=remedy)


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
