"""`auctor demo`: three patients from file to report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.cli.analyse import show, write
from auctor.cli.command import AsJson, FileError
from auctor.cli.question import Question, answer
from auctor.cli.terminal import out, put_json, say, working

if TYPE_CHECKING:
    from auctor.analysis import Analysis

CASES = ("phenobarbital_neonate", "tacrolimus_kidney", "vancomycin_two_levels")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One analysed example and the files written for it."""

    name: str
    analysis: Analysis
    files: tuple[Path, ...]


def demo(
    *,
    examples: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the example cases are; default: ./examples.")] = None,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the reports go, one folder a patient.")] = Path("demo-output"),
    as_json: AsJson = False,
) -> None:
    """Analyse three example patients; write report.html and result.json for each.

    The first run trains three learners (about a minute on two cores); later ones take them from the cache.
    """
    start = time.monotonic()
    source = _source(examples)
    done = [_one(name, source, folder, as_json=as_json) for name in CASES]
    seconds = round(time.monotonic() - start, 1)
    if as_json:
        cases = [{"name": one.name, "label": one.analysis.case.label, "files": [str(path) for path in one.files]} for one in done]
        put_json({"cases": cases, "seconds": seconds})
        return
    console = out()
    console.print(f"Three patients in {seconds} s. Reports and results:")
    for path in (path for one in done for path in one.files):
        console.print(f"  {path}", markup=False)


def _source(asked: Path | None) -> Path:
    """The folder of the examples: the one asked for, ./examples, or that of the checkout auctor runs from."""
    places = [asked] if asked else [Path("examples"), Path(__file__).resolve().parents[3] / "examples"]
    for place in places:
        if all((place / f"{name}.toml").is_file() for name in CASES):
            return place
    raise FileError(
        where="--examples", what="the example cases are not there", remedy="run in auctor's checkout, or name its examples folder"
    )


def _one(name: str, source: Path, folder: Path, *, as_json: bool) -> Shown:
    with working(name) as steps:
        found = answer(Question(case=source / f"{name}.toml"), tell=say, progress=steps)
    if not as_json:
        show(found, as_json=False)
    return Shown(name=name, analysis=found, files=write(found, folder=folder / name))
