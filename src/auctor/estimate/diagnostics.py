"""Diagnostics of a fit: shrinkage, conditional weighted residuals, normalised prediction distribution errors, error of the next sample.

Rows are the observations of each subject in the table's order; one below the LLOQ has no residual (NaN).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq
from auctor.errors import EstimationError
from auctor.estimate.map import map_batch
from auctor.estimate.objective import deviation, variance
from auctor.estimate.observations import Observations, of_records, stack_observations
from auctor.estimate.outputs import residual_at
from auctor.estimate.subjects import Source, part_of, seen_of, timeline_of
from auctor.estimate.table import TableEstimate
from auctor.models.model import DrugModel, Residual
from auctor.pk.course import concentrations, readings_of_draws
from auctor.pk.timeline import Batch, from_records, running_clock, stack
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
    at = list(estimate.named_etas)  # kappas of occasions that no record is in are left out
    omega2 = np.diag(estimate.model.omega)[at]
    ratio = np.var([s.eta[at] for s in estimate.subjects], axis=0, ddof=1) / omega2
    own = np.mean([s.sd[at] ** 2 for s in estimate.subjects], axis=0) / omega2
    iwres = [row.iwres for s in estimate.subjects for row in s.rows if np.isfinite(row.iwres)]
    return Shrinkage(
        names=tuple(name.removeprefix("ETA_") for name in estimate.named_etas.values()),
        eta=1 - np.sqrt(ratio),
        variance=1 - ratio,
        conditional=own,
        epsilon=float(1 - np.std(iwres, ddof=1)) if len(iwres) > 1 else float("nan"),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Linearised:
    """One subject's observations (m,) around its eta: DV - IPRED, the residual variance at IPRED, and their slopes in eta (m, p).

    On the scale of the residual error (the logarithm for a log error); `used` marks the rows that are not censored.
    """

    misfit: Array
    variance: Array
    slope: Array
    variance_slope: Array
    used: NDArray[np.bool_]

    def covariance(self, omega: Array) -> Array:
        """Expected conditional covariance of eta (p, p): the inverse of J' R^-1 J + 1/2 sum (dv/d eta)(dv/d eta)' / v^2 + Omega^-1.

        NONMEM's ETC after FOCE with interaction.
        """
        v = self.variance[self.used][:, None]
        j, k = self.slope[self.used], self.variance_slope[self.used] / v
        return np.asarray(np.linalg.inv(j.T @ (j / v) + k.T @ k / 2 + np.linalg.inv(omega)))


def linearise(estimate: TableEstimate, records: Sequence[Records]) -> list[Linearised]:
    """Each subject's model to first order at its estimated eta; derivatives by central differences."""
    model, eta = estimate.model, np.stack([s.eta for s in estimate.subjects])
    batch = stack([from_records(model, r) for r in records])
    f = concentrations(model, batch, eta)
    steps = STEP * np.eye(eta.shape[1])
    up, down = (np.stack([concentrations(model, batch, eta + sign * step) for step in steps], axis=-1) for sign in (1, -1))
    return [_linearised(model, r, _residual(model, batch, i, r), (f[i], up[i], down[i])) for i, r in enumerate(records)]


def _residual(model: DrugModel, batch: Batch, i: int, records: Records) -> Residual:
    """The residual error of each observation of subject i."""
    at = np.flatnonzero(records.observed)
    return residual_at(model, {name: values[i][at] for name, values in batch.arrays.items() if name == "output"})


