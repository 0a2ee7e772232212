"""NUTS against quadrature, against importance resampling, and calibrated: ranks of the truth among its draws are uniform."""

from __future__ import annotations

import numpy as np
import pytest
from blackjax.diagnostics import ess_bulk, rhat
from scipy.stats import kstest

from auctor.case import Case, Covariates, Dose, Metric, Regimen, Route, Sample
from auctor.errors import EstimationError
from auctor.estimate import nuts, patient
from auctor.estimate.chains import bulk_ess, rank_rhat
from auctor.estimate.nuts import nuts_estimate, sample_cases
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.engine import jax
from oracle.test_posterior import ONE_ETA, case_of, quadrature

TACROLIMUS = Covariates.constant({"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0})
ORAL = Regimen.steady(3.0, every_h=12, route=Route.ORAL)
TIMES = np.asarray([0.0, 1.0, 3.0])


@pytest.fixture(scope="module")
def one_eta(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    """A model with a single random effect."""
    path = tmp_path_factory.mktemp("model") / "one_eta.toml"
    path.write_text(ONE_ETA)
    return read_model(path)


def tacrolimus(levels: tuple[float, ...]) -> Case:
    """C0, C1 and C3 at steady state, mg/L."""
    samples = tuple(Sample(time_h=float(t), value=y) for t, y in zip(TIMES, levels, strict=True))
    return Case(label="oracle", drug="tacrolimus", history=ORAL, samples=samples, covariates=TACROLIMUS)


def vancomycin() -> Case:
    """Two infusions, a peak and a trough."""
    doses = tuple(Dose(time_h=t, amount_mg=1000, route=Route.IV, duration_h=1.0) for t in (0.0, 12.0))
    samples = (Sample(time_h=14.0, value=31.0), Sample(time_h=23.5, value=14.0))
    covariates = Covariates.constant({"CRCL": 70.0, "WT": 80.0, "DIAL": 0.0})
    return Case(label="oracle", drug="vancomycin", history=Regimen(doses=doses), samples=samples, covariates=covariates)


def two_levels(first: float = 5.1, second: float = 1.4) -> Case:
    """One dose, with levels after 6 and 20 h."""
    return case_of((Sample(time_h=6.0, value=first), Sample(time_h=20.0, value=second)))


def test_nuts_equals_quadrature(one_eta: DrugModel) -> None:
    """Mean within 4 Monte Carlo standard errors and SD of one eta; no notice."""
    mean, sd, _ = quadrature([(6.0, 5.1), (20.0, 1.4)])
    drawn = nuts_estimate(one_eta, two_levels(), n_draws=8000)
    assert drawn.ess is not None and drawn.ess > 2000 and not drawn.notices
    assert drawn.etas.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(drawn.ess))
    assert drawn.etas.std() == pytest.approx(sd, rel=0.05)


def test_the_same_seed_gives_the_same_bytes(one_eta: DrugModel) -> None:
    """Twice with one seed, and once with another; no more and no fewer draws than asked for."""
    first, again, other = (nuts_estimate(one_eta, two_levels(), n_draws=333, seed=seed).etas for seed in (1, 1, 2))
    assert first.shape == (333, 1) and first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize(
    ("name", "case"), [("tacrolimus_woillard_2011", tacrolimus((0.0068, 0.0185, 0.0142))), ("vancomycin_goti_2018", vancomycin())]
)
def test_nuts_equals_resampling(name: str, case: Case) -> None:
    """Every eta: means within 4 Monte Carlo standard errors, SDs within 10 %; likewise the logarithm of the 24 h exposure."""
    model = read_model(name)
    found = patient.fit(model, case)
    chains = nuts_estimate(model, case, n_draws=2000, found=found)
    resampled = patient.posterior_estimate(model, case, n_draws=2000, found=found)
    assert chains.ess is not None and chains.ess > 1000 and resampled.ess is not None and {n.code for n in chains.notices} <= {"iov-unused"}
    exposure = [np.log(e.exposure(case.history, Metric.parse("AUC0-24")).values)[:, None] for e in (chains, resampled)]
    a, b = np.hstack([chains.etas, exposure[0]]), np.hstack([resampled.etas, exposure[1]])
    error = b.std(axis=0) * np.sqrt(1 / chains.ess + 1 / min(resampled.ess, 2000))
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(a.std(axis=0), b.std(axis=0), rtol=0.1)


def test_ranks_of_the_truth_are_uniform(one_eta: DrugModel) -> None:
    """Simulation-based calibration (Talts 2018, arXiv 1804.06788), 100 patients; `benchmarks/calibration.py` does more."""
    rng = np.random.default_rng(2026)
    truth = 0.4 * rng.standard_normal(100)
    f = 10.0 * np.exp(-4.0 * np.exp(truth)[:, None] / 50 * np.asarray([6.0, 20.0]))
    y = f + np.sqrt((0.2 * f) ** 2 + 0.1**2) * rng.standard_normal(f.shape)
    cases = [two_levels(*map(float, levels)) for levels in y]
    modes = [patient.fit(one_eta, case).modes[0] for case in cases]
    ranks: list[float] = []
    for i in range(0, 100, 2):  # two cases with one chain each: the shape that one case with two chains has compiled
        drawn = sample_cases(one_eta, cases[i : i + 2], modes[i : i + 2], n_draws=100, seed=i, warmup=100, chains=1, longest=1)
        ranks += list((drawn.etas[:, 0, :, 0] < truth[i : i + 2, None]).mean(axis=1))
    assert kstest(ranks, "uniform").pvalue > 0.001, ranks


def test_diagnostics_equal_the_librarys() -> None:
    """R-hat and bulk ESS of autocorrelated draws with ties, against those of blackjax (a second implementation)."""
    rng = np.random.default_rng(5)
    # long enough that no autocorrelation stays positive to its last lag, where the library reads past the end
    draws = np.zeros((2, 4000, 3))
    for t in range(1, 4000):
        draws[:, t] = np.asarray([0.0, 0.6, 0.85]) * draws[:, t - 1] + rng.standard_normal((2, 3))
    draws[:, 100:120] = draws[:, 100:101]
    np.testing.assert_allclose(rank_rhat(draws), jax.jit(rhat)(draws), rtol=1e-6)
    np.testing.assert_allclose(bulk_ess(draws), jax.jit(ess_bulk)(draws), rtol=1e-6)


def test_chains_apart_are_reported() -> None:
    """Chains that stay in different places and transitions that diverge block signing; good chains say nothing."""
    good = np.random.default_rng(0).standard_normal((1, 2, 500, 1))
    apart = good + np.asarray([0.0, 3.0])[None, :, None, None]
    for etas, divergences, blocked in ((good, 0, False), (good, 2, True), (apart, 0, True)):
        drawn = nuts.Sampled(etas=etas, divergences=np.asarray([divergences]), rhat=rank_rhat(etas[0])[None], ess=bulk_ess(etas[0])[None])
        assert ("nuts-diagnostics" in {n.code for n in nuts._notices(drawn) if n.blocks_signing}) is blocked


def test_no_draws_are_refused(one_eta: DrugModel) -> None:
    """A count below one names its remedy."""
    with pytest.raises(EstimationError, match="at least one"):
        nuts_estimate(one_eta, two_levels(), chains=0)
