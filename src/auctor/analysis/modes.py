"""Where the samples fit several parameter sets: how likely each is, and what each would mean for exposure and dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auctor.case import Target
from auctor.dosing.candidates import Option
from auctor.dosing.recommend import Forecast, Recommendation, recommend
from auctor.errors import Notice, OutOfDomain
from auctor.estimate.modes import Mode
from auctor.estimate.patient import Estimate

DRAWS = 500


def mode_notices(estimate: Estimate, found: Recommendation, *, target: Target, options: Sequence[Option], seed: int) -> tuple[Notice, ...]:
    """One notice for each further mode of a MAP estimate: its posterior mass by Laplace's method, its exposure relative to that of the
    mode that is reported, and the regimen that the same rule would select from it alone. () with a single mode.
    """
    logs = np.asarray([m.log_mass for m in estimate.modes])
    if len(logs) < 2:
        return ()
    share = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    return tuple(_notice(k, float(share[k]), _alone(estimate, m, found, target, options, seed)) for k, m in enumerate(estimate.modes) if k)


def _alone(estimate: Estimate, mode: Mode, found: Recommendation, target: Target, options: Sequence[Option], seed: int) -> str:
    """What this mode alone says, beside what is reported."""
    spread = np.random.default_rng(seed).standard_normal((DRAWS, len(mode.eta))) @ np.linalg.cholesky(mode.covariance).T
    own = replace(estimate, etas=mode.eta + spread, eta_point=mode.eta, modes=(), notices=())
    try:
        other = recommend(own, target=target, candidates=options, method=estimate.name)
    except OutOfDomain as refused:
        return f"{refused.where}: {refused.what}"
    ratio = _ratio(other.current, found.current)
    best = other.best or other.favoured
    dose = "it would select no regimen" if best is None else f"it would select {best.option.label}"
    return dose if ratio is None else f"exposure under the current regimen {ratio:.2f} of the reported one; {dose}"


def _ratio(other: Forecast | None, reported: Forecast | None) -> float | None:
    points = [f.exposure.point for f in (other, reported) if f is not None and f.exposure is not None]
    return points[0] / points[1] if len(points) == 2 and points[1] > 0 else None


def _notice(k: int, mass: float, meaning: str) -> Notice:
    return Notice(
        code="further-mode",
        where=f"MAP, parameter set {k + 1}",
        what=f"posterior mass {100 * mass:.0f} %: {meaning}",
        remedy="read the posterior, which weighs all sets; a further sample at another time may tell them apart",
    )
