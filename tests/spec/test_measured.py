"""Where a new measurement would lie: against a million simulated ones, for each kind of residual error, and in closed form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auctor.analysis.measured import measured_interval
from auctor.models.model import Residual

KINDS = {
    "combined": Residual(proportional=0.15, additive=0.4),
    "combined1": Residual(proportional=0.1, additive=0.3, kind="combined1"),
    "log": Residual(proportional=0.25, additive=0.0, kind="log"),
    "power": Residual(proportional=0.2, additive=0.1, kind="power", power=0.7),
}


def simulated(residual: Residual, draws: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Measurements of the concentrations `draws`, written out anew from the definitions of docs/residual-error.md."""
    z = rng.standard_normal(draws.shape)
    p, a = residual.proportional, residual.additive
    if residual.kind == "log":
        return np.asarray(draws * np.exp(p * z))
    sd = {"combined": np.sqrt(a**2 + (p * draws) ** 2), "combined1": a + p * draws, "power": a + p * draws**residual.power}[residual.kind]
    return np.asarray(draws + sd * z)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spread", [0.02, 0.4], ids=["sure", "unsure"])
def test_the_interval_holds_ninety_of_a_hundred_simulated_measurements(kind: str, spread: float) -> None:
    rng = np.random.default_rng(7)
    draws = np.exp(rng.normal(np.log([1.0, 8.0, 30.0]), spread, size=(2000, 3)))
    low, high = measured_interval(KINDS[kind], draws)
    seen = np.vstack([simulated(KINDS[kind], draws, rng) for _ in range(100)])
    assert np.mean(seen < low, axis=0) == pytest.approx([0.05] * 3, abs=0.002)
    assert np.mean(seen > high, axis=0) == pytest.approx([0.05] * 3, abs=0.002)


@pytest.mark.parametrize("n", [1, 7, 200, 2000])
def test_with_one_concentration_it_is_the_normal_interval_and_never_below_zero(n: int) -> None:
    low, high = measured_interval(KINDS["combined"], np.full((n, 2), [20.0, 0.1]))
    half = 1.6448536269514722 * np.sqrt(0.4**2 + (0.15 * np.array([20.0, 0.1])) ** 2)
    assert low == pytest.approx([20.0 - half[0], 0.0], abs=1e-9) and high == pytest.approx(np.array([20.0, 0.1]) + half)


def test_it_is_that_of_forty_halvings() -> None:
    """Draws in two clusters, between which the density is nearly 0, and draws that are all alike, beside plain ones."""
    from scipy.special import ndtr

    rng = np.random.default_rng(2)
    draws = np.column_stack([rng.normal(10, 1, 200), np.repeat([1e-3, 50.0], 100), np.full(200, 3.0), rng.lognormal(0, 2, 200)])
    sd = 0.1 * draws
    for p, found in zip((0.05, 0.95), measured_interval(Residual(proportional=0.1, additive=0.0), draws), strict=True):
        low, high = (draws - 9 * sd).min(axis=0), (draws + 9 * sd).max(axis=0)
        for _ in range(40):
            middle = (low + high) / 2
            under = ndtr((middle - draws) / sd).mean(axis=0) < p
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        np.testing.assert_array_equal(found, np.maximum((low + high) / 2, 0.0))


def test_before_the_first_dose_a_proportional_error_says_nothing() -> None:
    low, high = measured_interval(Residual(proportional=0.2, additive=0.0), np.zeros((50, 1)))
    assert float(low[0]) == 0 and float(high[0]) < 1e-9


def test_an_analysis_keeps_it_around_the_posterior_and_without_samples_around_the_prior() -> None:
    from dataclasses import replace

    from auctor.analysis import analyse
    from auctor.case import Case, Covariates, Regimen, Route, Sample
    from auctor.models.reader import read_model
    from auctor.report.result import to_json

    model = read_model("phenobarbital_grasela_1985")
    case = Case(
        label="A",
        drug="phenobarbital",
        history=Regimen.steady(3, every_h=12, route=Route.IV),
        samples=(Sample(time_h=12.0, value=20.0),),
        covariates=Covariates(series={"WT": ((0.0, 1.2),), "APGR": ((0.0, 7.0),)}),
    )
    for given in (case, replace(case, samples=())):
        curve = analyse(given, model, n_draws=500).curve
        inner = curve.posterior or curve.prior
        later = curve.times_h > 0.1
        assert (curve.posterior is None) == (not given.samples)
        assert np.all(curve.measured.q95[later] > inner.q95[later]) and np.all(curve.measured.q05[later] < inner.q05[later])
    kept = json.loads(to_json(analyse(case, model, n_draws=500)))["curve"]
    assert len(kept["measured"]["q05"]) == len(kept["time"]["values"]) and kept["unit"] == "mg/L"
