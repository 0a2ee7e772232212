"""One patient's amortised posterior, a `Predictor`: draws of the model and its etas, corrected against the true likelihood.

The network proposes, prior and likelihood of every model weigh (`auctor.learn.amortised.weighing`). The effective sample size says how far
the answer can be trusted: below `LOW_ESS` it carries a notice; where hardly any proposal counts the network's own draws are shown instead,
with a doubt that blocks signing. Reference: Dax M et al., Phys Rev Lett 2023;130:171403.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Metric, Regimen
from auctor.errors import Notice
from auctor.estimate.averaging import density_constant
from auctor.estimate.objective import sample_terms
from auctor.estimate.observations import Observations, of_case
from auctor.estimate.patient import LOW_ESS, Estimate, iov_notices, sample_predictions
from auctor.learn.amortised.domain import require_case, require_likely, require_samples
from auctor.learn.amortised.inputs import raw_inputs, standardised
from auctor.learn.amortised.network import context, log_models
from auctor.learn.amortised.normal import approximate
from auctor.learn.amortised.plan import AmortisedPlan
from auctor.learn.amortised.shown import show_case
from auctor.learn.amortised.weighing import Proposal, Weighed, resampled, weigh
from auctor.learn.amortised.world import root
from auctor.models.model import DrugModel, Residual
from auctor.pk.exposure import curves
from auctor.population.virtual import can_exist
from auctor.predictor import Draws, Prediction

if TYPE_CHECKING:
    from auctor.learn.amortised.store import Amortised

Array = NDArray[np.float64]
SPARE, MOST = 1.5, 16.0  # proposals for a draw, where all weigh alike, and at most
PILOT = 0.25  # of the draws asked for
HOPELESS = 20.0  # effective draws: below that the weights are noise, and the network's own draws are shown


@dataclass(frozen=True, kw_only=True, eq=False)
class AmortisedPosterior:
    """Draws of one patient's model and etas; a `Predictor`.

    `estimates` one for each model that has a draw, in the order of the plan; `probabilities` of every model by name, `uncorrected`
    those of the network alone; `ess` the effective number of draws, out of `proposals`; `corrected` False where the weights were not used.
    The point of a curve or an exposure is the mean of the draws.
    """

    name: str
    case: Case
    estimates: tuple[Estimate, ...]
    probabilities: dict[str, float]
    uncorrected: dict[str, float]
    ess: float
    proposals: int
    corrected: bool
    notices: tuple[Notice, ...] = ()

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Concentrations mg/L, (n_draws, n_times), under the history or any other regimen."""
        times = np.asarray(times_h, dtype=np.float64)
        values = np.vstack([e.predict(regimen, times).values for e in self.estimates])
        return Prediction(times_h=times, values=values, point=values.mean(axis=0))

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """The metric, mg*h/L or mg/L, (n_draws,)."""
        values = np.concatenate([e.exposure(regimen, metric).values for e in self.estimates])
        return Draws(values=values, point=float(values.mean()))


def amortised_estimate(amortised: Amortised, case: Case, n_draws: int = 2000, seed: int = 0, *, correct: bool = True) -> AmortisedPosterior:
    """The posterior of a case over every model of the plan; `correct` False gives the network's own draws, unweighed, for judging it.

    Raises OutOfDomain, with the reason, for a patient unlike those it was trained on.
    """
    plan, rng = amortised.plan, np.random.default_rng(seed)
    case = plan.filled(case)
    proposal = propose(amortised, case)
    if not correct:
        return _answer(amortised, case, _own(proposal, n_draws, rng), proposal, None)
    found = _weighed(plan, proposal, case, (n_draws, rng))
    if found.ess < HOPELESS:
        return _answer(amortised, case, _own(proposal, n_draws, rng), proposal, found)
    return _answer(amortised, case, resampled(found, n_draws, rng), proposal, found)


def propose(amortised: Amortised, case: Case) -> Proposal:
    """What the network makes of a case (its covariates filled). Raises OutOfDomain."""
    plan, domain = amortised.plan, amortised.card["domain"]
    require_case(domain, plan, case)
    shown = show_case(plan, case)
    require_samples(domain, plan, case, shown)
    normals = [approximate(m, lambda z, m=m: _levels(m, case, shown.times[0], z), shown) for m in plan.models]  # type: ignore[misc]
    require_likely(domain, normals, shown)
    ready = standardised(raw_inputs(shown, normals), amortised.scale)
    found = context(amortised.weights, (ready.samples, ready.used, ready.patient), np)
    models = log_models(amortised.weights, found, ready.evidence, np)
    return Proposal(
        weights=amortised.weights, shape=amortised.shape, context=found[0], log_models=models[0], normals=normals, wider=plan.wider
    )


