"""How a parameter varies around its typical value: lognormal, normal, logit-normal and Box-Cox of eta, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError

if TYPE_CHECKING:
    from auctor.models.model import DrugModel, Parameter

DISTRIBUTIONS = ("lognormal", "normal", "logitnormal", "boxcox")
FURTHEST = 100.0  # exponents are held within this: e^100 times the typical value says no more than e^200, and its derivative stays finite
INSIDE = 1e-12  # a typical value is held that share of the range away from its bounds, so that a search that strays stays finite


def varied(parameter: Parameter, typical: Any, shift: Any, xp: ModuleType = np) -> Any:
    """The individual value for a shift on eta's scale (eta, or eta + kappa); shapes broadcast, finite for any shift but a lognormal one's.

    lognormal P = T exp(s); normal P = T + s; logitnormal P = low + (high - low) expit(logit((T - low) / (high - low)) + s);
    boxcox P = T exp((exp(s)^shape - 1) / shape), which is lognormal at shape 0.
    Reference: Petersson KJF et al., Pharm Res 2009;26:2174-2185 (Box-Cox and logit of eta).

    >>> from auctor.models.model import Parameter
    >>> share = Parameter(name="F", value=0.8, printed=0.8, unit="1", source="x", omega=1.0, distribution="logitnormal")
    >>> [round(float(varied(share, 0.8, s)), 4) for s in (-2.0, 0.0, 1e6)]
    [0.3512, 0.8, 1.0]
    """
    if parameter.distribution == "normal":
        return typical + shift
    if parameter.distribution == "logitnormal":
        low, high = parameter.low, parameter.high
        share = xp.clip((typical - low) / (high - low), INSIDE, 1.0 - INSIDE)
        return low + (high - low) / (1.0 + (1.0 - share) / share * xp.exp(-xp.clip(shift, -FURTHEST, FURTHEST)))
    if parameter.distribution == "boxcox" and parameter.shape != 0:
        return typical * xp.exp(_boxcox(shift, parameter.shape, xp))
    return typical * xp.exp(shift)


def _boxcox(shift: Any, shape: float, xp: ModuleType) -> Any:
    """(exp(s)^shape - 1) / shape within +-100; the argument is held too, so that derivatives vanish there."""
    most = float(np.log1p(abs(shape) * FURTHEST))
    return xp.clip(xp.expm1(xp.clip(shape * shift, -FURTHEST, most)) / shape, -FURTHEST, FURTHEST)


def shift_of(parameter: Parameter, typical: Any, value: Any) -> NDArray[np.float64]:
    """The shift on eta's scale at which the parameter takes `value`: the inverse of `varied`; NaN where no shift does.

    >>> from auctor.models.model import Parameter
    >>> share = Parameter(name="F", value=0.8, printed=0.8, unit="1", source="x", omega=1.0, distribution="logitnormal")
    >>> round(float(shift_of(share, 0.8, varied(share, 0.8, -1.5))), 12)
    -1.5
    """
    typical, value = np.asarray(typical, dtype=np.float64), np.asarray(value, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = location(parameter, value) - location(parameter, typical)
        if parameter.distribution == "boxcox" and parameter.shape != 0:
            found = np.log1p(parameter.shape * found) / parameter.shape
    return np.where(np.isfinite(found), found, np.nan)


def location(parameter: Parameter, value: Any) -> NDArray[np.float64]:
    """`value` on the scale on which eta adds to it: the logarithm, the logit of its share of the range, or itself.

    A Box-Cox eta adds to nothing; its values are given as logarithms, on which `varied` transforms the shift.
    """
    if parameter.distribution == "normal":
        return np.asarray(value, dtype=np.float64)
    if parameter.distribution == "logitnormal":
        return np.asarray(np.log((value - parameter.low) / (parameter.high - value)))
    return np.asarray(np.log(value))


def refuse_out_of_range(model: DrugModel, moments: Iterable[Mapping[str, Any]]) -> None:
    """ModelError where covariates push a logit-normal parameter's typical value out of its range, where `varied` would hold it."""
    bounded = [p for p in model.parameters.values() if p.distribution == "logitnormal"]
    for covariates in moments if bounded else ():
        typical = model.typical(covariates)
        for p in bounded:
            if not np.all((typical[p.name] > p.low) & (typical[p.name] < p.high)):
                what = f"these covariates put the typical value of {p.name} outside {p.low:g} to {p.high:g}, its range"
                raise ModelError(
                    where=f"{model.name}: parameters.{p.name}", what=what, remedy="check the covariates against the model's domain"
                )
