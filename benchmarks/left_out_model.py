"""How much wider than published? Each model of a study left out in turn: what multiples of the published errors and variances give.

    python benchmarks/left_out_model.py STUDY [--n 900] [--seed 555] [--plan PLAN] [--design WORDS] [--json]

For every design of the study with an amortised posterior: new patients of all its models, full residual error. Each patient's proposals
are weighed anew under every choice of multiples (`[wider]` of a plan; variances of the etas, residual SD). Printed for each choice:

- all models known: rRMSE of the mean and of the point of least relative error over those without multiples (the price in-model), and
  what 90 % intervals cover;
- the patient's own model left out, so that the others answer: rRMSE at the point of least relative error, the geometric mean over the
  models left out; its ratio to the best single-model MAP, which nobody knows beforehand, and to the median one; that of the mean to the
  best; what 90 % intervals cover on average, and for the model where least.

Nothing here looks at another simulator: a choice made on this table can be judged on the study's own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from auctor.case import Case
from auctor.errors import OutOfDomain
from auctor.estimate.averaging import density_constant
from auctor.estimate.observations import of_case
from auctor.estimate.patient import sample_predictions
from auctor.learn.amortised.posterior import log_density_of, propose
from auctor.learn.amortised.store import Amortised, amortised_for
from auctor.learn.amortised.weighing import weigh
from auctor.learn.amortised.wider import Wider
from auctor.learn.amortised.world import root
from auctor.learn.scales import truth
from auctor.pk.exposure import exposures
from auctor.population.distributions import Distribution
from auctor.population.virtual import Profiles, exposure_per_rate
from auctor.validate.comparators import fitted, map_estimates, patients
from auctor.validate.metrics import MEASURES
from auctor.validate.study_file import Design, StudyFile, open_study
from auctor.validate.worlds import more_patients, possible, training_plan

PROPOSALS = 1200
VARIANCES = {
    "1": {1: 1.0},
    "2 in 10 %": {1: 0.9, 2: 0.1},
    "2 in 20 %": {1: 0.8, 2: 0.2},
    "2 in 50 %": {1: 0.5, 2: 0.5},
    "2 in 20 %, 4 in 10 %": {1: 0.7, 2: 0.2, 4: 0.1},
}
ERRORS = {"1": {1: 1.0}, "2 in 10 %, 3 in 5 %": {1: 0.85, 2: 0.10, 3: 0.05}}


def multiples(weights: Mapping[int, float]) -> Distribution:
    """These multiples with these weights."""
    return Distribution.read({"kind": "choice", "values": list(weights), "weights": list(weights.values())})


CHOICES = {
    f"variance {v}; residual SD {e}": Wider(iiv_variance=multiples(VARIANCES[v]), residual_sd=multiples(ERRORS[e]))
    for e in ERRORS
    for v in VARIANCES
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighted:
    """One patient's proposals: F/CL or the target (d,), the model of each (d,), and log weights under every choice, name -> (d,)."""

    value: np.ndarray
    model: np.ndarray
    log_weight: Mapping[str, np.ndarray]

    def points(self, choice: str, kept: Sequence[int]) -> tuple[float, float, float, float]:
        """Mean, point of least relative error, 5 and 95 %, of the models `kept` alone."""
        use = np.isin(self.model, kept)
        x, w = self.value[use], self.log_weight[choice][use]
        order = np.argsort(x)
        x, w = x[order], np.exp(w - w.max())[order]
        w /= w.sum()
        low, high = (x[min(np.searchsorted(np.cumsum(w), q), len(x) - 1)] for q in (0.05, 0.95))
        return float(w @ x), float((w / x).sum() / (w / x**2).sum()), float(low), float(high)


def weighted(amortised: Amortised, profiles: Profiles, i: int, rng: np.random.Generator) -> Weighted | None:
    """The proposals for patient i under every choice; None for one outside the training."""
    plan = amortised.plan
    case: Case = plan.filled(replace(profiles.case(i), drug=plan.drugs[0]))
    try:
        proposal = propose(amortised, case)
    except OutOfDomain:
        return None
    levels: dict[int, np.ndarray] = {}

    def log_likelihood(m: int, wider: Wider) -> np.ndarray:
        return wider.log_likelihood(plan.models[m].residual, partial(log_density_of, levels[m], of_case(case)))

    def target(m: int, z: np.ndarray) -> np.ndarray:
        levels[m] = sample_predictions(plan.models[m], case, z @ root(plan.models[m]).T)
        return log_likelihood(m, plan.wider) + density_constant(plan.models[m], case)

    found = weigh(proposal, target, PROPOSALS, rng)
    values, log_weight = [], {name: [] for name in CHOICES}
    for m, (z, w) in enumerate(zip(found.z, found.log_weight, strict=True)):
        values.append(answer(profiles, i, m, z))
        before = plan.wider.log_prior(z) + log_likelihood(m, plan.wider)
        for name, wider in CHOICES.items():
            moved = w + wider.log_prior(z) + log_likelihood(m, wider) - before
            log_weight[name].append(np.where(np.isfinite(moved), moved, -np.inf))
    return Weighted(
        value=np.concatenate(values),
        model=np.repeat(np.arange(len(found.z)), [len(z) for z in found.z]),
        log_weight={name: np.concatenate(rows) for name, rows in log_weight.items()},
    )


