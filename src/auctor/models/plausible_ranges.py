"""Ranges that a published model's numbers rarely leave; outside them a slip of a unit is likelier than a discovery.

The limits are ours: wide enough for monoclonal antibodies (half-life of weeks) and for lipophilic drugs with low bioavailability (apparent
volumes of thousands of litres). Clearance has one physiological bound, cardiac output, about 5 L/h/kg.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.models.checks import at_eta_zero, saturable
from auctor.models.findings import Finding
from auctor.models.model import DrugModel, System
from auctor.models.quantities import CLEARANCE, RATE, TIME, VOLUME, read_unit

Array = NDArray[np.float64]

ASSUMED_KG = 70.0


@dataclass(frozen=True, kw_only=True)
class Range:
    """Limits of one quantity for a class: `group` intravenous, apparent (per F) or any; `compartments` 1, 2 or more, 0 any."""

    quantity: str
    unit: str
    low: float
    high: float
    group: str = "any"
    compartments: int = 0


RANGES = (
    Range(quantity="terminal half-life", unit="h", low=0.1, high=400, compartments=1),
    Range(quantity="terminal half-life", unit="h", low=0.1, high=1500, compartments=2),
    Range(quantity="volume", unit="L/kg", low=0.003, high=30, group="intravenous"),
    Range(quantity="volume", unit="L/kg", low=0.003, high=300, group="apparent"),
    Range(quantity="clearance", unit="L/h/kg", low=1e-5, high=5, group="intravenous"),
    Range(quantity="clearance", unit="L/h/kg", low=1e-5, high=50, group="apparent"),
    Range(quantity="rate constant", unit="1/h", low=1e-4, high=60),
    Range(quantity="time", unit="h", low=0, high=1000),
    Range(quantity="omega of a lognormal eta", unit="SD", low=0.005, high=2),
    Range(quantity="proportional residual error", unit="fraction", low=0.005, high=1),
)
_BY_UNIT = {VOLUME: ("volume", True), CLEARANCE: ("clearance", True), RATE: ("rate constant", False), TIME: ("time", False)}


def range_findings(model: DrugModel) -> tuple[Finding, ...]:
    """A warning for each number outside its range, at the reference covariates, and an info where the half-life has no meaning.

    >>> from auctor.models.reader import read_model
    >>> range_findings(read_model("vancomycin_goti_2018"))
    ()
    """
    reference = {name: c.reference for name, c in model.covariates.items()}
    values = at_eta_zero(model, reference)
    return (*_half_life(model, values, reference), *_parameters(model, values), *_spreads(model), *_residuals(model))


def terminal_half_life(model: DrugModel, values: dict[str, float], covariates: dict[str, float]) -> float | None:
    """Hours, of the slowest mode of a linear model without its absorption; None where elimination is saturable.

    >>> from auctor.models.reader import read_model
    >>> model = read_model("phenobarbital_grasela_1985")
    >>> round(terminal_half_life(model, {"CL": 0.00611, "V": 1.248}, {}), 2)
    141.58
    """
    if model.system is not None:
        rates = _of_system(model.system, {**covariates, **values}) if model.system.linear else np.zeros(0)
    elif saturable(model) is None and model.structure.clearance:
        rates = _of_structure(model, values)
    else:
        return None
    slow = [rate for rate in rates if rate > 1e-9]
    return float(math.log(2) / min(slow)) if slow else None


def _of_structure(model: DrugModel, values: dict[str, float]) -> Array:
    s = model.structure
    others = ((s.distribution, s.peripheral), (getattr(s, "distribution2", None), getattr(s, "peripheral2", None)))
    pairs = [(values[q], values[v]) for q, v in others if q is not None and v is not None]
    volume = values[s.central]
    matrix = np.zeros((len(pairs) + 1, len(pairs) + 1))
    matrix[0, 0] = -values[s.clearance or ""] / volume
    for k, (q, v) in enumerate(pairs, 1):
        matrix[0, 0] -= q / volume
        matrix[k, 0], matrix[0, k], matrix[k, k] = q / volume, q / v, -q / v
    return np.asarray(-np.linalg.eigvals(matrix).real)


def _of_system(system: System, names: dict[str, float]) -> Array:
    """Rates of the modes of linear differential equations: the columns of their matrix are the slopes at one mg in each compartment."""
    zero = {f"A{k + 1}": 0.0 for k in range(system.size)}

    def slope(amounts: dict[str, float]) -> Array:
        return np.asarray([float(e.evaluate({**names, **amounts})) for e in system.derivatives])

    base = slope(zero)
    columns = [slope({**zero, name: 1.0}) - base for name in zero]
    return np.asarray(-np.linalg.eigvals(np.stack(columns, axis=1)).real)


def _group(model: DrugModel) -> str:
    intravenous = model.structure.absorption == "none" or (model.system is not None and "depot" not in model.structure.cmt)
    known = model.structure.bioavailability is not None or (model.system is not None and "F" in model.system.inputs)
    return "intravenous" if intravenous or (known and model.system is None) else "apparent"


def _limits(quantity: str, group: str = "any", compartments: int = 0) -> Range:
    fits = (r for r in RANGES if r.quantity == quantity and r.group in ("any", group) and r.compartments in (0, compartments))
    return next(fits)


def _half_life(model: DrugModel, values: dict[str, float], reference: dict[str, float]) -> Iterator[Finding]:
    found = terminal_half_life(model, values, reference)
    if found is None:
        what = "no terminal half-life: elimination is saturable or the equations are not linear"
        yield Finding(code="half-life", severity="info", where="structure", what=what, remedy="nothing to do")
        return
    one = model.structure.disposition == "one_compartment"
    yield from _outside(found, _limits("terminal half-life", compartments=1 if one else 2), "structure")


def _parameters(model: DrugModel, values: dict[str, float]) -> Iterator[Finding]:
    weight = model.covariates["WT"].reference if "WT" in model.covariates else ASSUMED_KG
    for name, parameter in model.parameters.items():
        kind = _BY_UNIT.get(read_unit(parameter.unit, where=name).dimension)
        if kind is not None and name in values:
            quantity, per_kg = kind
            yield from _outside(values[name] / (weight if per_kg else 1.0), _limits(quantity, _group(model)), f"parameters.{name}")


def _spreads(model: DrugModel) -> Iterator[Finding]:
    limits = _limits("omega of a lognormal eta")
    for name, parameter in model.parameters.items():
        for sd in (parameter.omega, parameter.iov):
            if sd is not None and parameter.distribution == "lognormal":
                yield from _outside(sd, limits, f"parameters.{name}")


def _residuals(model: DrugModel) -> Iterator[Finding]:
    for key, residual in model.residuals.items():
        if residual.kind != "power" and residual.proportional > 0:
            where = "residual.concentration" if key == 0 else f"residual.{key}"
            yield from _outside(residual.proportional, _limits("proportional residual error"), where)


def _outside(value: float, limits: Range, where: str) -> Iterator[Finding]:
    if not limits.low <= value <= limits.high:
        what = f"{limits.quantity} {value:.3g} {limits.unit}, outside {limits.low:g} to {limits.high:g} ({limits.group})"
        yield Finding(code="range", severity="warning", where=where, what=what, remedy="check the number and its unit against the source")
