"""Marginal likelihoods against a closed form and quadrature, weights against mapbayr, and the mixture that they make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import norm

from auctor.case import Case, Dose, Metric, Regimen, Route, Sample
from auctor.errors import EstimationError
from auctor.estimate.averaging import Average, allocation, average_estimate, normalised, select
from auctor.estimate.patient import map_estimate
from auctor.models.model import DrugModel
from auctor.models.reader import read_model

HEAD = """
schema = 1
drug = "oracle"
status = "draft"
population = "none: few random effects, so that the marginal likelihood can be integrated"
reference = {{ doi = "none", cite = "quadrature" }}
units = {{ time = "h", dose = "mg", concentration = "mg/L" }}
variability = {{ distribution = "lognormal", printed_as = "sd" }}
[structure]
absorption = {{ kind = "none" }}
disposition = {{ kind = "one_compartment", CL = "CL", V1 = "V1" }}
[residual]
concentration = {{ {residual}, unit = "mg/L", source = "none" }}
[parameters]
CL = {{ value = {cl}, unit = "L/h"{cl_iiv}, source = "none" }}
V1 = {{ value = 50, unit = "L"{v_iiv}, source = "none" }}
"""
SAMPLES = ((2.0, 7.1), (6.0, 5.1), (20.0, 1.4))


def model_of(folder: Path, name: str, **values: str) -> DrugModel:
    given = {"residual": "proportional = 0.2, additive = 0.1", "cl": "4.0", "cl_iiv": "", "v_iiv": "", **values}
    path = folder / f"{name}.toml"
    path.write_text(HEAD.format(**given))
    return read_model(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[DrugModel, DrugModel, DrugModel]:
    """One eta, two etas, and one eta with an error on the logarithm."""
    folder = tmp_path_factory.mktemp("models")
    one = model_of(folder, "one", cl_iiv=", iiv = 0.4")
    two = model_of(folder, "two", cl="6.0", cl_iiv=", iiv = 0.3", v_iiv=", iiv = 0.25")
    log = model_of(folder, "log", cl_iiv=", iiv = 0.4", residual='kind = "log", proportional = 0.25, additive = 0.0')
    return one, two, log


def case_of(samples: tuple[Sample, ...]) -> Case:
    return Case(label="oracle", drug="oracle", history=Regimen(doses=(Dose(time_h=0, amount_mg=500, route=Route.IV),)), samples=samples)


CASE = case_of(tuple(Sample(time_h=t, value=y) for t, y in SAMPLES))


def by_quadrature(cl: float, omega_cl: float, omega_v: float, *, log: bool = False) -> float:
    """log p(samples): the closed form written out on a grid of eta, every constant kept."""
    eta = np.linspace(-6, 6, 1201)
    one, two = eta[:, None] * omega_cl, (eta if omega_v else np.zeros(1))[None, :] * omega_v
    volume = 50 * np.exp(two)
    total = norm.logpdf(eta)[:, None] + (norm.logpdf(eta)[None, :] if omega_v else 0.0)
    for t, y in SAMPLES:
        f = 500 / volume * np.exp(-cl * np.exp(one) / volume * t)
        density = norm.logpdf(np.log(y), np.log(f), 0.25) - np.log(y) if log else norm.logpdf(y, f, np.sqrt((0.2 * f) ** 2 + 0.1**2))
        total = total + density
    steps = 2 if omega_v else 1
    return float(logsumexp(total) + steps * np.log(eta[1] - eta[0]))


QUADRATURE = (by_quadrature(4, 0.4, 0), by_quadrature(6, 0.3, 0.25), by_quadrature(4, 0.4, 0, log=True))


@pytest.fixture(scope="module")
def averages(models: tuple[DrugModel, ...]) -> dict[str, Average]:
    """The three models averaged by both kinds of marginal likelihood."""
    return {kind: average_estimate(models, CASE, 2000, weights=kind) for kind in ("importance", "laplace")}


def test_marginal_likelihoods_equal_quadrature(averages: dict[str, Average]) -> None:
    """One eta, two etas, and a log error with its Jacobian: importance sampling within 2 %, Laplace within the 5 % of its own error."""
    found = averages["importance"]
    assert found.log_marginals == pytest.approx(QUADRATURE, abs=0.02)
    assert found.laplace_log_marginals == pytest.approx(QUADRATURE, abs=0.05)


def test_weights_are_those_of_quadrature(averages: dict[str, Average]) -> None:
    """prior x marginal likelihood, normalised."""
    truth = normalised(np.asarray(QUADRATURE))
    assert averages["importance"].weights == pytest.approx(truth, abs=0.01)
    assert averages["laplace"].weights == pytest.approx(truth, abs=0.01)


def test_mixture_is_the_weighted_mean(averages: dict[str, Average]) -> None:
    """Draws are allocated by weight; the point and the draws' mean are the weighted mean of the models' posterior means."""
    found, metric, regimen = averages["importance"], Metric.parse("AUC0-24"), CASE.history
    parts = [e.exposure(regimen, metric) for e in found.estimates]
    drawn = found.exposure(regimen, metric)
    expected = float(sum(w * p.point for w, p in zip(found.weights, parts, strict=True)))
    assert drawn.point == pytest.approx(expected, rel=1e-9)
    assert drawn.values.mean() == pytest.approx(expected, rel=0.01)
    assert len(drawn.values) == 2000
    assert [len(r) for r in found.rows] == allocation(found.weights, 2000).tolist()
    curve = found.predict(regimen, np.asarray([1.0, 12.0]))
    assert curve.values.shape == (2000, 2)
    assert curve.values.mean(axis=0) == pytest.approx(curve.point, rel=0.01)


def test_prior_and_no_sample(models: tuple[DrugModel, ...], averages: dict[str, Average]) -> None:
    """Without a sample the weights are the prior's; a prior of 0 removes a model; the same call gives the same bytes."""
    empty = average_estimate(models[:2], case_of(()), 2000, prior=(3, 1))
    assert empty.weights.tolist() == [0.75, 0.25]
    alone = average_estimate(models[:2], CASE, 2000, prior=(0, 1))
    assert alone.weights.tolist() == [0.0, 1.0]
    again = average_estimate(models, CASE, 2000)
    assert again.weights.tobytes() == averages["importance"].weights.tobytes()


