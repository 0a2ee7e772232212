"""`auctor first-dose`: a dose for a patient without levels, by every method side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli import first_dose_question as words
from auctor.cli import quantities
from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, put_table, working
from auctor.errors import CaseError

if TYPE_CHECKING:
    from auctor.dosing.first_dose.compare import FirstDose, Proposal
    from auctor.models.model import DrugModel
    from auctor.population.people import People


def first_dose(
    case: Annotated[
        str, typer.Argument(metavar="QUESTION.toml|DRUG", help="A question file, or a drug of the library.", show_default=False)
    ],
    *,
    model: Annotated[str, typer.Option(help="A library model or a file; needed where the drug has several.")] = "",
    covariate: Annotated[list[str] | None, typer.Option(help="For example WT=70kg; repeat it; every one the model uses.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="'AUC0-24/MIC:>666 h', 'C0:<24.3 mg/L'; repeated, all must hold.")] = None,
    mic: Annotated[str, typer.Option(help="'1 mg/L', or values with shares '0.5:1, 1:3 mg/L'.")] = "",
    doses: Annotated[str, typer.Option(help="Doses to choose from, '4-12 mg/kg'; default: the model's dosing table.")] = "",
    step: Annotated[str, typer.Option(help="Step between them, '1 mg/kg'.")] = "",
    every: Annotated[str, typer.Option(help="Interval, or several: '8h,12h,24h'.")] = "",
    infusion: Annotated[str, typer.Option(help="Length of an infusion, for example 0.5h.")] = "",
    cap: Annotated[str, typer.Option(help="Largest single dose, '1000 mg', beside the caps of the drug.")] = "",
    draws: Annotated[int, typer.Option(min=200, max=200_000, help="Virtual courses of the patient.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="Seed; same input and seed, same bytes.")] = 0,
    learners: Annotated[bool, typer.Option("--learners/--no-learners", help="Train the learners by simulation (seconds).")] = True,
    population: Annotated[
        str, typer.Option(metavar="PLAN", help="Train them on the patients of this plan (its [covariates]), not on the source population.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """The first dose of a patient without levels, from covariates: popPK integration, learners and nomograms side by side.

    Steady-state exposure under each dose; every probability is under the population model, with its Monte-Carlo error.
    """
    from auctor.dosing.first_dose.compare import Question
    from auctor.dosing.first_dose.compare import first_dose as ask
    from auctor.dosing.first_dose.learned import LEARNERS

    typed = words.Typed(
        covariates={}, model=model, targets=tuple(target or ()), mic=mic, doses=doses, step=step, every=every, infusion=infusion, cap=cap
    )
    if case.endswith(".toml"):
        typed = typed.over(words.read_file(Path(case)))
    else:
        typed = typed.over(words.Typed(drug=case, covariates={}))
    read = _model(typed)
    written = [f"{name}={value}" for name, value in typed.covariates.items()] + (covariate or [])
    known = dict(quantities.covariate(text, read) for text in written)
    question = Question(
        model=read,
        covariates=known,
        target=words.joint_target(typed, read),
        ladder=words.ladder(typed, read),
        draws=draws,
        seed=seed,
        learners=tuple(LEARNERS) if learners else (),
        people=_people(population) if population else None,
    )
    with working(f"first dose of {read.drug} under {read.name}") as steps:
        found = ask(question, steps)
    if as_json:
        put_json(_document(found))
    else:
        _print(found)


def _people(plan: str) -> People:
    from auctor.learn.store import open_plan

    return open_plan(plan).people


def _model(typed: words.Typed) -> DrugModel:
    from auctor.models.reader import list_models, read_model

    if typed.model:
        model = read_model(typed.model)
        if typed.drug and typed.drug.casefold() != model.drug.casefold():
            raise CaseError(
                where="drug", what=f"{model.name} is a model of {model.drug}", remedy="correct the drug, or choose another model"
            )
        return model
    names = [name for name in list_models() if name.startswith(f"{typed.drug.casefold()}_")]
    if not names:
        raise CaseError(where="drug", what="no model of it in the library", remedy="see `auctor models list`, or add --model FILE.toml")
    if len(names) > 1:
        raise CaseError(where="--model", what=f"{len(names)} models of {typed.drug}", remedy=f"choose one of {', '.join(names)}")
    return read_model(names[0])


def _document(found: FirstDose) -> dict[str, Any]:
    q = found.question
    return {
        "model": q.model.name,
        "model_sha256": q.model.sha256,
        "target": q.target.label,
        "mic_mg_L": dict(zip(map(str, q.target.mic.values), q.target.mic.shares, strict=True)) if q.target.mic else None,
        "draws": q.draws,
        "seed": q.seed,
        "proposals": [p.as_dict() for p in found.proposals],
        "doses": [
            {
                "dose_mg": o.dose_mg,
                "every_h": o.every_h,
                "probability": c.inside,
                "monte_carlo_error": c.error,
                "probability_above": c.above,
            }
            for o, c in found.rungs
        ],
        "concordance": {"state": found.state.value, "reasons": list(found.reasons)},
        "tree": [_leaf(found, leaf) for leaf in found.leaves],
        "notices": list(found.notices),
    }


def _leaf(found: FirstDose, leaf: Any) -> dict[str, Any]:
    rung = found.question.ladder.rungs[leaf.rung]
    unit = "mg/kg" if found.question.ladder.per_kg else "mg"
    return {
        "when": " and ".join(leaf.conditions) or "always",
        "dose": f"{rung.amount:g} {unit} every {rung.every_h:g} h",
        "probability": leaf.probability,
        "patients": leaf.patients,
    }


def _print(found: FirstDose) -> None:
    from rich.table import Table

    q, console = found.question, out()
    table = Table("method", "dose", "P(target)", "P(above)", "its own estimate", title=f"First dose under {q.model.name}: {q.target.label}")
    for proposal in found.proposals:
        table.add_row(*_row(proposal))
    put_table(table)
    ladder = Table("dose", "P(target)", "± MC error", "P(above)", title=f"Every dose, {q.draws} virtual courses of this patient", box=None)
    for option, chance in found.rungs:
        ladder.add_row(option.label, f"{chance.inside:.3f}", f"{chance.error:.3f}", f"{chance.above:.3f}")
    if found.rungs:
        put_table(ladder)
    if found.leaves:
        rule = Table("decision tree: when", "dose", "P(target)", "patients", box=None)
        for leaf in (_leaf(found, one) for one in found.leaves):
            rule.add_row(leaf["when"], leaf["dose"], f"{leaf['probability']:.2f}", str(leaf["patients"]))
        put_table(rule)
    console.print(f"Agreement: {found.state.value}: {'; '.join(found.reasons)}", markup=False)
    for line in (*(f"{p.method}: {p.source}" for p in found.proposals if p.method.startswith("nomogram")), *found.notices):
        console.print(f"- {line}", markup=False)


def _row(proposal: Proposal) -> tuple[str, ...]:
    if proposal.option is None:
        return proposal.method, f"abstains: {proposal.abstained}", "", "", ""
    chance, own = proposal.chance, proposal.own
    judged = (f"{chance.inside:.3f} ± {chance.error:.3f}", f"{chance.above:.3f}") if chance else ("not judged", "")
    return proposal.method, proposal.option.label, *judged, "" if own is None else f"{own:.3f}"
