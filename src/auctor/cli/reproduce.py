"""`auctor reproduce`: a published experiment run again, beside what was printed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, working

if TYPE_CHECKING:
    from auctor.validate.exposure_study import Study


class Experiment(StrEnum):
    """Experiments that can be run."""

    E1 = "E1"


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


def reproduce(
    experiment: Annotated[Experiment, typer.Argument(help="E1: tacrolimus AUC0-12 from C0, C1 and C3.", show_default=False)],
    *,
    quick: Annotated[bool, typer.Option("--quick", help="A small plan: seconds instead of minutes, wide intervals.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a published experiment again: each method on the same held-out virtual patients, with bootstrap intervals."""
    recipe = RECIPES[experiment]
    studies = [_study(name) for name in (recipe.quick if quick else recipe.plans)]
    if as_json:
        found = [study.as_dict() for study in studies]
        put_json({"experiment": experiment.value, "title": recipe.title, "quick": quick, "published": recipe.published, "studies": found})
    else:
        _print(recipe, studies)


def _study(plan: str) -> Study:
    from auctor.validate.exposure_study import exposure_study

    with working(plan) as steps:
        return exposure_study(plan, steps)


def _print(recipe: Recipe, studies: list[Study]) -> None:
    console = out()
    for study in studies:
        console.print(study.table())
    console.print(f"Published: {recipe.published}", markup=False)
