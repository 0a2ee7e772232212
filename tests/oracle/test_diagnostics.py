"""Diagnostics against NONMEM's own table (phenobarbital), definitions and closed forms; de-shrinking where it is exact."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstest, multivariate_normal

from auctor.case import Case, Dose, Regimen, Route, Sample
from auctor.data.nonmem import read_table
from auctor.errors import EstimationError
from auctor.estimate.averaging import average_estimate
from auctor.estimate.deshrink import deshrink, deshrink_population, deshrink_table, deshrunken_estimate
from auctor.estimate.diagnostics import cwres, linearise, next_sample_error, next_samples, npde, shrinkage
from auctor.estimate.patient import a_priori, map_estimate
from auctor.estimate.table import TableEstimate, estimate_table
from auctor.models.model import DrugModel, Residual
from auctor.models.reader import read_model
from auctor.pk.course import concentrations
from auctor.pk.timeline import from_records, stack
from auctor.records import Records

Fit = tuple[TableEstimate, list[Records]]


def column(path: Path, *names: str) -> np.ndarray:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return np.asarray([[float(r[n]) for n in names] for r in rows])


@pytest.fixture(scope="module")
def pheno(oracles: Path) -> Fit:
    """The 59 neonates of Grasela & Donn 1985 under NONMEM's final estimates."""
    model = read_model("phenobarbital_pheno_nonmem")
    records = list(read_table(oracles / "pharmpy_nonmem" / "pheno_data.csv", model))
    return estimate_table(model, records), records


def test_cwres_equal_nonmem(oracles: Path, pheno: Fit) -> None:
    """All 155 to the five digits that NONMEM prints (1e-4)."""
    amount, theirs = column(oracles / "pharmpy_nonmem" / "pheno_real_table.csv", "AMT", "CWRES").T
    np.testing.assert_allclose(np.concatenate(cwres(*pheno)), theirs[amount == 0], atol=1e-4)


def test_conditional_covariance_equals_nonmem(oracles: Path, pheno: Fit) -> None:
    """ETC of every subject (printed to six digits) within 1e-5 relative to the SDs."""
    a, b, c = column(oracles / "pharmpy_nonmem" / "pheno_real_phi.csv", "ETC1_1", "ETC2_1", "ETC2_2").T
    ours = np.stack([part.covariance(pheno[0].model.omega) for part in linearise(*pheno)])
    np.testing.assert_allclose(ours[:, 0, 0], a, rtol=1e-5)
    np.testing.assert_allclose(ours[:, 1, 1], c, rtol=1e-5)
    np.testing.assert_allclose(ours[:, 0, 1] / np.sqrt(a * c), b / np.sqrt(a * c), atol=1e-5)


def test_npde_are_nonmems_but_for_its_draws(oracles: Path, pheno: Fit) -> None:
    """NONMEM ranked among 300 simulations: its ranks scatter around ours (1,000) by the binomial SD, no more."""
    amount, theirs = column(oracles / "pharmpy_nonmem" / "pheno_real_table.csv", "AMT", "NPDE").T
    ours = np.concatenate(
        npde(
            pheno[0].model,
            pheno[1],
        )
    )
    rank, other = ndtr(ours), ndtr(theirs[amount == 0])
    z = (other - rank) / np.sqrt(rank * (1 - rank) * (1 / 300 + 1 / 1000))
    assert np.corrcoef(ours, theirs[amount == 0])[0, 1] > 0.985
    assert abs(z.mean()) < 0.35
    assert 0.8 < z.std() < 1.2


def test_shrinkage_by_definition(oracles: Path, pheno: Fit) -> None:
    """From NONMEM's printed etas, and from the weighted residuals."""
    eta = column(oracles / "pharmpy_nonmem" / "pheno_real_phi.csv", "ETA1", "ETA2")
    found = shrinkage(pheno[0])
    assert found.names == ("CL", "V")
    assert found.eta == pytest.approx(1 - eta.std(axis=0, ddof=1) / np.sqrt([0.0293508, 0.027906]), abs=1e-4)
    amount, ipred = column(oracles / "pharmpy_nonmem" / "pheno_real_table.csv", "AMT", "IPRED").T
    dv = column(oracles / "pharmpy_nonmem" / "pheno_data.csv", "DV")[:, 0]
    iwres = ((dv - ipred) / (np.sqrt(0.013241) * ipred))[amount == 0]
    assert found.epsilon == pytest.approx(1 - iwres.std(ddof=1), abs=1e-4)
    with pytest.raises(EstimationError, match="fewer than two"):
        shrinkage(replace(pheno[0], subjects=pheno[0].subjects[:1]))


