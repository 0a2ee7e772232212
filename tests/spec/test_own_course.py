"""Targets read off each patient's own history: against the simulator that made them, the NumPy engine and the one-patient MAP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auctor.errors import PlanError
from auctor.estimate.direct_map import direct_map
from auctor.estimate.observations import Observations
from auctor.pk.direct import readings
from auctor.pk.exposure import exposures
from auctor.pk.timeline import build
from auctor.population.virtual import Profiles, simulate
from auctor.validate.comparators import Patients, course_fit, drawn, exposure_of, fitted, patients, posterior
from auctor.validate.metrics import explained
from auctor.validate.own_course import own_course
from plans import START, plan_of

FEW = np.arange(12)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    """Neonates from the first dose of phenobarbital on, the AUC of their first four days being the target."""
    return simulate(plan_of(START, noise="full", target={"metric": "AUC0-96", "at": "first_dose", "scale": "log"}))


@pytest.fixture(scope="module")
def who(profiles: Profiles) -> Patients:
    return patients(profiles, FEW)


def test_levels_and_target_at_the_true_etas_are_those_that_were_simulated(profiles: Profiles, who: Patients) -> None:
    assert who.course is not None and np.array_equal(who.truth, profiles.target[FEW])
    levels, value = who.course.read(profiles.eta[FEW, None])
    taken = np.isfinite(profiles.true[FEW])
    assert levels[:, 0][taken] == pytest.approx(profiles.true[FEW][taken], rel=1e-9)
    assert value[:, 0] == pytest.approx(profiles.target[FEW], rel=1e-9)


def test_draws_are_read_as_the_numpy_engine_reads_them(profiles: Profiles, who: Patients) -> None:
    etas = 0.3 * np.random.default_rng(4).standard_normal((len(FEW), 5, 2))
    found = exposure_of(who, etas)
    for i in FEW[:4]:
        direct = exposures(who.model, profiles.regimen(i), profiles.plan.metric, profiles.covariates_of(i), etas[i])
        assert found[i] == pytest.approx(direct, rel=1e-9)


def test_fisher_scoring_finds_the_mode_of_the_one_patient_map(profiles: Profiles, who: Patients) -> None:
    found = course_fit(who)
    for i in FEW:
        times = profiles.sample_h[i][np.isfinite(profiles.sample_h[i])]
        line = build(who.model, profiles.regimen(i), profiles.covariates_of(i), times)
        values = profiles.observed[i][: len(times)]
        one = direct_map(who.model, line, Observations(values, np.ones_like(values), np.zeros(len(values), dtype=int), 0 * values))
        assert found.eta[i] == pytest.approx(one.eta[0], abs=2e-3 * np.sqrt(np.diag(who.model.omega)).max())
        assert found.ofv[i] == pytest.approx(one.ofv[0], abs=1e-4)
        assert readings(who.model, line, found.eta[[i]])[0].shape == (1, len(times))


def test_nothing_seen_leaves_the_prior() -> None:
    plan = plan_of(
        START, sampling=None, learner=None, target={"metric": "AUC0-96", "at": "first_dose", "scale": "log"}, profiles=60
    )  # fmt: skip
    who = patients(simulate(plan), FEW)
    assert not who.sampled
    found = drawn(who, fitted(who), draws=400)
    spread = np.std(np.log(found.value), axis=1)
    assert np.all(found.log_weight == 0) and np.all(found.log_marginal == 0)
    assert np.all((spread > 0.05) & (spread < 0.6))
    assert posterior(who, fitted(who), draws=400).ess == pytest.approx(np.full(len(FEW), 400.0))


def test_a_target_at_steady_state_that_is_no_area_per_dose_is_refused(profiles: Profiles) -> None:
    plan = profiles.plan
    with pytest.raises(PlanError, match="first dose"):
        own_course(replace(profiles, plan=replace(plan, target=replace(plan.target, at="steady"))), FEW, plan.model)


def test_the_explained_share_by_hand() -> None:
    reference = np.asarray([1.0, 2.0, 3.0, 6.0])  # mean 3, squares about it 4 + 1 + 0 + 9
    found = explained(np.asarray([1.0, 2.0, 4.0, 4.0]), reference)
    assert found.value == pytest.approx(1 - (1 + 4) / 14)
    assert found.low < found.value <= found.high


def test_a_course_that_runs_away_weighs_nothing(who: Patients) -> None:
    assert who.course is not None

    class Broken:
        samples = who.course.samples

        def read(self, etas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            levels, value = who.course.read(etas)  # type: ignore[union-attr]
            return levels, np.where(etas[..., 0] > 0, np.nan, value)

    found = drawn(replace(who, course=Broken()), course_fit(who), draws=100)  # type: ignore[arg-type]
    assert np.isfinite(found.value).all() and np.isneginf(found.log_weight).any()
    assert np.isfinite(posterior(replace(who, course=Broken()), course_fit(who), draws=100).mean.point).all()  # type: ignore[arg-type]