def _linearised(model: DrugModel, records: Records, residual: Residual, around: tuple[Array, Array, Array]) -> Linearised:
    at, seen = np.flatnonzero(records.observed), of_records(model, records)
    f, up, down = (values[at] for values in around)
    slope = (up - down) / (2 * STEP)
    spread = np.stack([variance(residual, up[:, k]) - variance(residual, down[:, k]) for k in range(up.shape[1])], axis=1)
    return Linearised(
        misfit=np.asarray(deviation(residual, f, seen.value[at])),
        variance=np.asarray(variance(residual, f)),
        slope=slope / np.maximum(f, 1e-300)[:, None] if residual.kind == "log" else slope,
        variance_slope=spread / (2 * STEP),
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
    model: DrugModel,
    records: Sequence[Records],
    *,
    simulations: int = 1000,
    seed: int = 0,
    root: str = "symmetric",
    decorrelate: bool = True,
) -> list[Array]:
    """Normalised prediction distribution errors, one array (m,) per subject; N(0, 1) and independent under the model.

    Observations and `simulations` of them (eta ~ N(0, Omega), residual noise) are decorrelated with the simulations' mean and covariance;
    the rank of each observation is kept inside [1/(2K), 1 - 1/(2K)]. `root`: `symmetric` (as NONMEM's table) or `cholesky`
    (in the rows' order, as the npde package). Without `decorrelate`: the prediction discrepancies (pd), each N(0, 1) but dependent.
    References: Brendel K et al., Pharm Res 2006;23:2036; Comets E, Brendel K, Mentre F, Comput Methods Programs Biomed 2008;90:154.
    """
    batch = stack([from_records(model, r) for r in records])
    rng = np.random.default_rng(seed)
    return [
        _npde(model, r, _simulated(model, batch, i, r, simulations, rng), root if decorrelate else "none") for i, r in enumerate(records)
    ]


def _npde(model: DrugModel, records: Records, simulated: Array, root: str) -> Array:
    at, seen = np.flatnonzero(records.observed), of_records(model, records)
    values, use = np.full(len(at), np.nan), ~seen.censored[at]
    if use.any():
        values[use] = _ranked(_on_scale(model, seen.value[at][use]), simulated[:, use], root)
    return values