def test_selection_takes_the_heaviest(averages: dict[str, Average]) -> None:
    """The chosen estimate is the largest weight's, and says how sure the choice was."""
    found = averages["importance"]
    chosen = select(found)
    assert chosen.model == found.estimates[int(np.argmax(found.weights))].model
    assert chosen.notices[-1].code == "model-selected"


def test_a_model_that_refuses_the_case_is_left_out_and_named(models: tuple[DrugModel, ...]) -> None:
    """A swallowed dose cannot go into the intravenous models; with none left, the error says why."""
    oral = Case(label="x", drug="oracle", history=Regimen(doses=(Dose(time_h=0, amount_mg=5, route=Route.ORAL),)))
    with pytest.raises(EstimationError, match="no model can be used"):
        average_estimate(models[:1], oral)
    fixed = average_estimate([models[0], models[0]], CASE, 2000, weights="ofv", prior=(1, 1))
    assert fixed.weights.tolist() == [0.5, 0.5]
    with pytest.raises(EstimationError, match="kind of weight"):
        average_estimate(models, CASE, weights="bic")


SINCE = 96.0 - np.asarray([0.0, 24.0, 48.0, 72.0])


def run001(dose: float, eta: np.ndarray) -> float:
    """Level at 96 h of mapbayr's run 001 (first-order absorption), by superposition; etas of CL, V and KA."""
    cl, v, ka = np.asarray([4.0, 70.0, 1.0]) * np.exp(eta)
    return float((dose * ka / (v * (ka - cl / v)) * (np.exp(-cl / v * SINCE) - np.exp(-ka * SINCE))).sum())


def run006(dose: float, eta: np.ndarray) -> float:
    """Level at 96 h of mapbayr's run 006 (20 % first order, 80 % zero order over D2) with TVCL = 1, by superposition."""
    cl, v, ka, d = np.asarray([1.0, 70.0, 1.0, 4.0]) * np.exp(eta)
    k = cl / v
    first = 0.2 * dose * ka / (v * (ka - k)) * (np.exp(-k * SINCE) - np.exp(-ka * SINCE))
    zero = 0.8 * dose / (d * cl) * -np.expm1(-k * np.minimum(d, SINCE)) * np.exp(-k * np.maximum(SINCE - d, 0))
    return float((first + zero).sum())


