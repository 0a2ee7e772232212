"""`auctor analyse`: one patient's file to exposure and the next dose, the methods side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auctor.cli.command import AsJson


def analyse(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="A case (.json, .toml), or a table (.csv) with --id.", show_default=False)],
    *,
    patient: Annotated[str, typer.Option("--id", help="Which ID of the table.")] = "",
    drug: Annotated[str, typer.Option(help="The drug, when CASE is a table; must agree with a case that names one.")] = "",
    model: Annotated[str, typer.Option(help="A library name or a TOML file; default: the drug's model in the library.")] = "",
    target: Annotated[str, typer.Option(help="For example 'AUC0-24:400-600 mg*h/L'; default: the case's, else the model's.")] = "",
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the self-contained HTML report here.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write report.html and result.json into this folder.")] = None,
    ml: Annotated[bool, typer.Option("--ml/--no-ml", help="Ask the machine-learning method (trains it once when not cached).")] = True,
    draws: Annotated[int, typer.Option(min=100, help="Draws of each distribution.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the draws; same input and seed, same bytes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Exposure and the next dose of one patient, by MAP, posterior, machine learning and a-priori."""
