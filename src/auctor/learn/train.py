"""Training a plan: simulate, split by patient, tune on the training part, calibrate, test on held-out patients, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Regimen
from auctor.learn.abstention import abstention
from auctor.learn.conformal import Calibration
from auctor.learn.density import Density
from auctor.learn.domain import span
from auctor.learn.estimators.registry import algorithm
from auctor.learn.features import check_features, matrix
from auctor.learn.histories import inputs, reads_history, recorded, settings
from auctor.learn.learner import Learner, versions, write
from auctor.learn.observed import Observed, of_profiles
from auctor.learn.scores import Score, accuracy
from auctor.learn.subgroups import cells, check_groups, coverage_table
from auctor.learn.training import Pair, Sides, crossed, paired
from auctor.learn.tuning import Tuned, stages, tune
from auctor.population.plan import Plan
from auctor.population.virtual import Profiles, Progress, simulate, stream

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
LIMITS = (
    "Trained on simulations of the population model named below: agreement with MAP or posterior of it is not independent evidence.",
    "The test patients are simulated by the model of the training patients: real patients, or another model's, are predicted less well.",
    "Predicts exposure at steady state of a linear model; abstains outside the training ranges given under domain.",
    "The 90 % interval has its coverage on average over patients like the training ones, and in a subgroup only where interval names it.",
)
INTERVALS = {
    "split": "split conformal, scaled by a second booster of the out-of-fold error; order statistics (n + 1) p of calibration",
    "cv+": "CV+ over training and calibration patients, errors scaled by a booster of each fold's own; order statistics (n + 1) p",
    "cqr": "conformalised quantile regression: quantiles 0.05, 0.5, 0.95 of the out-of-fold error, scaled side by side on calibration",
}
USE = "Research: estimate AUC or average concentration from the samples the plan names, beside other methods. Not a medical device."


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Simulated profiles of a plan with their features (n, n_features), modelled target (n,) and rows of each part."""

    profiles: Profiles
    observed: Observed
    x: Array
    y: Array
    parts: Mapping[str, Rows]


def prepare(plan: Plan, progress: Progress | None = None) -> Material:
    """Simulate the plan and build features and target; the parts `train`, `calibration`, `test` share no patient."""
    check_features(plan)
    profiles = simulate(plan, progress)
    observed = recorded(of_profiles(profiles), histories(profiles))
    y = np.log(profiles.exposure / observed.typical) if plan.scale == "typical" else np.log(profiles.exposure)
    return Material(profiles=profiles, observed=observed, x=matrix(observed), y=y, parts=split(plan))


def histories(profiles: Profiles) -> list[Regimen]:
    """Every patient's dosing history where the plan's algorithm reads it, otherwise none."""
    return [profiles.regimen(i) for i in range(len(profiles))] if reads_history(profiles.plan) else []


def split(plan: Plan) -> dict[str, Rows]:
    """Rows of each part, drawn by patient: one profile is one patient."""
    order = stream(plan.seed, "split").permutation(plan.split.total)
    a, b = plan.split.train, plan.split.train + plan.split.calibration
    return {"train": np.sort(order[:a]), "calibration": np.sort(order[a:b]), "test": np.sort(order[b:])}


def train(plan: Plan, out_dir: str | Path, *, progress: Progress | None = None) -> Learner:
    """Train the plan and write the artefact into `out_dir`; returns the learner as loaded back from there.

    Same plan, same bytes. Raises PlanError for features the plan cannot have.
    """
    check_groups(plan)
    algorithm(plan.learning.algorithm).require()
    made = prepare(plan, progress)
    rows, sides = made.parts["train"], Sides(z=inputs(made.observed), x=made.x)
    tuned = tune(sides.z[rows], made.y[rows], plan.learning, progress, fixed=settings(plan))
    candidate = _calibrated(made, sides, tuned, Path(out_dir))
    finished = _judged(candidate, made, _card(made, tuned))
    write(Path(out_dir), finished.content())
    return Learner.load(out_dir)


