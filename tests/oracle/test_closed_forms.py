"""The engine against a second implementation: matrix exponentials, superposed dose by dose (no shared code with `auctor.pk`)."""

from __future__ import annotations

from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy.linalg import expm

from auctor.case import Covariates, Dose, Metric, Regimen, Route
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.course import concentrations
from auctor.pk.engine import jax, jnp
from auctor.pk.erlang import mode_integrals
from auctor.pk.exposure import curves, exposures, steady_auc
from auctor.pk.steady import steady_profile
from auctor.pk.timeline import build, stack

TEXT = """
schema = 1
drug = "oracle"
status = "draft"
population = "none: a structure to be checked"
reference = {{ doi = "none", cite = "closed form" }}
units = {{ time = "h", dose = "mg", concentration = "mg/L" }}
variability = {{ distribution = "lognormal", printed_as = "sd" }}
[structure]
absorption = {{ {absorption} }}
disposition = {{ {disposition} }}
{more}
[residual]
concentration = {{ proportional = 0.1, additive = 0.1, unit = "mg/L", source = "none" }}
[parameters]
CL = {{ value = 4.0, unit = "L/h", iiv = 0.3, source = "none" }}
V1 = {{ value = 50, unit = "L", iiv = 0.3, source = "none" }}
{parameters}
"""
ONE = 'kind = "one_compartment", CL = "CL", V1 = "V1"'
TWO = 'kind = "two_compartment", CL = "CL", V1 = "V1", Q = "Q", V2 = "V2"'
LINES = {
    "Q": 'Q = { value = 8.0, unit = "L/h", source = "none" }',
    "V2": 'V2 = { value = 70, unit = "L", source = "none" }',
    "KA": 'KA = { value = 1.3, unit = "1/h", iiv = 0.3, source = "none" }',
    "LAG": 'LAG = { value = 0.7, unit = "h", iiv = 0.3, source = "none" }',
    "F1": 'F1 = { value = 0.6, unit = "1", source = "none" }',
    "D1": 'D1 = { value = 2.5, unit = "h", iiv = 0.3, source = "none" }',
}
STRUCTURES = {
    "iv, one": ('kind = "none"', ONE, [], ""),
    "iv, two": ('kind = "none"', TWO, [], ""),
    "first order, one": ('kind = "first_order", rate = "KA"', ONE, ["KA"], ""),
    "first order with lag and F, two": (
        'kind = "first_order", rate = "KA", lag = "LAG"',
        TWO,
        ["KA", "LAG", "F1"],
        'bioavailability = "F1"',
    ),
    "erlang, two": ('kind = "erlang", stages = 3, rate = "KA"', TWO, ["KA"], ""),
    "erlang with lag, two": ('kind = "erlang", stages = 3, rate = "KA", lag = "LAG"', TWO, ["KA", "LAG"], ""),
    "zero order, one": ('kind = "zero_order", duration = "D1"', ONE, ["D1"], ""),
}


@pytest.fixture(params=sorted(STRUCTURES))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> DrugModel:
    """One structure at a time."""
    absorption, disposition, names, more = STRUCTURES[request.param]
    names = names + (["Q", "V2"] if disposition is TWO else [])
    path = tmp_path / f"{request.param.replace(' ', '_').replace(',', '')}.toml"
    path.write_text(TEXT.format(absorption=absorption, disposition=disposition, more=more, parameters="\n".join(LINES[n] for n in names)))
    return read_model(path)


def generator(model: DrugModel, p: dict[str, float]) -> np.ndarray:
    """dA/dt = G A for chain, central, peripheral and the area under the central concentration."""
    n, two = model.structure.stages, model.structure.peripheral is not None
    g = np.zeros((n + 2 + two, n + 2 + two))
    for i in range(n):
        g[i, i], g[i + 1, i] = -p["KA"], p["KA"]
    g[n, n] -= p["CL"] / p["V1"]
    if two:
        g[n, n] -= p["Q"] / p["V1"]
        g[n, n + 1], g[n + 1, n], g[n + 1, n + 1] = p["Q"] / p["V2"], p["Q"] / p["V1"], -p["Q"] / p["V2"]
    g[-1, n] = 1 / p["V1"]
    return g


def brute_force(model: DrugModel, p: dict[str, float], doses: list[tuple[float, float, float, bool]], t: float) -> tuple[float, float]:
    """Concentration and AUC at t from doses (time, mg, infusion h, into the chain), one matrix exponential each."""
    g, n = generator(model, p), model.structure.stages
    total = np.zeros(len(g))
    for start, amount, length, to_chain in doses:
        if t <= start:
            continue
        state = np.zeros(len(g))
        if length == 0:
            state[0 if to_chain else n] = amount
            total += expm(g * (t - start)) @ state
            continue
        joined = np.zeros((len(g) + 1, len(g) + 1))
        joined[:-1, :-1], joined[n, -1] = g, amount / length
        during = min(t - start, length)
        state = (expm(joined * during) @ np.eye(len(joined))[-1])[:-1]
        total += expm(g * (t - start - during)) @ state
    return total[n] / p["V1"], total[-1]


def individual(model: DrugModel, eta: np.ndarray) -> dict[str, float]:
    return {name: float(np.ravel(v)[0]) for name, v in model.individual({}, eta).items()}


def given(model: DrugModel, p: dict[str, float], start: float, amount: float, length: float) -> tuple[float, float, float, bool]:
    chain = model.structure.stages > 0
    return start + p.get("LAG", 0.0), amount * p.get("F1", 1.0), p.get("D1", length), chain


