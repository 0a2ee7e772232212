"""Parameters with their variability: printed SD, CV or variance to omega, and the covariance of the etas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.distributions import DISTRIBUTIONS
from auctor.models.expressions import Expression, parse
from auctor.models.model import OCCASION, Covariate, Parameter
from auctor.models.quantities import Unit, read_unit
from auctor.models.table import Table, suggestion

PRINTED = ("sd", "cv", "variance")
KEYS = ("value", "unit", "iiv", "iov", "iov_when", "source", "distribution", "printed_as", "low", "high", "shape")
_OWN_KEYS = {"logitnormal": ("low", "high"), "boxcox": ("shape",)}

Array = NDArray[np.float64]


def lognormal_cv(omega: float) -> float:
    """The coefficient of variation of exp(eta), eta ~ N(0, omega^2): sqrt(exp(omega^2) - 1).

    >>> round(lognormal_cv(0.28), 4)
    0.2856
    """
    return math.sqrt(math.expm1(omega**2))


def read_parameters(top: Table) -> tuple[dict[str, Parameter], dict[str, Unit]]:
    """The `[parameters]` table in file order, in engine units, and the unit of each.

    A missing `value` is NaN only until `auctor.models.effects.fill_typical` gives it the worth of its formula.
    """
    said = "variability" in top.data
    defaults = top.table("variability", required=("distribution", "printed_as")) if said else Table({}, top.at("variability"))
    defaults.choice("distribution", DISTRIBUTIONS, "lognormal")
    defaults.choice("printed_as", PRINTED, "sd")
    found: dict[str, Parameter] = {}
    units: dict[str, Unit] = {}
    for name, row in top.tables("parameters"):
        _check_name(name, row)
        table = row.only(required=("unit", "source"), optional=KEYS)
        units[name] = read_unit(table.text("unit"), where=table.at("unit"))
        found[name] = _parameter(name, table, defaults, units[name])
    if not found:
        raise top.fault("parameters", "no parameter", "list them as NAME = { value, unit, source }")
    return found, units


def _check_name(name: str, row: Table) -> None:
    if not name.isidentifier():
        raise ModelError(where=row.where, what="not a usable name", remedy="use letters, digits and _, not starting with a digit")


def _parameter(name: str, table: Table, defaults: Table, unit: Unit) -> Parameter:
    printed = table.number("value", math.nan) if "value" in table.data else math.nan
    kind = table.choice("distribution", DISTRIBUTIONS, defaults.text("distribution", "lognormal"))
    style = table.choice("printed_as", PRINTED, defaults.text("printed_as", "sd"))
    spread = {key: _spread(table, key, style, (kind, printed * unit.factor, unit.factor)) for key in ("iiv", "iov")}
    return Parameter(
        name=name,
        value=printed * unit.factor,
        printed=printed,
        unit=table.text("unit"),
        source=table.text("source"),
        omega=spread["iiv"],
        iov=spread["iov"],
        iov_when=_condition(table),
        distribution=kind,
        **_form(table, kind, unit),
    )


def _form(table: Table, kind: str, unit: Unit) -> dict[str, float]:
    """The range of a logit-normal parameter (0 to 1 by default), the shape of a Box-Cox one; nothing of the others'."""
    for other in (key for of, keys in _OWN_KEYS.items() if of != kind for key in keys if key in table.data):
        raise table.fault(other, f"not part of a {kind} distribution", "low and high belong to logitnormal, shape to boxcox")
    if kind == "boxcox":
        return {"shape": table.number("shape")}
    if kind != "logitnormal":
        return {}
    low, high = (table.number(key) * unit.factor if key in table.data else usual for key, usual in (("low", 0.0), ("high", 1.0)))
    if not low < high:
        raise table.fault("high", "not above low", "give the range that the parameter cannot leave")
    return {"low": low, "high": high}


def _condition(table: Table) -> Expression | None:
    if "iov_when" not in table.data:
        return None
    if "iov" not in table.data:
        raise table.fault("iov_when", "a condition without iov", "give the iov that it limits")
    return parse(table.text("iov_when"), where=table.at("iov_when"))


def check_occasions(top: Table, parameters: Mapping[str, Parameter], covariates: Mapping[str, Covariate]) -> None:
    """ModelError for an `iov_when` that reads anything but covariates, and for a covariate that has the name of the occasion's column."""
    varying = {name: p for name, p in parameters.items() if p.iov is not None}
    if varying and OCCASION in covariates:
        what, remedy = "a covariate with the name that occasions have", f"rename it, or say {OCCASION} with --occasion-column"
        raise top.fault(f"covariates.{OCCASION}", what, remedy)
    for name, p in varying.items():
        for read in sorted(p.iov_when.names - set(covariates)) if p.iov_when is not None else ():
            raise top.fault(f"parameters.{name}.iov_when", f"{read!r} is not a covariate", suggestion(read, covariates))


