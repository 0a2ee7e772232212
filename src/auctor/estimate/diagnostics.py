"""Diagnostics of a fit: shrinkage, conditional weighted residuals, normalised prediction distribution errors, error of the next sample.

Rows are the observations of each subject in the table's order; one below the LLOQ has no residual (NaN).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.objective import deviation, variance
from auctor.estimate.observations import Observations, of_records, select, stack_observations
from auctor.estimate.table import TableEstimate
from auctor.models.model import DrugModel
from auctor.pk.course import compiled_draws, concentrations
from auctor.pk.timeline import Batch, from_records, stack
from auctor.records import Records

Array = NDArray[np.float64]

STEP = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Shrinkage:
    """Shrinkage as fractions (1 = no information): `eta` and `variance` (p,) over the subjects, `conditional` (p,), and `epsilon`.

    `eta` = 1 - SD(EBE)/omega, `variance` = 1 - Var(EBE)/omega^2, `epsilon` = 1 - SD(IWRES); SDs with n - 1.
    `conditional` = mean SE^2/omega^2 (NONMEM's EBVSHRINKVR). Reference: Savic RM, Karlsson MO, AAPS J 2009;11:558.
    """

    names: tuple[str, ...]
    eta: Array
    variance: Array
    conditional: Array
    epsilon: float


def shrinkage(estimate: TableEstimate) -> Shrinkage:
    """Shrinkage of every eta and of the residual error over the subjects of a table.

    Raises EstimationError for fewer than two subjects.
    """
    if len(estimate.subjects) < 2:
        raise EstimationError(where="shrinkage", what="fewer than two subjects", remedy="read the individual SE^2/omega^2 instead")
    omega2 = np.diag(estimate.model.omega)
    ratio = np.var([s.eta for s in estimate.subjects], axis=0, ddof=1) / omega2
    own = np.mean([s.sd**2 for s in estimate.subjects], axis=0) / omega2
    iwres = [row.iwres for s in estimate.subjects for row in s.rows if np.isfinite(row.iwres)]
    return Shrinkage(
        names=estimate.model.eta_names,
        eta=1 - np.sqrt(ratio),
        variance=1 - ratio,
        conditional=own,
        epsilon=float(1 - np.std(iwres, ddof=1)) if len(iwres) > 1 else float("nan"),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Linearised:
    """One subject's observations (m,) around its eta: DV - IPRED, the residual variance at IPRED, and d IPRED/d eta (m, p).

    On the scale of the residual error (the logarithm for a log error); `used` marks the rows that are not censored.
    """

    misfit: Array
    variance: Array
    slope: Array
    used: NDArray[np.bool_]

    def covariance(self, omega: Array) -> Array:
        """First-order conditional covariance of eta (p, p): (J' R^-1 J + Omega^-1)^-1."""
        j = self.slope[self.used]
        return np.asarray(np.linalg.inv(j.T @ (j / self.variance[self.used][:, None]) + np.linalg.inv(omega)))


def linearise(estimate: TableEstimate, records: Sequence[Records]) -> list[Linearised]:
    """Each subject's model to first order at its estimated eta; derivatives by central differences."""
    model, eta = estimate.model, np.stack([s.eta for s in estimate.subjects])
    batch = stack([from_records(model, r) for r in records])
    f = concentrations(model, batch, eta)
    ends = [[concentrations(model, batch, eta + sign * step) for sign in (1, -1)] for step in STEP * np.eye(eta.shape[1])]
    slope = np.stack([(up - down) / (2 * STEP) for up, down in ends], axis=-1)
    return [_linearised(model, r, f[i], slope[i]) for i, r in enumerate(records)]


def _linearised(model: DrugModel, records: Records, f: Array, slope: Array) -> Linearised:
    at, seen = np.flatnonzero(records.observed), of_records(model, records)
    f, slope = f[at], slope[at]
    scaled = slope / np.maximum(f, 1e-300)[:, None] if model.residual.kind == "log" else slope
    return Linearised(
        misfit=np.asarray(deviation(model.residual, f, seen.value[at])),
        variance=np.asarray(variance(model.residual, f)),
        slope=scaled,
        used=~seen.censored[at],
    )


def cwres(estimate: TableEstimate, records: Sequence[Records]) -> list[Array]:
    """Conditional weighted residuals with interaction, one array (m,) per subject: C^(-1/2) (DV - IPRED + J eta), C = J Omega J' + R.

    J, IPRED and R are taken at the subject's eta and C^(-1/2) is the symmetric root: NONMEM's CWRES after FOCE with interaction.
    Reference: Hooker AC, Staatz CE, Karlsson MO, Pharm Res 2007;24:2187.
    """
    omega = estimate.model.omega
    return [_cwres(part, s.eta, omega) for part, s in zip(linearise(estimate, records), estimate.subjects, strict=True)]


def _cwres(part: Linearised, eta: Array, omega: Array) -> Array:
    out, use = np.full(len(part.misfit), np.nan), part.used
    j = part.slope[use]
    total = j @ omega @ j.T + np.diag(part.variance[use])
    out[use] = _whitener(total, "symmetric") @ (part.misfit[use] + j @ eta)
    return out


def _whitener(covariance: Array, root: str) -> Array:
    """W with W C W' = 1: the inverse symmetric root, or the inverse of the Cholesky factor."""
    if root == "cholesky":
        return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)))
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 1e-300))) @ vectors.T)


