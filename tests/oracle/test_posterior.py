"""The posterior against quadrature, and its calibration as a theorem: ranks of the truth among its draws are uniform."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chisquare, norm

from auctor.case import Case, Covariates, Dose, Metric, Regimen, Route, Sample
from auctor.estimate import patient
from auctor.estimate.modes import Mode
from auctor.estimate.objective import variance
from auctor.estimate.sir import importance_resample
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.exposure import curves, exposures

ONE_ETA = """
schema = 1
drug = "oracle"
status = "draft"
population = "none: one random effect, so that the posterior can be integrated"
reference = { doi = "none", cite = "quadrature" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
[structure]
absorption = { kind = "none" }
disposition = { kind = "one_compartment", CL = "CL", V1 = "V1" }
[residual]
concentration = { proportional = 0.2, additive = 0.1, unit = "mg/L", source = "none" }
[parameters]
CL = { value = 4.0, unit = "L/h", iiv = 0.4, source = "none" }
V1 = { value = 50, unit = "L", source = "none" }
"""


@pytest.fixture(scope="module")
def one_eta(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    """A model with a single random effect."""
    path = tmp_path_factory.mktemp("model") / "one_eta.toml"
    path.write_text(ONE_ETA)
    return read_model(path)


def case_of(samples: tuple[Sample, ...]) -> Case:
    dose = Dose(time_h=0, amount_mg=500, route=Route.IV)
    return Case(label="oracle", drug="oracle", history=Regimen(doses=(dose,)), samples=samples)


def quadrature(values: list[tuple[float, float]], limit: tuple[float, float] | None = None) -> tuple[float, float, float]:
    """Posterior mean and SD of eta, and log of the marginal likelihood, on a fine grid with the closed form written out."""
    eta = np.linspace(-3, 3, 20001)
    cl = 4.0 * np.exp(eta)
    log_density = norm.logpdf(eta, scale=0.4)
    for t, y in values:
        f = 10.0 * np.exp(-cl / 50 * t)
        log_density += norm.logpdf(y, f, np.sqrt((0.2 * f) ** 2 + 0.1**2)) + 0.5 * np.log(2 * np.pi)
    if limit:
        f = 10.0 * np.exp(-cl / 50 * limit[0])
        log_density += norm.logcdf(limit[1], f, np.sqrt((0.2 * f) ** 2 + 0.1**2))
    weight = np.exp(log_density - log_density.max())
    step = eta[1] - eta[0]
    mean = float((weight * eta).sum() / weight.sum())
    return mean, float(np.sqrt((weight * (eta - mean) ** 2).sum() / weight.sum())), float(log_density.max() + np.log(weight.sum() * step))


@pytest.mark.parametrize("censored", [False, True])
def test_resampling_equals_quadrature(one_eta: DrugModel, censored: bool) -> None:
    """Mean, SD and marginal likelihood of one eta, with two levels, the second perhaps only known to be below the LLOQ (M3)."""
    late = Sample(time_h=20.0, value=0.0, lloq=1.0, below_lloq=True) if censored else Sample(time_h=20.0, value=1.4)
    posterior = patient.posterior_estimate(one_eta, case_of((Sample(time_h=6.0, value=5.1), late)), n_draws=20000)
    mean, sd, log_marginal = quadrature([(6.0, 5.1)] + ([] if censored else [(20.0, 1.4)]), (20.0, 1.0) if censored else None)
    assert posterior.etas.mean() == pytest.approx(mean, abs=0.005)
    assert posterior.etas.std() == pytest.approx(sd, rel=0.03)
    assert posterior.log_marginal == pytest.approx(log_marginal, abs=0.01)
    assert posterior.ess is not None and posterior.ess > 20000


def test_an_unused_sample_changes_nothing(one_eta: DrugModel) -> None:
    """Excluding a sample gives the estimate without it."""
    first = Sample(time_h=6.0, value=5.1)
    with_unused = patient.map_estimate(one_eta, case_of((first, Sample(time_h=8.0, value=50.0, used=False))))
    alone = patient.map_estimate(one_eta, case_of((first,)))
    assert with_unused.eta_point == pytest.approx(alone.eta_point, abs=1e-9)


def test_without_samples_the_posterior_is_the_prior(one_eta: DrugModel) -> None:
    """No level: the mode is 0 and the spread is omega."""
    posterior = patient.posterior_estimate(one_eta, case_of(()), n_draws=4000)
    assert patient.map_estimate(one_eta, case_of(())).eta_point == pytest.approx([0.0], abs=1e-8)
    assert posterior.etas.std() == pytest.approx(0.4, rel=0.05)


def test_ranks_of_the_truth_are_uniform() -> None:
    """Simulation-based calibration (Talts 2018, arXiv 1804.06788) of AUC0-12 and every eta: tacrolimus, C0/C1/C3, 300 patients."""
    model = read_model("tacrolimus_woillard_2011")
    rng = np.random.default_rng(2026)
    regimen = Regimen.steady(3, every_h=12, route=Route.ORAL)
    covariates = Covariates.constant({"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0})
    n, metric, times = 300, Metric.parse("AUC0-12"), np.asarray([0.0, 1.0, 3.0])
    etas = rng.standard_normal((n, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    true_auc = exposures(model, regimen, metric, covariates, etas)
    f = curves(model, regimen, times, covariates, etas)
    y = f + np.sqrt(variance(model.residual, f)) * rng.standard_normal(f.shape)
    ranks = [_ranks(model, regimen, covariates, y[i], times, etas[i], true_auc[i], seed=i) for i in range(n)]
    for column in np.asarray(ranks).T:
        counts = np.histogram(column, bins=10, range=(0, 1))[0]
        assert chisquare(counts).pvalue > 0.001, counts


def _ranks(
    model: DrugModel, regimen: Regimen, covariates: Covariates, y: np.ndarray, times: np.ndarray, eta: np.ndarray, auc: float, *, seed: int
) -> list[float]:
    samples = tuple(Sample(time_h=float(t), value=float(v)) for t, v in zip(times, y, strict=True))
    case = Case(label="sbc", drug="tacrolimus", history=regimen, samples=samples, covariates=covariates)
    drawn = patient.posterior_estimate(model, case, n_draws=400, seed=seed)
    exposure = drawn.exposure(regimen, Metric.parse("AUC0-12")).values
    return [float(np.mean(exposure < auc)), *np.mean(drawn.etas < eta, axis=0)]


def test_a_tail_longer_than_the_curvature_says_keeps_its_mass() -> None:
    """Three of eight etas with a shoulder to the left of the mode: 2 % of the draws lie below the exact 2 % point, on average."""
    share, short, away, long = 0.75, 0.35, -1.1, 0.6

    def density(x: np.ndarray) -> np.ndarray:
        return np.asarray(share * norm.pdf(x, 0, short) + (1 - share) * norm.pdf(x, away, long))

    def ofv(etas: np.ndarray) -> np.ndarray:
        return np.asarray(-2 * np.log(np.maximum(density(etas[:, :3]), 1e-300)).sum(axis=1) + (etas[:, 3:] ** 2).sum(axis=1))

    low = brentq(lambda x: share * norm.cdf(x, 0, short) + (1 - share) * norm.cdf(x, away, long) - 0.02, -5.0, 0.0)
    top, step = minimize_scalar(lambda x: -density(x), bounds=(-0.5, 0.5), method="bounded").x, 1e-4
    bent = -np.diff(np.log(density(top + step * np.arange(-1, 2))), n=2).item() / step**2
    eta = np.concatenate([np.full(3, top), np.zeros(5)])
    mode = Mode(eta=eta, ofv=ofv(eta[None]).item(), covariance=np.diag([1 / bent] * 3 + [1.0] * 5), log_mass=0.0)
    below = [(importance_resample((mode,), ofv, n_draws=999, seed=seed).etas[:, :3] < low).mean() for seed in range(100)]
    assert np.mean(below) == pytest.approx(0.02, abs=0.001)  # its standard error is 0.0003