def _spread(table: Table, key: str, style: str, scale: tuple[str, float, float]) -> float | None:
    """The SD of eta: `printed_as` cv of a lognormal gives sqrt(log(1 + cv^2)), of a normal cv * value."""
    if key not in table.data:
        return None
    printed, (kind, value, factor) = table.positive(key), scale
    if style == "cv" and kind in _OWN_KEYS:
        raise table.fault(
            key, f"a CV, which a {kind} distribution does not have", 'give the SD or the variance of eta, and printed_as = "sd"'
        )
    if style == "cv" and kind == "normal" and math.isnan(value):
        raise table.fault(key, "a CV of a value that is not given", "print the value, or the SD")
    if style == "cv":
        return math.sqrt(math.log1p(printed**2)) if kind == "lognormal" else printed * abs(value)
    sd = math.sqrt(printed) if style == "variance" else printed
    return sd * factor if kind == "normal" else sd


def read_omega(top: Table, parameters: dict[str, Parameter]) -> tuple[dict[str, Parameter], tuple[str, ...], Array]:
    """Parameters (with omega from a block filled in), eta names in file order, and their covariance, (n_eta, n_eta).

    `[correlations]` gives correlations of pairs; `[omega] names, block` gives whole covariance rows. ModelError unless
    the matrix is positive definite.
    """
    block = _block(top, parameters)
    filled = {n: replace(p, omega=math.sqrt(block[n, n])) if (n, n) in block else p for n, p in parameters.items()}
    names = tuple(n for n, p in filled.items() if p.omega is not None)
    covariance = {**block, **_correlations(top, filled)}
    omega = np.diag([(filled[n].omega or 0.0) ** 2 for n in names])
    for (i, a), (j, b) in itertools.permutations(enumerate(names), 2):
        omega[i, j] = covariance.get((a, b), covariance.get((b, a), 0.0))
    if names and np.linalg.eigvalsh(omega).min() <= 1e-12 * omega.max():
        raise top.fault("omega", "not positive definite", "check the variances and correlations against the source")
    return filled, names, omega


def _block(top: Table, parameters: dict[str, Parameter]) -> dict[tuple[str, str], float]:
    if "omega" not in top.data:
        return {}
    table = top.table("omega", required=("names", "block"))
    names, rows = table.texts("names"), table.get("block")
    for name in names:
        _eta(table, "names", name, {n: p for n, p in parameters.items() if p.omega is None})
    if not isinstance(rows, list) or [len(r) for r in rows if isinstance(r, list)] != [len(names)] * len(names):
        raise table.fault("block", "not a square matrix", f"write {len(names)} rows of {len(names)} numbers, the covariances of eta")
    values = [Table({"row": row}, table.at(f"block[{k}]")).numbers("row") for k, row in enumerate(rows)]
    if not np.allclose(values, np.transpose(values), rtol=1e-9, atol=0.0) or min(values[k][k] for k in range(len(names))) <= 0:
        raise table.fault("block", "not symmetric with variances above zero", "check the rows against the source")
    return {(a, b): values[i][j] for i, a in enumerate(names) for j, b in enumerate(names)}


def _correlations(top: Table, parameters: dict[str, Parameter]) -> dict[tuple[str, str], float]:
    table = Table.free(top.get("correlations", {}), top.at("correlations"))
    found: dict[tuple[str, str], float] = {}
    for pair in table.data:
        names = tuple(part.strip() for part in pair.split(","))
        if len(names) != 2 or names[0] == names[1]:
            raise table.fault(pair, "not a pair of parameters", 'write "CL,V1" = 0.5')
        sds = [_eta(table, pair, name, {n: p for n, p in parameters.items() if p.omega is not None}).omega or 0.0 for name in names]
        r = table.number(pair)
        if not -1 < r < 1:
            raise table.fault(pair, "a correlation outside (-1, 1)", "give the correlation of the etas, not their covariance")
        found[names[0], names[1]] = r * sds[0] * sds[1]
    return found


def _eta(table: Table, key: str, name: str, known: dict[str, Parameter]) -> Parameter:
    if name not in known:
        raise table.fault(key, f"{name!r} is not a parameter that can stand here", suggestion(name, known) + "; give a variance once")
    return known[name]
