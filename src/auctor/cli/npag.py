"""`auctor npag`: support points of a non-parametric prior, estimated on a NONMEM-style table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.case import Blq, Interpolation
from auctor.cli import quantities
from auctor.cli.command import AsJson
from auctor.cli.options import BlqMethod, DataFile, ModelName, TableCovariates
from auctor.cli.terminal import out, put_json, warn, working
from auctor.errors import EstimationError, Notice

if TYPE_CHECKING:
    from auctor.estimate.npag import NpagFit
    from auctor.estimate.support import ErrorModel, SupportPoints
    from auctor.models.model import DrugModel


class Of(StrEnum):
    """Of what an assay polynomial is."""

    OBSERVATION = "observation"
    PREDICTION = "prediction"


def npag(
    model: ModelName,
    data: DataFile,
    *,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="NAME=LOW-HIGH UNIT", help="Where to search; repeat it. Default: every eta, 3 SD to either side."),
    ] = None,
    error: Annotated[str, typer.Option(metavar="C0,C1,...", help="Assay SD = C0 + C1 y + ...; default: the model's residual error.")] = "",
    error_of: Annotated[Of, typer.Option(help="What y in --error is.")] = Of.OBSERVATION,
    fix_error: Annotated[bool, typer.Option("--fix-error", help="Keep the error's size instead of estimating it.")] = False,
    blq: BlqMethod = Blq.M3,
    covariates: TableCovariates = Interpolation.NOCB,
    grid: Annotated[int, typer.Option(min=16, help="Points of the first grid.")] = 2048,
    cycles: Annotated[int, typer.Option(min=1, help="Most cycles.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the grid; same input and seed, same bytes.")] = 0,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the files.")] = Path("npag"),
    as_json: AsJson = False,
) -> None:
    """A non-parametric prior from a table: support points and their probabilities, by the adaptive grid.

    Writes points.toml (for `auctor estimate --method nonparametric`), points.csv and summary.json. Leaves with 3, after
    writing, when the search did not converge.
    """
    from auctor.data.interpolation import interpolated
    from auctor.data.nonmem import read_table
    from auctor.estimate.npag import Settings
    from auctor.estimate.npag import npag as search
    from auctor.models.reader import read_model

    read = read_model(model)
    records = [interpolated(one, read, covariates) for one in read_table(data, read)]
    warn(dict.fromkeys(notice for one in records for notice in one.notices))
    box, assay = _box(read, ranges or []), _error(read, error, error_of)
    with working(f"support points of {len(records)} subjects") as steps:
        found = search(
            read,
            records,
            box,
            assay,
            settings=Settings(grid=grid, cycles=cycles, fit_error=not fix_error, seed=seed),
            blq=blq,
            progress=lambda cycle, value: steps(f"cycle {cycle}, -2LL {value:.3f}", cycle / (cycle + 20)),
        )
    edges = _edges(found.support, box)
    warn(edges)
    said = _summary(found, read, len(records), sum(int(r.observed.sum()) for r in records)) | {"seed": seed, "blq": blq.value}
    said["notices"] = [vars(notice) for notice in edges]
    files = _write(found.support, said, folder)
    if as_json:
        put_json(said | {"files": [str(path) for path in files]})
    else:
        _print(found, files)
    if not found.converged:
        raise EstimationError(where="NPAG", what=f"no convergence in {len(found.neg2ll)} cycles", remedy="give more --cycles")


def _box(model: DrugModel, ranges: list[str]) -> Mapping[str, tuple[float, float]]:
    from auctor.estimate.npag import prior_box

    return dict(quantities.parameter_range(text, model) for text in ranges) or prior_box(model)


def _edges(support: SupportPoints, box: Mapping[str, tuple[float, float]]) -> tuple[Notice, ...]:
    """A notice for every range at whose edge points lie: the best ones may lie beyond."""
    found = []
    for name, column in zip(support.parameters, support.points.T, strict=True):
        low, high = box[name]
        share = float(support.probabilities[(abs(column - low) < 1e-3 * (high - low)) | (abs(column - high) < 1e-3 * (high - low))].sum())
        if share > 0:
            what = f"{share:.1%} of the probability lies at the edge of its range"
            found.append(Notice(code="edge-of-range", where=f"--range {name}", what=what, remedy="search a wider range"))
    return tuple(found)


def _error(model: DrugModel, text: str, of: Of) -> ErrorModel:
    from auctor.estimate.support import AssayError

    return AssayError(coefficients=quantities.numbers(text, option="--error"), of=of.value) if text else model.residual


def _summary(found: NpagFit, model: DrugModel, subjects: int, observations: int) -> dict[str, Any]:
    import numpy as np

    support = found.support
    return {
        "schema": 1,
        "model": {"name": model.name, "sha256": model.sha256},
        "subjects": subjects,
        "observations": observations,
        "points": len(support.probabilities),
        "neg2ll": found.best,
        "neg2ll_is": "-2 log likelihood of all observations, n log(2 pi) included",
        "cycles": len(found.neg2ll),
        "converged": found.converged,
        "neg2ll_above_least_at_most": 2 * found.certificate,
        "mean": support.mean,
        "sd": dict(zip(support.parameters, np.sqrt(np.diag(support.covariance)).tolist(), strict=True)),
        "units": "engine units: h, L; values at the reference covariates",
        "provenance": dict(support.provenance),
    }


def _write(support: SupportPoints, said: dict[str, Any], folder: Path) -> tuple[Path, ...]:
    from auctor.estimate.support import write_support_points

    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(folder / name for name in ("points.toml", "points.csv", "summary.json"))
    write_support_points(support, files[0])
    lines = [["PROBABILITY", *support.parameters]]
    lines += [[repr(p), *map(repr, row)] for p, row in zip(support.probabilities.tolist(), support.points.tolist(), strict=True)]
    files[1].write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")
    files[2].write_text(json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return files


def _print(found: NpagFit, files: tuple[Path, ...]) -> None:
    from rich.table import Table

    table, support, console = Table("probability", *found.support.parameters, box=None, pad_edge=False), found.support, out()
    for k in (-support.probabilities).argsort(kind="stable"):
        table.add_row(f"{support.probabilities[k]:.4f}", *(f"{value:.4g}" for value in support.points[k]))
    console.print(f"{len(support.probabilities)} support points, -2 log likelihood {found.best:.4f} after {len(found.neg2ll)} cycles")
    console.print(f"by the probes made, at most {2 * found.certificate:.3g} above the least possible", highlight=False)
    console.print(table)
    console.print("\n".join(str(path) for path in files), markup=False)
