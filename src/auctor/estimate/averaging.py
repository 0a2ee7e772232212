"""Averaging and selection over several models of a drug: each weighs as much as the samples are likely under it.

Weight of model m: w_m = prior_m p(y | m) / sum_k prior_k p(y | k), with p(y | m) the integral of p(y | eta) N(eta; 0, Omega) d eta, by
importance sampling or Laplace. References: Hoeting JA et al., Stat Sci 1999;14:382 (Bayesian model averaging); Uster DW et al.,
Clin Pharmacol Ther 2021;109:175 (averaging in model-informed dosing); Le Louedec F et al., CPT PSP 2021;10:1208 (mapbayr: `ofv`, `aic`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Metric, Regimen
from auctor.errors import AuctorError, EstimationError, Notice
from auctor.estimate.observations import of_case
from auctor.estimate.patient import Estimate, fit, laplace_estimate, posterior_estimate
from auctor.models.model import DrugModel
from auctor.predictor import Draws, Prediction

Array = NDArray[np.float64]

NEGLIGIBLE = 1e-9  # a model of less weight is not run: it cannot change a printed digit
ROUGH = 0.5  # difference of the two log marginal likelihoods above which Laplace's is called rough


@dataclass(frozen=True, kw_only=True, eq=False)
class Average:
    """A mixture of several models' estimates of one patient; a `Predictor`.

    `estimates` one per model; `weights` (n_models,) sum to 1; `log_marginals` and `laplace_log_marginals` (n_models,) are
    log p(samples | model) with every constant, in (mg/L)^-n; `rows[m]` says which draws of model m are in the mixture.
    The point of a curve or an exposure is the weighted mean of the models' points.
    """

    name: str
    case: Case
    estimates: tuple[Estimate, ...]
    weights: Array
    log_marginals: Array
    laplace_log_marginals: Array
    rows: tuple[NDArray[np.int64], ...]
    notices: tuple[Notice, ...] = ()

    @property
    def by_model(self) -> dict[str, float]:
        """Weight of each model by name, in the order given (the last one counts where a name repeats)."""
        return {e.model.name: float(w) for e, w in zip(self.estimates, self.weights, strict=True)}

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Concentrations mg/L of the mixture, (n_draws, n_times)."""
        times = np.asarray(times_h, dtype=np.float64)
        parts = [(e.predict(regimen, times), w, rows) for e, w, rows in self._counted()]
        values = np.vstack([p.values[rows] for p, _, rows in parts])
        return Prediction(times_h=times, values=values, point=np.asarray(sum(w * p.point for p, w, _ in parts)))

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """The metric of the mixture, mg*h/L or mg/L, (n_draws,)."""
        parts = [(e.exposure(regimen, metric), w, rows) for e, w, rows in self._counted()]
        values = np.concatenate([d.values[rows] for d, _, rows in parts])
        return Draws(values=values, point=float(sum(w * d.point for d, w, _ in parts)))

    def _counted(self) -> list[tuple[Estimate, float, NDArray[np.int64]]]:
        """The models that matter, weights summing to 1 among them."""
        kept = [(e, float(w), r) for e, w, r in zip(self.estimates, self.weights, self.rows, strict=True) if w > NEGLIGIBLE]
        total = sum(w for _, w, _ in kept)
        return [(e, w / total, r) for e, w, r in kept]


def normalised(log_scores: Array, prior: Sequence[float] | None = None) -> Array:
    """Weights proportional to prior * exp(log_scores), (n,), summing to 1; `prior` defaults to equal.

    Raises EstimationError when no model has a finite score and a positive prior.

    >>> normalised(np.log([3.0, 1.0])).round(6).tolist()
    [0.75, 0.25]
    """
    scores = np.asarray(log_scores, dtype=np.float64)
    given = np.ones_like(scores) if prior is None else np.asarray(prior, dtype=np.float64)
    if given.shape != scores.shape or not np.isfinite(given).all() or (given < 0).any():
        raise EstimationError(where="prior", what="not one non-negative number per model", remedy="give as many weights as models")
    with np.errstate(divide="ignore"):
        total = np.where(np.isfinite(scores), scores, -np.inf) + np.log(given)
    if not np.isfinite(total.max()):
        raise EstimationError(where="model average", what="no model has a finite likelihood", remedy="check doses, samples and units")
    weight = np.exp(total - total.max())
    return np.asarray(weight / weight.sum())


