"""The files of `auctor estimate --diagnostics`: diagnostics.csv, shrinkage.csv and next_samples.csv.

As in the other files numbers read back to the same double, and what is not defined is NONMEM's dot.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auctor.estimate.diagnostics import Diagnosis
    from auctor.estimate.table import TableEstimate


def write_diagnostics(found: TableEstimate, diagnosis: Diagnosis, folder: Path | str) -> tuple[Path, ...]:
    """Write the three files into `folder` (made when missing) and return their paths; levels in the model's concentration unit."""
    target = Path(folder)
    tables = {
        "diagnostics.csv": _residuals(found, diagnosis),
        "shrinkage.csv": _shrinkage(diagnosis),
        "next_samples.csv": _next_samples(found, diagnosis),
    }
    target.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        with (target / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return tuple(target / name for name in tables)


def prediction_error(diagnosis: Diagnosis) -> dict[str, Any]:
    """Prediction errors of the next sample summed up, a priori and with samples before, fractions; None where there is none."""
    from auctor.estimate.diagnostics import next_sample_error

    parts = {
        "a_priori": [p for p in diagnosis.next_samples if p.n_before == 0],
        "with_samples_before": [p for p in diagnosis.next_samples if p.n_before > 0],
    }
    return {name: vars(next_sample_error(part)) if part else None for name, part in parts.items()}


def _residuals(found: TableEstimate, diagnosis: Diagnosis) -> Iterable[list[str]]:
    yield ["ID", "TIME", "DV", "CWRES", "NPDE", "CMT"]
    for subject, conditional, ranked in zip(found.subjects, diagnosis.cwres, diagnosis.npde, strict=True):
        for row, *values in zip(subject.rows, conditional, ranked, strict=True):
            yield [row.id, repr(row.time_h), repr(row.dv), *map(_text, values), str(row.cmt)]


def _shrinkage(diagnosis: Diagnosis) -> Iterable[list[str]]:
    """One row an eta; the last row is that of the residual error."""
    found = diagnosis.shrinkage
    yield ["NAME", "SHRINKAGE_SD", "SHRINKAGE_VARIANCE", "MEAN_SE2_OVER_OMEGA2"]
    if found is not None:
        for name, *values in zip(found.names, found.eta, found.variance, found.conditional, strict=True):
            yield [name if name.startswith("KAPPA_") else f"ETA_{name}", *map(_text, values)]
        yield ["EPSILON", _text(found.epsilon), ".", "."]


def _next_samples(found: TableEstimate, diagnosis: Diagnosis) -> Iterable[list[str]]:
    scale = found.model.scale
    yield ["ID", "TIME", "N_BEFORE", "DV", "PREDICTED", "PE"]
    for p in diagnosis.next_samples:
        yield [p.label, _text(p.time_h), str(p.n_before), _text(p.observed * scale), _text(p.predicted * scale), _text(p.error)]


def _text(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else "."
