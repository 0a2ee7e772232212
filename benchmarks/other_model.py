"""Why does averaging lose to a single model in patients of another one? Points, weights and priors, over the exact posteriors.

    python benchmarks/other_model.py PLAN --truth MODEL [--n 300] [--also MODEL ...] [--prior 0.5] [--seed 2026] [--json]

Patients of `--truth` (`same`: of the plan's own models) as in `benchmarks/amortised.py`; every model's posterior by importance resampling,
which the amortised posterior over the same models reproduces. Printed for each model: MAP and the posterior mean; for their average: the
mean, the median and the point of least expected relative error E[1/x]/E[1/x^2], with the weights as they are, tempered (likelihoods to
the power 1/2) and equal; and the same over a wider mixture (`--also`) or under flatter priors (`--prior` 0.5: variances doubled). Ratios
are to the best single-model MAP, with paired bootstrap intervals over patients.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from amortised import AUC, SEED, Patient, patients

from auctor.case import Case
from auctor.estimate.averaging import joined, normalised
from auctor.estimate.flatten import flattened
from auctor.estimate.patient import a_priori, fit, posterior_estimate
from auctor.learn.amortised.store import open_amortised_plan
from auctor.learn.amortised.wider import Wider
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.validate.metrics import accuracy, error_ratio, least_relative

DRAWS = 300
ALIKE = {"EGFR": "CRCL", "CRCL": "EGFR"}  # one estimate of renal function for every model, as in the plans
TEMPERS = {"": 1.0, ", tempered": 0.5, ", equal weights": 0.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Of n patients and m models: draws of the AUC (n, m, d), log marginal likelihoods and AUC at the mode (n, m), the truth (n,)."""

    value: np.ndarray
    log_marginal: np.ndarray
    mode: np.ndarray
    truth: np.ndarray

    def of(self, chosen: Sequence[int]) -> Drawn:
        """Some of the models."""
        return replace(self, value=self.value[:, chosen], log_marginal=self.log_marginal[:, chosen], mode=self.mode[:, chosen])


def seen_by(model: DrugModel, case: Case) -> Case:
    """The case with this model's covariates: renal function under either name, and the reference where the plan knows none."""
    series = dict(case.covariates.series)
    for c in model.covariates.values():
        if c.name not in series:
            series[c.name] = series.get(ALIKE.get(c.name, ""), ((0.0, c.reference),))
    return replace(case, drug=model.drug, covariates=replace(case.covariates, series=series))


def drawn(people: Sequence[Patient], models: Sequence[DrugModel], prior: float) -> Drawn:
    """Every model's posterior of every patient; a patient whom one of the models has no finite answer for is left out."""
    found = [[_one(flattened(m, prior) if prior != 1 else m, one) for m in models] for one in people]
    value, marginal, mode = (np.stack([[row[k] for row in rows] for rows in found]) for k in range(3))
    kept = np.isfinite(value).all(axis=(1, 2)) & np.isfinite(mode).all(axis=1)
    return Drawn(value=value[kept], log_marginal=marginal[kept], mode=mode[kept], truth=np.asarray([p.auc for p in people])[kept])


def _one(model: DrugModel, one: Patient) -> tuple[np.ndarray, float, float]:
    case = seen_by(model, one.case)
    if not case.samples:
        before = a_priori(model, case, DRAWS)
        return before.exposure(one.future, AUC).values, 0.0, before.exposure(one.future, AUC).point
    after = posterior_estimate(model, case, DRAWS, 0, found=fit(model, case))
    best = after.modes[0].eta
    mode = replace(after, etas=best[None], eta_point=best, mean_is_point=False).exposure(one.future, AUC).point
    return after.exposure(one.future, AUC).values, float(joined([after]).log_marginals[0]), mode


Points = dict[str, tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]]


def averages(found: Drawn, words: str) -> Points:
    """Points of the average over the models, and the interval of the plain one."""
    n, _, d = found.value.shape
    flat, rows, points = found.value.reshape(n, -1), np.arange(n), {}
    order = np.argsort(flat, axis=1)
    for said, power in TEMPERS.items():
        share = np.stack([normalised(power * row) for row in found.log_marginal])
        weight = np.repeat(share / d, d, axis=1)
        below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)

        def at(level: float, below: np.ndarray = below) -> np.ndarray:
            return np.take_along_axis(flat, order, axis=1)[rows, np.argmax(below >= level, axis=1)]

        points[f"{words}{said}: mean"] = ((weight * flat).sum(axis=1), (at(0.05), at(0.95)))
        points[f"{words}{said}: median"] = (at(0.5), None)
        points[f"{words}{said}: least relative error"] = ((weight / flat).sum(axis=1) / (weight / flat**2).sum(axis=1), None)
    return points


def singles(found: Drawn, models: Sequence[DrugModel]) -> Points:
    """MAP and posterior of each model."""
    points: Points = {}
    for k, model in enumerate(models):
        x = found.value[:, k]
        points[f"{model.name}: MAP"] = (found.mode[:, k], None)
        points[f"{model.name}: mean"] = (x.mean(axis=1), tuple(np.quantile(x, [0.05, 0.95], axis=1)))
        points[f"{model.name}: least relative error"] = (least_relative(x), None)
    return points


def scored(points: Points, truth: np.ndarray, best: np.ndarray) -> dict[str, dict[str, str]]:
    """Every row's measures."""
    out = {}
    for name, (point, interval) in points.items():
        scores, ratio = accuracy(point, truth, interval=interval, seed=SEED), error_ratio(point, best, truth, seed=SEED)
        over = f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
        out[name] = {key: str(score) for key, score in scores.items() if key in ("rMPE", "rRMSE", "coverage")} | {"over the best MAP": over}
    return out


def judged(args: argparse.Namespace) -> dict[str, object]:
    plan = open_amortised_plan(args.plan)
    own, also = plan.models, tuple(read_model(name) for name in args.also)
    others = [] if args.truth == "same" else [read_model(args.truth)]
    people = patients(replace(plan, wider=Wider()), args.n, others, args.seed)
    found = drawn(people, (*own, *also), args.prior)
    few = found.of(range(len(own)))
    points = singles(few, own) | averages(few, "average")
    if also:
        points |= averages(found, "wider average")
    errors = np.sqrt(np.mean((few.mode / few.truth[:, None] - 1) ** 2, axis=0))
    share = np.mean([normalised(row) for row in found.log_marginal], axis=0)
    return {
        "truth": args.truth,
        "patients": len(found.truth),
        "seed": args.seed,
        "prior weight": args.prior,
        "mean weights": {m.name: round(float(w), 3) for m, w in zip((*own, *also), share, strict=True)},
        "best single-model MAP": own[int(np.argmin(errors))].name,
        "AUC over 24 h": scored(points, found.truth, few.mode[:, int(np.argmin(errors))]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan")
    parser.add_argument("--truth", default="same")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--also", nargs="+", default=[])
    parser.add_argument("--prior", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=SEED, help="of the patients")
    parser.add_argument("--json", action="store_true")
    result = judged(args := parser.parse_args())
    if args.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        rows = value if isinstance(value, dict) else {"": value}
        print(key)
        for name, row in rows.items():
            print(f"  {name:58} {row}")


if __name__ == "__main__":
    main()
