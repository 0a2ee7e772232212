"""`auctor estimate`: every subject of a NONMEM-style table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.case import Blq, Interpolation, Occasions
from auctor.cli.command import AsJson
from auctor.cli.options import BlqMethod, DataFile, ModelName, PriorWeight, TableCovariates
from auctor.cli.quantities import prior_weight as weight_of
from auctor.cli.terminal import out, put_json, warn, working
from auctor.errors import CaseError, EstimationError

if TYPE_CHECKING:
    from auctor.estimate.diagnostics import Diagnosis
    from auctor.estimate.table import TableEstimate
    from auctor.models.model import DrugModel
    from auctor.records import Records


class Method(StrEnum):
    """How the etas are estimated."""

    MAP = "map"
    LAPLACE = "laplace"
    SIR = "sir"
    NUTS = "nuts"
    NONPARAMETRIC = "nonparametric"


def estimate(
    model: ModelName,
    data: DataFile,
    *,
    method: Annotated[
        Method, typer.Option(help="map, laplace: the mode; sir, nuts: posterior mean by resampling or chains; nonparametric: by --points.")
    ] = Method.MAP,
    column: Annotated[str, typer.Option("--occasion-column", help="The column that numbers the occasions, for example OCC.")] = "",
    occasions: Annotated[str, typer.Option(help="Without a column: visit, interval, none, or hours (0,168). Default: visit.")] = "",
    blq: BlqMethod = Blq.M3,
    covariates: TableCovariates = Interpolation.NOCB,
    prior_weight: PriorWeight = "",
    points: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Support points (nonparametric), as `auctor npag` writes.")
    ] = None,
    diagnostics: Annotated[
        bool, typer.Option("--diagnostics", help="CWRES, NPDE, shrinkage, and each sample predicted from those before it.")
    ] = False,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the files.")] = Path("estimates"),
    draws: Annotated[int, typer.Option(min=100, help="Draws of each subject (sir, nuts).")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input and seed, same bytes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Etas, parameters and predictions of every subject of a table.

    Writes etas.csv, parameters.csv, predictions.csv and summary.json; --diagnostics adds diagnostics.csv, shrinkage.csv and
    next_samples.csv. Leaves with 3, after writing, when the search did not converge, or chains did not mix, in some subject.
    """
    weight = weight_of(prior_weight)
    how = _occasions(column, occasions)
    asked = _Asked(method=method, blq=blq, weight=weight, points=points, draws=draws, seed=seed, diagnostics=diagnostics, occasions=how)
    asked.check()
    from auctor.data.interpolation import interpolated
    from auctor.data.nonmem import read_table
    from auctor.models.reader import read_model
    from auctor.report.estimate_files import summary, write_files

    read = read_model(model)
    records = [interpolated(one, read, covariates) for one in read_table(data, read, occasion=column)]
    notices = tuple(dict.fromkeys(notice for one in records for notice in one.notices))
    warn(notices)
    with working(f"{len(records)} subjects") as steps:
        found = asked.run(read, records, steps)
        diagnosis = asked.diagnose(found, steps)
    warn(found.notices)
    files = write_files(found, folder, notices=notices, diagnosis=diagnosis)
    if as_json:
        put_json(summary(found, notices, diagnosis) | {"files": [str(path) for path in files]})
    else:
        _print(found, files)
    _check(found)


def _occasions(column: str, typed: str) -> Occasions | None:
    """What was said about occasions, None when nothing was."""
    if column and typed:
        raise CaseError(where="--occasions", what="given beside --occasion-column", remedy="keep one of them")
    if typed:
        return Occasions.read(typed, where="--occasions")
    return Occasions() if column else None


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What was asked of each subject."""

    method: Method
    blq: Blq
    weight: float | dict[str, float]
    points: Path | None
    draws: int
    seed: int
    diagnostics: bool
    occasions: Occasions | None

    def check(self) -> None:
        """CaseError for options that do not go together."""
        nonparametric = self.method is Method.NONPARAMETRIC
        if nonparametric and self.points is None:
            raise CaseError(where="--points", what="missing", remedy="name the file that `auctor npag` wrote")
        if not nonparametric and self.points is not None:
            raise CaseError(where="--points", what="only of use with support points", remedy="add --method nonparametric")
        if nonparametric and self.weight != 1.0:
            raise CaseError(where="--prior-weight", what="support points have no weight to change", remedy="leave it out")
        if nonparametric and self.diagnostics:
            raise CaseError(where="--diagnostics", what="not defined for support points", remedy="choose another --method")
        if nonparametric and self.occasions is not None:
            raise CaseError(where="--occasions", what="support points have no inter-occasion variability", remedy="leave occasions out")

    def run(self, model: DrugModel, records: Sequence[Records], steps: Callable[[str, float], None]) -> TableEstimate:
        """Every subject estimated."""
        if self.points is not None:
            from auctor.estimate.nonparametric_table import nonparametric_table
            from auctor.estimate.support import read_support_points

            steps("weighing the support points", 0.0)
            return nonparametric_table(model, records, read_support_points(self.points), blq=self.blq)
        from auctor.estimate.table import estimate_table

        steps("searching the modes", 0.0)
        return estimate_table(
            model,
            records,
            method=self.method.value,
            n_draws=self.draws,
            seed=self.seed,
            occasions=self.occasions or Occasions(),
            blq=self.blq,
            prior_weight=self.weight,
            progress=lambda done, total: steps(self.method.value, done / total),
        )

    def diagnose(self, found: TableEstimate, steps: Callable[[str, float], None]) -> Diagnosis | None:
        """The diagnostics, where they were asked for."""
        if not self.diagnostics:
            return None
        from auctor.estimate.diagnostics import diagnose

        steps("diagnostics", 0.9)
        return diagnose(found, found.records, seed=self.seed)


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
    lost, apart = ([s.id for s in found.subjects if not getattr(s, name)] for name in ("converged", "mixed"))
    for ids, what, remedy in (
        (lost, "the search did not converge", "check doses, levels and units; the files mark them"),
        (
            apart,
            "the chains did not mix (R-hat above 1.01, or divergent transitions)",
            "ask for more --draws, or compare with --method sir",
        ),
    ):
        if ids:
            named = ", ".join(ids[:5]) + (" ..." if len(ids) > 5 else "")
            raise EstimationError(where=f"ID {named}", what=what, remedy=remedy)
