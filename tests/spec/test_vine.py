"""Vines of pair copulas: closed forms against differences and integrals, the Gaussian case, and tails that a correlation cannot hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from auctor.errors import PlanError
from auctor.population.copula import LEVELS, Copula, Stratum, as_toml, fit, read_copula
from auctor.population.pairs import Pair, best_pair
from auctor.population.vine import Vine, chain

PAIRS = [
    Pair(family="gaussian", theta=-0.6),
    Pair(family="frank", theta=5.0),
    Pair(family="frank", theta=-3.0),
    *(Pair(family="clayton", theta=1.5, rotation=turn) for turn in (0, 90, 180, 270)),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_h_and_density_are_derivatives_of_one_another(pair: Pair) -> None:
    """dh/du = c, the density integrates to 1 along u, h is undone by its inverse, and turning the pair round is symmetric."""
    u, v = np.meshgrid(np.linspace(0.05, 0.95, 7), np.linspace(0.1, 0.9, 5))
    step = 1e-6
    slope = (pair.h(u + step, v) - pair.h(u - step, v)) / (2 * step)
    assert np.exp(pair.log_density(u, v)) == pytest.approx(slope, rel=1e-5)
    assert pair.inverse(pair.h(u, v), v) == pytest.approx(u, abs=1e-9)
    assert pair.swapped().log_density(v, u) == pytest.approx(pair.log_density(u, v))
    grid = (np.arange(4000) + 0.5) / 4000
    assert np.exp(pair.log_density(grid, np.full_like(grid, 0.3))).mean() == pytest.approx(1.0, abs=2e-3)


def test_a_pair_is_recovered_from_its_draws() -> None:
    """Kendall's tau of Clayton's copula is theta / (theta + 2)."""
    rng = np.random.default_rng(1)
    v, w = rng.uniform(size=(2, 4000))
    for truth in (Pair(family="clayton", theta=2.0, rotation=180), Pair(family="frank", theta=-4.0), Pair(family="gaussian", theta=0.5)):
        u = truth.inverse(w, v)
        found = best_pair(u, v, np.full(4000, 1 / 4000))
        assert (found.family, found.rotation) == (truth.family, truth.rotation)
        assert found.theta == pytest.approx(truth.theta, rel=0.1)
    u = Pair(family="clayton", theta=2.0).inverse(w, v)
    assert kendalltau(u, v).statistic == pytest.approx(0.5, abs=0.03)
    assert best_pair(rng.uniform(size=4000), v, np.full(4000, 1 / 4000)).family == "independent"


def test_a_vine_of_gaussian_pairs_is_the_gaussian_copula() -> None:
    """Pairs hold partial correlations: r13 = p13.2 sqrt((1 - r12^2)(1 - r23^2)) + r12 r23."""
    from scipy.special import ndtri

    r12, r23, partial = 0.6, -0.4, 0.5
    trees = ((Pair(family="gaussian", theta=r12), Pair(family="gaussian", theta=r23)), (Pair(family="gaussian", theta=partial),))
    drawn = Vine(order=("a", "b", "c"), trees=trees).draw(np.random.default_rng(2).uniform(size=(40_000, 3)))
    found = np.corrcoef(ndtri(np.stack([drawn[name] for name in "abc"])))
    r13 = partial * np.sqrt((1 - r12**2) * (1 - r23**2)) + r12 * r23
    assert found[np.triu_indices(3, 1)] == pytest.approx([r12, r13, r23], abs=0.015)


@pytest.fixture(scope="module")
def people() -> dict[str, np.ndarray]:
    """Four variables of a vine whose first two are both low together, never both high."""
    trees = (
        (Pair(family="clayton", theta=3.0), Pair(family="frank", theta=4.0), Pair(family="gaussian", theta=-0.5)),
        (Pair(family="gaussian", theta=0.3), Pair()),
        (Pair(family="clayton", theta=0.8, rotation=90),),
    )
    drawn = Vine(order=("A", "B", "C", "D"), trees=trees).draw(np.random.default_rng(3).uniform(size=(5000, 4)))
    return {name: 50 + 100 * u for name, u in drawn.items()}


def together(x: np.ndarray, y: np.ndarray, share: float = 0.05) -> float:
    """P(y among its lowest | x among its lowest)."""
    low = x <= np.quantile(x, share)
    return float(np.mean(y[low] <= np.quantile(y, share)))


def copula(strata: tuple[Stratum, ...]) -> Copula:
    return Copula(name="c", title="t", source="s", units=dict.fromkeys("ABCD", "kg"), levels=np.asarray(LEVELS), strata=strata)


def test_a_fitted_vine_keeps_the_tail_that_a_correlation_loses(people: dict[str, np.ndarray]) -> None:
    weights = np.full(5000, 1 / 5000)
    vine, normal = (copula(fit(people, weights, vine=kind)).draw(np.random.default_rng(4), 20_000) for kind in (True, False))
    truth = together(people["A"], people["B"])
    assert truth > 0.65
    assert together(vine["A"], vine["B"]) == pytest.approx(truth, abs=0.06)
    assert together(normal["A"], normal["B"]) < truth - 0.12
    for k, a in enumerate("ABCD"):
        assert np.median(vine[a]) == pytest.approx(np.median(people[a]), abs=2)
        for b in "ABCD"[k + 1 :]:
            ours, theirs = (kendalltau(who[a][:4000], who[b][:4000]).statistic for who in (vine, people))
            assert ours == pytest.approx(theirs, abs=0.05)


def test_the_file_holds_the_vine_and_refuses_what_is_none(people: dict[str, np.ndarray], tmp_path: Path) -> None:
    few = {name: values[:400] for name, values in people.items()}
    text = as_toml(copula(fit(few, np.full(400, 1 / 400), vine=True)), {"rows": 400})
    read = read_copula(text, "c")
    assert read.strata[0].vine is not None and set(read.strata[0].vine.order) == set("ABCD")
    assert as_toml(read, {"rows": 400}) == text
    for old, new in (('family = "clayton"', 'family = "gumbel"'), ('order = ["', 'order = ["E", "'), ("rotation = 0", "rotation = 45")):
        assert old in text
        with pytest.raises(PlanError):
            read_copula(text.replace(old, new, 1), "c")


def test_neighbours_of_the_order_depend_on_each_other() -> None:
    correlation = np.array([[1, 0.2, 0.7, 0.1], [0.2, 1, 0.6, 0.1], [0.7, 0.6, 1, 0.1], [0.1, 0.1, 0.1, 1.0]])
    assert chain(correlation) in ([3, 0, 2, 1], [0, 2, 1, 3])
    assert chain(np.eye(1)) == [0]
