"""`auctor validate`: every method on the subjects of a table, against a reference exposure."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.quantities import numbers
from auctor.cli.question import several_models
from auctor.cli.terminal import out, put_json, put_table, say, warn, working
from auctor.errors import CaseError, Notice

if TYPE_CHECKING:
    from auctor.models.model import DrugModel
    from auctor.report.shown import Shown
    from auctor.validate.external import External


class At(StrEnum):
    """Of which course the metric is."""

    HISTORY = "history"
    STEADY = "steady"


def validate(
    models: Annotated[list[str], typer.Argument(metavar="DRUG|MODEL...", help="A drug (all its models), or models.", show_default=False)],
    *,
    data: Annotated[Path, typer.Option(metavar="DATA.csv", help="A NONMEM-style table, as for `auctor estimate`.", show_default=False)],
    metric: Annotated[str, typer.Option(help="For example AUC0-24: hours after the first dose of the table.", show_default=False)],
    reference: Annotated[
        str, typer.Option(metavar="COLUMN|trapezoid", help="A column of the table, or trapezoids through all levels.", show_default=False)
    ],
    unit: Annotated[str, typer.Option(help="Unit of the reference's column, for example mg*h/L.")] = "",
    levels: Annotated[str, typer.Option(metavar="H,H,...", help="Show the methods these levels alone: hours after the first dose.")] = "",
    within: Annotated[float, typer.Option(min=0, max=24, help="How far, in hours, a level may lie from its time.")] = 0.25,
    at: Annotated[At, typer.Option(help="The metric of the subject's own history, or of the going-on dose at steady state.")] = At.HISTORY,
    amortised: Annotated[list[str] | None, typer.Option(metavar="PLAN", help="Also this amortised posterior; may be repeated.")] = None,
    learner: Annotated[list[str] | None, typer.Option(metavar="PLAN", help="Also this plan's learner; may be repeated.")] = None,
    draws: Annotated[int, typer.Option(min=100, max=1_000_000, help="Draws of each distribution.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input and seed, same bytes.")] = 0,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of subjects.csv and summary.json.")] = Path("validation"),
    as_json: AsJson = False,
) -> None:
    """Judge methods on data of your own: covariates only, MAP, posterior, averaging, machine learning and the amortised posterior.

    Writes subjects.csv (every answer beside its reference, every refusal with its reason) and summary.json.
    """
    from auctor.case import Metric, MetricKind
    from auctor.learn.amortised.store import amortised_for
    from auctor.learn.store import learner_for
    from auctor.validate.external import TRAPEZOID, Asked, Contestants, Reference, evaluate

    read, drug = several_models(models, one_drug=False)
    asked_for = Metric.parse(metric)
    if (reference == TRAPEZOID) == bool(unit):
        what = "is given for trapezoids, which have that of DV" if unit else "is missing"
        raise CaseError(where="--unit", what=what, remedy="leave it out" if unit else "say in which unit the column is, such as mg*h/L")
    times = numbers(levels, option="--levels") if levels else None
    asked = Asked(metric=asked_for, at=at.value, levels_h=None if times is None else tuple(times), within_h=within)
    source = Reference(column=reference, unit=unit, engine_unit="mg*h/L" if asked_for.kind is MetricKind.AUC else "mg/L")
    with working(f"{data.name}: {drug}") as steps:
        who = Contestants(
            models=tuple(read),
            amortised=tuple(amortised_for(name, progress=steps) for name in amortised or ()),
            learners=tuple(learner_for(name, progress=steps) for name in learner or ()),
            draws=draws,
            seed=seed,
        )
        found = evaluate(data, who, asked, source, steps)
    warn(notices := (*_of_several(read), *found.notices))
    said = {"data": data.name, "drug": drug, "seed": seed, "draws": draws, "notices": [vars(n) for n in notices]}
    summary = _summary(found, read[0], source.column) | said
    files = _write(found, read[0], folder, summary)
    if as_json:
        put_json(summary | {"files": [str(path) for path in files]})
        return
    _show(found, summary)
    for path in files:
        say(f"written: {path}")


def _shown(found: External, model: DrugModel) -> Shown:
    from auctor.report.shown import exposure

    return exposure(model, found.asked.metric)


def _summary(found: External, model: DrugModel, reference: str) -> dict[str, Any]:
    from auctor.validate.external import LEAST

    shown = _shown(found, model)
    methods = []
    for name, one in found.answers.items():
        row: dict[str, Any] = {"name": name, "answered": int(one.answered.sum()), "abstained": one.why()}
        for key, words in (("scores", name), ("scores_least", f"{name}{LEAST}")):
            if words in found.scores:
                row[key] = {measure: asdict(score) for measure, score in found.scores[words].items()}
        methods.append(row)
    return {
        "schema": 1,
        "metric": found.asked.metric.name,
        "at": found.asked.at,
        "unit": shown.unit,
        "reference": reference,
        "levels_h": found.asked.levels_h,
        "within_h": found.asked.within_h,
        "subjects": len(found.subjects),
        "left_out": dict(found.left_out),
        "closed": dict(Counter(one.note for one in found.subjects if one.note)),
        "methods": methods,
    }


def _of_several(models: list[DrugModel]) -> tuple[Notice, ...]:
    """A prodrug and its drug have models that read the same doses: by a covariate that says which was given."""
    drugs = sorted({m.drug for m in models})
    if len(drugs) == 1:
        return ()
    what = f"models of {' and '.join(drugs)} all read AMT as it stands"
    return (Notice(code="several-drugs", where="models", what=what, remedy="check that each of them counts that dose"),)


def _write(found: External, model: DrugModel, folder: Path, summary: dict[str, Any]) -> tuple[Path, ...]:
    import json

    shown = _shown(found, model)
    folder.mkdir(parents=True, exist_ok=True)
    table, document = folder / "subjects.csv", folder / "summary.json"
    with table.open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\n")
        write.writerow(["ID", "METHOD", "REFERENCE", "POINT", "LOW90", "HIGH90", "LEAST", "UNIT", "REASON"])
        for name, one in found.answers.items():
            for k, subject in enumerate(found.subjects):
                read = (one.point, one.low, one.high, one.least)
                values = ["."] * 4 if one.reasons[k] else [f"{shown.value(float(v[k])):.8g}" for v in read]
                write.writerow([subject.id, name, f"{shown.value(subject.reference):.8g}", *values, shown.unit, one.reasons[k]])
    document.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return table, document


def _show(found: External, summary: dict[str, Any]) -> None:
    from auctor.validate.external import LEAST
    from auctor.validate.metrics import score_table

    n = len(found.subjects)
    title = f"{summary['data']}: {summary['metric']}, {n} subjects, reference {summary['reference']}"
    answered = {name: int(found.answers[name.removesuffix(LEAST)].answered.sum()) for name in found.scores}
    rows = {name if answered[name] == n else f"{name} ({answered[name]} of {n})": scores for name, scores in found.scores.items()}
    put_table(score_table(rows, title=title, caption="relative to the reference; 95 % bootstrap intervals over subjects"))
    for name, one in found.answers.items():
        for reason, count in one.why().items():
            out().print(f"{name}: {count} not answered: {reason}", markup=False)
    for id, reason in found.left_out.items():
        out().print(f"ID {id} left out of all: {reason}", markup=False)
