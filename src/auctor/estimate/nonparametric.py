"""One patient under a non-parametric prior: the posterior weights of its support points, as a `Predictor`.

w_k is proportional to p_k * prod_j p(y_j | point k): Bayes' theorem on a finite set, with neither a search nor a normal approximation.
Reference: Jelliffe R et al., Ther Drug Monit 1998;20:543-551 (multiple-model estimates).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Metric, Regimen
from auctor.errors import EstimationError, Notice
from auctor.estimate.observations import Observations, of_case
from auctor.estimate.patient import Estimate, sample_predictions
from auctor.estimate.support import SupportPoints, log_likelihood, standardised
from auctor.models.model import DrugModel
from auctor.predictor import Draws, Prediction

Array = NDArray[np.float64]

FEW_POINTS = 2.0
FAR_SD = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class NonParametric:
    """A patient's posterior over support points; a `Predictor`.

    `weights` (k,) are the posterior probabilities of `support.points`; `log_marginal` is log p(samples) under the prior. Draws repeat
    the points' answers in proportion to their weights (systematic resampling at fixed positions: no randomness); the point that is
    reported is the exact posterior mean of the quantity.
    """

    support: SupportPoints
    weights: Array
    at_points: Estimate
    log_marginal: float
    notices: tuple[Notice, ...] = ()
    n_draws: int = 2000
    name: str = "Non-parametric"

    @property
    def parameters(self) -> Mapping[str, float]:
        """Posterior mean of each parameter of the support points, engine units, at the reference covariates."""
        return dict(zip(self.support.parameters, (self.weights @ self.support.points).tolist(), strict=True))

    @property
    def effective_points(self) -> float:
        """1 / sum w^2: how many points the posterior really rests on."""
        return float(1.0 / np.sum(self.weights**2))

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Concentrations mg/L, (n_draws, n_times), under the history or any other regimen."""
        values = self.at_points.predict(regimen, times_h).values
        return Prediction(times_h=np.asarray(times_h, dtype=np.float64), values=values[self._drawn()], point=self.weights @ values)

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """The metric, mg*h/L or mg/L, (n_draws,)."""
        values = self.at_points.exposure(regimen, metric).values
        return Draws(values=values[self._drawn()], point=float(self.weights @ values))

    def _drawn(self) -> NDArray[np.int64]:
        return resampled(self.weights, self.n_draws)


def resampled(weights: Array, n: int) -> NDArray[np.int64]:
    """Systematic resampling at the midpoints of n equal parts, in order: index k appears n w_k times, rounded up or down.

    >>> resampled(np.array([0.5, 0.3, 0.2]), 10).tolist()
    [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]
    """
    positions = (np.arange(n) + 0.5) / n
    return np.searchsorted(np.cumsum(weights / weights.sum()), positions).clip(0, len(weights) - 1).astype(np.int64)


def nonparametric_estimate(model: DrugModel, case: Case, support: SupportPoints, *, n_draws: int = 2000) -> NonParametric:
    """The posterior of one case under a non-parametric prior; without samples, the prior itself.

    Raises EstimationError when no support point gives the samples a finite likelihood, or a parameter cannot vary in the model.
    """
    etas, seen = support.etas(model), of_case(case)
    f = sample_predictions(model, case, etas)
    found = weigh(support, log_likelihood(support.error, f, seen))
    at_points = Estimate(name="Non-parametric", model=model, case=case, etas=etas, eta_point=found.weights @ etas)
    return NonParametric(
        support=support,
        weights=found.weights,
        at_points=at_points,
        log_marginal=found.log_marginal,
        notices=point_notices(support, found.weights, f, seen),
        n_draws=n_draws,
    )


class Weighed(NamedTuple):
    """Posterior probabilities of the support points (k,) and log p(samples) under the prior."""

    weights: Array
    log_marginal: float


def weigh(support: SupportPoints, likelihood: Array) -> Weighed:
    """Bayes' theorem over the points, from the log likelihood of the samples at each (k,).

    Raises EstimationError when no point has a finite one.
    """
    with np.errstate(divide="ignore"):
        joint = np.log(support.probabilities) + likelihood
    top = joint.max()
    if not np.isfinite(top):
        raise EstimationError(
            where="support points", what="no point gives these samples a finite likelihood", remedy="check doses, samples and units"
        )
    mass = np.exp(joint - top)
    return Weighed(mass / mass.sum(), float(top + np.log(mass.sum())))


def point_notices(
    support: SupportPoints, weights: Array, f: Array, seen: Observations, *, where: str = "non-parametric prior"
) -> tuple[Notice, ...]:
    """`few-support-points` and `far-from-support`, from the posterior weights (k,) and the predictions (k, n_samples) mg/L."""
    return _few(weights, where) + _far(support, f, seen, where)


def _few(weights: Array, where: str) -> tuple[Notice, ...]:
    """The samples left hardly more than one point: an interval read off the draws is then too narrow."""
    if 1.0 / np.sum(weights**2) >= FEW_POINTS or len(weights) == 1:
        return ()
    what = f"{weights.max():.0%} of the posterior lies on one support point of {len(weights)}"
    return (Notice(code="few-support-points", where=where, what=what, remedy="do not read the interval as certainty"),)


def _far(support: SupportPoints, f: Array, seen: Observations, where: str) -> tuple[Notice, ...]:
    """No point comes near: root mean square of (y - f) / sd above 3 at the best one."""
    used = (seen.weight > 0) & ~seen.censored
    if not used.any():
        return ()
    apart = np.sqrt(np.mean(standardised(support.error, f, seen)[:, used] ** 2, axis=1)).min()
    if apart <= FAR_SD:
        return ()
    what = f"the nearest support point misses the samples by {apart:.1f} SD"
    return (Notice(code="far-from-support", where=where, what=what, remedy="use a parametric method for this patient"),)
