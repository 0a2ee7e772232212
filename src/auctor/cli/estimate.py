"""`auctor estimate`: every subject of a NONMEM-style table."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.case import Occasions
from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, warn, working
from auctor.errors import CaseError, EstimationError

if TYPE_CHECKING:
    from auctor.estimate.table import TableEstimate


class Method(StrEnum):
    """How the etas are estimated: the mode, Laplace around it, or importance resampling."""

    MAP = "map"
    LAPLACE = "laplace"
    SIR = "sir"


def estimate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A library name or a TOML file of your own.", show_default=False)],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA.csv", help="ID TIME AMT RATE EVID MDV CMT SS II ADDL DV and covariates.", show_default=False),
    ],
    *,
    method: Annotated[Method, typer.Option(help="map, laplace: the mode; sir: mean of resampled draws.")] = Method.MAP,
    column: Annotated[str, typer.Option("--occasion-column", help="The column that numbers the occasions, for example OCC.")] = "",
    occasions: Annotated[str, typer.Option(help="Without a column: visit, interval, none, or hours (0,168). Default: visit.")] = "",
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the four files.")] = Path("estimates"),
    draws: Annotated[int, typer.Option(min=100, help="Draws of each subject (sir).")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input and seed, same bytes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Etas, parameters and predictions of every subject of a table.

    Writes etas.csv, parameters.csv, predictions.csv and summary.json. Leaves with 3, after writing, when the search did
    not converge in some subject.
    """
    from auctor.data.nonmem import read_table
    from auctor.models.reader import read_model
    from auctor.report.estimate_files import summary, write_files

    how = _occasions(column, occasions)
    read = read_model(model)
    records = read_table(data, read, occasion=column)
    notices = tuple(dict.fromkeys(notice for one in records for notice in one.notices))
    warn(notices)
    with working(f"{len(records)} subjects") as steps:
        from auctor.estimate.table import estimate_table

        steps("searching the modes", 0.0)
        found = estimate_table(
            read,
            records,
            method=method.value,
            n_draws=draws,
            seed=seed,
            occasions=how,
            progress=lambda done, total: steps(method.value, done / total),
        )
    files = write_files(found, folder, notices=notices)
    if as_json:
        put_json(summary(found, notices) | {"files": [str(path) for path in files]})
    else:
        _print(found, files)
    _check(found)


def _occasions(column: str, typed: str) -> Occasions:
    if column and typed:
        raise CaseError(where="--occasions", what="given beside --occasion-column", remedy="keep one of them")
    return Occasions.read(typed, where="--occasions") if typed else Occasions()


def _print(found: TableEstimate, files: tuple[Path, ...]) -> None:
    import numpy as np
    from rich.table import Table

    table = Table("eta", "mean", "SD", "mean of the subjects' SD", box=None, pad_edge=False)
    etas, sds = (np.stack([getattr(s, name) for s in found.subjects]) for name in ("eta", "sd"))
    for k, name in found.named_etas.items():
        table.add_row(name, *(f"{value:.4f}" for value in (etas[:, k].mean(), etas[:, k].std(), sds[:, k].mean())))
    console = out()
    console.print(
        f"{len(found.subjects)} subjects, {sum(s.n_observations for s in found.subjects)} observations, objective {found.objective:.4f}"
    )
    console.print(table)
    console.print("\n".join(str(path) for path in files), markup=False)


def _check(found: TableEstimate) -> None:
    lost = [s.id for s in found.subjects if not s.converged]
    if lost:
        named = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        raise EstimationError(
            where=f"ID {named}", what="the search did not converge", remedy="check doses, levels and units; the files mark them"
        )