def _levels(model: DrugModel, case: Case, times: Array, z: Array) -> Array:
    return curves(model, case.history, times, case.covariates, z @ root(model).T)


def _weighed(plan: AmortisedPlan, proposal: Proposal, case: Case, asked: tuple[int, np.random.Generator]) -> Weighed:
    """Proposals worth the draws asked for. A pilot says how many that takes and is left out, as in `auctor.estimate.sir`."""
    n_draws, rng = asked
    known = {name: np.full(1, value) for name, value in case.covariates.at(0.0).items()}  # they do not change: see `domain`

    def log_likelihood(m: int, z: Array) -> Array:
        model, etas = plan.models[m], z @ root(plan.models[m]).T
        alive = can_exist(model, known, etas)
        levels = sample_predictions(model, case, etas[alive])
        found = np.full(len(z), -np.inf)
        found[alive] = plan.wider.log_likelihood(model.residual, partial(log_density_of, levels, of_case(case)))
        return found + density_constant(model, case)

    pilot = weigh(proposal, log_likelihood, math.ceil(PILOT * n_draws), rng)
    size = math.ceil(n_draws * min(SPARE * len(pilot) / pilot.ess, MOST))
    found = weigh(proposal, log_likelihood, size, rng)
    while found.ess < n_draws and len(found) < MOST * n_draws:
        found = found.and_more(weigh(proposal, log_likelihood, size, rng))
    return found


def log_density_of(levels: Array, seen: Observations, residual: Residual) -> Array:
    """log p(samples | levels) of each row of levels (n, k), mg/L, without the constant of `density_constant`: shape (n,)."""
    with np.errstate(invalid="ignore"):  # a draw without a steady state has no finite level, and so no weight
        return np.asarray(-0.5 * sample_terms(residual, levels, seen).sum(axis=1))


def _own(proposal: Proposal, n: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """The network's own draws of each model, in proportion to its probabilities."""
    places = (np.arange(n) + rng.random()) / n
    edges = np.searchsorted(places, np.cumsum(np.exp(proposal.log_models)))
    counts = np.diff(np.append(0, np.append(edges[:-1], n)))
    return tuple(proposal.drawn(m, int(count), rng) for m, count in enumerate(counts))


def _answer(amortised: Amortised, case: Case, z: tuple[Array, ...], proposal: Proposal, found: Weighed | None) -> AmortisedPosterior:
    plan = amortised.plan
    corrected = found is not None and found.ess >= HOPELESS
    own = [float(p) for p in np.exp(proposal.log_models)]
    names = [m.name for m in plan.models]
    return AmortisedPosterior(
        name="Amortised posterior" if corrected else "Amortised posterior, uncorrected",
        case=case,
        estimates=tuple(_estimate(m, case, draws) for m, draws in zip(plan.models, z, strict=True) if len(draws)),
        probabilities=dict(zip(names, found.models.tolist() if found and corrected else own, strict=True)),
        uncorrected=dict(zip(names, own, strict=True)),
        ess=found.ess if found else float("nan"),
        proposals=len(found) if found else 0,
        corrected=corrected,
        notices=(*_doubts(found), *(n for m in plan.models for n in iov_notices(m, case))),
    )


def _estimate(model: DrugModel, case: Case, z: Array) -> Estimate:
    etas = z @ root(model).T
    return Estimate(name=model.name, model=model, case=case, etas=etas, eta_point=etas.mean(axis=0), mean_is_point=True)


def _doubts(found: Weighed | None) -> tuple[Notice, ...]:
    if found is None or found.ess >= LOW_ESS:
        return ()
    what = f"effective sample size {found.ess:.0f} of {len(found)} is low"
    if found.ess >= HOPELESS:
        return (Notice(code="low-ess", where="amortised posterior", what=what, remedy="read its interval with care"),)
    remedy = "use the posterior of one model or model averaging: these are the network's own draws, not corrected by the likelihood"
    return (Notice(code="uncorrected", where="amortised posterior", what=what, remedy=remedy, blocks_signing=True),)
