"""Support points against Pmetrics, the weights against expectation-maximisation and Lindsay's theorem, NPAG against an exact mixture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from auctor.case import Case, Dose, Metric, Regimen, Route, Sample
from auctor.errors import EstimationError, ModelError
from auctor.estimate.mixing import best_weights, directional_derivative, independent
from auctor.estimate.nonparametric import nonparametric_estimate
from auctor.estimate.npag import Settings, npag
from auctor.estimate.observations import of_case
from auctor.estimate.patient import sample_predictions
from auctor.estimate.support import AssayError, SupportPoints, log_likelihood, read_support_points, write_support_points
from auctor.models.model import DrugModel, Residual
from auctor.models.reader import read_model

MODEL = """
schema = 1
drug = "oracle"
status = "draft"
population = "none: the variability only says which parameters the support points may set"
reference = { doi = "none", cite = "none" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
[structure]
absorption = { kind = "first_order", rate = "KA", lag = "TLAG" }
disposition = { kind = "one_compartment", CL = "CL", V1 = "V" }
[parameters]
CL = { value = 4, unit = "L/h", iiv = 0.5, source = "none" }
V = { value = 75, unit = "L", iiv = 0.5, source = "none" }
KA = { value = 0.5, unit = "1/h", iiv = 0.5, source = "none" }
TLAG = { value = 1, unit = "h", iiv = 0.5, source = "none" }
[residual]
concentration = { proportional = 0.1, additive = 0, unit = "mg/L", source = "none" }
"""
REPORTED = 450.882870186123
PERCENT_10 = AssayError(coefficients=(0.0, 0.1))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    """One compartment, first-order absorption with a lag, every parameter free to vary."""
    path = tmp_path_factory.mktemp("model") / "oral.toml"
    path.write_text(MODEL)
    return read_model(path)


def case_of(doses: list[tuple[float, float]], samples: list[tuple[float, float]], label: str = "oracle") -> Case:
    given = tuple(Dose(time_h=t, amount_mg=amount, route=Route.ORAL) for t, amount in doses)
    return Case(label=label, drug="oracle", history=Regimen(doses=given), samples=tuple(Sample(time_h=t, value=y) for t, y in samples))


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def pmetrics(oracles: Path) -> dict[str, Case]:
    """The 20 subjects of Pmetrics' example, by ID."""
    rows = table(oracles / "pmetrics_npag" / "NPex_data.csv")
    cases = {}
    for name in dict.fromkeys(row["id"] for row in rows):
        own = [row for row in rows if row["id"] == name]
        doses = [(float(row["time"]), float(row["dose"])) for row in own if row["evid"] == "1"]
        cases[name] = case_of(doses, [(float(row["time"]), float(row["out"])) for row in own if row["evid"] == "0"], name)
    return cases


@pytest.fixture(scope="module")
def published(oracles: Path) -> SupportPoints:
    """The 17 support points Pmetrics printed, its Ke as CL = Ke V, with its final gamma."""
    rows = table(oracles / "pmetrics_npag" / "NPex_support_points.csv")
    ka, ke, v, lag, p = np.asarray([[float(row[name]) for name in ("ka", "ke", "v", "tlag1", "prob")] for row in rows]).T
    error = AssayError(coefficients=(0.0, 0.1), gamma=1.31516)
    return SupportPoints(parameters=("CL", "V", "KA", "TLAG"), points=np.stack([ke * v, v, ka, lag], axis=1), probabilities=p, error=error)


def test_published_points_give_the_published_likelihood_and_weights(
    model: DrugModel, pmetrics: dict[str, Case], published: SupportPoints, oracles: Path
) -> None:
    """-2LL 450.900 (Pmetrics' own report, of a different last step: 450.883) and all 340 posterior weights within 1.3e-3."""
    estimates = {name: nonparametric_estimate(model, case, published) for name, case in pmetrics.items()}
    assert -2 * sum(e.log_marginal for e in estimates.values()) == pytest.approx(450.8998742, abs=1e-6)
    printed = table(oracles / "pmetrics_npag" / "NPex_posterior_weights.csv")
    off = [abs(float(row["prob"]) - estimates[row["id"]].weights[int(row["point"])]) for row in printed]
    assert len(off) == 340 and max(off) < 1.3e-3


def test_posterior_means_are_the_published_ones(
    model: DrugModel, pmetrics: dict[str, Case], published: SupportPoints, oracles: Path
) -> None:
    """Posterior mean V, ka and lag of every subject, within what the weights allow (1.3e-3 of the range)."""
    for row in table(oracles / "pmetrics_npag" / "NPex_posterior_mean.csv"):
        mean = nonparametric_estimate(model, pmetrics[row["id"]], published).parameters
        for name, column, width in (("V", "v", 90.0), ("KA", "ka", 0.8), ("TLAG", "tlag1", 4.0)):
            assert mean[name] == pytest.approx(float(row[column]), abs=2e-3 * width), row["id"]


def test_npag_goes_below_the_published_likelihood_and_is_certified(model: DrugModel, pmetrics: dict[str, Case]) -> None:
    """With Pmetrics' gamma and ranges -2LL falls 14 below its 100 cycles, and Lindsay's D leaves at most 0.1, as far as probed."""
    ranges = {"KA": (0.1, 0.9), "KE": (0.001, 0.1), "V": (30.0, 120.0), "TLAG": (0.0, 4.0)}
    fit = npag(
        model,
        list(pmetrics.values()),
        ranges,
        AssayError(coefficients=(0.0, 0.1), gamma=1.31516),
        derive=lambda v: {"CL": v["KE"] * v["V"], "V": v["V"], "KA": v["KA"], "TLAG": v["TLAG"]},
        settings=Settings(grid=1024, cycles=60, fit_error=False),
    )
    assert fit.best < REPORTED - 14
    assert 2 * fit.certificate < 0.1
    assert len(fit.support.probabilities) <= len(pmetrics)
    again = [nonparametric_estimate(model, case, fit.support).log_marginal for case in pmetrics.values()]
    assert -2 * sum(again) == pytest.approx(fit.best, abs=1e-6)


def test_a_mixture_of_two_points_is_recovered(model: DrugModel) -> None:
    """12 subjects at one point and 8 at another, measured without noise: exactly those two points, weighing 0.6 and 0.4."""
    times, truth = (1.5, 4.0, 8.0, 12.0, 24.0), np.asarray([[2.0, 60.0], [6.0, 95.0]])
    etas = SupportPoints(parameters=("CL", "V"), points=truth, probabilities=np.asarray([0.6, 0.4]), error=PERCENT_10).etas(model)
    f = sample_predictions(model, case_of([(0.0, 600.0)], [(t, 0.0) for t in times]), etas)
    cases = [case_of([(0.0, 600.0)], list(zip(times, f[k].tolist(), strict=True))) for k in [0] * 12 + [1] * 8]
    fit = npag(model, cases, {"CL": (1.0, 10.0), "V": (40.0, 120.0)}, PERCENT_10, settings=Settings(grid=256, fit_error=False))
    heavy = fit.support.probabilities > 1e-3
    order = np.argsort(fit.support.points[heavy, 0])
    assert fit.support.points[heavy][order] == pytest.approx(truth, rel=2e-3)
    assert fit.support.probabilities[heavy][order] == pytest.approx([0.6, 0.4], abs=1e-3)
    assert fit.certificate < 1e-2


@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_expectation_maximisation_and_obey_lindsay(seed: int) -> None:
    """D <= 0 at every point and 0 where there is weight (it certifies the optimum); 50,000 EM steps come to the same value."""
    psi = np.exp(3.0 * np.random.default_rng(seed).standard_normal((25, 60)))
    weights = best_weights(psi)
    slope = directional_derivative(psi, psi @ weights)
    assert slope.max() < 1e-6
    assert np.abs(slope[weights > 1e-6]).max() < 1e-4
    em = np.full(60, 1 / 60)
    for _ in range(50_000):
        em *= (psi / (psi @ em)[:, None]).mean(axis=0)
    gap = np.log(psi @ weights).sum() - np.log(psi @ em).sum()
    assert -1e-9 < gap <= directional_derivative(psi, psi @ em).max() + 1e-9
    assert gap < 1e-2


def test_weights_of_subjects_with_one_point_each_are_the_shares() -> None:
    """Closed form: when every subject fits one point alone, its weight is the share of the subjects."""
    psi = np.repeat(np.eye(3), [5, 3, 2], axis=0) * np.linspace(1e-200, 1e-190, 10)[:, None]
    assert best_weights(psi) == pytest.approx([0.5, 0.3, 0.2], abs=1e-8)


def test_points_that_tell_nothing_apart_are_dropped() -> None:
    """A repeated column is linearly dependent: one of the two goes."""
    psi = np.asarray([[1.0, 0.2, 1.0], [0.1, 0.9, 0.1], [0.4, 0.5, 0.4]])
    assert len(independent(psi)) == 2


def test_the_predictor_answers_with_the_exact_posterior(model: DrugModel) -> None:
    """Without samples the prior: mean AUC is sum p dose / CL, draws in proportion to p; with samples Bayes' theorem written out."""
    support = SupportPoints(
        parameters=("CL", "V"), points=np.asarray([[2.0, 60.0], [4.0, 60.0]]), probabilities=np.asarray([0.25, 0.75]), error=PERCENT_10
    )
    prior = nonparametric_estimate(model, case_of([(0.0, 600.0)], []), support, n_draws=400)
    steady = Regimen.steady(600, every_h=24, route=Route.ORAL)
    auc = prior.exposure(steady, Metric.parse("AUC0-24"))
    assert auc.point == pytest.approx(0.25 * 300 + 0.75 * 150, rel=1e-9)
    assert np.sum(np.isclose(auc.values, 300.0)) == 100
    case = case_of([(0.0, 600.0)], [(6.0, 7.0), (24.0, 3.0)])
    posterior = nonparametric_estimate(model, case, support)
    f = sample_predictions(model, case, support.etas(model))
    y = np.asarray([7.0, 3.0])
    joint = support.probabilities * np.exp(-0.5 * ((y - f) / (0.1 * y)) ** 2).prod(axis=1)
    assert posterior.weights == pytest.approx(joint / joint.sum(), rel=1e-9)
    assert posterior.predict(case.history, np.asarray([24.0])).point == pytest.approx(posterior.weights @ f[:, 1:])


def test_far_samples_and_narrow_posteriors_are_noticed(model: DrugModel) -> None:
    """A patient outside the support is said to be, and a posterior of one point is not sold as certainty."""
    points = np.asarray([[2.0, 60.0], [8.0, 60.0]])
    support = SupportPoints(parameters=("CL", "V"), points=points, probabilities=np.full(2, 0.5), error=PERCENT_10)
    found = nonparametric_estimate(model, case_of([(0.0, 600.0)], [(24.0, 40.0)]), support)
    assert {n.code for n in found.notices} == {"few-support-points", "far-from-support"}


def test_the_error_of_the_model_file_serves_too(model: DrugModel) -> None:
    """A residual error of the prediction equals the same assay polynomial of the prediction; M3 is log Phi."""
    case = case_of([(0.0, 600.0)], [(6.0, 7.0)])
    f = np.asarray([[5.0], [7.0]])
    by_residual = log_likelihood(Residual(proportional=0.1, additive=0.2, kind="combined1"), f, of_case(case))
    by_assay = log_likelihood(AssayError(coefficients=(0.2, 0.1), of="prediction"), f, of_case(case))
    assert by_residual == pytest.approx(by_assay, rel=1e-12)


def test_the_file_reads_back_exactly_and_refuses_what_is_wrong(published: SupportPoints, tmp_path: Path) -> None:
    """Written and read: the same numbers; a misspelt key, a lost unit and probabilities that do not sum to 1 are refused."""
    path = tmp_path / "points.toml"
    write_support_points(published, path)
    back = read_support_points(path)
    assert back.parameters == published.parameters and back.error == published.error
    assert np.array_equal(back.points, published.points)
    assert back.probabilities == pytest.approx(published.probabilities, rel=1e-15)
    for old, new in (("gamma", "gama"), ("h, mg, L, mg/L", "h, g, L"), ("schema = 1", "schema = 2")):
        (tmp_path / "wrong.toml").write_text(path.read_text().replace(old, new))
        with pytest.raises(ModelError):
            read_support_points(tmp_path / "wrong.toml")
    with pytest.raises(EstimationError, match="sum to 1"):
        SupportPoints(parameters=("CL",), points=np.ones((2, 1)), probabilities=np.asarray([0.5, 0.2]), error=PERCENT_10)
