"""`auctor models drug NAME`: a drug's analyte, codes, targets and forms, and the models of it."""

from __future__ import annotations

from typing import Annotated

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import put_json


def show_drug(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A drug of the library, or a drug file of your own.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """One drug: analyte, matrix, codes, targets, forms, each with its source and whether it was verified; its models."""
    from dataclasses import asdict

    from auctor.models.drug_file import describe_drug, read_drug
    from auctor.models.reader import list_models

    drug = read_drug(name)
    models = tuple(model for model in list_models() if model.startswith(f"{drug.drug}_"))
    if as_json:
        put_json({**asdict(drug), "models": list(models)})
    else:
        typer.echo(describe_drug(drug, models))