def answer(profiles: Profiles, i: int, m: int, z: np.ndarray) -> np.ndarray:
    """F/CL, or the target of the plan (d,), of patient i under its m-th model, for standardised etas z (d, p)."""
    model, target = profiles.plan.models[m], profiles.plan.target
    etas = z @ root(model).T
    if not target.proportional:
        return exposures(model, profiles.regimen(i), target.metric, profiles.covariates_of(i), etas)
    params = model.individual({k: np.full((1, 1), v[i]) for k, v in profiles.covariates.items()}, etas[None])
    return np.broadcast_to(exposure_per_rate(model, params), (1, len(z)))[0]


def rrmse(point: np.ndarray, true: np.ndarray) -> float:
    """As in every table of a study."""
    return float(MEASURES["rRMSE"](point / true - 1))


def judged(study: StudyFile, design: Design, n: int, seed: int, proposer: str = "") -> dict[str, dict[str, float]]:
    """Every choice's row for one design."""
    plan = training_plan(study, design, "full", study.full)
    amortised = amortised_for(proposer or design.amortised)
    profiles = replace(more_patients(replace(plan, seed=plan.seed + seed), n), plan=plan)
    rows = np.flatnonzero(possible(profiles))
    rng = np.random.default_rng(seed)
    answers = [weighted(amortised, profiles, int(i), rng) for i in rows]
    kept = np.asarray([one is not None for one in answers])
    people = [one for one in answers if one is not None]
    true, origin = truth(profiles)[rows][kept], profiles.model_index[rows][kept]
    maps = np.stack([map_estimates(who := patients(profiles, rows[kept], m), fitted(who)).point for m in plan.models], axis=1)
    every, found = range(len(plan.models)), {}
    bare = [rrmse(np.asarray([one.points(next(iter(CHOICES)), every)[k] for one in people]), true) for k in (0, 1)]
    for choice in CHOICES:
        mean, lower, low, high = np.asarray([one.points(choice, every) for one in people]).T
        out = []
        for m in every:
            rest, own = [k for k in every if k != m], np.flatnonzero(origin == m)
            middle, least, under, over = np.asarray([people[j].points(choice, rest) for j in own]).T
            singles = [rrmse(maps[own, k], true[own]) for k in rest]
            error, inside = rrmse(least, true[own]), np.mean((under <= true[own]) & (true[own] <= over))
            mean_error = rrmse(middle, true[own])
            out.append((error, error / min(singles), error / float(np.median(singles)), mean_error / min(singles), inside))
        error, best, median, at_mean, inside = np.asarray(out).T
        found[choice] = {
            "in-model, mean over none": rrmse(mean, true) / bare[0],
            "least over none": rrmse(lower, true) / bare[1],
            "covers": float(np.mean((low <= true) & (true <= high))),
            "left out, rRMSE": float(np.exp(np.log(error).mean())),
            "over best MAP": float(np.exp(np.log(best).mean())),
            "over median MAP": float(np.exp(np.log(median).mean())),
            "mean over best MAP": float(np.exp(np.log(at_mean).mean())),
            "left out, covers": float(inside.mean()),
            "least": float(inside.min()),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--n", type=int, default=900, help="patients a design")
    parser.add_argument("--seed", type=int, default=555, help="added to the study's for new patients")
    parser.add_argument(
        "--plan", default="", help="whose posterior proposes, in place of each design's own: one with wide multiples reaches further"
    )
    parser.add_argument("--design", default="", help="designs with these words in their names, instead of all")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    study = open_study(args.study)
    designs = [d for d in study.designs if d.amortised and d.full and len(d.train) > 2 and args.design in d.name]
    result = {d.name: judged(study, d, args.n, args.seed, args.plan) for d in designs}
    if args.json:
        print(json.dumps(result))
        return
    for name, rows in result.items():
        print(name)
        columns = next(iter(rows.values()))
        print(" " * 52 + "".join(f"{column:>26}" for column in columns))
        for choice, row in rows.items():
            print(f"{choice:52}" + "".join(f"{value:26.3f}" for value in row.values()))


if __name__ == "__main__":
    main()
