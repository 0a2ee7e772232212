"""Estimating every subject of a NONMEM-style table: etas, parameters and predictions as NONMEM users expect them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq, Occasions
from auctor.errors import EstimationError, Notice, TableError
from auctor.estimate.chains import RHAT_LIMIT
from auctor.estimate.flatten import changed_weights, flattened
from auctor.estimate.map import MapFit, Mode, map_batch
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations, select
from auctor.estimate.occasions import prepared_records
from auctor.estimate.outputs import residual_at
from auctor.estimate.patient import penalty
from auctor.estimate.sir import resample_beside_idle
from auctor.estimate.subjects import part_of, prepared
from auctor.models.distributions import refuse_out_of_range
from auctor.models.model import DrugModel, Residual
from auctor.models.occasions import idle
from auctor.pk.course import concentrations, readings_of_draws
from auctor.pk.timeline import Batch
from auctor.records import Records

Array = NDArray[np.float64]
METHODS = ("map", "laplace", "sir", "nuts")
TOGETHER = 8  # subjects sampled side by side by NUTS: few shapes, compiled once


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One observation: DV, PRED (eta = 0), IPRED in the model's concentration unit; RES = DV - PRED; WRES (FO) and IWRES in SDs.

    The three residuals are NaN where only a limit is known.
    """

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

    `objective` is -2 log of the marginal likelihood by Laplace's method, up to NONMEM's constant; `ess` only for `sir` and `nuts`,
    whose `rhat` (the largest of an eta) and number of divergent transitions say whether the chains mixed.
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
    rhat: float | None = None
    divergences: int | None = None

    @property
    def mixed(self) -> bool:
        """False for chains with an R-hat above 1.01 or a divergent transition."""
        return self.rhat is None or (self.rhat <= RHAT_LIMIT and not self.divergences)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableEstimate:
    """What `auctor estimate` writes: the subjects in the table's order, under the model with its prior weighted as asked.

    `model` has the kappas of the table's occasions and `records` are the table laid out for it; `source` is the model as it was read.
    `occasions` are the codes of occasion 1, 2, ..; `prior_weight` holds the etas whose prior does not weigh what was published (`IOV`:
    inter-occasion variability).
    """

    model: DrugModel
    source: DrugModel
    method: str
    subjects: tuple[Subject, ...]
    occasions: tuple[float, ...]
    records: tuple[Records, ...] = ()
    blq: Blq = Blq.M3
    prior_weight: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

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
    blq: Blq = Blq.M3,
    prior_weight: float | Mapping[str, float] = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> TableEstimate:
    """Estimate every subject by `map` (mode, SD from the Hessian), `laplace` (the same), `sir` or `nuts` (posterior mean and SD).

    `occasions` lays out the table for inter-occasion variability (`auctor.estimate.occasions.prepared_records`); without it the etas that
    the model has are estimated. `blq` says what an observation below its LLOQ tells, `prior_weight` how far the population is trusted
    (all etas, or by name).

    Raises TableError for a table the model cannot read, EstimationError for an unknown method, ModelError for a prior weight that
    is not above 0.
    """
    if method not in METHODS:
        raise EstimationError(where="method", what=f"{method!r} is not a method", remedy=f"choose one of {', '.join(METHODS)}")
    if not records:
        raise TableError(where="table", what="no subject", remedy="give at least one ID with records")
    source, codes = model, tuple(float(k) for k in range(1, model.occasions + 1))
    if occasions is not None:
        model, records, codes = prepared_records(model, records, occasions, blq=blq)
    for r in records:
        refuse_out_of_range(model, [r.covariates])
    weighted = flattened(model, prior_weight)
    batch, seen = prepared(weighted, records, blq=blq)
    found = map_batch(weighted, batch, seen)
    asked = _Asked(method, n_draws, seed, progress or (lambda done, total: None))
    summaries = _summaries(weighted, records, (batch, seen), found, asked)
    rows = _rows(weighted, records, batch, seen, np.stack([s.eta for s in summaries]))
    return TableEstimate(
        model=weighted,
        source=source,
        method=method,
        subjects=tuple(_subject(weighted, r, found, i, summaries[i], rows[i]) for i, r in enumerate(records)),
        occasions=codes,
        records=tuple(records),
        blq=blq,
        prior_weight=changed_weights(model, prior_weight),
    )


class _Asked(NamedTuple):
    """How each subject is summed up, and who is told how far it has come."""

    method: str
    n_draws: int
    seed: int
    told: Callable[[int, int], None]


class _Summary(NamedTuple):
    """eta and its SD (p,) of one subject by the chosen method, and how well it was sampled."""

    eta: Array
    sd: Array
    ess: float | None = None
    rhat: float | None = None
    divergences: int | None = None


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


