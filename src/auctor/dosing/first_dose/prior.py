"""PopPK integration over the prior: the probability of the joint target for every rung, over the same eta draws for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.dosing.first_dose.exposure import BLOCK, one_patient, outcomes, unit_exposures
from auctor.dosing.first_dose.goals import JointTarget
from auctor.dosing.first_dose.ladder import Ladder
from auctor.errors import CaseError, OutOfDomain
from auctor.models.model import OCCASION, DrugModel
from auctor.models.occasions import has_iov, with_occasions
from auctor.population.virtual import draw_etas, stream

Array = NDArray[np.float64]
DRAWS = 4000
HARM = 1.0  # what an exposure above the range costs, in units of one inside it; ours, to be argued with
AT_ONCE = 32 * BLOCK


@dataclass(frozen=True, kw_only=True)
class Chance:
    """One rung of one patient: P(joint target) with its Monte-Carlo standard error, P(above), utility, and whether it is best.

    `utility` = P(in) - HARM * P(above). `tied`: its paired difference from the best rung is within one Monte-Carlo standard error.
    """

    inside: float
    error: float
    above: float
    utility: float
    tied: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """A model's population as the prior of one patient's next course: IIV, and the IOV of the occasion that begins, drawn together."""

    model: DrugModel

    @classmethod
    def of(cls, model: DrugModel) -> Prior:
        """The model with one occasion where it has IOV."""
        return cls(model=with_occasions(model, 1) if has_iov(model) else model)

    def etas(self, n: int, *, seed: int, name: str = "first dose") -> Array:
        """n draws (n, p) from a named stream of the seed."""
        return draw_etas(self.model, n, rng=stream(seed, name))

    def covariates(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Covariates (n,), with the occasion that begins where the model has one."""
        size = np.shape(next(iter(given.values()))) if given else (1,)
        return {**given, **({OCCASION: np.ones(size)} if self.model.occasions else {})}


def chances(
    model: DrugModel, covariates: Mapping[str, float], target: JointTarget, ladder: Ladder, *, draws: int = DRAWS, seed: int = 0
) -> tuple[Chance | None, ...]:
    """One entry for each rung; None where it is above a cap. Same input, same numbers. CaseError when every rung is.

    Every rung is judged on the same eta draws, so that differences between rungs carry far less Monte-Carlo error than each of them.
    """
    prior = Prior.of(model)
    known = {name: float(np.ravel(v)[0]) for name, v in prior.covariates({n: np.asarray([v]) for n, v in covariates.items()}).items()}
    found = one_patient(prior.model, known, prior.etas(draws, seed=seed), target, ladder)
    if any(values is not None and np.isnan(values).any() for values in found):
        what = "some of its patients would have a clearance or volume of zero or less"
        raise OutOfDomain(where=model.name, what=what, remedy="use another model, or another variant of it")
    inside = [None if values is None else target.share(values) for values in found]
    above = [None if values is None else target.above(values) for values in found]
    kept = [share for share in inside if share is not None]
    if not kept:
        raise CaseError(where="doses", what="every one is above a cap", remedy="lower the doses to choose from")
    best = max(kept, key=lambda share: float(np.mean(share)))
    pairs = zip(inside, above, strict=True)
    return tuple(None if i is None or a is None else _chance(i, a, best) for i, a in pairs)


def _chance(inside: Array, above: Array, best: Array) -> Chance:
    n = len(inside)
    lost = best - inside
    p, over = float(inside.mean()), float(above.mean())
    tied = float(lost.mean()) <= float(lost.std()) / np.sqrt(n)
    return Chance(inside=p, error=float(inside.std() / np.sqrt(n)), above=over, utility=p - HARM * over, tied=bool(tied))


def best_rung(found: tuple[Chance | None, ...]) -> int:
    """The rung to give: of those that cannot be told from the best, the one lowest on the ladder.

    >>> def chance(p, tied): return Chance(inside=p, error=0.01, above=0.0, utility=p, tied=tied)
    >>> best_rung((None, chance(0.5, False), chance(0.798, True), chance(0.8, True)))
    2
    """
    return next(j for j, chance in enumerate(found) if chance is not None and chance.tied)


def useful_rung(found: tuple[Chance | None, ...]) -> int:
    """The rung of the highest expected utility, the lowest on the ladder among equals."""
    worth = [-np.inf if chance is None else chance.utility for chance in found]
    return int(np.argmax(worth))


def chance_table(model: DrugModel, covariates: Mapping[str, Array], target: JointTarget, ladder: Ladder, etas: Array) -> Array:
    """P(joint target) of n patients under every rung, over the same eta draws (draws, p) for all: (n, rungs), NaN above a cap.

    Linear models only (OutOfDomain otherwise); draws that no patient can have (`possible`) are left out. `model` is that of a `Prior`,
    and `covariates` (n,) hold its occasion.
    """
    doses = ladder.doses_mg(covariates)
    rows = max(1, AT_ONCE // len(etas))
    parts = []
    for start in range(0, len(doses), rows):
        part = slice(start, min(start + rows, len(doses)))
        some = {name: np.repeat(values[part], len(etas)) for name, values in covariates.items()}
        size = part.stop - part.start
        unit = unit_exposures(model, some, np.tile(etas, (size, 1)), target, ladder)
        values = outcomes(unit, target, ladder, np.repeat(doses[part], len(etas), axis=0))
        real = ~np.isnan(next(iter(unit.columns.values()))).reshape(size, len(etas))
        shares = [target.share(goals).reshape(size, len(etas)).mean(axis=1, where=real) for goals in values]
        parts.append(np.stack(shares, axis=1))
    return np.where(np.isfinite(doses), np.concatenate(parts), np.nan)
