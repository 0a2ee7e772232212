"""`auctor train`: a plan to a trained, calibrated and tested learner with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, put_table, working

if TYPE_CHECKING:
    from auctor.learn.algorithms import Compared
    from auctor.learn.learner import Learner
    from auctor.population.plan import Plan


def train(
    plan: Annotated[str, typer.Argument(metavar="PLAN.toml|NAME", help="A plan file, or the name of a shipped one.", show_default=False)],
    *,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: the cache folder, keyed by content.")] = None,
    algorithms: Annotated[
        str, typer.Option(metavar="A,B,...", help="Compare these by cross-validation on the training part, and store nothing.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Simulate, split, tune, calibrate, test and store the learner of a plan; print its card.

    Without --out a plan that the cache already holds is not trained again. With --algorithms several are tuned on the plan's training
    part and shown side by side.
    """
    from auctor.learn.store import open_plan

    read = open_plan(plan)
    if algorithms:
        if folder is not None:
            raise typer.BadParameter("--algorithms stores nothing: leave out --out")
        _compare(read, [name.strip() for name in algorithms.split(",") if name.strip()], as_json=as_json)
        return
    with working(f"learner {read.name}") as steps:
        learner = _learner(read, folder, steps)
    if as_json:
        put_json({"folder": str(learner.folder), "card": learner.card})
    else:
        _print_card(learner)


def _learner(plan: Any, folder: Path | None, steps: Callable[[str, float], None]) -> Learner:
    from auctor.learn.store import learner_for
    from auctor.learn.train import train as train_plan

    return train_plan(plan, folder, progress=steps) if folder is not None else learner_for(plan, progress=steps)


def _compare(plan: Plan, names: list[str], *, as_json: bool) -> None:
    from auctor.learn.algorithms import compare

    with working(f"algorithms for {plan.name}") as steps:
        found = compare(plan, names, steps)
    if as_json:
        learning = {"folds": plan.learning.folds, "configurations": plan.learning.configurations, "tuner": plan.learning.tuner}
        patients = {"plan": plan.name, "sha256": plan.sha256, "noise": plan.noise, "training_patients": plan.split.train}
        put_json({**patients, **learning, "algorithms": [one.as_dict() for one in found]})
        return
    _print_comparison(plan, found)


def _print_comparison(plan: Plan, found: Sequence[Compared]) -> None:
    from rich.table import Table

    table = Table("algorithm", "cross-validated RMSE", f"over {found[0].name}", "chosen", box=None, pad_edge=False)
    for one in found:
        ratio = f"{one.ratio.value:.3f} ({one.ratio.low:.3f} to {one.ratio.high:.3f})"
        chosen = ", ".join(f"{name} {value:g}" for name, value in one.tuned.configuration.items())
        table.add_row(one.name, str(one.rmse), ratio, chosen)
    console = out()
    console.print(
        f"{plan.name}: {plan.split.train} virtual patients of {', '.join(m.name for m in plan.models)}, noise {plan.noise}; "
        f"{plan.learning.folds} folds, at most {plan.learning.configurations} configurations each; RMSE of the logarithm, as percent",
        markup=False,
    )
    put_table(table)


def _print_card(learner: Learner) -> None:
    from rich.table import Table

    from auctor.learn.circular import marked

    card, console = learner.card, out()
    patients = card["data"]["patients"]
    name = marked(card["name"], circular=learner.circular)
    console.print(f"[bold]{name}[/bold]: {card['title']}", highlight=False)
    console.print(f"patients: {', '.join(f'{n} {part}' for part, n in patients.items())}; samples {', '.join(card['data']['samples'])}")
    console.print(f"algorithm: {card['algorithm']['title']}; interval: {card['interval']['method']}", markup=False)
    table = Table("metric", "calibration", "test", "95 % interval of the test", box=None, pad_edge=False)
    for name, score in card["metrics"]["test"].items():
        table.add_row(name, *_numbers(name, card["metrics"].get("calibration", {}).get(name), score))
    console.print(table)
    if learner.circular:
        copied = card["metrics"]["label_test"]["rRMSE"]["value"]
        console.print(f"circular label: rRMSE {_percent(copied)} against the MAP estimates it learnt; the table is against the truth")
    _print_subgroups(card)
    for row in card.get("reliability", ()):
        said = f"{_percent(row['said'])} on average, it happened to {_percent(row['happened'])}"
        console.print(f"probability said to {row['patients']} test patients: {said}", markup=False)
    console.print(_abstention(card["abstention"]), markup=False)
    console.print(f"plan {card['plan']['sha256'][:12]}; stored in {learner.folder}", markup=False)


def _abstention(found: Mapping[str, Any]) -> str:
    mistakes = ", ".join(f"{name} {_percent(share)}" for name, share in found["refused_after"].items())
    wrongly = _percent(found["refused"]["any"])
    return f"abstains for {wrongly} of the test patients, who are like the training ones; after a mistake: {mistakes}"


def _print_subgroups(card: Mapping[str, Any]) -> None:
    from rich.table import Table

    if not card["coverage"]:
        return
    table = Table("subgroup of the test patients", "patients", "90 % interval covers", "95 % limits", box=None, pad_edge=False)
    for row in card["coverage"]:
        table.add_row(
            row["subgroup"], str(row["patients"]), _percent(row["coverage"]), f"{_percent(row['low'])} to {_percent(row['high'])}"
        )
    out().print(table)


PLAIN = ("Brier", "Brier of the prevalence", "log loss", "ROC-AUC")  # numbers of an event that are no shares


def _numbers(name: str, calibration: Mapping[str, float] | None, test: Mapping[str, float]) -> tuple[str, str, str]:
    said = (lambda value: f"{value:.3f}") if name in PLAIN else _percent
    first = "-" if calibration is None else said(calibration["value"])
    return first, said(test["value"]), f"{said(test['low'])} to {said(test['high'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
