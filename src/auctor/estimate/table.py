"""Estimating every subject of a NONMEM-style table: etas, parameters and predictions as NONMEM users expect them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Occasions
from auctor.errors import EstimationError, TableError
from auctor.estimate.map import MapFit, Mode, map_batch
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations, of_records, select, stack_observations
from auctor.estimate.occasions import prepared_records
from auctor.estimate.outputs import residual_at
from auctor.estimate.patient import penalty
from auctor.estimate.sir import resample_beside_idle
from auctor.models.distributions import refuse_out_of_range
from auctor.models.model import DrugModel, Residual
from auctor.models.occasions import idle
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
    """What `auctor estimate` writes: the subjects in the table's order.

    `model` has the kappas of the table's occasions, `source` is the model as it was read; `occasions` are the codes of occasion 1, 2, ..
    """

    model: DrugModel
    source: DrugModel
    method: str
    subjects: tuple[Subject, ...]
    occasions: tuple[float, ...]

    @property
    def named_etas(self) -> dict[int, str]:
        """Position and column name of every eta, `ETA_CL`, and of every kappa by its occasion's code in the table, `KAPPA_CL_1`."""
        named = {}
        for k, eta_name in enumerate(self.model.eta_names):
            name, _, occasion = eta_name.partition("@")
            if not occasion:
                named[k] = f"ETA_{name}"
            elif int(occasion) <= len(self.occasions):
                named[k] = f"KAPPA_{name}_{self.occasions[int(occasion) - 1]:g}"
        return named

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
    occasions: Occasions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TableEstimate:
    """Estimate every subject by `map` (mode, SD from the Hessian), `laplace` (the same) or `sir` (posterior mean and SD).

    `occasions` lays out the table for inter-occasion variability (`auctor.estimate.occasions.prepared_records`); without it the etas that
    the model has are estimated.

    Raises TableError for a table the model cannot read, EstimationError for an unknown method.
    """
    if method not in METHODS:
        raise EstimationError(where="method", what=f"{method!r} is not a method", remedy=f"choose one of {', '.join(METHODS)}")
    if not records:
        raise TableError(where="table", what="no subject", remedy="give at least one ID with records")
    source, codes = model, tuple(float(k) for k in range(1, model.occasions + 1))
    if occasions is not None:
        model, records, codes = prepared_records(model, records, occasions)
    for r in records:
        refuse_out_of_range(model, [r.covariates])
    batch = stack([from_records(model, r) for r in records])
    seen = stack_observations([of_records(model, r) for r in records], batch.arrays["wanted"].shape[1])
    found = map_batch(model, batch, seen)
    report = progress or (lambda done, total: None)
    summaries = []
    for i, r in enumerate(records):
        own = _Own(found.modes[i], {name: v[i] for name, v in batch.arrays.items()}, select(seen, i), _idle(model, r))
        summaries.append(_summary(model, own, method=method, n_draws=n_draws, seed=seed))
        report(i + 1, len(records))
    etas = np.stack([s[0] for s in summaries])
    rows = _rows(model, records, batch, seen, etas)
    return TableEstimate(
        model=model,
        method=method,
        source=source,
        occasions=codes,
        subjects=tuple(_subject(model, r, found, i, summaries[i], rows[i]) for i, r in enumerate(records)),
    )


class _Own(NamedTuple):
    """One subject's modes, timeline, observations, and the etas that move none of them."""

    modes: tuple[Mode, ...]
    arrays: dict[str, NDArray[Any]]
    seen: Observations
    idle: NDArray[np.bool_]


def _idle(model: DrugModel, records: Records) -> NDArray[np.bool_]:
    """Kappas of occasions that no record up to the last observation is in."""
    last = int(np.flatnonzero(records.observed)[-1]) + 1 if records.observed.any() else 0
    return idle(model, [{name: values[:last] for name, values in records.covariates.items()}])


def _summary(model: DrugModel, own: _Own, *, method: str, n_draws: int, seed: int) -> tuple[Array, Array, float | None]:
    """eta, its SD and the ESS of one subject by the chosen method."""
    if method != "sir":
        return own.modes[0].eta, np.sqrt(np.diag(own.modes[0].covariance)), None

    def ofv(etas: Array) -> Array:
        f = np.asarray(compiled_draws(model)(own.arrays, etas)[0])
        return np.asarray(sample_terms(residual_at(model, own.arrays), f, own.seen).sum(axis=1) + penalty(model, etas))

    drawn = resample_beside_idle(own.modes, ofv, model.omega, own.idle, n_draws=n_draws, seed=seed)
    spread = np.where(own.idle, np.sqrt(np.diag(model.omega)), drawn.etas.std(axis=0))
    return np.where(own.idle, 0.0, drawn.etas.mean(axis=0)), spread, drawn.ess


def _rows(model: DrugModel, records: Sequence[Records], batch: Batch, seen: Observations, etas: Array) -> list[tuple[Row, ...]]:
    zero = np.zeros_like(etas)
    pred, ipred = concentrations(model, batch, zero), concentrations(model, batch, etas)
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
