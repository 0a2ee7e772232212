"""`auctor models list | show NAME | pages`: what the library holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from auctor.case import Route
from auctor.cli.by_hand import Typed, show_by_hand
from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, working

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
    patient: Annotated[str, typer.Option(metavar="WT=79,CRCL=90", help="Work out this patient's parameters step by step.")] = "",
    dose: Annotated[str, typer.Option(help="With --patient: also F * dose / CL; '1000 mg', or 1000 for mg.")] = "",
    every: Annotated[str, typer.Option(help="Its interval, '12 h', or 12 for h; without it the dose is given once.")] = "",
    duration: Annotated[str, typer.Option(help="Length of its infusion, '1 h', or 1 for h; without it a bolus.")] = "",
    route: Annotated[Route | None, typer.Option(help="Default: the one the model was built for.")] = None,
    as_json: AsJson = False,
) -> None:
    """One model: parameters, equations, population, sources, status, targets, open questions. With --patient: the arithmetic by hand."""
    from auctor.models.reader import read_model
    from auctor.models.show import as_dict, describe

    model = read_model(name)
    if patient or dose:
        show_by_hand(model, Typed(patient=patient, dose=dose, every=every, duration=duration, route=route), as_json=as_json)
    elif as_json:
        put_json(as_dict(model))
    else:
        typer.echo(describe(model, latex=latex))


def write_library(
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the pages, made if missing.", show_default=False)],
    *,
    compiled: Annotated[bool, typer.Option("--all", help="Also draw models that need the compiled engine: minutes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the library as Markdown pages and SVG pictures for mkdocs-material: an index, a page a drug, a page a model."""
    with working("pages of the model library") as steps:
        from auctor.report.library_pages import write_pages

        files = write_pages(folder, compiled=compiled, progress=steps)
    if as_json:
        put_json({"files": [str(path) for path in files]})
    else:
        typer.echo(f"{len(files)} files in {folder}")
