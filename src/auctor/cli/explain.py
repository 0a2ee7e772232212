"""`auctor explain`: why a plan's learner predicts what it predicts, over its held-out patients and for one real patient."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, put_table, say, working

if TYPE_CHECKING:
    from auctor.learn.drivers import Drivers
    from auctor.learn.explain import Explanation, Surrogate
    from auctor.learn.learner import Learner
    from auctor.learn.observed import Observed
    from auctor.learn.train import Material

MOST = 1000  # held-out patients that are explained
PAIRS = 200  # of them for interactions, which cost a feature times as much
SHOWN = 12
BACKGROUND = 100


def explain(
    plan: Annotated[str, typer.Argument(metavar="PLAN.toml|NAME", help="A plan file, or the name of a shipped one.", show_default=False)],
    *,
    case: Annotated[Path | None, typer.Option(metavar="CASE", help="One patient (.toml, .json): what drove his estimate.")] = None,
    feature: Annotated[str, typer.Option(metavar="NAME", help="The feature of the dependence picture; default: the most important.")] = "",
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write the pictures (SVG) here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a plan's learner: which features move its estimate, by how much, and what drove one patient's.

    Shapley values on the log scale, shown as the percentages they make, which multiply. A learner the cache does not hold is trained first.
    """
    from auctor.learn.store import learner_for, open_plan
    from auctor.learn.train import prepare

    read = open_plan(plan)
    with working(f"explaining {read.name}") as steps:
        learner = learner_for(read, progress=steps)
        made = prepare(read, steps)
    overall = _overall(learner, made, feature)
    patient = None if case is None else _patient(learner, made, case)
    for path in [] if folder is None else _pictures(folder, learner, overall, patient):
        say(f"written: {path}")
    if as_json:
        put_json(_document(learner, overall, patient))
    else:
        _show(learner, overall, patient)


class _Overall:
    """What holds for all held-out patients: Shapley values, interactions (None: the family has none), one feature's dependence."""

    def __init__(self, found: Explanation, strength: Any, dependence: Any) -> None:
        self.found, self.strength, self.dependence = found, strength, dependence


class _Patient:
    """What holds for one patient: drivers in his own words, Shapley values of the features, and the linear model near him."""

    def __init__(self, label: str, drivers: Drivers, found: Explanation, near: Surrogate) -> None:
        self.label, self.drivers, self.found, self.near = label, drivers, found, near


def _overall(learner: Learner, made: Material, feature: str) -> _Overall:
    from auctor.errors import PlanError
    from auctor.learn.explain import boosted, dependence, explain_learner, interactions

    names, x = learner.plan.learning.features, made.x[made.parts["test"]][:MOST]
    if feature and feature not in names:
        raise PlanError(
            where="--feature", what=f"{feature!r} is not a feature of {learner.plan.name}", remedy=f"one of: {', '.join(names)}"
        )
    found = explain_learner(learner, x, _background(made))
    column = names.index(feature) if feature else int(found.order[0])
    return _Overall(
        found,
        interactions(learner.booster, x[:PAIRS]) if boosted(learner) else None,
        dependence(_predict(learner), x[:PAIRS], names[column], column),
    )


def _background(made: Material) -> Any:
    """The training patients that others are compared with where the learner does not explain itself."""
    return made.x[made.parts["train"]][:BACKGROUND]


def _predict(learner: Learner) -> Any:
    from auctor.learn.explain import models_of
    from auctor.learn.tuning import evaluate

    return lambda x: sum(evaluate(model, x) for model in models_of(learner)) / len(models_of(learner))


def _patient(learner: Learner, made: Material, path: Path) -> _Patient:
    """Raises OutOfDomain, as `analyse` does, where the learner does not answer for this patient."""
    from auctor.cli.question import Question, read
    from auctor.learn.drivers import drivers
    from auctor.learn.explain import explain_learner, surrogate
    from auctor.learn.features import matrix
    from auctor.learn.observed import of_case

    model = learner.plan.model
    case = read(Question(case=path), model)
    learner.predictor(case, model)
    seen: Observed = of_case(learner.plan, case)
    x = matrix(seen)
    near, others = surrogate(_predict(learner), x[0], made.x[made.parts["train"]]), _background(made)
    return _Patient(case.label, drivers(learner, seen, others), explain_learner(learner, x, others), near)


