"""A D-vine: several variables that hang together by copulas of two, each with a family of its own.

The first tree links neighbours in `order`; the k-th links variables k places apart, given those between them. With Gaussian pairs alone it
is the Gaussian copula whose partial correlations the pairs hold. Reference: Aas K et al., Insurance Math Econom 2009;44:182-198.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.population.pairs import BOUNDS, FAMILIES, INDEPENDENT, Pair, best_pair
from auctor.population.reading import Table

Array = NDArray[np.float64]
TURNS = (0, 90, 180, 270)


@dataclass(frozen=True, kw_only=True)
class Vine:
    """`order` names the variables; `trees[k][i]` is the copula of the i-th and the (i + k + 1)-th of them, given those between."""

    order: tuple[str, ...]
    trees: tuple[tuple[Pair, ...], ...]

    @classmethod
    def fit(cls, ranks: Mapping[str, Array], shares: Array, order: Sequence[str]) -> Vine:
        """Tree by tree, each pair by least BIC; `ranks` (n,) within 0 and 1, weights `shares` that add up to 1."""
        left = [ranks[name] for name in order[:-1]]
        right = [ranks[name] for name in order[1:]]
        trees = []
        while left:
            pairs = tuple(best_pair(a, b, shares) for a, b in zip(left, right, strict=True))
            trees.append(pairs)
            ahead = [one.h(a, b) for one, a, b in zip(pairs, left, right, strict=True)]
            back = [one.swapped().h(b, a) for one, a, b in zip(pairs, left, right, strict=True)]
            left, right = ahead[:-1], back[1:]
        return cls(order=tuple(order), trees=tuple(trees))

    def draw(self, uniform: Array) -> dict[str, Array]:
        """Ranks (n,) by name from independent uniforms (n, d), a column a variable in `order`."""
        found = [uniform[:, 0]]
        known = [uniform[:, 0]]  # the earlier variables, nearest first, each given those between it and the next one
        for j in range(1, len(self.order)):
            z, passed = uniform[:, j], []
            for k in range(j - 1, -1, -1):
                z = self.trees[k][j - k - 1].swapped().inverse(z, known[k])
                passed.append(z)
            passed.reverse()
            found.append(z)
            known = [z, *(self.trees[k][j - k - 1].h(known[k], passed[k]) for k in range(j))]
        return dict(zip(self.order, found, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """For a file: theta to six digits."""
        trees = [[{"family": p.family, "theta": float(f"{p.theta:.6g}"), "rotation": p.rotation} for p in tree] for tree in self.trees]
        return {"order": list(self.order), "trees": trees}


def read_vine(table: Table, names: Sequence[str]) -> Vine:
    """A vine of a copula's file over these variables. Errors: PlanError."""
    order, rows = table.texts("order"), table.any("trees")
    table.done()
    if sorted(order) != sorted(names) or not isinstance(rows, list) or [len(tree) for tree in rows] != list(range(len(order) - 1, 0, -1)):
        raise table.refuse("trees", "do not link the covariates of the stratum", "fit it again with auctor population fit")
    return Vine(order=tuple(order), trees=tuple(tuple(_pair(Table(row, where=table.where)) for row in tree) for tree in rows))


def _pair(row: Table) -> Pair:
    family = row.text("family", choices=FAMILIES)
    low, high = BOUNDS.get(family, (0.0, 0.0))
    theta, rotation = row.number("theta", low=low, high=high), row.integer("rotation", low=0, high=270)
    row.done()
    if rotation not in TURNS or (rotation and family != "clayton") or (theta == 0 and family != INDEPENDENT):
        raise row.refuse("rotation", "or theta is none of this family's", "fit it again with auctor population fit")
    return Pair(family=family, theta=theta, rotation=rotation)


def chain(correlation: Array) -> list[int]:
    """An order of the variables in which neighbours depend on each other: from the strongest pair on, the next at either end.

    >>> chain(np.array([[1, 0.1, 0.8], [0.1, 1, 0.3], [0.8, 0.3, 1]]))
    [0, 2, 1]
    """
    strength = np.abs(correlation - np.eye(len(correlation)))
    if len(strength) < 2:
        return list(range(len(strength)))
    found = [int(i) for i in sorted(np.unravel_index(int(np.argmax(strength)), strength.shape))]
    while len(found) < len(strength):
        rest = [i for i in range(len(strength)) if i not in found]
        end, new = max(((end, i) for end in (0, -1) for i in rest), key=lambda pair: (float(strength[found[pair[0]], pair[1]]), -pair[1]))
        found = [new, *found] if end == 0 else [*found, new]
    return found
