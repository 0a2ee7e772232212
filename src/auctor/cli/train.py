"""`auctor train`: a plan to a trained, calibrated and tested learner with its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, working

if TYPE_CHECKING:
    from auctor.learn.learner import Learner


def train(
    plan: Annotated[str, typer.Argument(metavar="PLAN.toml|NAME", help="A plan file, or the name of a shipped one.", show_default=False)],
    *,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: the cache folder, keyed by content.")] = None,
    as_json: AsJson = False,
) -> None:
    """Simulate, split, tune, calibrate, test and store the learner of a plan; print its card.

    Without --out a plan that the cache already holds is not trained again.
    """
    from auctor.learn.store import open_plan

    read = open_plan(plan)
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


def _print_card(learner: Learner) -> None:
    from rich.table import Table

    from auctor.learn.provenance import marked

    card, console = learner.card, out()
    patients = card["data"]["patients"]
    name = marked(card["name"], circular=learner.circular)
    console.print(f"[bold]{name}[/bold]: {card['title']}", highlight=False)
    console.print(f"patients: {', '.join(f'{n} {part}' for part, n in patients.items())}; samples {', '.join(card['data']['samples'])}")
    table = Table("metric", "calibration", "test", "95 % interval of the test", box=None, pad_edge=False)
    for name, score in card["metrics"]["test"].items():
        table.add_row(name, *_numbers(card["metrics"]["calibration"][name], score))
    console.print(table)
    if learner.circular:
        copied = card["metrics"]["label_test"]["rRMSE"]["value"]
        console.print(f"circular label: rRMSE {_percent(copied)} against the MAP estimates it learnt; the table is against the truth")
    console.print(f"plan {card['plan']['sha256'][:12]}; stored in {learner.folder}", markup=False)


def _numbers(calibration: Mapping[str, float], test: Mapping[str, float]) -> tuple[str, str, str]:
    return _percent(calibration["value"]), _percent(test["value"]), f"{_percent(test['low'])} to {_percent(test['high'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
