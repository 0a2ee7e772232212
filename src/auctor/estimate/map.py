"""Maximum a posteriori estimation: a batched, damped second-order method with several starts.

Fisher (Gauss-Newton) steps from every start, then Newton steps on each distinct optimum (`auctor.estimate.search`). Lanes that need more
steps than most are gathered and go on together, so that a batch does not wait for its slowest subject.
Reference for the objective: Kang D et al., Clin Transl Sci 2012 (MAP in NONMEM); Le Louedec F et al., CPT PSP 2021;10:1208 (mapbayr).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.modes import Lanes, MapFit, Mode, cholesky_of_omega, distinct, fit_of, require_etas, starting_points
from auctor.estimate.observations import Observations
from auctor.estimate.packed import Packed
from auctor.estimate.search import compiled, numbers_of
from auctor.models.model import DrugModel
from auctor.pk.kept import side_by_side
from auctor.pk.timeline import Batch, repeat_to

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUGH = (1e-5, (10, 8, 40))  # slope at which Fisher's work is done; steps of each round
FINE = (1e-9, (1, 4, 80))
CHUNKS = (1, 4, 16, 64, 256, 1024)
WORK = 15_000  # events x (etas + 1) x points of the lanes in one call, so that it stays in the processor's cache
FEWER = 16  # lanes of a call that is neither full nor of one lane
FEW = 64  # lanes that are not worth regrouping


def map_batch(model: DrugModel, batch: Batch, seen: Observations, *, starts: int | None = None) -> MapFit:
    """MAP of every subject of a batch; `seen` arrays (n, O) aligned with the batch's wanted times; `starts` per subject (2p + 1).

    Raises EstimationError when a subject has no finite objective from any start.
    """
    require_etas(model)
    points, packed = starting_points(model, starts), Packed.of(batch, seen)
    owner = np.repeat(np.arange(batch.n), len(points))
    rough = _descended(model, "fisher", packed, owner, np.tile(points, (batch.n, 1)), ROUGH)
    owner, found = distinct(batch.n, rough.value, rough.u)
    fine = _descended(model, "newton", packed, owner, found, FINE)
    return fit_of(model, batch.n, owner, fine)


def ofv_and_slope(model: DrugModel, batch: Batch, seen: Observations, owner: Ints, u: Array) -> tuple[Array, Array]:
    """OFV (lanes,) and gradient (lanes, p) at u (lanes, p), each lane a point of subject `owner`."""
    size = _padded_size(len(owner), CHUNKS[-1])
    lanes = Packed.of(batch, seen).rows(repeat_to(owner, size))
    value, gradient = compiled(model, "at")(numbers_of(model), lanes, repeat_to(u, size))
    return np.asarray(value)[: len(owner)], np.asarray(gradient)[: len(owner)]


def _descended(model: DrugModel, what: str, packed: Packed, owner: Ints, u: Array, how: tuple[float, tuple[int, ...]]) -> Lanes:
    """Rounds of descent: all lanes for a few steps, then only those still on their way, for longer."""
    n, p = u.shape
    lanes = Lanes(u.copy(), np.full(n, np.inf), np.full(n, 1e-3 if what == "fisher" else 1e-12), np.zeros(n), np.zeros((n, p, p)))
    left = np.arange(n)
    for limit in how[1] if n > FEW else how[1][-1:]:
        left = _round(model, what, (packed, owner), lanes, left, (how[0], limit))
        if not len(left):
            break
    return lanes


def _round(model: DrugModel, what: str, data: tuple[Packed, Ints], lanes: Lanes, left: Ints, how: tuple[float, int]) -> Ints:
    """One round of the lanes `left`, chunk by chunk, written back into `lanes`; those still moving."""
    packed, owner = data
    run, numbers = compiled(model, what), numbers_of(model)
    p = lanes.u.shape[1]
    most = _most_lanes(packed.size("time") * (p + 1) * (2 * p if what == "newton" else 1))

    def one(part: Ints) -> Ints:
        size = _padded_size(len(part), most)
        rows = packed.rows(repeat_to(owner[part], size))
        start = (repeat_to(lanes.u[part], size), repeat_to(lanes.damping[part], size))
        found = [np.asarray(v)[: len(part)] for v in run(numbers, rows, start, (np.float64(how[0]), np.int64(how[1])))]
        lanes.u[part], lanes.value[part], lanes.damping[part] = found[:3]
        if what == "newton":
            lanes.slope[part], lanes.hessian[part] = found[4:]
        still: Ints = part[found[3]]
        return still

    return np.concatenate(side_by_side(one, [left[i : i + most] for i in range(0, len(left), most)]))


def _most_lanes(cost: int) -> int:
    """Of one call, where a lane costs so much."""
    return max(c for c in CHUNKS if c <= max(WORK * 16 // cost, 1))


def _padded_size(count: int, most: int) -> int:
    """Every size compiles anew: one lane, a few, or all that go into one call."""
    return next((c for c in (1, min(FEWER, most), most) if c >= count), -(-count // most) * most)


__all__ = ["MapFit", "Mode", "cholesky_of_omega", "map_batch", "ofv_and_slope", "starting_points"]