def _simulated(model: DrugModel, batch: Batch, i: int, records: Records, count: int, rng: np.random.Generator) -> Array:
    """Observations of subject i under the model (count, m), on the scale of the residual error."""
    etas = rng.standard_normal((count, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    arrays = {name: values[i] for name, values in batch.arrays.items()}
    f = readings_of_draws(model, arrays, etas)[0][:, np.flatnonzero(records.observed)]
    noise = np.sqrt(variance(_residual(model, batch, i, records), f)) * rng.standard_normal(f.shape)
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


@dataclass(frozen=True, kw_only=True, eq=False)
class NextSample:
    """One prediction of a sample from those taken before it: mg/L, and how many were taken before (0: a priori)."""

    label: str
    time_h: float
    n_before: int
    observed: float
    predicted: float

    @property
    def error(self) -> float:
        """PE = (predicted - observed) / observed."""
        return (self.predicted - self.observed) / self.observed


@dataclass(frozen=True, kw_only=True)
class NextSampleError:
    """Fractions over `n` predictions: mean (`rmpe`), root mean square (`rrmse`), median (`mdpe`) and median absolute (`mdape`) PE."""

    n: int
    rmpe: float
    rrmse: float
    mdpe: float
    mdape: float


def next_samples(model: DrugModel, subjects: Sequence[Source], *, a_priori: bool = True, blq: Blq | None = None) -> list[NextSample]:
    """Predict every used sample within the assay's limits by the MAP of the samples taken strictly before it, in order of time.

    Of cases or of a table's records (whose covariates may be those of the record predicted). One batched search over all patients and
    all their prefixes. `a_priori` keeps the first samples, predicted at eta = 0; `blq` as in `seen_of`.
    References: Sheiner LB, Beal SL, J Pharmacokinet Biopharm 1981;9:503; Broeker A et al., Clin Microbiol Infect 2019;25:1286.e1.
    """
    asked = [one for subject in subjects for one in _asked(model, subject, blq, a_priori)]
    if not asked:
        return []
    batch = stack([timeline_of(model, one.subject) for one in asked])
    seen = stack_observations([one.before for one in asked], batch.arrays["wanted"].shape[1])
    known = np.flatnonzero(seen.weight.any(axis=1))
    eta = np.zeros((len(asked), len(model.eta_names)))
    if len(known):
        eta[known] = map_batch(model, *part_of(batch, seen, known)).eta
    predicted = concentrations(model, batch, eta)
    return [_next(one, float(predicted[i, one.k])) for i, one in enumerate(asked)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """One sample to predict: its place `k` among the subject's wanted times, when, its value, and the samples known before it."""

    subject: Source
    k: int
    time_h: float
    value: float
    before: Observations


def _asked(model: DrugModel, subject: Source, blq: Blq | None, a_priori: bool) -> list[_Asked]:
    """The samples of a subject that can be predicted, in order of time."""
    seen = seen_of(model, subject, blq=blq)
    clock, shown = _clocks(subject)
    wanted = np.flatnonzero((seen.weight > 0) & ~seen.censored & (seen.value > 0))
    found = [
        _Asked(
            subject=subject,
            k=int(k),
            time_h=float(shown[k]),
            value=float(seen.value[k]),
            before=seen._replace(weight=seen.weight * (clock < clock[k])),
        )
        for k in wanted[np.argsort(clock[wanted], kind="stable")]
    ]
    return [one for one in found if a_priori or one.before.weight.any()]


def _clocks(subject: Source) -> tuple[Array, Array]:
    """Times made to run on across the resets of a table, where the clock starts again, and the times as given."""
    if isinstance(subject, Records):
        return running_clock(subject), subject.time_h
    times = np.asarray([s.time_h for s in subject.samples], dtype=np.float64)
    return times, times


def _next(asked: _Asked, predicted: float) -> NextSample:
    name = asked.subject.id if isinstance(asked.subject, Records) else asked.subject.label
    return NextSample(
        label=name, time_h=asked.time_h, n_before=int((asked.before.weight > 0).sum()), observed=asked.value, predicted=predicted
    )


def next_sample_error(predictions: Sequence[NextSample]) -> NextSampleError:
    """Summary of the prediction errors; NaN where there is none.

    >>> two = [NextSample(label="a", time_h=t, n_before=1, observed=10.0, predicted=p) for t, p in ((1.0, 11.0), (2.0, 8.0))]
    >>> next_sample_error(two).rmpe, next_sample_error(two).mdape
    (-0.05, 0.15000000000000002)
    """
    if not predictions:
        return NextSampleError(n=0, rmpe=float("nan"), rrmse=float("nan"), mdpe=float("nan"), mdape=float("nan"))
    pe = np.asarray([p.error for p in predictions])
    return NextSampleError(
        n=len(pe),
        rmpe=float(pe.mean()),
        rrmse=float(np.sqrt(np.mean(pe**2))),
        mdpe=float(np.median(pe)),
        mdape=float(np.median(np.abs(pe))),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Diagnosis:
    """What `diagnose` found: `cwres` and `npde` (m,) per subject, `shrinkage` (None for one subject), and every next sample."""

    cwres: tuple[Array, ...]
    npde: tuple[Array, ...]
    shrinkage: Shrinkage | None
    next_samples: tuple[NextSample, ...]


def diagnose(estimate: TableEstimate, records: Sequence[Records], *, seed: int = 0) -> Diagnosis:
    """All diagnostics of a table estimate, under its own model, prior weight and method for BLQ.

    Raises EstimationError for support points, which have no Omega to refer to.
    """
    if estimate.method == "nonparametric":
        raise EstimationError(where="diagnostics", what="not defined for support points", remedy="estimate by map, laplace, sir or nuts")
    return Diagnosis(
        cwres=tuple(cwres(estimate, records)),
        npde=tuple(npde(estimate.model, records, seed=seed)),
        shrinkage=shrinkage(estimate) if len(estimate.subjects) > 1 else None,
        next_samples=tuple(next_samples(estimate.model, records, blq=estimate.blq)),
    )
