"""Training a plan: simulate, split by patient, tune on the training part, calibrate, test on held-out patients, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.domain import span
from auctor.learn.features import check_features, matrix, require_finite
from auctor.learn.learner import Learner, canonical, write
from auctor.learn.observed import Observed, of_profiles
from auctor.learn.scales import modelled, truth
from auctor.learn.scores import accuracy, brier
from auctor.learn.tuning import Tuned, evaluate, fit, fit_spread, tune
from auctor.population.plan import Plan
from auctor.population.virtual import Profiles, Progress, simulate, stream

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
LIMITS = (
    "Trained on simulations of the population model named below: agreement with MAP or posterior of it is not independent evidence.",
    "The test patients are simulated by the model of the training patients: real patients, or another model's, are predicted less well.",
    "Predicts exposure at steady state of a linear model; abstains outside the training ranges given under domain.",
    "The 90 % interval has its coverage on average over patients like the training ones, not for every subgroup.",
)
SAME_REGIMEN = "Predicts the target named below, of the patient's own regimen; abstains outside the training ranges given under domain."
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
    observed = of_profiles(profiles)
    x, y = matrix(observed), modelled(profiles, observed)
    require_finite(x, plan)
    return Material(profiles=profiles, observed=observed, x=x, y=y, parts=split(plan, len(profiles)))


def split(plan: Plan, n: int | None = None) -> dict[str, Rows]:
    """Rows of each part, drawn by patient: one profile is one patient. `n` patients, where the target left some out, in the same shares."""
    total = plan.split.total if n is None else n
    order = stream(plan.seed, "split").permutation(total)
    a, b = (round(count * total / plan.split.total) for count in (plan.split.train, plan.split.train + plan.split.calibration))
    return {"train": np.sort(order[:a]), "calibration": np.sort(order[a:b]), "test": np.sort(order[b:])}


def train(plan: Plan, out_dir: str | Path, *, progress: Progress | None = None) -> Learner:
    """Train the plan and write the artefact into `out_dir`; returns the learner as loaded back from there.

    Same plan, same bytes. Raises PlanError for features the plan cannot have.
    """
    made = prepare(plan, progress)
    rows = made.parts["train"]
    tuned = tune(made.x[rows], made.y[rows], plan.learning, progress)
    booster = fit(made.x[rows], made.y[rows], tuned, plan.learning.seed)
    spread = fit_spread(made.x[rows], made.y[rows] - tuned.out_of_fold, plan.learning.seed)
    held = made.parts["calibration"]
    scores = np.sort((made.y[held] - evaluate(booster, made.x[held])) / np.exp(evaluate(spread, made.x[held])))
    card = _card(made, tuned)
    candidate = Learner(plan=plan, booster=booster, spread=spread, scores=scores, card=card, folder=Path(out_dir))
    card["metrics"] = {part: _metrics(candidate, made, part) for part in ("calibration", "test")}
    write(Path(out_dir), _content(candidate))
    return Learner.load(out_dir)


def _metrics(learner: Learner, made: Material, part: str) -> dict[str, dict[str, float]]:
    rows = made.parts[part]
    point, low, high = learner.interval(made.observed.rows(rows))
    reference = truth(made.profiles)[rows]
    if learner.plan.target.event:
        found = {"Brier": brier(point, reference, seed=learner.plan.seed)}
    else:
        found = accuracy(point, reference, interval=(low, high), seed=learner.plan.seed)
    return {name: score.as_dict() for name, score in found.items()}


def _content(learner: Learner) -> dict[str, bytes]:
    return {
        "model.ubj": bytes(learner.booster.save_raw("ubj")),
        "spread.ubj": bytes(learner.spread.save_raw("ubj")),
        "scores.json": canonical([float(s) for s in learner.scores]).encode(),
        "plan.toml": learner.plan.text.encode(),
        "card.json": canonical(learner.card).encode(),
    }


def _card(made: Material, tuned: Tuned) -> dict[str, Any]:
    plan = made.profiles.plan
    return {
        "name": plan.name,
        "title": plan.title,
        "intended_use": USE,
        "limits": [*LIMITS[:2], LIMITS[2] if plan.target.proportional else SAME_REGIMEN, LIMITS[3]],
        "plan": {
            "sha256": plan.sha256,
            "source": f"{plan.name}.toml",
            "seed": plan.seed,
            "noise": plan.noise,
            "sources": list(plan.sources),
        },
        "models": [{"name": m.name, "sha256": m.sha256, "cite": m.reference.get("cite", ""), "status": m.status} for m in plan.models],
        "target": {
            "metric": plan.target.name,
            "modelled": plan.target.modelled,
        },
        "data": {
            "kind": "simulated",
            "patients": {part: len(rows) for part, rows in made.parts.items()},
            "samples": list(plan.sample_names),
        },
        "features": list(plan.learning.features),
        "tuning": {
            "folds": plan.learning.folds,
            "chosen": dict(tuned.configuration) | {"trees": tuned.rounds},
            "table": [dict(row) for row in tuned.table],
        },
        "interval": "split conformal, scaled by a second booster of the out-of-fold error; order statistics (n + 1) p of calibration",
        "domain": span(made.profiles, made.observed, made.x, made.parts["train"]),
        "versions": {name: version(name) for name in ("numpy", "scikit-learn", "xgboost-cpu", "jax")},
    }
