"""Distributions of covariates and doses: read once with typed errors, then drawn from an explicit generator."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.population.reading import Table

Array = NDArray[np.float64]
KINDS = ("truncnormal", "normal", "lognormal", "uniform", "bernoulli", "choice", "grid", "constant")


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of one named quantity of a seed.

    >>> bool(stream(1, "eta").normal() == stream(1, "eta").normal())
    True
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution of one quantity.

    `truncnormal`, `normal`: mean, sd, optional low, high. `lognormal`: median and cv (log-SD = sqrt(log(1 + cv^2)))
    or sd_log, optional low, high. `uniform`: low, high. `bernoulli`: p of 1. `choice`: values, optional weights.
    `grid`: from, to, step. `constant`: value.

    >>> Distribution.read({"kind": "grid", "from": 0.5, "to": 1.5, "step": 0.5}).values
    (0.5, 1.0, 1.5)
    """

    kind: str
    center: float = 0.0
    sd: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    values: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    @classmethod
    def read(cls, content: Mapping[str, Any], *, where: str = "distribution", levels: Mapping[str, float] | None = None) -> Distribution:
        """Read a distribution's table; words of a categorical covariate become their codes. Errors: PlanError."""
        table = Table(_coded(content, levels), where=where)
        kind = table.text("kind", choices=KINDS)
        found = _READERS[kind](table)
        table.done()
        return found

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """`n` independent draws, shape (n,); truncation by the inverse distribution function."""
        if self.kind in ("choice", "grid", "bernoulli", "constant"):
            return np.asarray(rng.choice(np.asarray(self.values), size=n, p=self.shares()), dtype=np.float64)
        if self.kind == "uniform":
            return rng.uniform(self.low, self.high, n)
        if self.kind == "lognormal":
            return np.exp(_truncated(rng, n, (math.log(self.center), self.sd), (_log(self.low), _log(self.high))))
        return _truncated(rng, n, (self.center, self.sd), (self.low, self.high))

    def shares(self) -> Array:
        """The probability of each of the `values`."""
        weights = np.asarray(self.weights or [1.0] * len(self.values))
        return np.asarray(weights / weights.sum(), dtype=np.float64)


def _log(bound: float) -> float:
    return math.log(bound) if bound > 0 else -math.inf


def _truncated(rng: np.random.Generator, n: int, location: tuple[float, float], bounds: tuple[float, float]) -> Array:
    from scipy.special import ndtr, ndtri

    mean, sd = location
    low, high = (ndtr((bound - mean) / sd) for bound in bounds)
    return np.asarray(np.clip(mean + sd * ndtri(rng.uniform(low, high, n)), bounds[0], bounds[1]), dtype=np.float64)


def _coded(content: Mapping[str, Any], levels: Mapping[str, float] | None) -> dict[str, Any]:
    """Replace words by the covariate's codes wherever a value is expected."""
    codes = levels or {}
    found = dict(content)
    if isinstance(found.get("value"), str):
        found["value"] = codes.get(found["value"], found["value"])
    if isinstance(found.get("values"), list):
        found["values"] = [codes.get(v, v) if isinstance(v, str) else v for v in found["values"]]
    return found


def _normal(table: Table) -> Distribution:
    low, high = _bounds(table)
    return Distribution(kind="normal", center=table.number("mean"), sd=table.number("sd", low=1e-12), low=low, high=high)


def _lognormal(table: Table) -> Distribution:
    median = table.number("median", low=1e-12)
    sd = table.number("sd_log", low=1e-12) if table.has("sd_log") else math.sqrt(math.log1p(table.number("cv", low=1e-12) ** 2))
    low, high = _bounds(table)
    return Distribution(kind="lognormal", center=median, sd=sd, low=low, high=high)


def _bounds(table: Table) -> tuple[float, float]:
    low = table.number("low") if table.has("low") else -math.inf
    high = table.number("high") if table.has("high") else math.inf
    if not low < high:
        raise table.refuse("high", "is not above low", "give low < high")
    return low, high


def _uniform(table: Table) -> Distribution:
    low, high = table.number("low"), table.number("high")
    if not low < high:
        raise table.refuse("high", "is not above low", "give low < high")
    return Distribution(kind="uniform", low=low, high=high)


def _bernoulli(table: Table) -> Distribution:
    p = table.number("p", low=0, high=1)
    return Distribution(kind="bernoulli", values=(0.0, 1.0), weights=(1 - p, p), low=0, high=1)


def _choice(table: Table) -> Distribution:
    values = table.numbers("values")
    weights = table.numbers("weights", low=0) if table.has("weights") else (1.0,) * len(values)
    if len(weights) != len(values) or sum(weights) <= 0:
        raise table.refuse("weights", "do not match the values", "give one weight a value, not all 0")
    return Distribution(kind="choice", values=values, weights=weights, low=min(values), high=max(values))


def _grid(table: Table) -> Distribution:
    low, high, step = table.number("from"), table.number("to"), table.number("step", low=1e-9)
    if high < low:
        raise table.refuse("to", "is below from", "give from <= to")
    values = tuple(low + step * k for k in range(round((high - low) / step) + 1))
    return Distribution(kind="grid", values=values, low=low, high=high)


def _constant(table: Table) -> Distribution:
    value = table.number("value")
    return Distribution(kind="constant", values=(value,), low=value, high=value)


_READERS = {
    "truncnormal": _normal,
    "normal": _normal,
    "lognormal": _lognormal,
    "uniform": _uniform,
    "bernoulli": _bernoulli,
    "choice": _choice,
    "grid": _grid,
    "constant": _constant,
}