def _judged(candidate: Learner, made: Material, card: dict[str, Any]) -> Learner:
    """The learner with its card: accuracy, coverage by subgroup and abstention on held-out patients."""
    finished = replace(candidate, card=card)
    card["fold_models"] = len(candidate.folds)
    judged = ("test",) if candidate.folds else ("calibration", "test")
    card["metrics"] = {part: _metrics(finished, made, part) for part in judged}
    card["coverage"] = _coverage(finished, made)
    card["abstention"] = abstention(card["domain"], finished.density, made.observed.rows(made.parts["test"]))
    return finished


def _calibrated(made: Material, sides: Sides, tuned: Tuned, folder: Path) -> Learner:
    """The learner without its card: estimator and spread of the training part, and the errors its intervals rest on."""
    plan = made.profiles.plan
    rows, held, method, seed = made.parts["train"], made.parts["calibration"], plan.interval.method, plan.learning.seed
    errors = made.y[rows] - tuned.out_of_fold
    pair = paired(sides.rows(rows), made.y[rows], tuned, errors, seed=seed, quantiles=method == "cqr")
    both = np.sort(np.concatenate([rows, held])) if method == "cv+" else held
    labels = cells(made.observed.rows(both))
    folds: tuple[Pair, ...] = ()
    if method == "cv+":
        folds, calibration = crossed(sides.rows(both), made.y[both], tuned, labels, folds=plan.interval.folds, seed=seed)
    else:
        calibration = Calibration.of(pair.forecast(sides.rows(held)).scaled(made.y[held]), cells=labels)
    return Learner(
        plan=plan,
        booster=pair.model,
        spread=pair.spread,
        calibration=calibration,
        card={},
        folder=folder,
        folds=folds,
        density=Density.of(made.x[rows], made.x[held], plan.density) if plan.density < 1 else None,
    )


def _coverage(learner: Learner, made: Material) -> list[dict[str, Any]]:
    rows = made.parts["test"]
    truth, observed = made.profiles.exposure[rows], made.observed.rows(rows)
    _, low, high = learner.interval(observed)
    return coverage_table(observed, (low <= truth) & (truth <= high))


def _metrics(learner: Learner, made: Material, part: str) -> dict[str, dict[str, float]]:
    rows = made.parts[part]
    point, low, high = learner.interval(made.observed.rows(rows))
    found: dict[str, Score] = accuracy(point, made.profiles.exposure[rows], interval=(low, high), seed=learner.plan.seed)
    return {name: score.as_dict() for name, score in found.items()}


def _card(made: Material, tuned: Tuned) -> dict[str, Any]:
    plan = made.profiles.plan
    return {
        "name": plan.name,
        "title": plan.title,
        "intended_use": USE,
        "limits": list(LIMITS),
        "plan": {
            "sha256": plan.sha256,
            "source": f"{plan.name}.toml",
            "seed": plan.seed,
            "noise": plan.noise,
            "sources": list(plan.sources),
        },
        "models": [{"name": m.name, "sha256": m.sha256, "cite": m.reference.get("cite", ""), "status": m.status} for m in plan.models],
        "target": {
            "metric": plan.metric.name,
            "modelled": "log(F/CL)" if plan.scale == "dose_rate" else "log(F/CL over the typical patient's)",
        },
        "data": {
            "kind": "simulated",
            "patients": {part: len(rows) for part, rows in made.parts.items()},
            "samples": list(plan.sample_names),
        },
        "features": list(plan.learning.features),
        "tuning": {
            "folds": plan.learning.folds,
            "tuner": plan.learning.tuner,
            "chosen": dict(tuned.configuration) | stages(tuned.configuration, tuned.rounds),
            "table": [dict(row) for row in tuned.table],
        },
        "algorithm": {"name": tuned.algorithm, "title": algorithm(tuned.algorithm).title, "missing": algorithm(tuned.algorithm).missing},
        "interval": {
            "method": INTERVALS[plan.interval.method],
            "groups": [{"by": g.by, "cuts": list(g.cuts)} for g in plan.interval.groups],
        },
        "domain": span(made.profiles, made.observed, made.x, made.parts["train"]),
        "versions": versions(plan),
    }
