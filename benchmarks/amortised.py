"""Is the amortised posterior calibrated, does it agree with the exact one, and what does it do with a patient of another model?

    python benchmarks/amortised.py PLAN [--artefact DIR] [--n 400] [--draws 499] [--other MODEL.toml ...] [--json]

Patients of the plan's own models, drawn anew with full residual error and any number of samples, are answered by the network as it is and
with its importance weights. Printed: p values of a chi-square test that the ranks of each eta and of the exposure are uniform
(simulation-based calibration, Talts 2018, arXiv 1804.06788); how often a model is the true one that is given a probability (reliability);
effective sample sizes; and rRMSE of the exposure beside that of the posterior mean over the same models by importance sampling (the limit
in-model), of MAP and of the a-priori prediction of each model, with bootstrap intervals over patients and the median time each takes.
Where the plan has `[wider]`, its patients are those of the published models, unless `--wider` draws the multiples too, which makes ranks
uniform.
`--other` draws the truth from models that the plan does not know. Exposure is the AUC of 24 h at steady state of the patient's last dose
and its interval.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import chisquare

from auctor.case import Case, Metric, Regimen
from auctor.errors import OutOfDomain
from auctor.estimate.averaging import average_estimate
from auctor.estimate.patient import a_priori, laplace_estimate, posterior_estimate
from auctor.learn.amortised.plan import AmortisedPlan
from auctor.learn.amortised.shown import noisy
from auctor.learn.amortised.store import Amortised, amortised_for
from auctor.learn.amortised.wider import Wider
from auctor.learn.amortised.world import World, root, simulate_world
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.exposure import curves, exposures
from auctor.population.virtual import stream
from auctor.predictor import Draws, Predictor
from auctor.validate.metrics import accuracy, error_ratio, least_relative

OURS, ALONE, LIMIT = "amortised", "amortised, network alone", "posterior mean"
LEAST, LIMIT_LEAST = "amortised, least relative error", "posterior, least relative error"
SEED = 2026
AUC = Metric.parse("AUC0-24")


@dataclass(frozen=True, kw_only=True, eq=False)
class Patient:
    """A case with its truth: the model, its standardised etas, and the AUC (mg*h/L) under `future`."""

    case: Case
    model: DrugModel
    z: np.ndarray
    future: Regimen
    auc: float


def future_of(case: Case) -> Regimen:
    """The last dose kept up at steady state, every interval of the history (24 h after a single dose)."""
    doses = case.history.doses
    gap = doses[-1].every_h or (doses[-1].time_h - doses[-2].time_h if len(doses) > 1 else 24.0)
    every = min((8.0, 12.0, 24.0, 48.0, 72.0), key=lambda h: abs(h - gap))
    last = doses[-1]
    return Regimen.steady(last.amount_mg, every_h=every, route=last.route, duration_h=last.duration_h, horizon_h=96.0)


def patients(plan: AmortisedPlan, n: int, others: Sequence[DrugModel], seed: int = SEED) -> list[Patient]:
    """n new patients of the plan's models, or of `others` with the plan's covariates, regimens and times (and at least one sample)."""
    world = simulate_world(replace(plan, seed=seed, patients=n))
    rng = stream(seed, "benchmark")
    found = []
    for i in range(n):
        model = others[i % len(others)] if others else world.plan.models[int(world.model_index[i])]
        z = rng.standard_normal(len(model.eta_names)) if others else world.z[i, : len(model.eta_names)]
        found.append(patient(world, i, (model, z), rng))
    return found


def patient(world: World, i: int, truth: tuple[DrugModel, np.ndarray], rng: np.random.Generator) -> Patient:
    """Patient i of a world under a true model and standardised etas."""
    (model, z), plan = truth, world.plan
    fewest, most = plan.sampling.count
    count = int(rng.integers(fewest if model.name in [m.name for m in plan.models] else max(fewest, 1), most + 1))
    levels = np.full(most, np.nan)
    blank = plan.filled(world.case(i, levels, 1.0))
    eta = (root(model) @ z)[None]
    if count:
        true = curves(model, blank.history, world.times[i, :count], blank.covariates, eta)[0]
        levels[:count] = noisy(model.residual, true, rng, multiple(plan, model, rng))
    lloq = float(plan.sampling.lloq.draw(rng, 1)[0])
    case = replace(plan.filled(world.case(i, levels, lloq)), drug=plan.models[0].drug)
    future = future_of(case)
    auc = float(exposures(model, future, AUC, case.covariates, eta)[0])
    return Patient(case=case, model=model, z=z, future=future, auc=auc)


def multiple(plan: AmortisedPlan, model: DrugModel, rng: np.random.Generator) -> float:
    """Of the residual SD: the plan's for a patient of its own models, 1 for another's."""
    return float(plan.wider.residual_sd.draw(rng, 1)[0]) if model in plan.models else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """One method's answer: the estimate, draws of the AUC with its point, and the seconds both took."""

    estimate: Predictor
    exposure: Draws
    seconds: float