def test_histories(model: DrugModel) -> None:
    """Repeated doses, then another: concentrations and AUC to 1e-9."""
    iv = model.structure.absorption == "none"
    route, length = (Route.IV, 1.5) if iv else (Route.ORAL, 0.0)
    repeated = Dose(time_h=0, amount_mg=100, route=route, duration_h=length, every_h=12, additional=3)
    regimen = Regimen(doses=(repeated, Dose(time_h=50, amount_mg=70, route=route)))
    eta = np.random.default_rng(0).normal(size=len(model.eta_names)) * 0.3
    p = individual(model, eta)
    doses = [given(model, p, 12.0 * k, 100, length) for k in range(4)] + [given(model, p, 50.0, 70, 0.0)]
    times = np.asarray([0.2, 0.71, 1.4, 11.9, 12.5, 25.0, 49.9, 53.0, 80.0])
    got = concentrations(model, stack([build(model, regimen, Covariates(), times)]), eta[None])[0][: len(times)]
    want = [brute_force(model, p, doses, t)[0] for t in times]
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-14)
    auc = exposures(model, regimen, Metric.parse("AUC5-60"), Covariates(), eta[None])[0]
    assert auc == pytest.approx(brute_force(model, p, doses, 60.0)[1] - brute_force(model, p, doses, 5.0)[1], rel=1e-9)


def test_steady_state(model: DrugModel) -> None:
    """Steady state equals 400 earlier doses, through both doors, and its AUC is F dose / CL."""
    iv = model.structure.absorption == "none"
    length = 2.0 if iv else 0.0
    eta = np.random.default_rng(1).normal(size=len(model.eta_names)) * 0.3
    p = individual(model, eta)
    times = np.asarray([0.0, 0.5, 1.0, 3.0, 6.0, 11.9])
    want = [brute_force(model, p, [given(model, p, -12.0 * k, 100, length) for k in range(400)], t)[0] for t in times]
    columns = {name: np.asarray([value]) for name, value in p.items()}
    np.testing.assert_allclose(steady_profile(model, columns, 100.0, 12.0, times[None], duration_h=length)[0], want, rtol=1e-9)
    if model.structure.absorption == "zero_order":
        return
    regimen = Regimen.steady(100, every_h=12, route=Route.IV if iv else Route.ORAL, duration_h=length)
    np.testing.assert_allclose(curves(model, regimen, times, Covariates(), eta[None])[0], want, rtol=1e-9)
    auc = exposures(model, regimen, Metric.parse("AUC0-12"), Covariates(), eta[None])[0]
    assert auc == pytest.approx(float(steady_auc(model, columns, 100.0)[0]), rel=1e-9)


@pytest.mark.parametrize("stages", [1, 3, 6])
def test_chain_kernel_against_fifty_digits(stages: int) -> None:
    """The scaled incomplete gamma at rates from 1e-8 to 1e3, equal and nearly equal ones included: 1e-12 relative, never NaN."""
    rng = np.random.default_rng(stages)
    pairs = [(a, b) for a, b in 10 ** rng.uniform(-8, 3, (120, 2))]
    pairs += [(a, a * (1 + d)) for a in (1e-3, 0.7, 5.0, 80.0) for d in (0.0, 1e-13, 1e-6, -1e-4)]
    pairs += [(b + d, b) for b in (0.0, 2.0, 30.0) for d in np.linspace(0, 12, 25)] + [
        (b, b + d) for b in (0.0, 2.0, 30.0) for d in np.linspace(0, 12, 25)
    ]
    alpha, beta = np.asarray(pairs).T
    got = np.stack(mode_integrals(stages, jnp.asarray(alpha), jnp.asarray(beta), jnp), axis=-1)
    with mpmath.workdps(50):
        for (a, b), row in zip(pairs, got, strict=True):
            want = mpmath.exp(-mpmath.mpf(b)) * mpmath.hyp1f1(stages, stages + 1, -(mpmath.mpf(a) - mpmath.mpf(b))) / stages
            if want > 1e-280:
                assert abs(row[-1] / float(want) - 1) < 1e-12, (a, b)


def test_chain_kernel_derivatives() -> None:
    """First and second derivatives through equal rates equal central differences."""

    def value(x: jax.Array) -> jax.Array:
        return mode_integrals(3, x[0], x[1], jnp)[2]

    at = jnp.asarray([1.2, 1.2])
    gradient, hessian = jax.jacfwd(value)(at), jax.jacfwd(jax.jacfwd(value))(at)
    step = 1e-5
    for k in range(2):
        d = step * jnp.eye(2)[k]
        assert float(gradient[k]) == pytest.approx(float((value(at + d) - value(at - d)) / (2 * step)), rel=1e-8)
        np.testing.assert_allclose(hessian[k], (jax.jacfwd(value)(at + d) - jax.jacfwd(value)(at - d)) / (2 * step), rtol=1e-7)


def test_a_covariate_that_changes(tmp_path: Path) -> None:
    """LOCF for a case: one bolus, clearance doubling at 10 h, against the two exponentials written out."""
    text = TEXT.format(absorption='kind = "none"', disposition=ONE, more="", parameters="")
    text += '[covariates]\nCRCL = { unit = "mL/min", reference = 60, label = "creatinine clearance" }\n'
    text += '[effects]\nCL = { expr = "CRCL / 60", source = "none" }\n'
    path = tmp_path / "renal.toml"
    path.write_text(text)
    model = read_model(path)
    course = Covariates(series={"CRCL": ((0.0, 60.0), (10.0, 120.0))})
    regimen = Regimen(doses=(Dose(time_h=0, amount_mg=100, route=Route.IV),))
    got = curves(model, regimen, np.asarray([5.0, 10.0, 20.0]), course, np.zeros((1, 2)))[0]
    k = 4.0 / 50
    np.testing.assert_allclose(got, [2 * np.exp(-5 * k), 2 * np.exp(-10 * k), 2 * np.exp(-10 * k - 20 * k)], rtol=1e-12)