def simulated(model: DrugModel, records: list[Records], seed: int) -> list[Records]:
    """The same subjects with DV drawn from the model."""
    rng = np.random.default_rng(seed)
    eta = rng.standard_normal((len(records), len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    f = concentrations(model, stack([from_records(model, r) for r in records]), eta)
    noise = 1 + model.residual.proportional * rng.standard_normal(f.shape)
    return [replace(r, dv=np.where(r.observed, (f * noise)[i, : len(r)] * model.scale, 0.0)) for i, r in enumerate(records)]


@pytest.mark.parametrize("root", ["symmetric", "cholesky"])
def test_npde_are_standard_normal_under_the_model_and_not_under_another(pheno: Fit, root: str) -> None:
    """Three simulated tables of 155 levels: mean 0, variance 1, Kolmogorov-Smirnov; and refused when the residual SD is doubled."""
    model, records = pheno[0].model, pheno[1]
    tables = [simulated(model, records, seed) for seed in range(3)]
    values = np.concatenate([v for k, t in enumerate(tables) for v in npde(model, t, seed=k, root=root)])
    assert abs(values.mean()) < 3 / np.sqrt(len(values))
    assert abs(values.var() - 1) < 3 * np.sqrt(2 / len(values))
    assert kstest(values, "norm").pvalue > 0.01
    noisy = [replace(r, dv=r.dv * np.exp(0.4 * np.random.default_rng(i).standard_normal(len(r)))) for i, r in enumerate(tables[0])]
    assert kstest(np.concatenate(npde(model, noisy, root=root)), "norm").pvalue < 1e-4


def test_npde_decorrelate_what_a_patient_shares(pheno: Fit) -> None:
    """Levels of one patient are correlated as discrepancies and not as NPDE; the same seed gives the same figures."""
    model, tables = pheno[0].model, [simulated(pheno[0].model, pheno[1], seed) for seed in range(3)]

    def first_two(decorrelate: bool) -> np.ndarray:
        return np.stack([v[:2] for k, t in enumerate(tables) for v in npde(model, t, seed=k, decorrelate=decorrelate) if len(v) > 1])

    by_kind = {kind: first_two(kind) for kind in (True, False)}
    assert np.corrcoef(by_kind[False].T)[0, 1] > 0.3
    assert abs(np.corrcoef(by_kind[True].T)[0, 1]) < 0.15
    assert np.concatenate(npde(model, tables[0], seed=5)).tobytes() == np.concatenate(npde(model, tables[0], seed=5)).tobytes()


def test_a_censored_row_has_no_residual(pheno: Fit) -> None:
    """A level below the LLOQ is NaN and does not move the figures of the other subjects."""
    estimate, records = pheno
    first = np.flatnonzero(records[0].observed)[0]
    below = replace(records[0], blq=np.arange(len(records[0])) == first, lloq=np.full(len(records[0]), 20.0))
    values = cwres(estimate, [below, *records[1:]])
    assert np.isnan(values[0]).tolist() == [True, *[False] * (len(values[0]) - 1)]
    np.testing.assert_array_equal(np.concatenate(values[1:]), np.concatenate(cwres(*pheno)[1:]))
    assert np.isnan(npde(estimate.model, [below, *records[1:]])[0][0])


LINEAR = """
schema = 1
drug = "oracle"
status = "draft"
population = "none: linear in its one random effect, so that every figure has a closed form"
reference = { doi = "none", cite = "closed form" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "normal", printed_as = "sd" }
[structure]
absorption = { kind = "none" }
disposition = { kind = "one_compartment", CL = "CL", V1 = "V1" }
bioavailability = "F"
[residual]
concentration = { proportional = 0.0, additive = 0.5, unit = "mg/L", source = "none" }
[parameters]
CL = { value = 4.0, unit = "L/h", source = "none" }
V1 = { value = 50, unit = "L", source = "none" }
F = { value = 1.0, unit = "1", iiv = 0.3, source = "none" }
"""
TIMES, LEVELS = (2.0, 6.0, 20.0), (10.5, 7.4, 2.9)
SHAPE = 10 * np.exp(-4 / 50 * np.asarray(TIMES))


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    """A model whose concentrations are linear in eta, with normal errors."""
    path = tmp_path_factory.mktemp("model") / "linear.toml"
    path.write_text(LINEAR)
    return read_model(path)


def case_of(label: str, levels: tuple[float, ...]) -> Case:
    dose = Dose(time_h=0, amount_mg=500, route=Route.IV)
    samples = tuple(Sample(time_h=t, value=y) for t, y in zip(TIMES, levels, strict=True))
    return Case(label=label, drug="oracle", history=Regimen(doses=(dose,)), samples=samples)


def conjugate(levels: tuple[float, ...], upto: int) -> float:
    """Posterior mean of eta from the first `upto` levels."""
    g, y = SHAPE[:upto], np.asarray(levels[:upto])
    return float(g @ (y - g) / 0.25 / (g @ g / 0.25 + 1 / 0.09))


def test_marginal_likelihood_of_a_linear_model_is_a_normal_density(linear: DrugModel) -> None:
    """Both integrals with all their constants: p(samples) is multivariate normal (Laplace to rounding, importance sampling within 2 %)."""
    found = average_estimate([linear], case_of("a", LEVELS), 2000)
    truth = multivariate_normal(SHAPE, 0.09 * np.outer(SHAPE, SHAPE) + 0.25 * np.eye(3)).logpdf(LEVELS)
    assert found.laplace_log_marginals[0] == pytest.approx(truth, abs=1e-6)
    assert found.log_marginals[0] == pytest.approx(truth, abs=0.02)


def test_next_sample_is_predicted_from_those_before(linear: DrugModel) -> None:
    """Two patients, three samples: each prediction equals the conjugate posterior's; the summary is its definition."""
    patients = {"a": LEVELS, "b": (7.0, 5.5, 1.6)}
    cases = [case_of(name, levels) for name, levels in patients.items()]
    found = next_samples(linear, cases)
    truth = [SHAPE[k] * (1 + conjugate(levels, k)) for levels in patients.values() for k in range(3)]
    assert [p.predicted for p in found] == pytest.approx(truth, rel=1e-7)
    assert [p.n_before for p in found] == [0, 1, 2, 0, 1, 2]
    pe = np.asarray(truth) / np.concatenate(list(patients.values())) - 1
    summary = next_sample_error(found)
    assert (summary.rmpe, summary.rrmse) == pytest.approx((pe.mean(), np.sqrt((pe**2).mean())), rel=1e-6)
    assert (summary.mdpe, summary.mdape) == pytest.approx((np.median(pe), np.median(abs(pe))), rel=1e-6)
    assert [p.n_before for p in next_samples(linear, cases, a_priori=False)] == [1, 2, 1, 2]
    assert next_samples(linear, []) == []
    assert next_sample_error([]).n == 0


def test_deshrunken_map_of_a_linear_model_is_least_squares(linear: DrugModel) -> None:
    """Dividing by 1 - SE^2/omega^2 takes the prior out exactly: the maximum-likelihood estimate, with its standard error."""
    case = case_of("a", LEVELS)
    found = deshrunken_estimate(map_estimate(linear, case))
    assert found.eta_point[0] == pytest.approx(SHAPE @ (np.asarray(LEVELS) - SHAPE) / (SHAPE @ SHAPE), rel=1e-6)
    assert found.sd is not None
    assert found.sd[0] == pytest.approx(0.5 / np.sqrt(SHAPE @ SHAPE), rel=1e-6)
    with pytest.raises(EstimationError, match="no mode"):
        deshrunken_estimate(a_priori(linear, case))
    bare = deshrunken_estimate(map_estimate(linear, replace(case, samples=())))
    assert bare.eta_point.tolist() == pytest.approx([0.0], abs=1e-8)
    assert bare.notices[-1].code == "not-deshrunk"


OMEGA = np.asarray([[0.09, 0.02], [0.02, 0.16]])
DESIGN = np.asarray([[1.0, 0.4], [0.8, 1.0], [0.3, 1.5], [0.1, 0.7]])
SIGMA = 0.4


def linear_patients(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True etas, EBEs (n, 2) and their covariance of y = DESIGN eta + noise, in closed form."""
    rng = np.random.default_rng(seed)
    eta = rng.standard_normal((n, 2)) @ np.linalg.cholesky(OMEGA).T
    y = eta @ DESIGN.T + SIGMA * rng.standard_normal((n, len(DESIGN)))
    covariance = np.linalg.inv(DESIGN.T @ DESIGN / SIGMA**2 + np.linalg.inv(OMEGA))
    return eta, y @ DESIGN / SIGMA**2 @ covariance, covariance


def test_deshrunken_are_unbiased_or_keep_the_variance() -> None:
    """6,000 patients: the slope of the estimate on the truth is the identity (EBE: 1 - shrinkage), or its covariance is Omega."""
    eta, ebe, covariance = linear_patients(6000, 1)
    unbiased, keeping = (np.stack([deshrink(e, covariance, OMEGA, method=m).eta for e in ebe]) for m in ("unbiased", "variance"))
    slope = np.linalg.lstsq(eta, unbiased, rcond=None)[0]
    np.testing.assert_allclose(slope, np.eye(2), atol=0.05)
    np.testing.assert_allclose(np.linalg.lstsq(eta, ebe, rcond=None)[0].T, np.eye(2) - covariance @ np.linalg.inv(OMEGA), atol=0.04)
    np.testing.assert_allclose(np.cov(keeping.T), OMEGA, atol=0.008)
    np.testing.assert_allclose((unbiased - eta).std(axis=0), deshrink(ebe[0], covariance, OMEGA).sd, rtol=0.04)
    np.testing.assert_allclose(np.cov(deshrink_population(ebe, OMEGA).T), OMEGA, rtol=1e-9, atol=1e-12)


def test_deshrinking_leaves_what_the_samples_do_not_tell() -> None:
    """With one sample of two etas a direction has no information: it stays at the EBE, and the fitted value becomes the sample."""
    row, y = DESIGN[:1], np.asarray([0.7])
    covariance = np.linalg.inv(row.T @ row / SIGMA**2 + np.linalg.inv(OMEGA))
    ebe = covariance @ row.T @ y / SIGMA**2
    found = deshrink(ebe, covariance, OMEGA, limit=0.95)
    assert found.left == 1
    assert (row @ found.eta).item() == pytest.approx(0.7)
    assert found.shrinkage == pytest.approx(np.diag(covariance) / np.diag(OMEGA))


def test_ridge_takes_the_penalty_of_least_error() -> None:
    """One eta: the share kept is 1 - 1/(1 + phi z^2), the minimiser of b^4 z^2 + (1 - b^2)^2/phi, in closed form."""
    omega, se2, ebe = 0.16, 0.04, 0.3
    found = deshrink(np.asarray([ebe]), np.asarray([[se2]]), np.asarray([[omega]]), method="ridge")
    s, z = se2 / omega, ebe / np.sqrt(omega)
    share = 1 - 1 / (1 + (1 - s) / s * z**2)
    assert found.eta[0] == pytest.approx(share * ebe / (1 - s), rel=0.01)
    assert found.penalty is not None
    with pytest.raises(EstimationError, match="not a method"):
        deshrink(np.asarray([ebe]), np.asarray([[se2]]), np.asarray([[omega]]), method="more")


def test_deshrunken_table(pheno: Fit) -> None:
    """On real sparse data the `variance` form brings the spread of V's etas from 0.87 of omega back to 0.99."""
    found = np.stack([d.eta for d in deshrink_table(*pheno, method="variance")])
    omega = np.sqrt(np.diag(pheno[0].model.omega))
    assert np.std([s.eta for s in pheno[0].subjects], axis=0)[1] / omega[1] == pytest.approx(0.864, abs=0.01)
    assert found.std(axis=0)[1] / omega[1] == pytest.approx(0.985, abs=0.01)


def test_a_log_error_is_linearised_on_the_logarithm(pheno: Fit) -> None:
    """With an error on log y the residuals are log DV - log IPRED over its SD, and their slopes d log IPRED / d eta."""
    estimate, records = pheno
    model = replace(estimate.model, residual=Residual(proportional=0.2, additive=0.0, kind="log"))
    part = linearise(replace(estimate, model=model), records)[0]
    plain = linearise(estimate, records)[0]
    f = np.asarray([row.ipred for row in estimate.subjects[0].rows])
    np.testing.assert_allclose(part.misfit, np.log1p(plain.misfit / f), rtol=1e-9)
    np.testing.assert_allclose(part.slope, plain.slope / f[:, None], rtol=1e-6)
    np.testing.assert_allclose(part.variance, 0.04)
    assert not part.variance_slope.any()