def allocation(weights: Array, n_draws: int) -> NDArray[np.int64]:
    """How many of `n_draws` each model gives: systematic, without chance, within one draw of weight * n_draws.

    >>> allocation(np.array([0.7, 0.2, 0.1]), 10).tolist()
    [7, 2, 1]
    """
    edges = np.cumsum(weights) / np.sum(weights)
    which = np.searchsorted(edges, (np.arange(n_draws) + 0.5) / n_draws).clip(0, len(weights) - 1)
    return np.asarray(np.bincount(which, minlength=len(weights)), dtype=np.int64)


def density_constant(model: DrugModel, case: Case) -> float:
    """What the OFV drops of log p(samples): -n/2 log(2 pi), and -sum log y for an error on the logarithm (its Jacobian).

    Only used, uncensored samples count: a censored one enters the OFV as a whole probability.
    """
    seen = of_case(case)
    weight = np.where(seen.censored, 0.0, seen.weight)
    constant = -0.5 * float(weight.sum()) * float(np.log(2 * np.pi))
    if model.residual.kind == "log":
        constant -= float(np.sum(weight * np.log(np.where(seen.value > 0, seen.value, 1.0))))
    return constant


def laplace_log_marginal(estimate: Estimate) -> float:
    """log p(samples | model) by Laplace's method, summed over the modes: log sum exp(-OFV/2) |C|^(1/2) |Omega|^(-1/2), and the constant.

    Reference: Tierney L, Kadane JB, J Am Stat Assoc 1986;81:82; -2 log_mass is NONMEM's individual Laplace objective.
    """
    mass = np.asarray([m.log_mass for m in estimate.modes])
    return float(mass.max() + np.log(np.exp(mass - mass.max()).sum())) + density_constant(estimate.model, estimate.case)


def _importance(estimate: Estimate) -> float:
    known = estimate.log_marginal
    return laplace_log_marginal(estimate) if known is None else known + density_constant(estimate.model, estimate.case)


def _ofv(estimate: Estimate) -> float:
    """-OFV/2 at the mode, with the Jacobian of a log error so that models of both kinds compare."""
    return -0.5 * float(estimate.modes[0].ofv) + density_constant(estimate.model, estimate.case)


SCORES: Mapping[str, Callable[[Estimate], float]] = {
    "importance": _importance,
    "laplace": laplace_log_marginal,
    "ofv": _ofv,
    "aic": lambda estimate: _ofv(estimate) - len(estimate.model.eta_names),
}


def average_estimate(
    models: Sequence[DrugModel],
    case: Case | Sequence[Case],
    n_draws: int = 2000,
    seed: int = 0,
    *,
    prior: Sequence[float] | None = None,
    weights: str = "importance",
) -> Average:
    """Average several models' estimates of one case; `prior` one number per model (equal by default).

    `case` may be one for each model, the same patient read with that model's covariates and units; the samples must be the same.
    `weights`: `importance` (marginal likelihood by importance sampling) or `laplace`; for comparison `ofv` = exp(-OFV/2) at each
    model's mode and `aic` = exp(-OFV/2 - number of etas), as mapbayr has them, which average the MAPs. A model that refuses the
    case is left out with a notice. Raises EstimationError for an unknown kind of weight, for samples that differ, or when
    no model can be used.
    """
    cases = [case] * len(models) if isinstance(case, Case) else list(case)
    _check_cases(models, cases)
    if weights not in SCORES:
        raise EstimationError(where="weights", what=f"{weights!r} is not a kind of weight", remedy=f"choose one of {', '.join(SCORES)}")
    if prior is not None:
        normalised(np.zeros(len(models)), prior)
    found, left_out = _estimates(models, cases, n_draws, seed, posterior=weights in ("importance", "laplace"))
    kept = [e for e in found if e is not None]
    if not kept:
        why = left_out[0].what if left_out else "no model was given"
        raise EstimationError(where="model average", what=f"no model can be used ({why})", remedy="check the case, or name another model")
    own = None if prior is None else [p for p, e in zip(prior, found, strict=True) if e is not None]
    return _mixture(kept[0].case, kept, normalised(_scores(kept, SCORES[weights]), own), left_out, n_draws)


def _check_cases(models: Sequence[DrugModel], cases: Sequence[Case]) -> None:
    """Marginal likelihoods compare only where they are of the same samples."""
    seen = {(c.blq, *((s.time_h, s.value, s.used, s.weight, s.below_lloq, s.above_uloq) for s in c.samples)) for c in cases}
    if len(cases) != len(models) or len(seen) > 1:
        raise EstimationError(where="model average", what="not the same samples for every model", remedy="read one case with each model")


