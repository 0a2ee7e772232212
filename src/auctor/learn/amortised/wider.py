"""How far patients may be from the published populations: residual errors and variances of the etas that are multiples of those published.

Each multiple has a prior weight, and is integrated out: the prior of the standardised etas is a mixture of N(0, k I), the likelihood of a
patient's levels one over the multiples of the residual SD. Levels that contradict the published error then count less, and an odd patient
is believed sooner. A contaminated model in the sense of Box GEP, Tiao GC, Biometrika 1968;55:119; an error that differs between patients
is that of Karlsson MO et al., J Pharmacokinet Biopharm 1995;23:651.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.models.model import Residual
from auctor.population.distributions import Distribution
from auctor.population.reading import Table

Array = NDArray[np.float64]
_ONE = Distribution.read({"kind": "constant", "value": 1.0})


@dataclass(frozen=True, kw_only=True)
class Wider:
    """Multiples of the published residual SD and of the published variances of the etas, each a choice of values with weights."""

    residual_sd: Distribution = _ONE
    iiv_variance: Distribution = _ONE

    @classmethod
    def read(cls, table: Table) -> Wider:
        """Read the table `wider` of a plan. Errors: PlanError."""
        found = cls(**{key: _choice(table, key) for key in ("residual_sd", "iiv_variance") if table.has(key)})
        table.done()
        return found

    def drawn(self, rng: np.random.Generator, n: int, p: int) -> Array:
        """Standardised etas from the prior, (n, p)."""
        return np.sqrt(self.iiv_variance.draw(rng, n))[:, None] * rng.standard_normal((n, p))

    def log_prior(self, z: Array) -> Array:
        """log p(z), (n,).

        >>> round(float(Wider().log_prior(np.zeros((1, 2)))[0]), 6)
        -1.837877
        """
        square, p = np.sum(z**2, axis=1), z.shape[1]
        return _mixed(self.iiv_variance, lambda k: np.asarray(-0.5 * square / k - 0.5 * p * math.log(2 * math.pi * k)))

    def log_likelihood(self, residual: Residual, of: Callable[[Residual], Array]) -> Array:
        """The log likelihood `of` a residual error, (n,), over its multiples."""
        return _mixed(self.residual_sd, lambda k: of(scaled(residual, k)))


def scaled(residual: Residual, multiple: float) -> Residual:
    """The residual error with its SD at every level multiplied."""
    return replace(residual, proportional=multiple * residual.proportional, additive=multiple * residual.additive)


def _mixed(multiples: Distribution, of: Callable[[float], Array]) -> Array:
    pairs = zip(multiples.values, multiples.shares(), strict=True)
    return np.asarray(np.logaddexp.reduce([math.log(share) + of(value) for value, share in pairs if share > 0], axis=0))


def _choice(table: Table, key: str) -> Distribution:
    found = Distribution.read(table.table(key).left, where=f"{table.where}.{key}")
    if not found.values or min(found.values) <= 0:
        raise table.refuse(key, "is not a choice of multiples above 0", 'write { kind = "choice", values = [1, 2], weights = [9, 1] }')
    return found