def best_of_run006(dose: float) -> tuple[float, float]:
    """OFV and level at the mode, by a derivative-free search."""

    def ofv(eta: np.ndarray) -> float:
        v = 0.05 * run006(dose, eta) ** 2
        return float(np.log(v) + (1 - run006(dose, eta)) ** 2 / v + eta @ eta / 0.2)

    starts = [np.zeros(4), np.asarray([1.0, 0.0, 0.0, 0.0]), np.asarray([0.5, -0.5, 0.0, 0.0])]
    runs = [minimize(ofv, s, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000}) for s in starts]
    best = min(runs, key=lambda r: r.fun)
    return float(best.fun), run006(dose, best.x)


@pytest.mark.parametrize(("subject", "dose"), [("2", 100.0), ("9", 200.0)])
def test_mapbayr_weights(oracles: Path, tmp_path: Path, subject: str, dose: float) -> None:
    """mapbayr's model averaging example: run 001 here, run 006 written out; OFV, both kinds of weights and the averaged level."""
    expected = json.loads((oracles / "mapbayr_tests" / "cases.json").read_text())["cases"][2]["expected"]
    text = HEAD.format(
        residual='proportional = 0.05, additive = 0.0, printed_as = "variance"', cl="4.0", cl_iiv=", iiv = 0.2", v_iiv=", iiv = 0.2"
    )
    text = (
        text.replace('"sd"', '"variance"').replace('kind = "none"', 'kind = "first_order", rate = "KA"').replace("value = 50", "value = 70")
    )
    path = tmp_path / "run001.toml"
    path.write_text(text + 'KA = { value = 1.0, unit = "1/h", iiv = 0.2, source = "none" }\n')
    doses = tuple(Dose(time_h=t, amount_mg=dose, route=Route.ORAL) for t in (0.0, 24.0, 48.0, 72.0))
    case = Case(label="x", drug="oracle", history=Regimen(doses=doses), samples=(Sample(time_h=96.0, value=1.0),))
    ours = map_estimate(read_model(path), case)
    other, level = best_of_run006(dose)
    assert ours.ofv == pytest.approx(expected["OFV_A"][subject], abs=1e-3)
    scores = -0.5 * np.asarray([ours.ofv, other])
    weights = normalised(scores)
    assert weights == pytest.approx(expected["weights LL = exp(-OFV/2) normalised"][subject], abs=1e-3)
    assert normalised(scores - [3, 4]) == pytest.approx(expected["weights AIC = exp(-OFV/2 - k)"][subject], abs=1e-3)
    levels = [run001(dose, ours.eta_point), level]
    assert weights @ levels == pytest.approx(expected["averaged IPRED(96)"][subject], abs=1e-3)


def test_ofv_weights_are_those_of_the_modes(models: tuple[DrugModel, ...]) -> None:
    """`ofv` and `aic` through the whole path: exp(-OFV/2) and exp(-OFV/2 - number of etas) of each model's MAP."""
    ofv = np.asarray([float(map_estimate(m, CASE).ofv or 0.0) for m in models[:2]])
    assert average_estimate(models[:2], CASE, 2000, weights="ofv").weights == pytest.approx(normalised(-ofv / 2), abs=1e-9)
    assert average_estimate(models[:2], CASE, 2000, weights="aic").weights == pytest.approx(normalised(-ofv / 2 - [1, 2]), abs=1e-9)


def test_quadrature_itself() -> None:
    """The grid of the oracle against adaptive quadrature, one eta."""

    def density(eta: float) -> float:
        out = float(norm.pdf(eta, scale=0.4))
        for t, y in SAMPLES:
            f = 10 * np.exp(-4 * np.exp(eta) / 50 * t)
            out *= float(norm.pdf(y, f, np.sqrt((0.2 * f) ** 2 + 0.1**2)))
        return out

    assert QUADRATURE[0] == pytest.approx(np.log(quad(density, -3, 3, epsabs=1e-14)[0]), abs=1e-6)
