"""How often a learner abstains: wrongly, of held-out patients like those it was trained on, and rightly, of patients who are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.density import Density
from auctor.learn.features import matrix
from auctor.learn.observed import Observed

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def refusals(domain: Mapping[str, Any], density: Density | None, observed: Observed) -> dict[str, Flags]:
    """Reason -> who is refused for it, (n,): the ranges of dose, covariates and features, and the density of the features together."""
    plan = observed.plan
    x = matrix(observed)
    named = [(n, c) for n, c in zip(plan.learning.features, x.T, strict=True) if not n.startswith("dt:")]
    found = {
        "dose": _beyond(observed.dose_mg, domain["dose_mg"], plan.margin) | _beyond(observed.infusion_h, domain["infusion_h"], plan.margin),
        "covariates": _any([_beyond(observed.covariates[n], bounds, plan.margin) for n, bounds in domain["covariates"].items()], len(x)),
        "features": _any([_beyond(column, domain["features"][n], plan.margin) for n, column in named], len(x)),
        "density": density.outside(x) if density is not None else np.zeros(len(x), dtype=bool),
    }
    return found | {"any": _any(list(found.values()), len(x))}


def _any(flags: list[Flags], n: int) -> Flags:
    return np.any(np.stack(flags), axis=0) if flags else np.zeros(n, dtype=bool)


def _beyond(values: Array, bounds: list[float], margin: float) -> Flags:
    low, high = bounds
    slack = margin * (high - low) + 1e-9 * max(abs(low), abs(high))
    return np.asarray((values < low - slack) | (values > high + slack))


SHIFTS: Mapping[str, Callable[[Observed], Observed]] = {
    "levels of another patient": lambda o: replace(o, value=np.roll(o.value, 1, axis=0)),
    "levels in reverse order": lambda o: replace(o, value=o.value[:, ::-1]),
    "levels three times too high": lambda o: replace(o, value=3 * o.value),
    "levels ten times too low": lambda o: replace(o, value=o.value / 10),
}


def abstention(domain: Mapping[str, Any], density: Density | None, observed: Observed) -> dict[str, Any]:
    """For the card: share of these held-out patients refused, by reason, and the share refused after each error of the request.

    The errors are mistakes that happen (samples exchanged, a wrong unit); many of them leave a patient who could exist, and whom no
    check of this kind can refuse.
    """
    wrongly = {reason: _share(flags) for reason, flags in refusals(domain, density, observed).items()}
    rightly = {name: _share(refusals(domain, density, shift(observed))["any"]) for name, shift in SHIFTS.items()}
    return {"patients": len(observed.dose_mg), "refused": wrongly, "refused_after": rightly}


def _share(flags: Flags) -> float:
    return round(float(np.mean(flags)), 6)