def _pictures(folder: Path, learner: Learner, overall: _Overall, patient: _Patient | None) -> list[Path]:
    from auctor.learn.circular import marked
    from auctor.report.explain_svg import beeswarm_svg, dependence_svg, pairs_svg, waterfall_svg

    name = marked(learner.plan.name, circular=learner.circular)
    texts = {
        "features.svg": beeswarm_svg(overall.found, f"{name}: what moves the estimate"),
        "dependence.svg": dependence_svg(overall.dependence, f"{name}: {overall.dependence.name}"),
    }
    if overall.strength is not None:
        texts["interactions.svg"] = pairs_svg(overall.strength, overall.found.names, f"{name}: pairs of features")
    if patient is not None:
        texts["patient.svg"] = waterfall_svg(patient.drivers, f"{name}: {patient.label}")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return [folder / file for file in texts]


def _document(learner: Learner, overall: _Overall, patient: _Patient | None) -> dict[str, Any]:
    from auctor.learn.explain import percent

    found, curve = overall.found, overall.dependence
    features = [
        {"name": found.names[j], "mean_size": float(found.importance[j]), "mean_size_percent": percent(found.importance[j])}
        for j in found.order
    ]
    return {
        "plan": learner.plan.name,
        "circular_label": learner.circular,
        "scale": "log: a contribution c is a factor exp(c); percentages multiply",
        "method": found.method,
        "patients": len(found.x),
        "base": found.base,
        "additivity_gap": found.gap,
        "features": features,
        "interactions": [{"pair": list(pair), "mean_size": size} for size, pair in _strongest(overall)],
        "dependence": {"feature": curve.name, "values": curve.grid.tolist(), "log_prediction": curve.mean.tolist()},
        "patient": None if patient is None else _told(patient),
    }


def _told(patient: _Patient) -> dict[str, Any]:
    found, near, own = patient.found, patient.near, patient.drivers
    return {
        "label": patient.label,
        "sentence": own.sentence(),
        "against": own.against,
        "drivers": [{"name": d.name, "value": d.value, "contribution": d.contribution, "percent": d.percent} for d in own.each],
        "log_prediction": own.predicted,
        "contributions": dict(zip(found.names, found.contributions[0].tolist(), strict=True)),
        "local_surrogate": {"r2": near.r2, "per_sd": dict(zip(found.names, near.slopes.tolist(), strict=True))},
    }


def _strongest(overall: _Overall) -> list[tuple[float, tuple[str, ...]]]:
    names, s = overall.found.names, overall.strength
    if s is None:
        return []
    pairs: list[tuple[float, tuple[str, ...]]] = [(float(s[i, j]), (names[j], names[i])) for i in range(len(names)) for j in range(i)]
    return sorted(pairs, key=lambda pair: -pair[0])[:SHOWN]


def _show(learner: Learner, overall: _Overall, patient: _Patient | None) -> None:
    from rich.table import Table

    from auctor.learn.circular import marked
    from auctor.learn.explain import percent

    found, name = overall.found, marked(learner.plan.name, circular=learner.circular)
    table = Table(
        title=f"{name}: mean size of each feature's contribution, {len(found.x)} held-out patients", caption=f"{found.method}; log scale"
    )
    for heading in ("feature", "mean size", "pair", "mean size of the interaction"):
        table.add_column(heading, justify="left" if heading in ("feature", "pair") else "right")
    for j, (size, pair) in zip(found.order[:SHOWN], _strongest(overall) + [(0.0, ())] * SHOWN, strict=False):
        table.add_row(
            found.names[j], f"{percent(found.importance[j]):.1f} %", " with ".join(pair), f"{percent(size):.1f} %" if pair else ""
        )
    put_table(table)
    if patient is not None:
        _show_patient(patient)


def _show_patient(patient: _Patient) -> None:
    from rich.table import Table

    table = Table(title=f"{patient.label}, against {patient.drivers.against}")
    for heading in ("driver", "value", "change"):
        table.add_column(heading, justify="left" if heading == "driver" else "right")
    for driver in patient.drivers.each:
        table.add_row(driver.name, driver.value, f"{driver.percent:+.1f} %")
    put_table(table)
    out().print(patient.drivers.sentence(), markup=False)
    out().print(
        f"A linear model near this patient explains {100 * patient.near.r2:.0f} % of the learner there (LIME's surrogate).", markup=False
    )
