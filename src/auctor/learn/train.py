"""Training a plan: simulate, split by patient, tune on the training part, calibrate, test on held-out patients, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.domain import span
from auctor.learn.features import check_features, matrix
from auctor.learn.guard import guard
from auctor.learn.labels import label
from auctor.learn.learner import Learner, canonical, write
from auctor.learn.observed import Observed, of_profiles
from auctor.learn.provenance import CIRCULAR
from auctor.learn.scores import Score, accuracy
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
CIRCULAR_LIMIT = (
    "Circular label: trained to give the MAP estimate of the same model, so its error against that label says how well it copies MAP, "
    "not how near it is to the truth; the figures under metrics are against the truth, those under metrics.label_test against the label."
)
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
    observed, x = shown(profiles)
    exposure = label(profiles)
    y = np.log(exposure / observed.typical) if plan.scale == "typical" else np.log(exposure)
    return Material(profiles=profiles, observed=observed, x=x, y=y, parts=split(plan))


def shown(profiles: Profiles) -> tuple[Observed, Array]:
    """What the patients show, and their features (n, n_features)."""
    observed = of_profiles(profiles)
    return observed, matrix(observed)


def split(plan: Plan) -> dict[str, Rows]:
    """Rows of each part, drawn by patient: one profile is one patient."""
    order = stream(plan.seed, "split").permutation(plan.split.total)
    a, b = plan.split.train, plan.split.train + plan.split.calibration
    return {"train": np.sort(order[:a]), "calibration": np.sort(order[a:b]), "test": np.sort(order[b:])}


def train(plan: Plan, out_dir: str | Path, *, progress: Progress | None = None) -> Learner:
    """Train the plan and write the artefact into `out_dir`; returns the learner as loaded back from there.

    Same plan, same bytes. Raises PlanError for features the plan cannot have, LeakageError where the material leaks.
    """
    made = prepare(plan, progress)
    verdict = guard(made, shown)
    candidate, tuned = fitted(made, Path(out_dir), progress)
    card = _card(made, tuned) | {"leakage_guard": verdict.as_dict()}
    card["metrics"] = _judged(candidate, made)
    write(Path(out_dir), _content(replace(candidate, card=card)))
    return Learner.load(out_dir)


def fitted(made: Material, folder: Path, progress: Progress | None = None) -> tuple[Learner, Tuned]:
    """Tune and fit on the training rows, calibrate on the calibration rows; the learner (without a card) and how it was tuned."""
    plan, rows = made.profiles.plan, made.parts["train"]
    tuned = tune(made.x[rows], made.y[rows], plan.learning, progress)
    booster = fit(made.x[rows], made.y[rows], tuned, plan.learning.seed)
    spread = fit_spread(made.x[rows], made.y[rows] - tuned.out_of_fold, plan.learning.seed)
    held = made.parts["calibration"]
    scores = np.sort((made.y[held] - evaluate(booster, made.x[held])) / np.exp(evaluate(spread, made.x[held])))
    return Learner(plan=plan, booster=booster, spread=spread, scores=scores, card={}, folder=folder), tuned


def _judged(learner: Learner, made: Material) -> dict[str, Any]:
    """Scores against the truth, and for a circular label also against the label."""
    truth = made.profiles.exposure
    found = {part: _metrics(learner, made, made.parts[part], truth) for part in ("calibration", "test")}
    if not learner.circular:
        return found
    label = np.exp(made.y) * (made.observed.typical if learner.plan.scale == "typical" else 1.0)
    return found | {"label_test": _metrics(learner, made, made.parts["test"], label)}


def _metrics(learner: Learner, made: Material, rows: Rows, reference: Array) -> dict[str, dict[str, float]]:
    point, low, high = learner.interval(made.observed.rows(rows))
    found: dict[str, Score] = accuracy(point, reference[rows], interval=(low, high), seed=learner.plan.seed)
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
        "limits": [*LIMITS, *([CIRCULAR_LIMIT] if plan.label == "map" else [])],
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
        "label": "simulated truth" if plan.label == "truth" else f"{CIRCULAR}: MAP estimate of {plan.model.name}",
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