def answer(method: Callable[[], Predictor], regimen: Regimen) -> Answer:
    start = time.perf_counter()
    estimate = method()
    exposure = estimate.exposure(regimen, AUC)
    return Answer(estimate=estimate, exposure=exposure, seconds=time.perf_counter() - start)


def methods(amortised: Amortised, case: Case, draws: int) -> dict[str, Callable[[], Predictor]]:
    """The network with and without its weights, the posterior mean over the same models, and each model's MAP and a-priori prediction."""
    models = amortised.plan.models
    exact = partial(average_estimate, models) if len(models) > 1 else partial(posterior_estimate, models[0])
    found: dict[str, Callable[[], Predictor]] = {
        OURS: lambda: amortised.estimate(case, draws),
        ALONE: lambda: amortised.estimate(case, draws, correct=False),
        LIMIT: lambda: exact(case, draws),
    }
    for model in models:
        found[f"MAP {model.name}"] = partial(laplace_estimate, model, case, draws)
        found[f"a priori {model.name}"] = partial(a_priori, model, case, draws)
    return found


def answered(amortised: Amortised, people: Sequence[Patient], draws: int) -> tuple[list[tuple[Patient, dict[str, Answer]]], dict[str, int]]:
    """Every method on the patients that the amortised posterior answers, and how many it refused, by reason."""
    found, refused = [], Counter()
    for one in people:
        try:
            found.append((one, {name: answer(m, one.future) for name, m in methods(amortised, one.case, draws).items()}))
        except OutOfDomain as error:
            refused[error.where] += 1
    return found, dict(refused)


Found = list[tuple[Patient, dict[str, Answer]]]


def p_values(found: Found, name: str) -> dict[str, float]:
    """Of uniform ranks: of the AUC, and of each eta of the true model where that has 50 draws at least."""
    columns: dict[str, list[float]] = {}
    for one, answers in found:
        columns.setdefault("AUC", []).append(rank(answers[name].exposure.values, one.auc))
        for estimate in answers[name].estimate.estimates:
            if estimate.model.name == one.model.name and len(estimate.etas) >= 50:
                for eta, truth, drawn in zip(one.model.eta_names, root(one.model) @ one.z, estimate.etas.T, strict=True):
                    columns.setdefault(f"{one.model.name} {eta}", []).append(rank(drawn, truth))
    return {key: uniform(np.asarray(shares)) for key, shares in columns.items()}


def uniform(shares: np.ndarray) -> float:
    bins = 20 if len(shares) >= 400 else 10
    return round(float(chisquare(np.bincount((shares * bins).astype(int).clip(0, bins - 1), minlength=bins)).pvalue), 4)


def rank(draws: np.ndarray, truth: float) -> float:
    """The share of the draws below the truth."""
    return (float(np.sum(draws < truth)) + 0.5) / (len(draws) + 1)


