"""`auctor models list | show NAME`: what the library holds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json

_COLUMNS = ("name", "drug", "status", "title")


def list_models(*, as_json: AsJson = False) -> None:
    """The models of the library: name, drug, status, title (population and source too under --json)."""
    from auctor.models import reader

    rows = [_row(reader.read_model(name)) for name in reader.list_models()]
    if as_json:
        put_json({"models": rows})
    else:
        _print_rows(rows)


def _row(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "drug": model.drug,
        "title": model.title,
        "status": model.status,
        "population": model.population,
        "source": model.reference["cite"],
        "doi": model.reference.get("doi", ""),
        "sha256": model.sha256,
        "variants": list(model.variants),
    }


def _print_rows(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(*_COLUMNS, box=None, pad_edge=False)
    for column in table.columns[:-1]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*(row[name] for name in _COLUMNS))
    out().print(table)


def show_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A library name or a TOML file, or NAME@VARIANT.", show_default=False)],
    *,
    latex: Annotated[bool, typer.Option("--latex", help="Equations as LaTeX.")] = False,
    as_json: AsJson = False,
) -> None:
    """One model: parameters, equations, population, sources, status, targets, open questions."""
    from auctor.models.reader import read_model
    from auctor.models.show import as_dict, describe

    model = read_model(name)
    if as_json:
        put_json(as_dict(model))
    else:
        typer.echo(describe(model, latex=latex))
