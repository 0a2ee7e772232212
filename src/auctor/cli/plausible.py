"""`auctor plausible`: is this record believable? Percentiles of every sample, and what else would explain the levels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.cli.command import AsJson
from auctor.cli.question import Question, choose_model, read
from auctor.cli.terminal import out, put_json, put_table, say, warn
from auctor.errors import CaseError

if TYPE_CHECKING:
    from auctor.case import Case
    from auctor.data.plausibility import Plausibility
    from auctor.models.model import DrugModel
    from auctor.report.finding_words import Telling

LABELS = ("trough", "peak")


def plausible(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="A case (.json, .toml), or a table (.csv) with --id.", show_default=False)],
    *,
    patient: Annotated[str, typer.Option("--id", help="Which ID of the table.")] = "",
    drug: Annotated[str, typer.Option(help="The drug, when CASE is a table.")] = "",
    model: Annotated[str, typer.Option(help="A library name or a TOML file; default: the case's, else the drug's.")] = "",
    label: Annotated[
        str, typer.Option(metavar="N=trough,..", help="What samples were labelled, by their place in time from 0: 0=trough,1=peak.")
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Also what was weighed and found no better than the record.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input and seed, same numbers.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Does this record add up? Places of the samples; mistimed samples and doses, unit slips, swapped tubes with likelihood ratios.

    It flags and asks; nothing is changed or left out. Leaves with 0 whether or not something was found.
    """
    from auctor.data.plausibility import check
    from auctor.report.plausibility import document

    asked = Question(case=case, patient=patient, drug=drug, model=model)
    chosen, why = choose_model(asked)
    say(f"model {chosen.name}: {why}")
    known = read(asked, chosen)
    warn(known.notices)
    found = check(known, chosen, labels=_labels(label, len(known.samples)), seed=seed)
    if as_json:
        put_json(document(found))
    else:
        _show(found, chosen, known.label, _telling(asked, known), every=every)


def _labels(text: str, n: int) -> dict[int, str]:
    """`0=trough,2=peak` as place -> word; CaseError for anything else."""
    found = {}
    for part in (p.strip() for p in text.split(",") if p.strip()):
        place, _, word = part.partition("=")
        if not place.isdigit() or int(place) >= n or word not in LABELS:
            raise CaseError(where="--label", what="not a sample and its label", remedy="write for example 0=trough,1=peak")
        found[int(place)] = word
    return found


def _telling(asked: Question, known: Case) -> Telling:
    """Clock times where the case file has them, else hours."""
    from auctor.data.casefile import time_zero
    from auctor.data.document import read_document
    from auctor.report.finding_words import Telling

    return Telling(start=None if asked.is_table else time_zero(read_document(asked.case), known))


def _show(found: Plausibility, model: DrugModel, title: str, told: Telling, *, every: bool) -> None:
    from auctor.report.plausibility import places_table, sentences, what_ifs_table

    put_table(places_table(found, title))
    if every:
        put_table(what_ifs_table(found, model, told))
    for text in sentences(found, model, told):
        out().print(text, markup=False, soft_wrap=True)
