"""Prior weight against closed forms: a model linear in a normal eta, and the limit of maximum likelihood."""

from __future__ import annotations

import numpy as np
import pytest

from auctor.case import Case, Dose, Regimen, Route, Sample
from auctor.errors import ModelError
from auctor.estimate import patient
from auctor.estimate.flatten import flattened
from auctor.models.model import DrugModel
from auctor.models.reader import read_model

# a swallowed dose of bioavailable share F1 with a normal eta: the concentration is linear in eta, and so is the posterior normal
LINEAR = """
schema = 1
drug = "oracle"
status = "draft"
population = "none: linear in its random effect, so that the posterior is known"
reference = { doi = "none", cite = "closed form" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "normal", printed_as = "sd" }
[structure]
absorption = { kind = "none" }
disposition = { kind = "one_compartment", CL = "CL", V1 = "V1" }
bioavailability = "F1"
[residual]
concentration = { additive = 0.5, unit = "mg/L", source = "none" }
[parameters]
CL = { value = 5.0, unit = "L/h", source = "none" }
V1 = { value = 50, unit = "L", source = "none" }
F1 = { value = 0.8, unit = "1", iiv = 0.2, source = "none" }
"""
TIMES, LEVELS = np.asarray([1.0, 6.0]), np.asarray([10.4, 5.9])


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    path = tmp_path_factory.mktemp("model") / "linear.toml"
    path.write_text(LINEAR)
    return read_model(path)


def case() -> Case:
    samples = tuple(Sample(time_h=float(t), value=float(y)) for t, y in zip(TIMES, LEVELS, strict=True))
    return Case(label="w", drug="oracle", history=Regimen(doses=(Dose(time_h=0, amount_mg=500, route=Route.IV),)), samples=samples)


def normal_posterior(weight: float) -> tuple[float, float]:
    """Mean and SD of eta: y = x (0.8 + eta) + e, eta ~ N(0, 0.2^2 / w), e ~ N(0, 0.5^2)."""
    x = 10.0 * np.exp(-0.1 * TIMES)
    precision = weight / 0.04 + (x @ x) / 0.25
    return float(x @ (LEVELS - 0.8 * x) / 0.25 / precision), float(precision**-0.5)


@pytest.mark.parametrize("weight", [1.0, 0.01, 1e-9])
def test_the_normal_posterior(linear: DrugModel, weight: float) -> None:
    """Mode, SD and draws of the closed form; towards weight 0 they are those of least squares."""
    model = flattened(linear, weight)
    estimate = patient.map_estimate(model, case())
    mean, sd = normal_posterior(weight)
    assert estimate.eta_point == pytest.approx([mean], rel=1e-7)
    assert estimate.sd == pytest.approx([sd], rel=1e-6)
    if weight == 0.01:
        drawn = patient.posterior_estimate(model, case(), n_draws=20000)
        assert drawn.etas.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(20000))
        assert drawn.etas.std() == pytest.approx(sd, rel=0.02)
    if weight == 1e-9:
        x = 10.0 * np.exp(-0.1 * TIMES)
        assert estimate.eta_point == pytest.approx([x @ LEVELS / (x @ x) - 0.8], abs=1e-8)


def test_weight_one_is_the_model_itself() -> None:
    model = read_model("tacrolimus_woillard_2011")
    assert flattened(model, 1.0) is model and flattened(model, {"CL": 1.0}) is model


def test_a_weight_per_eta_keeps_correlations(tmp_path_factory: pytest.TempPathFactory) -> None:
    """D^-1/2 Omega D^-1/2: the variance of the eta named grows by 1/w, its correlations stay, and the hash changes with the weights."""
    path = tmp_path_factory.mktemp("model") / "correlated.toml"
    path.write_text(LINEAR.replace('"L/h", source', '"L/h", iiv = 0.5, source') + '[correlations]\n"CL,F1" = 0.6\n')
    model = read_model(path)
    half = flattened(model, {"CL": 0.25})
    sd = np.sqrt(np.diag(half.omega))
    assert sd == pytest.approx([1.0, 0.2])
    assert half.omega[0, 1] / (sd[0] * sd[1]) == pytest.approx(0.6)
    assert half.parameters["CL"].omega == pytest.approx(1.0) and half.parameters["F1"].omega == 0.2
    assert len({model.sha256, half.sha256, flattened(model, {"F1": 0.25}).sha256, flattened(model, 0.25).sha256}) == 4
    assert half != model and flattened(model, {"CL": 0.25}) == half


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), {"KA": 0.5}])
def test_what_is_no_weight_is_refused(linear: DrugModel, weight: float | dict[str, float]) -> None:
    with pytest.raises(ModelError, match="prior_weight"):
        flattened(linear, weight)
