"""Support points: a non-parametric prior as a list of parameter values with probabilities, and the file that keeps them.

A discrete distribution of at most as many points as subjects is the maximum-likelihood one, whatever the true shape.
Reference: Mallet A, Biometrika 1986;73:645-656; Lindsay BG, Ann Stat 1983;11:86-94.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.objective import censored_terms, deviation, sample_terms, variance
from auctor.estimate.observations import Observations
from auctor.models.distributions import shift_of
from auctor.models.model import DrugModel, Parameter, Residual
from auctor.models.table import Table

Array = NDArray[np.float64]

SCHEMA = 1
UNITS = "h, mg, L, mg/L"
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, kw_only=True)
class AssayError:
    """SD = gamma * (c0 + c1 x + c2 x^2 + ...) in mg/L, x the measured value (as Pmetrics does) or, `of` prediction, the predicted one.

    `coefficients` (c0, c1, ...) in mg/L, 1, L/mg, ... Reference: Neely MN et al., Ther Drug Monit 2012;34:467-476 (Pmetrics).

    >>> float(AssayError(coefficients=(0.0, 0.1), gamma=1.5).sd(np.array(4.0), np.array(2.0)).round(6))
    0.3
    """

    coefficients: tuple[float, ...]
    gamma: float = 1.0
    of: str = "observation"

    def sd(self, f: Array, y: Array) -> Array:
        """SD mg/L for predictions `f` and measured values `y`, broadcast together."""
        x = f if self.of == "prediction" else y
        return np.broadcast_to(self.gamma * np.polynomial.polynomial.polyval(x, np.asarray(self.coefficients)), np.broadcast(f, y).shape)


ErrorModel = AssayError | Residual
_PLAIN = Residual(proportional=0.0, additive=0.0)  # y - f: a deviation on no logarithm


def magnified(error: ErrorModel, factor: float) -> ErrorModel:
    """The same error with every SD multiplied."""
    if isinstance(error, AssayError):
        return replace(error, gamma=error.gamma * factor)
    return replace(error, proportional=error.proportional * factor, additive=error.additive * factor)


def log_likelihood(error: ErrorModel, f: Array, seen: Observations) -> Array:
    """log p(samples | f), summed over the last axis of predictions `f` (..., n_samples) mg/L; -inf where it is not defined.

    An unused sample counts nothing; one outside the assay's limits counts as in the objective, with the SD of the limit.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        terms = _residual_terms(error, f, seen) if isinstance(error, Residual) else _assay_terms(error, f, seen)
        total = np.where(seen.weight > 0, seen.weight * terms, 0.0).sum(axis=-1)
    return np.asarray(np.where(np.isnan(total), -np.inf, total))


def _residual_terms(error: Residual, f: Array, seen: Observations) -> Array:
    whole = seen._replace(weight=np.ones_like(seen.weight))
    return np.asarray(-0.5 * (sample_terms(error, f, whole) + np.where(seen.censored, 0.0, LOG_2PI)))


def _assay_terms(error: AssayError, f: Array, seen: Observations) -> Array:
    sd = error.sd(f, np.where(seen.censored, seen.limit, seen.value))
    terms = np.where(sd > 0, 2.0 * np.log(sd) + ((seen.value - f) / sd) ** 2, np.inf)
    if seen.state.any():
        terms = censored_terms(_PLAIN, f, (sd, terms), seen)
    return np.asarray(-0.5 * (terms + np.where(seen.censored, 0.0, LOG_2PI)))


def sd_of(error: ErrorModel, f: Array, y: Array) -> Array:
    """SD of the error at predictions `f` and measured values `y` mg/L (of the logarithm for a log error), broadcast together."""
    if isinstance(error, Residual):
        return np.broadcast_to(np.sqrt(variance(error, f)), np.broadcast(f, y).shape)
    return error.sd(f, y)


def on_scale(error: ErrorModel, values: Array) -> Array:
    """Values mg/L on the scale of the error: their logarithm for a log error."""
    return np.log(np.maximum(values, 1e-300)) if isinstance(error, Residual) and error.kind == "log" else values


