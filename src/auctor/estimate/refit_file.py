"""A refitted model as a new model file: the published file with its free numbers replaced, and where the new ones come from.

Everything else (structure, covariates, targets, dosing) is kept; `[[checks]]` are left out, since they hold for the old numbers, and the
status goes back to draft. No date is written: the same table and model give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from auctor.errors import ModelError
from auctor.estimate.refit import Refit
from auctor.models.quantities import read_unit
from auctor.models.table import Table
from auctor.models.variants import identity, varied
from auctor.models.writing import toml_text


def model_file(found: Refit, source: Path, data: Path) -> str:
    """The refitted model as TOML text; `source` is the file that `found.model` was read from, `data` the table.

    Raises ModelError when `source` is not that file.
    """
    content = source.read_bytes()
    if identity(content, found.model.variant) != found.model.sha256:
        raise ModelError(where=str(source), what="not the file this model was read from", remedy="read the model again and refit")
    raw = varied(Table.free(tomllib.loads(content.decode("utf-8")), source.name), found.model.variant)
    origin = f"refit ({found.method})"
    _parameters(raw, found, origin)
    _effects(raw, found, origin)
    _residual(raw, found, origin)
    raw.pop("checks", None)
    raw["status"] = "draft"
    raw["title"] = f"{raw.get('title', raw['drug'])}, refitted"
    raw["population"] = f"{found.n_subjects} subjects of {data.name}, from the model of: {raw['population']}"
    raw["reference"] = {"cite": f"auctor {origin} of {found.model.name}: {found.model.reference['cite']}"}
    raw["notes"] = [*provenance(found, data), *raw.get("notes", [])]
    return toml_text(raw)


def provenance(found: Refit, data: Path) -> list[str]:
    """What the new numbers come from, a sentence each."""
    content = data.read_bytes()
    rows = sum(1 for line in content.splitlines() if line.strip()) - 1
    fixed = sorted({*_everything(found)} - {*found.free.names})
    digest = hashlib.sha256(content).hexdigest()
    return [
        f"Refitted by auctor from {found.model.name} (SHA-256 {found.model.sha256}).",
        f"Data: {data.name}, {rows} rows, SHA-256 {digest}; {found.n_subjects} subjects, {found.n_observations} observations.",
        f"Method {found.method}; objective {found.ofv:.4f}, {found.ofv_before:.4f} with the published numbers"
        + (" (both by FOCEI)." if found.method == "saem" else "."),
        f"Held at the published values: {', '.join(fixed) or 'nothing'}.",
    ]


def _everything(found: Refit) -> tuple[str, ...]:
    from auctor.estimate.free import free_of

    return free_of(found.model).names


def _parameters(raw: dict[str, Any], found: Refit, origin: str) -> None:
    free, model = found.free, found.model
    freed = {i for block in free.blocks for i in block}
    in_block = set(raw.get("omega", {}).get("names", ()))
    for name, row in raw["parameters"].items():
        old = model.parameters[name]
        worth = read_unit(old.unit, where=name).factor
        if name in free.theta:
            row["value"] = found[name].after / worth
            row["source"] = _origin(origin, found, name, scale=1 / worth)
        k = model.eta_names.index(name) if name in model.eta_names else None
        if k is not None and k in freed and name not in in_block:
            factor = 1 / worth if old.distribution == "normal" else 1.0
            row["iiv"] = math.sqrt(found.population.omega[k, k]) * factor
            if old.iov is not None and "iov" in row:
                row["iov"] = old.iov * factor
            row["printed_as"] = "sd"
            row["source"] += f"; iiv {_origin(origin, found, f'omega.{name}')} (variance)"
    _covariances(raw, found)


def _covariances(raw: dict[str, Any], found: Refit) -> None:
    omega, etas = found.population.omega, found.model.eta_names
    at = {name: k for k, name in enumerate(etas)}
    if "omega" in raw:
        rows = [at[n] for n in raw["omega"]["names"]]
        raw["omega"]["block"] = omega[np.ix_(rows, rows)].tolist()
    own = set(raw.get("omega", {}).get("names", ()))
    pairs = [(i, j) for i in range(len(etas)) for j in range(i) if omega[i, j] != 0 and not {etas[i], etas[j]} <= own]
    if pairs:
        raw["correlations"] = {f"{etas[j]},{etas[i]}": float(omega[i, j] / math.sqrt(omega[i, i] * omega[j, j])) for i, j in pairs}


def _effects(raw: dict[str, Any], found: Refit, origin: str) -> None:
    for parameter, rows in raw.get("effects", {}).items():
        for row in rows if isinstance(rows, list) else [rows]:
            for constant in [key for key in row if f"{parameter}.{key}" in found.free.theta]:
                row[constant] = found[f"{parameter}.{constant}"].after
                row["source"] += f"; {constant} {_origin(origin, found, f'{parameter}.{constant}')}"


def _residual(raw: dict[str, Any], found: Refit, origin: str) -> None:
    if not found.free.sigma:
        return
    row = next(iter(raw["residual"].values()))
    as_sd = math.sqrt if row.get("printed_as") == "variance" else float
    for name in ("proportional", "additive"):
        if row.get(name):
            printed, old = as_sd(row[name]), getattr(found.model.residual, name)
            row[name] = printed * getattr(found.population.residual, name) / old
    row["printed_as"] = "sd"
    row["source"] += f"; {origin}"


def _origin(origin: str, found: Refit, name: str, *, scale: float = 1.0) -> str:
    error = found[name].se
    return origin if error is None else f"{origin}, SE {error * scale:.3g}"
