"""The files of `auctor estimate`: etas.csv, parameters.csv, predictions.csv and summary.json.

Numbers are written in the shortest form that reads back to the same double; rows keep the order of the table; no time stamp.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auctor.errors import EstimationError, Notice
from auctor.report.diagnostic_files import prediction_error, write_diagnostics

if TYPE_CHECKING:
    from auctor.estimate.diagnostics import Diagnosis
    from auctor.estimate.table import Row, Subject, TableEstimate

PREDICTIONS = ("ID", "TIME", "DV", "PRED", "IPRED", "RES", "WRES", "IWRES", "CMT")
FILES = ("etas.csv", "parameters.csv", "predictions.csv", "summary.json")


def write_files(
    found: TableEstimate, folder: Path | str, *, notices: Sequence[Notice] = (), diagnosis: Diagnosis | None = None
) -> tuple[Path, ...]:
    """Write the four files into `folder` (made when missing), and those of the diagnosis; their paths.

    Concentrations are in the model's own unit, parameters in engine units (h, L), etas and their SD on eta's scale; a residual of a
    level of which only a limit is known is NONMEM's dot.
    Raises EstimationError for a number that is not finite: none is ever written.
    """
    target = Path(folder)
    tables = {"etas.csv": _etas(found), "parameters.csv": _parameters(found), "predictions.csv": _predictions(found)}
    text = json.dumps(summary(found, notices, diagnosis), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    target.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        with (target / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    (target / "summary.json").write_text(text, encoding="utf-8")
    more = () if diagnosis is None else write_diagnostics(found, diagnosis, target)
    return (*(target / name for name in FILES), *more)


def summary(found: TableEstimate, notices: Sequence[Notice] = (), diagnosis: Diagnosis | None = None) -> dict[str, Any]:
    """What a reader wants before opening the tables: model, method, counts, objective, what did not go well, warnings."""
    model, subjects = found.source, found.subjects
    drawn = [s.ess for s in subjects if s.ess is not None]
    chains = [s for s in subjects if s.rhat is not None]
    by = "over the support points" if found.method == "nonparametric" else "by Laplace's method"
    return {
        "schema": 1,
        "model": {"name": model.name, "sha256": model.sha256, "status": model.status, "cite": model.reference["cite"]},
        "method": found.method,
        "blq": found.blq.value,
        "prior_weight": dict(found.prior_weight),
        "subjects": len(subjects),
        "observations": sum(s.n_observations for s in subjects),
        "occasions": list(found.occasions),
        "objective": found.objective,
        "objective_is": f"-2 log marginal likelihood {by}, without NONMEM's constant n log(2 pi)",
        "not_converged": [s.id for s in subjects if not s.converged],
        "several_modes": [s.id for s in subjects if s.n_modes > 1],
        "smallest_effective_sample_size": min(drawn) if drawn else None,
        "chains": [{"id": s.id, "rhat": s.rhat, "ess": s.ess, "divergences": s.divergences} for s in chains],
        "not_mixed": [s.id for s in chains if not s.mixed],
        "next_sample": None if diagnosis is None else prediction_error(diagnosis),
        "units": {"TIME": "h", "concentration": model.units["concentration"], "parameters": "engine units: h, L"},
        "notices": [vars(notice) for notice in dict.fromkeys((*notices, *found.notices))],
    }


def _etas(found: TableEstimate) -> Iterable[list[str]]:
    named, at = found.named_etas, list(found.named_etas)
    yield ["ID", *named.values(), *(f"SD_{name.removeprefix('ETA_')}" for name in named.values()), "OFV"]
    for s in found.subjects:
        yield [s.id, *_texts((*s.eta[at], *s.sd[at], s.ofv), f"etas.csv, ID {s.id}")]


def _parameters(found: TableEstimate) -> Iterable[list[str]]:
    names = tuple(found.model.parameters)
    yield ["ID", *names]
    for s in found.subjects:
        yield [s.id, *_texts((s.parameters[name] for name in names), f"parameters.csv, ID {s.id}")]


def _predictions(found: TableEstimate) -> Iterable[list[str]]:
    yield list(PREDICTIONS)
    for s in found.subjects:
        for row in s.rows:
            yield _prediction(s, row)


def _prediction(subject: Subject, row: Row) -> list[str]:
    known, where = math.isfinite(row.iwres), f"predictions.csv, ID {subject.id}"
    residuals = _texts((row.res, row.wres, row.iwres), where) if known else ["."] * 3
    return [row.id, *_texts((row.time_h, row.dv, row.pred, row.ipred), where), *residuals, str(row.cmt)]


def _texts(values: Iterable[float], where: str) -> list[str]:
    numbers = [float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        raise EstimationError(where=where, what="a number that is not finite", remedy="check the subject's doses, levels and covariates")
    return [repr(number) for number in numbers]
