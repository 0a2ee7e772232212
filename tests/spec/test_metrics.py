"""Measures of accuracy against hand calculation; points and intervals of the comparators against a grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auctor.learn.scores import MEASURES, accuracy, resamples, score
from auctor.learn.store import PLANS, open_plan
from auctor.population.plan import Plan, read_plan
from auctor.population.virtual import Profiles, simulate
from auctor.validate.comparators import a_priori, map_estimates, map_fit, matched_error, patients, posterior, with_error
from auctor.validate.metrics import error_ratio


def test_measures_by_hand() -> None:
    reference = np.asarray([100.0, 200.0, 50.0, 10.0])
    predicted = np.asarray([110.0, 150.0, 50.0, 14.0])  # +10 %, -25 %, 0, +40 %
    found = accuracy(predicted, reference, interval=(predicted - 20, predicted + 20))
    assert found["rMPE"].value == pytest.approx((0.10 - 0.25 + 0 + 0.40) / 4)
    assert found["rRMSE"].value == pytest.approx(np.sqrt((0.01 + 0.0625 + 0.16) / 4))
    assert found["out20"].value == 0.5
    assert found["out30"].value == 0.25
    assert found["coverage"].value == 0.75
    assert "coverage" not in accuracy(predicted, reference)


def test_the_bootstrap_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.2, size=2000)
    found = score(MEASURES["rMPE"], values)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_the_bootstrap_repeats_and_its_seed_matters() -> None:
    values = np.linspace(0, 1, 50)
    assert score(MEASURES["rRMSE"], values) == score(MEASURES["rRMSE"], values)
    assert not np.array_equal(resamples(50, seed=1), resamples(50, seed=2))


def test_the_interval_of_a_ratio_is_paired() -> None:
    rng = np.random.default_rng(2)
    reference = np.ones(400)
    error = rng.normal(0, 0.1, 400)
    found = error_ratio(1 + 1.05 * error, 1 + error, reference)
    assert found.value == pytest.approx(1.05)
    assert (found.low, found.high) == pytest.approx((1.05, 1.05)), "proportional errors: no doubt about the ratio"


def small() -> Plan:
    """Phenobarbital in small: one compartment, so that MAP compiles in seconds."""
    text = (PLANS / "phenobarbital_cavg.toml").read_text()
    sizes = {
        "profiles = 5000": "profiles = 800",
        "train = 3000": "train = 600",
        "calibration = 1000": "calibration = 100",
        "test = 1000": "test = 100",
    }
    for old, new in (sizes | {"configurations = 6": "configurations = 1", "rounds = [500]": "rounds = [60]", "[1, 2, 3]": "[3]"}).items():
        assert old in text
        text = text.replace(old, new)
    return read_plan("small.toml", text=text)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return simulate(small())


def test_the_posterior_is_the_one_a_grid_integrates(profiles: Profiles) -> None:
    """Phenobarbital has two etas: the posterior mean, and the point of least rRMSE, on a grid of 101 x 101 etas."""
    from auctor.pk.exposure import curves

    model = profiles.plan.model
    who = patients(profiles, np.arange(64))
    found = posterior(who, map_fit(who), draws=4000)
    axis = np.linspace(-5, 5, 101)
    etas = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2) @ np.linalg.cholesky(model.omega).T
    for i in range(3):
        level, known = profiles.observed[i], profiles.covariates_of(i)
        f = curves(model, profiles.regimen(i), profiles.sample_h[i], known, etas)
        sd = model.residual.proportional * f
        density = np.sum(((level - f) / sd) ** 2 / 2 + np.log(sd), axis=1) + np.sum(etas @ np.linalg.inv(model.omega) * etas, axis=1) / 2
        weight = np.exp(density.min() - density)
        value = 1 / model.individual(known.at(0.0), etas)["CL"]
        assert found.mean.point[i] == pytest.approx(np.average(value, weights=weight), rel=0.01)
        least = np.average(1 / value, weights=weight) / np.average(1 / value**2, weights=weight)
        assert found.least.point[i] == pytest.approx(least, rel=0.01)


def test_a_smaller_residual_error_narrows_map(profiles: Profiles) -> None:
    who = patients(profiles, np.arange(64))
    plan = replace(profiles.plan, noise="assay")
    sharp = replace(who, model=with_error(who.model, matched_error(plan, who.model)))
    assert sharp.model != who.model, "code compiled for one is not used for the other"
    wide, narrow = (map_estimates(w, map_fit(w)) for w in (who, sharp))
    widths = [np.log(e.high / e.low).mean() for e in (narrow, wide, a_priori(who))]
    assert widths[0] < 0.9 * widths[1] < 0.9 * widths[2]


def test_without_noise_the_residual_has_a_floor() -> None:
    plan = open_plan("tacrolimus_auc12_noisefree")
    assert matched_error(plan, plan.model).proportional == 0.02
    assert matched_error(replace(plan, noise="full"), plan.model) == plan.model.residual