def joined(estimates: Sequence[Estimate], weights: str = "importance") -> Average:
    """One average of estimates that were made apart, each of its own model's reading of the same patient; the models weigh alike before.

    For models that need covariates of their own, or kappas. Without used samples the weights are equal. Raises EstimationError when the
    samples are not the same in number and value, whose likelihoods would not compare.
    """
    levels = [np.asarray([s.value for s in e.case.samples if s.used]) for e in estimates]
    if not all(one.shape == levels[0].shape and np.allclose(one, levels[0], rtol=1e-9) for one in levels):
        raise EstimationError(where="model average", what="not the same samples for every model", remedy="read one case with each model")
    return _mixture(estimates[0].case, estimates, normalised(_scores(estimates, SCORES[weights])), (), len(estimates[0].etas))


def _estimates(
    models: Sequence[DrugModel], cases: Sequence[Case], n_draws: int, seed: int, *, posterior: bool
) -> tuple[list[Estimate | None], tuple[Notice, ...]]:
    """Each model's estimate, None where the model refuses the case, and why."""
    method = posterior_estimate if posterior else laplace_estimate
    out: list[Estimate | None] = []
    left_out: tuple[Notice, ...] = ()
    for model, case in zip(models, cases, strict=True):
        try:
            out.append(method(model, case, n_draws, seed, found=fit(model, case)))
        except AuctorError as error:
            out.append(None)
            left_out += (Notice(code="model-left-out", where=model.name, what=f"{error.where}: {error.what}", remedy=error.remedy),)
    return out, left_out


def _scores(estimates: Sequence[Estimate], score: Callable[[Estimate], float]) -> Array:
    """One log score per model; without a used sample they are all 0, which the integrals only approach."""
    if not any(estimates[0].case.counts(s) for s in estimates[0].case.samples):
        return np.zeros(len(estimates))
    return np.asarray([score(e) for e in estimates])


def _mixture(case: Case, estimates: Sequence[Estimate], weights: Array, left_out: tuple[Notice, ...], n_draws: int) -> Average:
    counts = allocation(weights, n_draws)
    # evenly spaced rows: a resampled posterior keeps its draws sorted by mode, so the first ones would be one mode's
    rows = tuple(((np.arange(c) + 0.5) * n_draws / max(c, 1)).astype(np.int64) for c in counts)
    importance, laplace = _scores(estimates, _importance), _scores(estimates, laplace_log_marginal)
    return Average(
        name="Model average",
        case=case,
        estimates=tuple(estimates),
        weights=weights,
        log_marginals=importance,
        laplace_log_marginals=laplace,
        rows=rows,
        notices=left_out + _carried(estimates, weights) + _rough(estimates, weights, importance - laplace),
    )


def _carried(estimates: Sequence[Estimate], weights: Array) -> tuple[Notice, ...]:
    """The warnings of every model that carries at least one per cent of the weight, under its name."""
    return tuple(
        replace(n, where=f"{e.model.name}: {n.where}") for e, w in zip(estimates, weights, strict=True) if w >= 0.01 for n in e.notices
    )


def _rough(estimates: Sequence[Estimate], weights: Array, gap: Array) -> tuple[Notice, ...]:
    return tuple(
        Notice(
            code="laplace-rough",
            where=e.model.name,
            what=f"Laplace's marginal likelihood is off by a factor of {np.exp(abs(g)):.1f}",
            remedy="weigh the models by importance sampling",
        )
        for e, w, g in zip(estimates, weights, gap, strict=True)
        if w >= 0.01 and abs(g) > ROUGH
    )


def select(average: Average) -> Estimate:
    """The estimate of the model with the largest weight (the first of equals), which carries a notice of that weight.

    Reference: Uster DW et al., Clin Pharmacol Ther 2021;109:175 (model selection algorithm).
    """
    best = int(np.argmax(average.weights))
    chosen = average.estimates[best]
    notice = Notice(
        code="model-selected",
        where=chosen.model.name,
        what=f"chosen among {len(average.weights)} models with a weight of {average.weights[best]:.2f}",
        remedy="read the model average too where the weight is far from 1",
    )
    return replace(chosen, name=f"{chosen.name} (selected model)", notices=(*chosen.notices, notice))
