"""`auctor reproduce`: a published experiment run again, beside what was printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, put_table, working
from auctor.errors import PlanError

if TYPE_CHECKING:
    from rich.table import Table

    from auctor.validate.first_dose_file import FirstDoseFile
    from auctor.validate.first_dose_result import DoseTable
    from auctor.validate.study_result import StudyResult


class Result(Protocol):
    """What an experiment returns: one JSON document and one table."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""

    def table(self) -> Table:
        """For the terminal."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An experiment: what runs it (quick or not; real data where it needs them), what was printed, and how it becomes a page."""

    title: str
    published: str
    run: Callable[[bool, Path | None], list[Result]]
    write: Callable[[list[Result], Path], tuple[Path, ...]] | None = None


def recipes() -> dict[str, Callable[[], Recipe]]:
    """Every experiment by name, opened when it is called: one a study file, and the first doses."""
    from auctor.validate.study_file import shipped_studies

    found: dict[str, Callable[[], Recipe]] = {name: partial(_of_file, name) for name in shipped_studies()}
    return found | {"E5": _daptomycin, "E8": _neonates, "IWPC": _warfarin}


def _of_file(name: str) -> Recipe:
    from auctor.validate.study_file import open_study

    study = open_study(name)
    printed = "; ".join(f"{f.what}: {f.measure} {f.percent:g} % ({f.flag})" for f in study.published)
    return Recipe(title=study.title, published=f"{study.cite}: {printed}", run=lambda quick, _: [_run(name, quick)], write=_page)


def _daptomycin() -> Recipe:
    from auctor.validate.first_dose_study import daptomycin_first_dose

    return _first_dose("E5", lambda quick, _, steps: daptomycin_first_dose(quick=quick, progress=steps))


def _neonates() -> Recipe:
    from auctor.validate.neonatal_first_dose import vancomycin_first_dose

    return _first_dose("E8", lambda quick, _, steps: vancomycin_first_dose(quick=quick, progress=steps))


def _warfarin() -> Recipe:
    from auctor.validate.iwpc import find_data, iwpc_study

    return _first_dose("IWPC", lambda quick, data, steps: (iwpc_study(find_data(data), quick=quick, progress=steps),))


Steps = Callable[[str, float], None]


def _first_dose(name: str, run: Callable[[bool, Path | None, Steps], Sequence[DoseTable]]) -> Recipe:
    from auctor.validate.first_dose_file import open_first_dose

    study = open_first_dose(name)

    def ran(quick: bool, data: Path | None) -> list[Result]:
        with working(name) as steps:
            return list(run(quick, data, steps))

    return Recipe(title=study.title, published=study.printed, run=ran, write=partial(_first_dose_page, study))


def _first_dose_page(study: FirstDoseFile, results: list[Result], folder: Path) -> tuple[Path, ...]:
    from auctor.report.first_dose_page import write_first_dose
    from auctor.validate.first_dose_result import DoseTable

    return write_first_dose(study, [one for one in results if isinstance(one, DoseTable)], folder, _today())


def _run(name: str, quick: bool) -> StudyResult:
    from auctor.validate.study import run_study
    from auctor.validate.study_file import open_study

    with working(f"{name}{' --quick' if quick else ''}") as steps:
        return run_study(open_study(name), quick=quick, progress=steps)


def _page(results: list[Result], folder: Path) -> tuple[Path, ...]:
    from auctor.report.study_page import write_study
    from auctor.validate.study_result import StudyResult

    return tuple(path for one in results if isinstance(one, StudyResult) for path in write_study(one, folder, _today()))


def _today() -> date:
    return datetime.now(tz=UTC).date()


def reproduce(
    experiment: Annotated[str | None, typer.Argument(metavar="STUDY", help="E1, E2, ...; --list names them.", show_default=False)] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: seconds instead of minutes, wide intervals.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Only what the learners' intervals cover; of a study file.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Name the studies and what they are about, and stop.")] = False,
    write: Annotated[Path | None, typer.Option("--write", metavar="DIR", help="Also write the study's page and figure there.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="CSV", help="IWPC: the data set's data.csv, where it is not in ../shared.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a published experiment again: each method on the same virtual patients, with bootstrap intervals, beside what was printed."""
    known = recipes()
    if listed:
        _list({name: opened() for name, opened in known.items()}, as_json)
        return
    recipe = _covering(experiment) if coverage else _chosen(known, experiment)
    if write is not None and (quick or recipe.write is None):
        what = "a quick run says nothing about the published numbers" if quick else f"{experiment} has no page"
        raise PlanError(where="--write", what=what, remedy="run a study in full")
    results = recipe.run(quick, data)
    if as_json:
        found = [result.as_dict() for result in results]
        put_json({"experiment": experiment, "title": recipe.title, "quick": quick, "published": recipe.published, "studies": found})
    else:
        _print(recipe, results)
    if write is not None and recipe.write is not None:
        _say_written(recipe.write(results, write))


def _covering(experiment: str | None) -> Recipe:
    from auctor.validate.study_file import open_study

    study = open_study(experiment or "")

    def ran(quick: bool, _: Path | None) -> list[Result]:
        from auctor.validate.study import study_coverage

        with working(f"{study.name}: coverage") as steps:
            return [study_coverage(study, quick=quick, progress=steps)]

    return Recipe(title=study.title, published="no figure of a paper stands beside these shares", run=ran)


def _chosen(known: Mapping[str, Callable[[], Recipe]], experiment: str | None) -> Recipe:
    if experiment is None or experiment not in known:
        raise typer.BadParameter(f"is not one of {', '.join(known)}", param_hint="STUDY")
    return known[experiment]()


def _list(known: Mapping[str, Recipe], as_json: bool) -> None:
    if as_json:
        put_json({"studies": [{"name": name, "title": r.title, "published": r.published} for name, r in known.items()]})
        return
    from rich.table import Table

    table = Table("study", "what it is about", "published")
    for name, recipe in known.items():
        table.add_row(name, recipe.title, recipe.published)
    put_table(table)


def _print(recipe: Recipe, results: list[Result]) -> None:
    from auctor.validate.study_result import StudyResult

    console = out()
    for result in results:
        for table in result.tables if isinstance(result, StudyResult) else ():
            console.print(table.table())
        if isinstance(result, StudyResult):
            console.print(result.coverage().table())
        console.print(result.table())
    console.print(f"Published: {recipe.published}", markup=False)


def _say_written(paths: tuple[Path, ...]) -> None:
    from auctor.cli.terminal import say

    for path in paths:
        say(f"wrote {path}")
