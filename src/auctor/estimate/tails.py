"""Proposals for the tails that one eta makes alone: where the posterior reaches further than the curvature at its mode says.

The OFV is read along each eta from the mode, in its SDs given the others. A Gaussian rises by d^2 at d of them; where it rises so much
less that a normal of 1.3 times the SD would be needed (Geweke's ratio), a component is put half way to where the density has all but
vanished. Typical is a volume that the samples bound from above only. Reference: Geweke J, Econometrica 1989;57:1317-1339 (split-t).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.modes import Mode

Array = NDArray[np.float64]

STEPS = np.asarray([2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0])  # conditional SDs from the mode
LONGER = 1.3  # times the SD of the curvature
VANISHED = 16.0  # rise of the OFV
SHARE = 1.0  # a component's log mass below that of its mode


def tails(modes: Sequence[Mode], ofv: Callable[[Array], Array]) -> tuple[Mode, ...]:
    """A component for each long tail of each mode, none for a posterior that is as its curvature says; `ofv` maps (n, p) to (n,)."""
    return tuple(component for mode in modes for component in _of(mode, ofv))


def _of(mode: Mode, ofv: Callable[[Array], Array]) -> Iterator[Mode]:
    steps = np.diag(1.0 / np.sqrt(np.diag(np.linalg.inv(mode.covariance))))
    steps = np.concatenate([steps, -steps])
    rises = ofv((mode.eta + steps[:, None, :] * STEPS[:, None]).reshape(-1, len(mode.eta))).reshape(len(steps), -1) - mode.ofv
    rises = np.where(np.isfinite(rises), np.maximum(rises, 1e-3), np.inf)
    for step, rise in zip(steps, rises, strict=True):
        if (STEPS / np.sqrt(rise)).max() > LONGER:
            yield _half_way(mode, step, max(STEPS[rise < VANISHED], default=STEPS[0]) / 2)


def _half_way(mode: Mode, step: Array, far: float) -> Mode:
    wider = max((far / 1.5) ** 2 - 1, 0.0) * np.outer(step, step)
    return replace(mode, eta=mode.eta + far * step, covariance=mode.covariance + wider, log_mass=mode.log_mass - SHARE)
