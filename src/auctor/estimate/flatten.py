"""Prior weight (flattening): the same model trusting its population more, or less, than published.

A prior weight w multiplies eta' Omega^-1 eta of the objective, which is the objective of the model with Omega / w; a weight per eta gives
D^(-1/2) Omega D^(-1/2) with D = diag(w), so that correlations are kept. A weight under 1 flattens the prior for a patient unlike its
population. Reference: Hughes JH, Keizer RJ, CPT Pharmacometrics Syst Pharmacol 2021;10:1150-1160 (flattened priors).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.model import DrugModel, Parameter
from auctor.models.occasions import has_iov, occasion_of

Array = NDArray[np.float64]


def flattened(model: DrugModel, weight: float | Mapping[str, float]) -> DrugModel:
    """The model under a prior weight: one number, or eta name -> number (1 for those not named). Every estimator takes the result.

    One number weighs the inter-occasion variability too, whether its occasions are written out already or not. Weight 1 everywhere is the
    model itself. The content hash changes with the weights, so that no compiled code is mixed up.
    Raises ModelError for a weight that is not above 0 or a name that is no eta.

    >>> from auctor.models.reader import read_model
    >>> model = read_model("vancomycin_goti_2018")
    >>> float(np.round(flattened(model, 0.25).omega[0, 0] / model.omega[0, 0], 12))
    4.0
    >>> flattened(model, {"CL": 0.25}).eta_names == model.eta_names
    True
    """
    weights = np.asarray(list(weights_of(model, weight).values()), dtype=np.float64)
    if (weights == 1.0).all():
        return model
    root = np.sqrt(weights)
    parameters = dict(model.parameters)
    for name, r in zip(model.eta_names, root, strict=True):
        if occasion_of(name) == 0:
            parameters[name] = _wider(parameters[name], float(r))
    if not isinstance(weight, Mapping):
        parameters = {name: replace(p, iov=p.iov and p.iov / float(np.sqrt(weight))) for name, p in parameters.items()}
    named = isinstance(weight, Mapping)  # then the IOV keeps its weight, which is another model than one number gives
    mark = f"{model.sha256} prior weight {weights.tolist()!r}" + (" but iov" if named and has_iov(model) else "")
    return replace(model, omega=model.omega / np.outer(root, root), parameters=parameters, sha256=hashlib.sha256(mark.encode()).hexdigest())


def _wider(parameter: Parameter, root: float) -> Parameter:
    return parameter if parameter.omega is None else replace(parameter, omega=parameter.omega / root)


def weights_of(model: DrugModel, weight: float | Mapping[str, float]) -> dict[str, float]:
    """The prior weight of every eta, in the model's order; ModelError as `flattened`.

    >>> from auctor.models.reader import read_model
    >>> weights_of(read_model("phenobarbital_grasela1985"), {"CL": 0.2})
    {'CL': 0.2, 'V': 1.0}
    """
    given = weight if isinstance(weight, Mapping) else dict.fromkeys(model.eta_names, weight)
    unknown = [name for name in given if name not in model.eta_names]
    if unknown:
        raise ModelError(
            where=f"prior_weight.{unknown[0]}", what=f"not an eta of {model.name}", remedy=f"name one of {', '.join(model.eta_names)}"
        )
    weights = {name: float(given.get(name, 1.0)) for name in model.eta_names}
    if not all(0 < w < np.inf for w in weights.values()):
        raise ModelError(where="prior_weight", what="not a number above 0", remedy="1 is the published prior; 0.1 is a tenth of its weight")
    return weights


def changed_weights(model: DrugModel, weight: float | Mapping[str, float]) -> dict[str, float]:
    """The weights other than 1, by eta; those of kappas written out for occasions together as `IOV`. ModelError as `flattened`."""
    return {"IOV" if occasion_of(name) else name: w for name, w in weights_of(model, weight).items() if w != 1}
