"""Every subject of a table under a non-parametric prior: the posterior over the support points, in the rows `estimate_table` gives.

Every figure is a finite sum over the points: PRED and IPRED are means of the predictions under prior and posterior, and WRES uses the
exact mean and covariance of the observations under the prior.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq
from auctor.errors import EstimationError, Notice, TableError
from auctor.estimate.nonparametric import Weighed, point_notices, weigh
from auctor.estimate.npag import Population
from auctor.estimate.observations import Observations, of_times, select
from auctor.estimate.patient import left_out_iov
from auctor.estimate.support import LOG_2PI, SupportPoints, log_likelihood, on_scale, sd_of, standardised
from auctor.estimate.table import Row, Subject, TableEstimate, observation_rows
from auctor.models.model import DrugModel
from auctor.models.occasions import has_iov, iov_applies
from auctor.records import Records

Array = NDArray[np.float64]


def nonparametric_table(model: DrugModel, records: Sequence[Records], support: SupportPoints, *, blq: Blq = Blq.M3) -> TableEstimate:
    """Posterior mean and SD of every subject's etas over the support points.

    `ofv` and `objective` of a subject are -2 log p(observations) under the prior, without n log(2 pi). Raises TableError for a table
    the model cannot read, EstimationError for observations that no point explains or a parameter that cannot vary in the model.
    """
    if not records:
        raise TableError(where="table", what="no subject", remedy="give at least one ID with records")
    population, etas = Population(model, records, blq=blq), support.etas(model)
    f = population.predicted(etas)
    subjects, notices = [], list[Notice]()
    for i, one in enumerate(records):
        own, seen = f[:, i], select(population.seen, i)
        found = _weighed(support, one, own, seen)
        notices += point_notices(support, found.weights, own, seen, where=f"ID {one.id}")
        subjects.append(_subject(model, one, support, found, (etas, own, seen)))
    return TableEstimate(
        model=model,
        source=model,
        method="nonparametric",
        subjects=tuple(subjects),
        occasions=(),
        records=tuple(records),
        blq=blq,
        notices=(*_iov_unused(model, records), *notices),
    )


def _iov_unused(model: DrugModel, records: Sequence[Records]) -> tuple[Notice, ...]:
    """Support points have no kappas."""
    used = has_iov(model) and iov_applies(model, [r.covariates for r in records])
    return (left_out_iov(model),) if used else ()


def _weighed(support: SupportPoints, records: Records, f: Array, seen: Observations) -> Weighed:
    try:
        return weigh(support, log_likelihood(support.error, f, seen))
    except EstimationError as problem:
        raise EstimationError(where=f"ID {records.id}, {problem.where}", what=problem.what, remedy=problem.remedy) from problem


def _subject(model: DrugModel, records: Records, support: SupportPoints, found: Weighed, at: tuple[Array, Array, Observations]) -> Subject:
    etas, f, seen = at
    w = found.weights
    last = {name: float(values[-1]) for name, values in records.covariates.items()}
    parameters = {name: float(w @ np.broadcast_to(v, w.shape)) for name, v in model.individual(last, etas).items()}
    measured = float(np.where(seen.censored, 0.0, seen.weight).sum())
    objective = -2.0 * found.log_marginal - measured * LOG_2PI
    return Subject(
        id=records.id,
        eta=w @ etas,
        sd=np.sqrt(w @ (etas - w @ etas) ** 2),
        ofv=objective,
        objective=objective,
        parameters=parameters,
        converged=True,
        n_modes=1,
        n_observations=int(records.observed.sum()),
        ess=float(1.0 / np.sum(w**2)),
        rows=_rows(model, records, support, w, (f, seen)),
    )


def _rows(model: DrugModel, records: Records, support: SupportPoints, weights: Array, at: tuple[Array, Observations]) -> tuple[Row, ...]:
    rows = np.flatnonzero(records.observed)
    f, seen = at[0][:, rows], of_times(at[1], rows)
    known, error = ~seen.censored, support.error
    pred, ipred = support.probabilities @ f, weights @ f
    whole = seen._replace(weight=np.ones_like(seen.weight))  # a residual is shown for an observation that was left out, too
    iwres = np.where(known, standardised(error, ipred, whole), np.nan)
    scaled, p = on_scale(error, f), support.probabilities
    apart = (scaled - p @ scaled)[:, known]
    covariance = (apart * p[:, None]).T @ apart + np.diag((p @ sd_of(error, f, seen.value) ** 2)[known])
    values, vectors = np.linalg.eigh(covariance)
    misfit = (on_scale(error, np.where(known, seen.value, 1.0)) - p @ scaled)[known]
    wres = np.full(len(rows), np.nan)
    wres[known] = (vectors / np.sqrt(np.maximum(values, 1e-300))) @ vectors.T @ misfit
    return observation_rows(model, records, (pred, ipred, wres, iwres))