def npde(
    model: DrugModel, records: Sequence[Records], *, simulations: int = 1000, seed: int = 0, root: str = "cholesky", decorrelate: bool = True
) -> list[Array]:
    """Normalised prediction distribution errors, one array (m,) per subject; N(0, 1) and independent under the model.

    Observations and `simulations` of them (eta ~ N(0, Omega), residual noise) are decorrelated with the simulations' mean and covariance;
    the rank of each observation is kept inside [1/(2K), 1 - 1/(2K)]. `root`: `cholesky` (rows in order of time, as the npde package)
    or `symmetric` (as NONMEM). Without `decorrelate` these are the prediction discrepancies (pd), each N(0, 1) but dependent.
    References: Brendel K et al., Pharm Res 2006;23:2036; Comets E, Brendel K, Mentre F, Comput Methods Programs Biomed 2008;90:154.
    """
    batch = stack([from_records(model, r) for r in records])
    seen = stack_observations([of_records(model, r) for r in records], batch.arrays["wanted"].shape[1])
    rng = np.random.default_rng(seed)
    out = []
    for i, r in enumerate(records):
        at, own = np.flatnonzero(r.observed), select(seen, i)
        simulated = _simulated(model, batch, i, simulations, rng)[:, at]
        values = np.full(len(at), np.nan)
        use = ~own.censored[at]
        if use.any():
            values[use] = _ranked(_on_scale(model, own.value[at][use]), simulated[:, use], root if decorrelate else "none")
        out.append(values)
    return out


def _simulated(model: DrugModel, batch: Batch, i: int, count: int, rng: np.random.Generator) -> Array:
    """Observations of subject i under the model (count, n_wanted), on the scale of the residual error."""
    etas = rng.standard_normal((count, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    f = np.asarray(compiled_draws(model)({name: values[i] for name, values in batch.arrays.items()}, etas)[0])
    noise = np.sqrt(variance(model.residual, f)) * rng.standard_normal(f.shape)
    return np.asarray(_on_scale(model, f) + noise)


def _on_scale(model: DrugModel, values: Array) -> Array:
    return np.log(np.maximum(values, 1e-300)) if model.residual.kind == "log" else values


def _ranked(y: Array, simulated: Array, root: str) -> Array:
    from scipy.special import ndtri

    if root != "none":
        centre = simulated.mean(axis=0)
        turn = _whitener(np.atleast_2d(np.cov(simulated.T)), root)
        y, simulated = turn @ (y - centre), (simulated - centre) @ turn.T
    k = len(simulated)
    below = np.mean(simulated < y, axis=0)
    return np.asarray(ndtri(np.clip(below, 1 / (2 * k), 1 - 1 / (2 * k))))
