"""`auctor models compare DRUG`: the drug's models side by side for one patient, before and after the samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.question import Question, read
from auctor.cli.terminal import out, put_json, put_table, say, warn, working
from auctor.errors import AuctorError, CaseError

if TYPE_CHECKING:
    from auctor.analysis.comparison import Comparison
    from auctor.case import Case
    from auctor.models.model import DrugModel


def compare_models(
    drug: Annotated[str, typer.Argument(metavar="DRUG", help="A drug of the library.", show_default=False)],
    *,
    case: Annotated[Path | None, typer.Option(metavar="CASE", help="A case (.toml, .json), or a table (.csv) with --id.")] = None,
    identity: Annotated[str, typer.Option("--id", help="Which ID of the table.")] = "",
    patient: Annotated[str, typer.Option(metavar="WORD", help="Without a case: another typical patient of the drug.")] = "",
    every_model: Annotated[bool, typer.Option("--every-model", help="Average over models out of their domain too.")] = False,
    draws: Annotated[int, typer.Option(min=100, max=1_000_000, help="Draws of each model.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input and seed, same bytes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare a drug's models on one patient: domain, exposure before and after the samples, weight, and their average.

    Without --case the patient is the drug's typical one. A model that cannot take the patient is listed with the reason.
    """
    models = of_drug(drug)
    if case is not None and patient:
        raise CaseError(where="--patient", what="given beside --case", remedy="keep one of them")
    cases, about = _typical(models, patient) if case is None else (_read(models, case, identity), case.name)
    with working(f"{len(models)} models of {drug}") as steps:
        from auctor.analysis.comparison import compare
        from auctor.report.comparison import as_dict

        steps("estimating", 0.2)
        found = compare(models, cases, every_model=every_model, n_draws=draws, seed=seed)
    warn(found.notices)
    if as_json:
        put_json(as_dict(found))
    else:
        out().print(f"{found.drug}: {about}", markup=False)
        _show(found)


def of_drug(drug: str) -> list[DrugModel]:
    """Every library model of a drug; CaseError with the drugs that are known."""
    from auctor.models.reader import list_models, read_model

    every = [read_model(name) for name in list_models()]
    found = [model for model in every if model.drug.casefold() == drug.casefold()]
    if not found:
        raise CaseError(where="drug", what="no model of it in the library", remedy=f"known: {', '.join(sorted({m.drug for m in every}))}")
    return found


def _typical(models: Sequence[DrugModel], word: str) -> tuple[dict[str, Case | AuctorError], str]:
    from auctor.analysis.typical_patient import typical_patient

    patient = typical_patient(models[0].drug, word)
    say(" ".join(patient.why.split()))
    return patient.cases(models), f"typical patient: {patient.title}"


def _read(models: Sequence[DrugModel], path: Path, identity: str) -> dict[str, Case | AuctorError]:
    from auctor.data.casefile import for_each
    from auctor.data.document import read_document

    question = Question(case=path, patient=identity)
    if not question.is_table and not identity:
        return for_each(read_document(path), models)
    return {model.name: _subject(question, model) for model in models}


def _subject(question: Question, model: DrugModel) -> Case | AuctorError:
    try:
        return read(question, model)
    except AuctorError as refused:
        return refused


def _show(found: Comparison) -> None:
    from rich.table import Table

    from auctor.report.comparison import as_dict

    said = as_dict(found)
    auc, level = f"{found.auc.name}, {said['units']['auc']}", f"trough, {said['units']['trough']}"
    heads = ["model", "outside or missing", f"a priori {auc}", level]
    heads += ["a posteriori (MAP)", "trough", "log p(samples)", "weight"] if found.sampled else []
    heads += [] if found.target is None else [f"in {said['target']['text']}"]
    table = Table(*heads)
    for row in said["models"]:
        table.add_row(*_cells(row, found))
    if said["average"]:
        one: dict[str, Any] = {
            "name": "average",
            "status": "",
            "covariates": [],
            "refused": "",
            "log_marginal": None,
            "weight": 1.0,
            "mode": None,
        }
        table.add_row(*_cells({**one, "prior": None if found.sampled else said["average"], "posterior": said["average"]}, found))
    put_table(table)
    for row in said["models"]:
        if row["refused"]:
            out().print(f"{row['name']}: {row['refused']}", markup=False, soft_wrap=True)
    out().print(said["about"], markup=False, soft_wrap=True)


def _cells(row: dict[str, Any], found: Comparison) -> list[str]:
    if row["refused"]:
        return [
            row["name"].removeprefix(f"{found.drug}_"),
            "not run: see below",
            *["–"] * (2 + 4 * found.sampled + (found.target is not None)),
        ]
    before, after, mode = row["prior"], row["posterior"], row["mode"]
    cells = [row["name"].removeprefix(f"{found.drug}_"), _doubts(row["covariates"]), _one(before, "auc"), _one(before, "trough")]
    if found.sampled:
        marginal = "" if row["log_marginal"] is None else f"{row['log_marginal']:.2f}"
        cells += [_one(after, "auc", mode), _one(after, "trough", mode), marginal, _weight(row["weight"])]
    if found.target is not None:
        share = (after or before or {}).get("in_target")
        cells.append("" if share is None else f"{100 * share:.0f} %")
    return cells


def _weight(weight: float | None) -> str:
    return "–" if weight is None else f"{weight:.3f}"


def _doubts(covariates: Sequence[dict[str, str]]) -> str:
    doubts = [f"{c['name']} {c['state']}" for c in covariates if c["state"] in ("outside", "far", "missing")]
    return ", ".join(doubts) or "–"


def _one(exposure: dict[str, Any] | None, name: str, mode: dict[str, Any] | None = None) -> str:
    from auctor.report.comparison import short

    if exposure is None:
        return ""
    low, high = exposure[name]["interval90"]
    at_mode = "" if mode is None else f" (MAP {short(mode[name]['point'])})"
    return f"{short(exposure[name]['point'])} [{short(low)}–{short(high)}]".replace("[", "\\[") + at_mode
