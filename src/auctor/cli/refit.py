"""`auctor refit`: a published model fitted again to a NONMEM-style table."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.case import Interpolation
from auctor.cli.command import AsJson
from auctor.cli.options import DataFile, ModelName, TableCovariates
from auctor.cli.terminal import out, put_json, warn, working
from auctor.errors import EstimationError

if TYPE_CHECKING:
    from auctor.estimate.refit import Refit


class Method(StrEnum):
    """How the population is estimated."""

    FOCEI = "focei"
    SAEM = "saem"
    LAPLACE = "laplace"
    FOCE = "foce"
    FO = "fo"


def refit(
    model: ModelName,
    data: DataFile,
    *,
    method: Annotated[Method, typer.Option(help="focei, saem; also laplace, foce, fo.")] = Method.FOCEI,
    covariates: TableCovariates = Interpolation.NOCB,
    fixed: Annotated[list[str], typer.Option("--fix", metavar="NAME", help="Keep a number: CL, CL.hct_cl, omega.CL, omega, sigma.")] = [],  # noqa: B006
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the new model file and of summary.json.")] = Path("refit"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of SAEM; same input and seed, same bytes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """A model's numbers estimated again from a table, with standard errors.

    Writes MODEL_refit.toml and summary.json. Leaves with 3, after writing, when the search did not converge.
    """
    from auctor.data.interpolation import interpolated
    from auctor.data.nonmem import read_table
    from auctor.models.reader import model_path, read_model

    read = read_model(model)
    records = [interpolated(one, read, covariates) for one in read_table(data, read)]
    warn(dict.fromkeys(notice for one in records for notice in one.notices))
    with working(f"{len(records)} subjects") as steps:
        from auctor.estimate.refit import refit as fit

        found = fit(
            read, records, method=method.value, fixed=fixed, seed=seed, progress=lambda i, ofv: steps(f"objective {ofv:.3f}", i / (i + 20))
        )
    files = _write(found, folder, (model_path(model)[0], data))
    warn(found.notices)
    if as_json:
        put_json(_summary(found) | {"files": [str(path) for path in files]})
    else:
        _print(found, files)
    if not found.converged:
        raise EstimationError(where=method.value, what="the search did not converge", remedy="fix some numbers, or check doses and units")


def _write(found: Refit, folder: Path, inputs: tuple[Path, Path]) -> tuple[Path, Path]:
    from auctor.estimate.refit_file import model_file

    text = model_file(found, *inputs)
    summary = json.dumps(_summary(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / f"{found.model.name}_refit.toml", folder / "summary.json"
    for path, content in zip(files, (text, summary), strict=True):
        path.write_text(content, encoding="utf-8")
    return files


def _summary(found: Refit) -> dict[str, Any]:
    return {
        "schema": 1,
        "model": {"name": found.model.name, "sha256": found.model.sha256},
        "method": found.method,
        "subjects": found.n_subjects,
        "observations": found.n_observations,
        "objective": found.ofv,
        "objective_before": found.ofv_before,
        "objective_is": "-2 log marginal likelihood" + (" by FOCEI" if found.method == "saem" else "") + ", without n log(2 pi)",
        "converged": found.converged,
        "numbers": [vars(n) for n in found.numbers],
        "units": "engine units: h, L, mg/L; variances of eta; SDs of the residual error",
        "shrinkage": dict(zip(found.model.eta_names, found.shrinkage.tolist(), strict=True)),
        "notices": [vars(n) for n in found.notices],
    }


def _print(found: Refit, files: tuple[Path, ...]) -> None:
    from rich.table import Table

    table = Table("", "published", "refitted", "SE", "RSE", box=None, pad_edge=False)
    for n in found.numbers:
        error = ("-", "-") if n.se is None else (f"{n.se:.3g}", f"{abs(n.se / n.after):.1%}" if n.after else "-")
        table.add_row(n.name, f"{n.before:.5g}", f"{n.after:.5g}", *error)
    console = out()
    console.print(f"{found.n_subjects} subjects, {found.n_observations} observations, objective {found.ofv_before:.4f} -> {found.ofv:.4f}")
    console.print(table)
    console.print("\n".join(str(path) for path in files), markup=False)
