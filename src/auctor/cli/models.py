"""`auctor models list | show | pages | import | export`: what the library holds, and models from and for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from auctor.case import Route
from auctor.cli.by_hand import Typed, show_by_hand
from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, say, working

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


class Program(StrEnum):
    """What an exported model is written for."""

    NONMEM = "nonmem"
    MRGSOLVE = "mrgsolve"
    NLMIXR2 = "nlmixr2"


def export_model(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A library name or a TOML file.", show_default=False)],
    *,
    program: Annotated[Program, typer.Option("--to", help="The program that is to run it.", show_default=False)],
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write it; without it, to stdout.")] = None,
    data: Annotated[str, typer.Option(metavar="FILE", help="The table named in NONMEM's $DATA.")] = "data.csv",
    as_json: AsJson = False,
) -> None:
    """A model as text that NONMEM, mrgsolve or nlmixr2 evaluates: AMT in mg, TIME in h, DV in the model's concentration unit."""
    from auctor.models.reader import read_model

    text = _exported(read_model(name), program, data)
    _put(text, out_file, {"program": program.value, "text": text}, as_json=as_json)


def _exported(model: Any, program: Program, data: str) -> str:
    from auctor.models.exchange import mrgsolve, nlmixr2, nonmem

    if program is Program.NONMEM:
        return nonmem.nonmem_text(model, data)
    return mrgsolve.mrgsolve_text(model) if program is Program.MRGSOLVE else nlmixr2.nlmixr2_text(model)


def import_model(
    stream: Annotated[Path, typer.Argument(metavar="FILE.mod", help="A NONMEM control stream.", show_default=False)],
    *,
    drug: Annotated[str | None, typer.Option(metavar="NAME", help="The drug.")] = None,
    dose_unit: Annotated[str | None, typer.Option(metavar="UNIT", help="The unit of AMT.")] = None,
    conc_unit: Annotated[str | None, typer.Option(metavar="UNIT", help="The unit of DV.")] = None,
    time_unit: Annotated[str | None, typer.Option(metavar="UNIT", help="The unit of TIME.")] = None,
    covariates: Annotated[
        list[str], typer.Option("--covariate", metavar="NAME=REF UNIT", help="'WT=70 kg', or 'SEX=male:male=0,female=1'.")
    ] = [],  # noqa: B006
    estimates: Annotated[Path | None, typer.Option("--ext", metavar="FILE.ext", help="NONMEM's final estimates.")] = None,
    molar_mass: Annotated[float | None, typer.Option(min=0, metavar="G/MOL", help="Needed where a unit is molar.")] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The model's title.")] = None,
    cite: Annotated[str | None, typer.Option(metavar="TEXT", help="The publication.")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE.toml", help="Where to write it; without it, to stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """A NONMEM control stream as a model file. It does not say units: what is missing is asked for, all at once."""
    from auctor.models.exchange.imported import import_stream
    from auctor.models.exchange.said import Said, covariate

    words = {"drug": drug, "dose_unit": dose_unit, "conc_unit": conc_unit, "time_unit": time_unit, "title": title, "cite": cite}
    said = Said(**words, molar_mass=molar_mass, covariates=dict(map(covariate, covariates)))
    found = import_stream(stream, said, estimates)
    for question in found.model.questions:
        say(f"open question: {question}")
    _put(found.text, out_file, {"etas": list(found.etas), "questions": list(found.model.questions), "text": found.text}, as_json=as_json)


def _put(text: str, path: Path | None, document: dict[str, Any], *, as_json: bool) -> None:
    """The text to its file or to stdout; the document instead under --json."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if as_json:
        put_json(document | {"file": None if path is None else str(path)})
    elif path is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(str(path))


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