def _summaries(
    model: DrugModel, records: Sequence[Records], data: tuple[Batch, Observations], found: MapFit, asked: _Asked
) -> list[_Summary]:
    batch, seen = data
    if asked.method == "nuts":
        return _sampled(model, batch, seen, found, asked)
    out = []
    for i, modes in enumerate(found.modes):
        if asked.method == "sir":
            arrays = {name: values[i] for name, values in batch.arrays.items()}
            out.append(_resampled(model, _Own(modes, arrays, select(seen, i), _idle(model, records[i])), asked))
        else:
            out.append(_Summary(modes[0].eta, np.sqrt(np.diag(modes[0].covariance))))
        asked.told(i + 1, len(found.modes))
    return out


def _resampled(model: DrugModel, own: _Own, asked: _Asked) -> _Summary:

    def ofv(etas: Array) -> Array:
        f = readings_of_draws(model, own.arrays, etas)[0]
        with np.errstate(invalid="ignore"):  # a draw without a steady state has no finite prediction, and so no weight
            return np.asarray(sample_terms(residual_at(model, own.arrays), f, own.seen).sum(axis=1) + penalty(model, etas))

    drawn = resample_beside_idle(own.modes, ofv, model.omega, own.idle, n_draws=asked.n_draws, seed=asked.seed)
    spread = np.where(own.idle, np.sqrt(np.diag(model.omega)), drawn.etas.std(axis=0))
    return _Summary(np.where(own.idle, 0.0, drawn.etas.mean(axis=0)), spread, drawn.ess)


def _sampled(model: DrugModel, batch: Batch, seen: Observations, found: MapFit, asked: _Asked) -> list[_Summary]:
    """By NUTS, `TOGETHER` subjects at a time; the last group is filled up with its last subject."""
    from auctor.estimate.nuts import sample_batch

    n, out = batch.n, list[_Summary]()
    for first in range(0, n, TOGETHER):
        rows = np.minimum(np.arange(first, first + min(TOGETHER, n)), n - 1)
        drawn = sample_batch(model, part_of(batch, seen, rows), [found.modes[i] for i in rows], n_draws=asked.n_draws, seed=asked.seed)
        for k in range(min(TOGETHER, n - first)):
            etas, rhat, divergences = drawn.etas[k].reshape(-1, drawn.etas.shape[-1]), drawn.rhat[k].max(), drawn.divergences[k]
            out.append(_Summary(etas.mean(axis=0), etas.std(axis=0), float(drawn.ess[k].min()), float(rhat), int(divergences)))
        asked.told(len(out), n)
    return out


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
    known = ~seen.censored[: len(records)][at]
    wres = np.full(len(at), np.nan)
    wres[known] = _fo_residuals(model, residual, deviation(residual, f0, y), (f0, slope), known)
    iwres = np.where(known, deviation(residual, f, y) / np.sqrt(variance(residual, f)), np.nan)
    return observation_rows(model, records, (f0, f, wres, iwres))


def observation_rows(model: DrugModel, records: Records, figures: tuple[Array, Array, Array, Array]) -> tuple[Row, ...]:
    """A row for each observation of a subject from PRED and IPRED (mg/L), WRES and IWRES (NaN where only a limit is known), each (m,)."""
    scale = model.scale
    return tuple(
        Row(
            id=records.id,
            time_h=float(records.time_h[k]),
            cmt=int(records.cmt[k]),
            dv=float(records.dv[k]),
            pred=float(pred * scale),
            ipred=float(ipred * scale),
            res=float(records.dv[k] - pred * scale) if np.isfinite(iwres) else float("nan"),
            wres=float(wres),
            iwres=float(iwres),
        )
        for k, pred, ipred, wres, iwres in zip(np.flatnonzero(records.observed), *figures, strict=True)
    )


def _fo_residuals(model: DrugModel, residual: Residual, misfit: Array, at: tuple[Array, Array], known: NDArray[np.bool_]) -> Array:
    """WRES of the known rows: C^(-1/2) (DV - PRED) with C = J Omega J' + R at eta = 0 (first order), as NONMEM prints it."""
    f0, slope = at
    if residual.kind == "log":
        slope = slope / np.maximum(f0, 1e-300)[:, None]
    covariance = slope @ model.omega @ slope.T + np.diag(variance(residual, f0))
    values, vectors = np.linalg.eigh(covariance[np.ix_(known, known)])
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T @ misfit[known])


def _subject(model: DrugModel, records: Records, found: MapFit, i: int, summary: _Summary, rows: tuple[Row, ...]) -> Subject:
    best = found.modes[i][0]
    last = {name: float(values[-1]) for name, values in records.covariates.items()}
    parameters = {name: float(value) for name, value in model.individual(last, summary.eta).items()}
    return Subject(
        id=records.id,
        eta=summary.eta,
        sd=summary.sd,
        ofv=best.ofv,
        objective=-2.0 * best.log_mass,
        parameters=parameters,
        converged=bool(found.converged[i]),
        n_modes=len(found.modes[i]),
        n_observations=int(records.observed.sum()),
        ess=summary.ess,
        rows=rows,
        rhat=summary.rhat,
        divergences=summary.divergences,
    )