def standardised(error: ErrorModel, f: Array, seen: Observations) -> Array:
    """(y - f) / sd at each sample, the shape of `f` (..., n_samples); 0 at an unused or censored one, and where there is no SD."""
    apart = deviation(error if isinstance(error, Residual) else _PLAIN, f, seen.value)
    sd = sd_of(error, f, seen.value)
    counted = (seen.weight > 0) & ~seen.censored & (sd > 0)
    return np.asarray(np.where(counted, apart / np.where(counted, sd, 1.0), 0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class SupportPoints:
    """A discrete distribution of parameters: `points` (k, p) in engine units, in the order of `parameters`, with `probabilities` (k,).

    A value is the parameter's at the reference covariates of the model file, whose covariate effects go on applying; a parameter
    that is not listed keeps its typical value. `error` is the residual error the points were estimated with. `provenance` says
    where they come from, in words.

    Raises EstimationError when shapes disagree or the probabilities are not those of a distribution (sum 1 within 1e-3; then normalised).
    """

    parameters: tuple[str, ...]
    points: Array
    probabilities: Array
    error: ErrorModel
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        points, probabilities = np.array(self.points, dtype=np.float64), np.array(self.probabilities, dtype=np.float64)
        if points.shape != (len(probabilities), len(self.parameters)) or not len(probabilities):
            raise _wrong(
                f"{points.shape} values for {len(probabilities)} points of {len(self.parameters)} parameters", "give one row a point"
            )
        if not (np.isfinite(points).all() and (probabilities >= 0).all() and abs(probabilities.sum() - 1) < 1e-3):
            raise _wrong("a value that is not finite, or probabilities that do not sum to 1", "give the printed table whole")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "probabilities", probabilities / probabilities.sum())

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each parameter."""
        return dict(zip(self.parameters, (self.probabilities @ self.points).tolist(), strict=True))

    @property
    def covariance(self) -> Array:
        """Covariance (p, p) of the parameters."""
        apart = self.points - self.probabilities @ self.points
        return np.asarray((apart * self.probabilities[:, None]).T @ apart)

    def etas(self, model: DrugModel) -> Array:
        """The eta (k, p_model) at which the model takes these values."""
        return etas_at(model, self.parameters, self.points)


def etas_at(model: DrugModel, parameters: Iterable[str], points: Array) -> Array:
    """Etas (k, p_model) that give the model these parameter values (k, p) at its reference covariates; 0 for the others.

    Raises EstimationError for a parameter that cannot vary in the model (one without iiv), or a value out of its reach.
    """
    etas = np.zeros((len(points), len(model.eta_names)))
    for column, name in enumerate(parameters):
        if name not in model.eta_names:
            raise _wrong(f"{name} has no variability in {model.name}", "give it an iiv in the model file (any value: it is not used)")
        parameter = model.parameters[name]
        etas[:, model.eta_names.index(name)] = _eta(parameter, points[:, column])
    return etas


def _eta(parameter: Parameter, values: Array) -> Array:
    if parameter.distribution == "lognormal":
        if (values < 0).any():
            raise _wrong(f"{parameter.name} has a negative value", "a lognormal parameter is positive")
        values = np.maximum(values, 1e-300)
    found = shift_of(parameter, parameter.value, values)
    if np.isnan(found).any():
        raise _wrong(
            f"{parameter.name} has a value that its {parameter.distribution} distribution cannot take", "make it lognormal or normal"
        )
    return found


def _wrong(what: str, remedy: str) -> EstimationError:
    return EstimationError(where="support points", what=what, remedy=remedy)


def write_support_points(support: SupportPoints, path: Path) -> None:
    """Write a TOML file that `read_support_points` reads back exactly."""
    lines = [
        "# A non-parametric prior: parameter values (one row a point) and their probabilities.",
        f"schema = {SCHEMA}",
        f"units = {json.dumps(UNITS)}",
        f"parameters = {json.dumps(support.parameters)}",
        f"probabilities = {json.dumps(support.probabilities.tolist())}",
        "points = [",
        *(f"  {json.dumps(row)}," for row in support.points.tolist()),
        "]",
        "",
        "[error]",
        *_error_lines(support.error),
        "",
        "[provenance]",
        *(f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in support.provenance.items()),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _error_lines(error: ErrorModel) -> list[str]:
    if isinstance(error, AssayError):
        return [f"coefficients = {json.dumps(error.coefficients)}", f"gamma = {error.gamma!r}", f"of = {json.dumps(error.of)}"]
    lines = [f"kind = {json.dumps(error.kind)}", f"proportional = {error.proportional!r}", f"additive = {error.additive!r}"]
    return [*lines, f"power = {error.power!r}"] if error.kind == "power" else lines


def read_support_points(path: Path) -> SupportPoints:
    """Read a file that `write_support_points` wrote, or one written by hand.

    Raises ModelError for a missing, misspelt or impossible key, EstimationError for what is not a distribution or not a file.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EstimationError(where=path.name, what=f"cannot be read ({error})", remedy="give a TOML file of support points") from error
    top = Table.of(data, path.name, required=("schema", "units", "parameters", "probabilities", "points", "error", "provenance"))
    if top.get("schema") != SCHEMA or top.get("units") != UNITS:
        raise top.fault("units", f"not schema {SCHEMA} in {UNITS}", f'convert, and write schema = {SCHEMA} and units = "{UNITS}"')
    provenance = Table.free(top.get("provenance"), top.at("provenance"))
    return SupportPoints(
        parameters=top.texts("parameters"),
        points=_points(top),
        probabilities=np.asarray(top.numbers("probabilities")),
        error=_error(Table.free(top.get("error"), top.at("error"))),
        provenance={key: provenance.text(key) for key in provenance.data},
    )


def _points(top: Table) -> Array:
    rows = top.get("points")
    width = len(top.texts("parameters"))
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and len(row) == width for row in rows):
        raise top.fault("points", "not a list of rows", f"write one row of {width} numbers a point")
    each = [Table({"row": row}, top.at(f"points[{k}]")).numbers("row") for k, row in enumerate(rows)]
    return np.asarray(each, dtype=np.float64)


def _error(table: Table) -> ErrorModel:
    if "coefficients" in table.data:
        known = table.only(required=("coefficients",), optional=("gamma", "of"))
        of = known.choice("of", ("observation", "prediction"), "observation")
        return AssayError(coefficients=known.numbers("coefficients"), gamma=known.positive("gamma", 1.0), of=of)
    known = table.only(required=("kind", "proportional", "additive"), optional=("power",))
    kind = known.choice("kind", ("combined", "combined1", "log", "power"))
    proportional, additive = known.number("proportional", low=0.0), known.number("additive", low=0.0)
    return Residual(proportional=proportional, additive=additive, kind=kind, power=known.number("power", 1.0))
