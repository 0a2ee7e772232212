"""Inter-occasion variability: a model with one more eta (kappa) for each occasion of each parameter that has `iov`.

P = typical varied by eta + kappa of the occasion in force, kappa ~ N(0, iov^2), independent between occasions. Written out as ordinary
etas, so that every estimator, simulator and table takes the result as it takes any model.
Reference: Karlsson MO, Sheiner LB, J Pharmacokinet Biopharm 1993;21:735-750.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.expressions import Expression
from auctor.models.model import OCCASION, Covariate, DrugModel

Array = NDArray[np.float64]

SIZES = (1, 2, 3, 5, 8, 16)  # numbers of occasions that code is compiled for
MOST = SIZES[-1]


def has_iov(model: DrugModel) -> bool:
    """Whether any parameter has inter-occasion variability."""
    return any(p.iov is not None for p in model.parameters.values())


def padded(count: int, *, where: str) -> int:
    """The number of occasions to compile for: an occasion without data costs only its prior. ModelError beyond 16.

    >>> padded(4, where="samples")
    5
    """
    if count > MOST:
        remedy = "take longer occasions (hours at which one starts), or none"
        raise ModelError(where=where, what=f"more than {MOST} occasions", remedy=remedy)
    return next(size for size in SIZES if size >= count)


def with_occasions(model: DrugModel, n: int) -> DrugModel:
    """The model with kappas for `n` occasions (eta names `CL@1`, `CL@2`, ..) and the covariate `OCC`: 1 to n, 0 for no occasion's.

    Omega is block-diagonal. The content hash says n, so that no compiled code is mixed up; a model without `iov` is itself.
    Raises ModelError for a model that has occasions already, or a covariate `OCC` of its own.

    >>> from auctor.models.reader import read_model
    >>> two = with_occasions(read_model("tacrolimus_woillard2011"), 2)
    >>> two.eta_names
    ('KTR', 'CL', 'V1', 'Q', 'V2', 'KTR@1', 'CL@1', 'V1@1', 'KTR@2', 'CL@2', 'V1@2')
    >>> values = two.individual({"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0, "OCC": 2.0}, np.log([1, 2, 1, 1, 1, 1, 5, 1, 1, 0.5, 1]))
    >>> round(float(values["CL"]), 3)
    21.2
    """
    varying = {name: p.iov for name, p in model.parameters.items() if p.iov is not None}
    if not varying:
        return model
    if model.occasions or OCCASION in model.covariates:
        what, remedy = "occasions already, or a covariate of that name", "start from the model as it was read"
        raise ModelError(where=f"{model.name}: covariates.{OCCASION}", what=what, remedy=remedy)
    if n < 1:
        raise ModelError(where=model.name, what="no occasion", remedy="give at least one, or use the model as it is")
    return replace(
        model,
        eta_names=(*model.eta_names, *(f"{name}@{k}" for k in range(1, n + 1) for name in varying)),
        omega=_block_diagonal(model.omega, list(varying.values()) * n),
        covariates={**model.covariates, OCCASION: Covariate(name=OCCASION, unit="1", label="Occasion", reference=0.0)},
        occasions=n,
        sha256=hashlib.sha256(f"{model.sha256} {n} occasions".encode()).hexdigest(),
    )


def _block_diagonal(omega: Array, sds: list[float]) -> Array:
    p = len(omega)
    full = np.zeros((p + len(sds), p + len(sds)))
    full[:p, :p] = omega
    full[range(p, p + len(sds)), range(p, p + len(sds))] = np.square(sds)
    return full


def occasion_of(eta_name: str) -> int:
    """The occasion of a kappa, 0 for an eta.

    >>> occasion_of("CL@2"), occasion_of("CL")
    (2, 0)
    """
    return int(eta_name.partition("@")[2] or 0)


def kappas_of(model: DrugModel, occasion: int) -> NDArray[np.bool_]:
    """Which etas are kappas of that occasion, (n_eta,)."""
    return np.asarray([occasion > 0 and occasion_of(name) == occasion for name in model.eta_names], dtype=bool)


def idle(model: DrugModel, moments: Iterable[Mapping[str, Any]]) -> NDArray[np.bool_]:
    """Kappas that move nothing under these covariates (n_eta,): of an occasion that none of them is in, or whose `iov_when` never holds.

    Given every covariate row up to the last sample (numbers or columns), what is known of an idle kappa is its prior.
    """
    rows = list(moments) if model.occasions else []
    return np.asarray([_is_idle(model, name, rows) for name in model.eta_names], dtype=bool)


def _is_idle(model: DrugModel, eta_name: str, rows: list[Mapping[str, Any]]) -> bool:
    occasion = occasion_of(eta_name)
    if not occasion:
        return False
    when = model.parameters[eta_name.partition("@")[0]].iov_when
    return not any(np.any((np.asarray(row[OCCASION]) == occasion) & _holds(when, row)) for row in rows)


def _holds(when: Expression | None, row: Mapping[str, Any]) -> Any:
    return True if when is None else np.asarray(when.evaluate(row)) != 0


def iov_applies(model: DrugModel, moments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any IOV of the model applies under any of these covariates (numbers or columns)."""
    conditions = [p.iov_when for p in model.parameters.values() if p.iov is not None]
    rows = list(moments)
    return any(np.any(_holds(when, row)) for when in conditions for row in rows)
