"""A batch's timelines and observations as one table of numbers, a row a subject: one array to pick lanes from and to hand to compiled code.

Handing over thirty small arrays takes longer than one patient's whole search. The layout is part of the type that JAX sees, so compiled
code for one layout is never given another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.observations import Observations
from auctor.pk.engine import jax, jnp
from auctor.pk.timeline import Batch

Layout = tuple[tuple[str, tuple[int, ...], str], ...]  # name, shape of one subject's array, kind of number


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Packed:
    """`table` (n, width) float64 and its layout."""

    table: Any
    layout: Layout

    @classmethod
    def of(cls, batch: Batch, seen: Observations) -> Packed:
        """Everything about each subject; whole numbers and flags are exact in float64."""
        parts: dict[str, NDArray[Any]] = {**batch.arrays, **{f"seen {k}": values for k, values in seen._asdict().items()}}
        layout = tuple((name, values.shape[1:], values.dtype.kind) for name, values in parts.items())
        return cls(np.concatenate([v.reshape(batch.n, -1) for v in parts.values()], axis=1, dtype=np.float64), layout)

    def size(self, name: str) -> int:
        """The length of one subject's array."""
        return next(shape[0] for key, shape, _ in self.layout if key == name)

    def rows(self, which: NDArray[np.int64]) -> Packed:
        """Those subjects (with repeats), one row a lane."""
        return Packed(self.table[which], self.layout)

    def unpacked(self) -> tuple[dict[str, Any], Observations]:
        """The timelines' arrays and the observations again, traced, (lanes, ...)."""
        found, at = {}, 0
        for name, shape, kind in self.layout:
            size = int(np.prod(shape))
            part = self.table[:, at : at + size].reshape(self.table.shape[0], *shape)
            found[name] = part if kind == "f" else part.astype(jnp.int64) if kind == "i" else part != 0
            at += size
        seen = {name.removeprefix("seen "): found.pop(name) for name in list(found) if name.startswith("seen ")}
        return found, Observations(**seen)

    def tree_flatten(self) -> tuple[tuple[Any], Layout]:
        """The table is data, the layout is type."""
        return (self.table,), self.layout

    @classmethod
    def tree_unflatten(cls, layout: Layout, children: tuple[Any]) -> Packed:
        """The inverse of `tree_flatten`."""
        return cls(children[0], layout)
