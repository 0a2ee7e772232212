"""Simulated patients as files: Parquet, one row a patient, with the plan and its hash in the file; or CSV, one line a sample."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auctor import __version__
from auctor.population.profiles import Profiles
from auctor.population.targets import CLEARANCES

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 16_384  # patients a row group: what a reader takes at a time


def target_unit(profiles: Profiles) -> str:
    """The unit in which the target is written: the model's own for concentrations and areas, L/h for a clearance, 1 for an event."""
    target, shown = profiles.plan.target, profiles.plan.model.units["concentration"]
    if target.event or target.quantity in CLEARANCES:
        return "1" if target.event else "L/h"
    return f"{shown}*h" if target.quantity.startswith("AUC") else shown


def target_shown(profiles: Profiles) -> np.ndarray[Any, Any]:
    """The target (n,) in that unit."""
    plain = profiles.plan.target.measured is None
    return profiles.target if plain else profiles.target * profiles.plan.model.scale


def write_parquet(profiles: Profiles, path: str | Path, *, rows: int = ROWS, progress: Callable[[str, float], None] | None = None) -> None:
    """One row a patient, `rows` of them a row group; the content does not depend on how many. docs/plan-file.md lists the columns.

    The file's metadata hold the plan's name, SHA-256 and text, the units, and the versions of the models. It appears by one rename.
    """
    from pyarrow import parquet

    schema = _table(profiles, slice(0, 0)).schema.with_metadata(_metadata(profiles))
    part = Path(path).with_name(Path(path).name + ".part")
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as out:
            for start in range(0, len(profiles), rows):
                some = slice(start, min(start + rows, len(profiles)))
                out.write_table(_table(profiles, some).cast(schema), row_group_size=rows)
                if progress:
                    progress("write", some.stop / len(profiles))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _metadata(profiles: Profiles) -> dict[str, str]:
    plan = profiles.plan
    units = {
        "concentration": plan.model.units["concentration"],
        "dose": "mg",
        "time": "h",
        "F_over_CL": "h/L",
        "target": target_unit(profiles),
    }
    return {
        "auctor.plan": plan.name,
        "auctor.plan_sha256": plan.sha256,
        "auctor.plan_toml": plan.text,
        "auctor.models": json.dumps({m.name: m.sha256 for m in plan.models}),
        "auctor.target": plan.target.name,
        "auctor.units": json.dumps(units),
        "auctor.version": __version__,
    }


def _table(profiles: Profiles, some: slice) -> pa.Table:
    import pyarrow as pa

    return pa.table(dict(_columns(profiles, some)))


def _columns(profiles: Profiles, some: slice) -> Iterator[tuple[str, pa.Array]]:
    import pyarrow as pa

    def numbers(values: Any) -> pa.Array:
        return pa.array(values[some], type=pa.float64(), from_pandas=True)

    def lists(values: Any, kind: pa.DataType) -> pa.Array:
        return pa.array(values[some].tolist(), type=pa.list_(kind))

    plan, scale = profiles.plan, profiles.plan.model.scale
    place = np.arange(len(profiles))[some]
    yield "patient", pa.array(place + 1, type=pa.int32())
    yield "model", pa.array([plan.models[k].name for k in profiles.model_index[some]], type=pa.string())
    for name, values in profiles.covariates.items():
        yield name, numbers(values)
    for name in ("loading_mg", "dose_mg", "every_h", "infusion_h", "loading_infusion_h"):
        yield name, numbers(getattr(profiles, name))
    if profiles.taken is not None:
        yield "taken", lists(profiles.taken.taken, pa.bool_())
        yield "late_h", lists(profiles.taken.late_h, pa.float64())
    if profiles.changes is not None:
        yield "changes_h", lists(profiles.changes.from_h, pa.float64())
        for name, values in profiles.changes.values.items():
            yield f"changed:{name}", lists(values, pa.float64())
    for j, name in enumerate(plan.sample_names):
        yield f"time_h:{name}", numbers(profiles.sample_h[:, j])
        yield f"drawn_h:{name}", numbers(profiles.drawn_h[:, j])
        yield f"true:{name}", numbers(profiles.true[:, j] * scale)
        yield f"observed:{name}", numbers(profiles.observed[:, j] * scale)
        if plan.assay.lloq is not None:
            yield f"below:{name}", pa.array(profiles.below[some, j], type=pa.bool_())
    for j in range(profiles.eta.shape[1]):
        yield f"eta:{plan.model.eta_names[j] if len(plan.models) == 1 else j + 1}", numbers(profiles.eta[:, j])
    if profiles.kappa.shape[1]:
        yield "kappa", lists(profiles.kappa, pa.float64())
    yield "F_over_CL", numbers(profiles.exposure)
    yield "target", numbers(target_shown(profiles))


def write_profiles(profiles: Profiles, path: str | Path) -> None:
    """One line a sample as CSV: ID, covariates, dose_mg, every_h, time_h, true and observed (model's unit), exposure (h/L)."""
    scale = profiles.plan.model.scale
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["ID", *profiles.covariates, "loading_mg", "dose_mg", "every_h", "sample", "time_h", "true", "observed", "F_over_CL"])
        for i in range(len(profiles)):
            known = [i + 1, *(v[i] for v in profiles.covariates.values()), profiles.loading_mg[i], profiles.dose_mg[i], profiles.every_h[i]]
            for j in np.flatnonzero(np.isfinite(profiles.sample_h[i])):
                values = (profiles.sample_h[i, j], profiles.true[i, j] * scale, profiles.observed[i, j] * scale, profiles.exposure[i])
                out.writerow([*known, profiles.plan.sample_names[j], *(f"{v:.10g}" for v in values)])
