"""Estimating every subject of a NONMEM-style table: etas, parameters and predictions as NONMEM users expect them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError, TableError
from auctor.estimate.map import MapFit, Mode, map_batch
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations, of_records, select, stack_observations
from auctor.estimate.outputs import residual_at
from auctor.estimate.patient import penalty
from auctor.estimate.sir import importance_resample
from auctor.models.model import DrugModel, Residual
from auctor.pk.course import compiled_draws, concentrations
from auctor.pk.timeline import Batch, from_records, stack
from auctor.records import Records

Array = NDArray[np.float64]
METHODS = ("map", "laplace", "sir")


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One observation: DV, PRED (eta = 0), IPRED in the model's concentration unit; RES = DV - PRED; WRES (FO) and IWRES in SDs."""

    id: str
    time_h: float
    cmt: int
    dv: float
    pred: float
    ipred: float
    res: float
    wres: float
    iwres: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """One subject's estimate: eta and its SD (p,), individual parameters at the last record, OFV, and the Laplace objective.

    `objective` is -2 log of the marginal likelihood by Laplace's method, up to NONMEM's constant; `ess` only for `sir`.
    """

    id: str
    eta: Array
    sd: Array
    ofv: float
    objective: float
    parameters: dict[str, float]
    converged: bool
    n_modes: int
    n_observations: int
    ess: float | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class TableEstimate:
    """What `auctor estimate` writes: the subjects in the table's order."""

    model: DrugModel
    method: str
    subjects: tuple[Subject, ...]

    @property
    def objective(self) -> float:
        """Sum of the subjects' Laplace objectives."""
        return float(sum(s.objective for s in self.subjects))


def estimate_table(
    model: DrugModel,
    records: Sequence[Records],
    *,
    method: str = "map",
    n_draws: int = 2000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TableEstimate:
    """Estimate every subject by `map` (mode, SD from the Hessian), `laplace` (the same) or `sir` (posterior mean and SD).

    Raises TableError for a table the model cannot read, EstimationError for an unknown method.
    """
    if method not in METHODS:
        raise EstimationError(where="method", what=f"{method!r} is not a method", remedy=f"choose one of {', '.join(METHODS)}")
    if not records:
        raise TableError(where="table", what="no subject", remedy="give at least one ID with records")
    batch = stack([from_records(model, r) for r in records])
    seen = stack_observations([of_records(model, r) for r in records], batch.arrays["wanted"].shape[1])
    found = map_batch(model, batch, seen)
    report = progress or (lambda done, total: None)
    summaries = []
    for i in range(len(records)):
        summaries.append(_summary(model, batch, seen, found.modes[i], i, method=method, n_draws=n_draws, seed=seed))
        report(i + 1, len(records))
    etas = np.stack([s[0] for s in summaries])
    rows = _rows(model, records, batch, seen, etas)
    return TableEstimate(
        model=model, method=method, subjects=tuple(_subject(model, r, found, i, summaries[i], rows[i]) for i, r in enumerate(records))
    )


def _summary(
    model: DrugModel, batch: Batch, seen: Observations, modes: tuple[Mode, ...], i: int, *, method: str, n_draws: int, seed: int
) -> tuple[Array, Array, float | None]:
    """eta, its SD and the ESS of one subject by the chosen method."""
    if method != "sir":
        return modes[0].eta, np.sqrt(np.diag(modes[0].covariance)), None
    arrays = {name: values[i] for name, values in batch.arrays.items()}
    own = select(seen, i)

    def ofv(etas: Array) -> Array:
        f = np.asarray(compiled_draws(model)(arrays, etas)[0])
        with np.errstate(invalid="ignore"):  # a draw without a steady state has no finite prediction, and so no weight
            return np.asarray(sample_terms(residual_at(model, arrays), f, own).sum(axis=1) + penalty(model, etas))

    drawn = importance_resample(modes, ofv, n_draws=n_draws, seed=seed)
    return drawn.etas.mean(axis=0), drawn.etas.std(axis=0), drawn.ess


def _rows(model: DrugModel, records: Sequence[Records], batch: Batch, seen: Observations, etas: Array) -> list[tuple[Row, ...]]:
    zero = np.zeros_like(etas)
    pred, ipred = (_finite(concentrations(model, batch, at), records) for at in (zero, etas))
    step = 1e-4
    slopes = np.stack(
        [
            (concentrations(model, batch, zero + d) - concentrations(model, batch, zero - d)) / (2 * step)
            for d in step * np.eye(etas.shape[1])
        ],
        axis=-1,
    )
    outputs = [{name: values[i] for name, values in batch.arrays.items() if name == "output"} for i in range(len(records))]
    return [_subject_rows(model, r, select(seen, i), outputs[i], (pred[i], ipred[i], slopes[i])) for i, r in enumerate(records)]


def _finite(predicted: Array, records: Sequence[Records]) -> Array:
    """The predictions (n, width); EstimationError naming the subject where a nonlinear model has none."""
    usable = np.isfinite(predicted).all(axis=1)
    if not usable.all():
        raise EstimationError(
            where=f"ID {records[int(np.argmin(usable))].id}",
            what="no prediction: the recorded dose has no steady state under these parameters, or the equations could not be solved",
            remedy="check the dose and its interval, or write the doses out one by one instead of SS",
        )
    return predicted


def _subject_rows(
    model: DrugModel, records: Records, seen: Observations, arrays: dict[str, Any], predicted: tuple[Array, Array, Array]
) -> tuple[Row, ...]:
    at = np.flatnonzero(records.observed)
    if not len(at):
        return ()
    y, f0, f, slope = (values[: len(records)][at] for values in (seen.value, *predicted))
    residual = residual_at(model, {name: values[: len(records)][at] for name, values in arrays.items()})
    wres = _fo_residuals(model, residual, deviation(residual, f0, y), f0, slope)
    iwres = deviation(residual, f, y) / np.sqrt(variance(residual, f))
    scale = model.scale
    return tuple(
        Row(
            id=records.id,
            time_h=float(records.time_h[k]),
            cmt=int(records.cmt[k]),
            dv=float(records.dv[k]),
            pred=float(f0[j] * scale),
            ipred=float(f[j] * scale),
            res=float(records.dv[k] - f0[j] * scale),
            wres=float(wres[j]),
            iwres=float(iwres[j]),
        )
        for j, k in enumerate(at)
    )


def _fo_residuals(model: DrugModel, residual: Residual, misfit: Array, f0: Array, slope: Array) -> Array:
    """WRES: C^(-1/2) (DV - PRED) with C = J Omega J' + R at eta = 0 (first order), as NONMEM prints it."""
    if residual.kind == "log":
        slope = slope / np.maximum(f0, 1e-300)[:, None]
    covariance = slope @ model.omega @ slope.T + np.diag(variance(residual, f0))
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T @ misfit)


def _subject(
    model: DrugModel, records: Records, found: MapFit, i: int, summary: tuple[Array, Array, float | None], rows: tuple[Row, ...]
) -> Subject:
    eta, sd, ess = summary
    best = found.modes[i][0]
    last = {name: float(values[-1]) for name, values in records.covariates.items()}
    parameters = {name: float(value) for name, value in model.individual(last, eta).items()}
    return Subject(
        id=records.id,
        eta=eta,
        sd=sd,
        ofv=best.ofv,
        objective=-2.0 * best.log_mass,
        parameters=parameters,
        converged=bool(found.converged[i]),
        n_modes=len(found.modes[i]),
        n_observations=int(records.observed.sum()),
        ess=ess,
        rows=rows,
    )
