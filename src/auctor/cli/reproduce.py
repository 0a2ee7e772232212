"""`auctor reproduce`: a published experiment run again, beside what was printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, put_table, working

if TYPE_CHECKING:
    from rich.table import Table

    from auctor.validate.exposure_study import Study


class Experiment(StrEnum):
    """Experiments that can be run."""

    E1 = "E1"
    E5 = "E5"
    E8 = "E8"
    IWPC = "IWPC"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment: the plans it judges, those of its quick form, and what the publication printed."""

    title: str
    plans: tuple[str, ...]
    quick: tuple[str, ...]
    published: str


RECIPES = {
    Experiment.E1: Recipe(
        title="tacrolimus AUC0-12 from C0, C1 and C3",
        plans=("tacrolimus_auc12", "tacrolimus_auc12_noisefree"),
        quick=("tacrolimus_quick",),
        published="Woillard 2021, Pharmacol Res 167:105578: XGBoost trained on 9,000 noise-free profiles, bias < 5 %, rRMSE < 10 %",
    ),
}


class Shown(Protocol):
    """A study's result: what the command prints of it."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ...

    def table(self) -> Table:
        """For the terminal."""
        ...


Runner = Callable[[bool, Path | None, Callable[[str, float], None]], tuple[str, str, Sequence[Shown]]]


def _daptomycin(quick: bool, data: Path | None, steps: Callable[[str, float], None]) -> tuple[str, str, Sequence[Shown]]:
    from auctor.validate.first_dose_study import PUBLISHED_E5, daptomycin_first_dose

    del data
    return "daptomycin, first dose", PUBLISHED_E5, daptomycin_first_dose(quick=quick, progress=steps)


def _neonates(quick: bool, data: Path | None, steps: Callable[[str, float], None]) -> tuple[str, str, Sequence[Shown]]:
    from auctor.validate.neonatal_first_dose import PUBLISHED, vancomycin_first_dose

    del data
    return "vancomycin in neonates, first dose", PUBLISHED, vancomycin_first_dose(quick=quick, progress=steps)


def _warfarin(quick: bool, data: Path | None, steps: Callable[[str, float], None]) -> tuple[str, str, Sequence[Shown]]:
    from auctor.validate.iwpc import PAPER, find_data, iwpc_study

    return "warfarin, weekly dose of real patients", PAPER, (iwpc_study(find_data(data), quick=quick, progress=steps),)


FIRST_DOSES: dict[Experiment, Runner] = {Experiment.E5: _daptomycin, Experiment.E8: _neonates, Experiment.IWPC: _warfarin}


def reproduce(
    experiment: Annotated[
        Experiment,
        typer.Argument(
            help="E1 tacrolimus AUC0-12; first doses: E5 daptomycin, E8 neonatal vancomycin, IWPC warfarin.", show_default=False
        ),
    ],
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A small plan: seconds instead of minutes, wide intervals.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="CSV", help="IWPC: the data set's data.csv, where it is not in ../shared.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a published experiment again: each method on the same held-out virtual patients, with bootstrap intervals."""
    if experiment in FIRST_DOSES:
        _first_dose(experiment, quick=quick, data=data, as_json=as_json)
        return
    recipe = RECIPES[experiment]
    studies = [_study(name) for name in (recipe.quick if quick else recipe.plans)]
    if as_json:
        found = [study.as_dict() for study in studies]
        put_json({"experiment": experiment.value, "title": recipe.title, "quick": quick, "published": recipe.published, "studies": found})
    else:
        _print(recipe, studies)


def _first_dose(experiment: Experiment, *, quick: bool, data: Path | None, as_json: bool) -> None:
    with working(experiment.value) as steps:
        title, published, studies = FIRST_DOSES[experiment](quick, data, steps)
    if as_json:
        found = [study.as_dict() for study in studies]
        put_json({"experiment": experiment.value, "title": title, "quick": quick, "published": published, "studies": found})
        return
    for study in studies:
        put_table(study.table())
    out().print(f"Published: {published}", markup=False)


def _study(plan: str) -> Study:
    from auctor.validate.exposure_study import exposure_study

    with working(plan) as steps:
        return exposure_study(plan, steps)


def _print(recipe: Recipe, studies: list[Study]) -> None:
    console = out()
    for study in studies:
        console.print(study.table())
    console.print(f"Published: {recipe.published}", markup=False)