def reliability(found: Found, name: str) -> list[dict[str, float]]:
    """In five classes of the probability that the first model is given: how often it was the one."""
    first = found[0][1][name].estimate
    model = next(iter(first.probabilities))
    p = np.asarray([answers[name].estimate.probabilities[model] for _, answers in found])
    hit = np.asarray([one.model.name == model for one, _ in found])
    which = np.minimum((p * 5).astype(int), 4)
    rows = [(p[which == k], hit[which == k]) for k in range(5) if (which == k).any()]
    return [{"said": round(float(said.mean()), 3), "true": round(float(true.mean()), 3), "n": len(said)} for said, true in rows]


def accuracies(found: Found) -> dict[str, dict[str, object]]:
    truth = np.asarray([one.auc for one, _ in found])
    out: dict[str, dict[str, object]] = {}
    for name in found[0][1]:
        point = np.asarray([a[name].exposure.point for _, a in found])
        low, high = np.asarray([a[name].exposure.interval(0.9) for _, a in found]).T
        scores = accuracy(point, truth, interval=(low, high), seed=SEED)
        limit = np.asarray([a[LIMIT].exposure.point for _, a in found])
        row: dict[str, object] = {key: str(scores[key]) for key in ("rMPE", "rRMSE", "out20", "coverage")}
        ratio = error_ratio(point, limit, truth, seed=SEED)
        row["over the limit"] = f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
        out[name] = row | {"seconds": round(float(np.median([a[name].seconds for _, a in found])), 3)}
    ours, theirs = (np.asarray([least_relative(a[name].exposure.values) for _, a in found]) for name in (OURS, LIMIT))
    for name, point in ((LEAST, ours), (LIMIT_LEAST, theirs)):
        scores, ratio = accuracy(point, truth, seed=SEED), error_ratio(point, theirs, truth, seed=SEED)
        row = {key: str(scores[key]) for key in ("rMPE", "rRMSE", "out20")}
        out[name] = row | {"over that limit": f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"}
    return out


def judged(amortised: Amortised, people: Sequence[Patient], draws: int) -> dict[str, dict[str, object]]:
    """Everything that is printed, section by section."""
    found, refused = answered(amortised, people, draws)
    ours = [answers[OURS].estimate for _, answers in found]
    share = np.asarray([o.ess / o.proposals for o in ours])
    gap = np.asarray([(a[OURS].exposure.point - a[LIMIT].exposure.point) / a[LIMIT].exposure.values.std() for _, a in found])
    known = {m.name for m in amortised.plan.models}
    result: dict[str, dict[str, object]] = {
        "patients": {"truth": sorted({one.model.name for one in people}), "answered": len(found), "refused": refused},
        "AUC over 24 h": dict(accuracies(found)),
        "importance weights": {
            "effective share of the proposals: least, 5th percentile, median": np.quantile(share, [0, 0.05, 0.5]).round(3).tolist(),
            "patients below 200 effective draws": sum(o.ess < 200 for o in ours),
            "patients with the network's own draws": sum(not o.corrected for o in ours),
        },
        "difference of the posterior means, posterior SD": {
            "mean": round(float(gap.mean()), 4),
            "rms": round(float(np.sqrt((gap**2).mean())), 4),
        },
    }
    if known >= {one.model.name for one in people}:
        result["p of uniform ranks"] = {name: p_values(found, name) for name in (OURS, ALONE)}
        if len(known) > 1:
            result["reliability of the model's probability"] = {name: reliability(found, name) for name in (OURS, ALONE)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan")
    parser.add_argument("--artefact", type=Path)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--draws", type=int, default=499)
    parser.add_argument("--other", nargs="+", default=[])
    parser.add_argument(
        "--wider", action="store_true", help="own patients as in training, not as published: the plan's multiples drawn too"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    amortised = Amortised.load(args.artefact) if args.artefact else amortised_for(args.plan)
    plan = amortised.plan if args.wider else replace(amortised.plan, wider=Wider())
    result = judged(amortised, patients(plan, args.n, [read_model(name) for name in args.other]), args.draws)
    if args.json:
        print(json.dumps(result))
        return
    for section, values in result.items():
        print(section)
        for key, value in values.items():
            print(f"  {key:40} {value}")


if __name__ == "__main__":
    main()
