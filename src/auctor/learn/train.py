"""Training a plan: simulate, split by patient, tune on the training part, calibrate, test on held-out patients, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Regimen
from auctor.errors import PlanError
from auctor.learn.abstention import abstention
from auctor.learn.artefact import write
from auctor.learn.circular import CIRCULAR
from auctor.learn.conformal import Calibration
from auctor.learn.density import Density
from auctor.learn.domain import span
from auctor.learn.estimators.registry import algorithm
from auctor.learn.features import check_features, matrix, require_finite
from auctor.learn.guard import guard
from auctor.learn.histories import inputs, reads_history, recorded, settings
from auctor.learn.labels import label
from auctor.learn.learner import Learner, versions
from auctor.learn.observed import Observed, of_profiles
from auctor.learn.probability import Recalibration, event_scores, reliability
from auctor.learn.scales import modelled, truth, unmodelled
from auctor.learn.scores import accuracy
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
SAME_REGIMEN = "Predicts the target named below, of the patient's own regimen; abstains outside the training ranges given under domain."
INTERVALS = {
    "split": "split conformal, scaled by a second booster of the out-of-fold error; order statistics (n + 1) p of calibration",
    "cv+": "CV+ over training and calibration patients, errors scaled by a booster of each fold's own; order statistics (n + 1) p",
    "cqr": "conformalised quantile regression: quantiles 0.05, 0.5, 0.95 of the out-of-fold error, scaled side by side on calibration",
}
PROBABILITY = "none: the probability of an event, recalibrated on the calibration part (a + b logit)"
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
    require_finite(x, plan)
    y = modelled(profiles, observed, label(profiles))
    return Material(profiles=profiles, observed=observed, x=x, y=y, parts=split(plan, len(profiles)))


def shown(profiles: Profiles) -> tuple[Observed, Array]:
    """What the patients show, and their features (n, n_features)."""
    observed = recorded(of_profiles(profiles), histories(profiles))
    return observed, matrix(observed)


def histories(profiles: Profiles) -> list[Regimen]:
    """Every patient's dosing history where the plan's algorithm reads it, otherwise none."""
    return [profiles.regimen(i) for i in range(len(profiles))] if reads_history(profiles.plan) else []


def split(plan: Plan, n: int | None = None) -> dict[str, Rows]:
    """Rows of each part, drawn by patient: one profile is one patient. `n` patients, where the target left some out, in the same shares."""
    total = plan.split.total if n is None else n
    order = stream(plan.seed, "split").permutation(total)
    a, b = (round(count * total / plan.split.total) for count in (plan.split.train, plan.split.train + plan.split.calibration))
    return {"train": np.sort(order[:a]), "calibration": np.sort(order[a:b]), "test": np.sort(order[b:])}


def train(plan: Plan, out_dir: str | Path, *, progress: Progress | None = None) -> Learner:
    """Train the plan and write the artefact into `out_dir`; returns the learner as loaded back from there.

    Same plan, same bytes. Raises PlanError for features the plan cannot have, LeakageError where the material leaks.
    """
    check_groups(plan)
    algorithm(plan.learning.algorithm).require()
    made = prepare(plan, progress)
    verdict = guard(made, shown)
    candidate, tuned = fitted(made, Path(out_dir), progress)
    finished = judged(candidate, made, _card(made, tuned) | {"leakage_guard": verdict.as_dict()})
    write(Path(out_dir), finished.content())
    return Learner.load(out_dir)


def fitted(made: Material, folder: Path, progress: Progress | None = None) -> tuple[Learner, Tuned]:
    """Tune and fit on the training rows, calibrate on the calibration rows; the learner (without a card) and how it was tuned."""
    plan, rows, sides = made.profiles.plan, made.parts["train"], Sides(z=inputs(made.observed), x=made.x)
    if plan.target.event and not 0 < made.y[rows].mean() < 1:
        what = "happens to every training patient or to none"
        raise PlanError(where=f"{plan.name}.target.event", what=what, remedy="move its bounds, or the doses")
    tuned = tune(sides.z[rows], made.y[rows], plan.learning, progress, task=plan.target.task, fixed=settings(plan))
    return calibrated(made, sides, tuned, folder), tuned


def judged(candidate: Learner, made: Material, card: dict[str, Any]) -> Learner:
    """The learner with its card: accuracy, coverage by subgroup and abstention on held-out patients."""
    finished = replace(candidate, card=card)
    card["fold_models"] = len(candidate.folds)
    card["metrics"] = _scored(finished, made)
    card["coverage"] = _coverage(finished, made)
    if candidate.recalibration is not None:
        card["recalibration"] = candidate.recalibration.as_dict()
        card["reliability"] = _reliable(finished, made)
    card["abstention"] = abstention(card["domain"], finished.density, made.observed.rows(made.parts["test"]))
    return finished


def calibrated(made: Material, sides: Sides, tuned: Tuned, folder: Path) -> Learner:
    """The learner without its card: estimator and spread of the training part, and the errors its intervals rest on. Nothing is stored."""
    plan = made.profiles.plan
    rows, held, seed = made.parts["train"], made.parts["calibration"], plan.learning.seed
    method = "split" if plan.target.event else plan.interval.method
    errors = made.y[rows] - tuned.predicted
    pair = paired(sides.rows(rows), made.y[rows], tuned, errors, seed=seed, quantiles=method == "cqr")
    both = np.sort(np.concatenate([rows, held])) if method == "cv+" else held
    labels = cells(made.observed.rows(both))
    folds: tuple[Pair, ...] = ()
    if method == "cv+":
        folds, calibration = crossed(sides.rows(both), made.y[both], tuned, labels, folds=plan.interval.folds, seed=seed)
    else:
        calibration = Calibration.of(pair.forecast(sides.rows(held)).scaled(made.y[held]), cells=labels)
    said = Recalibration.fit(pair.forecast(sides.rows(held)).center[0], made.y[held]) if plan.target.event else None
    return Learner(
        plan=plan,
        recalibration=said,
        booster=pair.model,
        spread=pair.spread,
        calibration=calibration,
        card={},
        folder=folder,
        folds=folds,
        density=Density.of(made.x[rows], made.x[held], plan.density) if plan.density < 1 else None,
    )


def _coverage(learner: Learner, made: Material) -> list[dict[str, Any]]:
    if learner.plan.target.event:
        return []  # a probability has no interval that would hold what happened
    rows = made.parts["test"]
    reference, observed = truth(made.profiles)[rows], made.observed.rows(rows)
    _, low, high = learner.interval(observed)
    return coverage_table(observed, (low <= reference) & (reference <= high))


def _reliable(learner: Learner, made: Material) -> list[dict[str, Any]]:
    rows = made.parts["test"]
    return reliability(learner.interval(made.observed.rows(rows))[0], truth(made.profiles)[rows])


def _scored(learner: Learner, made: Material) -> dict[str, Any]:
    """Scores against the truth, and for a circular label also against the label."""
    parts = ("test",) if learner.folds else ("calibration", "test")
    found = {part: _metrics(learner, made, made.parts[part], truth(made.profiles)) for part in parts}
    if not learner.circular:
        return found
    copied = unmodelled(learner.plan, made.observed, made.y)
    return found | {"label_test": _metrics(learner, made, made.parts["test"], copied)}


def _metrics(learner: Learner, made: Material, rows: Rows, reference: Array) -> dict[str, dict[str, float]]:
    point, low, high = learner.interval(made.observed.rows(rows))
    if learner.plan.target.event:
        prevalence = float(reference[made.parts["train"]].mean())
        found = event_scores(point, reference[rows], prevalence, seed=learner.plan.seed)
    else:
        found = accuracy(point, reference[rows], interval=(low, high), seed=learner.plan.seed)
    return {name: score.as_dict() for name, score in found.items()}


def _card(made: Material, tuned: Tuned) -> dict[str, Any]:
    plan = made.profiles.plan
    return {
        "name": plan.name,
        "title": plan.title,
        "intended_use": USE,
        "limits": [
            *LIMITS[:2],
            LIMITS[2] if plan.target.proportional else SAME_REGIMEN,
            LIMITS[3],
            *([CIRCULAR_LIMIT] if plan.label == "map" else []),
        ],
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
            "label": "simulated truth" if plan.label == "truth" else f"{CIRCULAR}: MAP estimate of {plan.model.name}",
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
            "tuner": plan.learning.tuner,
            "chosen": dict(tuned.configuration) | stages(tuned.configuration, tuned.rounds),
            "table": [dict(row) for row in tuned.table],
        },
        "algorithm": {"name": tuned.algorithm, "title": algorithm(tuned.algorithm).title, "missing": algorithm(tuned.algorithm).missing},
        "interval": {
            "method": PROBABILITY if plan.target.event else INTERVALS[plan.interval.method],
            "groups": [{"by": g.by, "cuts": list(g.cuts)} for g in plan.interval.groups],
        },
        "domain": span(made.profiles, made.observed, made.x, made.parts["train"]),
        "versions": versions(plan),
    }
