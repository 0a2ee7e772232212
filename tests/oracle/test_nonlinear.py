"""Nonlinear models: steady states against closed forms, mass balance and brute force; derivatives; what has no steady state."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import lambertw

from auctor.case import Case, Covariates, Dose, Metric, Regimen, Route, Sample
from auctor.errors import EstimationError, OutOfDomain
from auctor.estimate.patient import a_priori, laplace_estimate, map_estimate, posterior_estimate
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.course import course, readings_of_draws
from auctor.pk.engine import jax
from auctor.pk.exposure import curves, exposures
from auctor.pk.timeline import build, from_records, stack
from auctor.records import Records

VMAX, KM, V, KA = 18.0, 5.0, 45.0, 0.6
TEXT = """
schema = 1
drug = "phenytoin"
status = "draft"
population = "an example, not a published model"
reference = { cite = "none" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
[structure]
cmt = { depot = 1, central = 2 }
[parameters]
VMAX = { value = 18, unit = "1", iiv = 0.3, source = "example" }
KM = { value = 5, unit = "mg/L", iiv = 0.4, source = "example" }
V = { value = 45, unit = "L", iiv = 0.2, source = "example" }
KA = { value = 0.6, unit = "1/h", iiv = 0.3, source = "example" }
[odes]
A1 = "-KA * A1"
A2 = "KA * A1 - VMAX * (A2 / V) / (KM + A2 / V)"
[outputs]
2 = "A2 / V"
[doses]
lag = { 1 = "0.7" }
[residual]
concentration = { proportional = 0.15, source = "example" }
"""
INDUCED = TEXT.replace(
    "VMAX * (A2 / V) / (KM + A2 / V)", 'A3 * A2 / V"\nA3 = "0.02 * (4 * (1 + 2 * A2 / V / (KM + A2 / V)) - A3)'
)  # clearance A3 (L/h) that the drug induces: a negative feedback, so the interval's map is not monotone


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    """One compartment, first-order absorption with a lag, Michaelis-Menten elimination."""
    return made(tmp_path_factory.mktemp("mm"), TEXT)


def made(folder: Path, text: str) -> DrugModel:
    path = folder / "model.toml"
    path.write_text(text)
    return read_model(path)


def some_etas(n: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((n, 4)) * [0.15, 0.4, 0.2, 0.3]


def repeated(amount: float, *, route: Route, every: float = 12.0, length: float = 0.0, steady: bool, additional: int = 0) -> Regimen:
    dose = Dose(
        time_h=0.0, amount_mg=amount, route=route, every_h=every, duration_h=length, additional=additional, steady_state=steady
    )  # fmt: skip
    return Regimen(doses=(dose,))


def table(model: DrugModel, etas: np.ndarray, **columns: list[float]) -> np.ndarray:
    """Concentrations at the records of a one-subject table, for many etas, by the engine."""
    records = Records.make("1", covariates={}, **columns)
    batch = stack([from_records(model, records)])
    one = {name: values[0] for name, values in batch.arrays.items()}
    return readings_of_draws(model, one, etas)[0][:, : len(records)]


@lru_cache
def slopes(model: DrugModel) -> Callable[..., Any]:
    """d concentration / d eta at the first three times, compiled once for all cases."""
    return jax.jit(lambda one, eta: jax.jacfwd(lambda at: course(model, one, at).concentration[:3])(eta))


def test_bolus_follows_lambert_w(model: DrugModel) -> None:
    """C + Km log C falls by Vmax t / V from a bolus: C = Km W(C0/Km exp((C0 - Vmax t / V) / Km)), over five decades of decline."""
    times = np.asarray([0.5, 2.0, 10.0, 40.0, 100.0, 200.0])
    ours = curves(model, repeated(400.0, route=Route.IV, steady=False), times, Covariates(), np.zeros((1, 4)))[0]
    start = 400.0 / V
    exact = KM * lambertw(start / KM * np.exp((start - VMAX * times / V) / KM)).real
    np.testing.assert_allclose(ours, exact, rtol=1e-7)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
def test_constant_infusion_at_steady_state(model: DrugModel, share: float) -> None:
    """Css = Km R / (Vmax - R)."""
    rate = share * VMAX
    found = table(
        model, np.zeros((1, 4)), time_h=[0.0], amt=[0.0], rate=[rate], ii=[0.0], evid=[1], cmt=[2], addl=[0], ss=[1],
    )  # fmt: skip
    assert found[0, 0] == pytest.approx(KM * rate / (VMAX - rate), rel=1e-7)


def test_constant_infusion_without_steady_state(model: DrugModel) -> None:
    """R >= Vmax: not a number of any kind."""
    found = table(
        model, np.zeros((1, 4)), time_h=[0.0], amt=[0.0], rate=[1.01 * VMAX], ii=[0.0], evid=[1], cmt=[2], addl=[0], ss=[1],
    )  # fmt: skip
    assert np.isinf(found[0, 0])


CASES = {
    "oral with lag": {"route": Route.ORAL},
    "bolus": {"route": Route.IV},
    "infusion": {"route": Route.IV, "length": 3.0},
    "infusion longer than its interval": {"route": Route.IV, "length": 20.0},
}


@pytest.mark.parametrize("how", CASES)
def test_newton_agrees_with_doses_given_one_by_one(model: DrugModel, how: str) -> None:
    """1e-9 where brute force converges; and the steady state repeats itself."""
    etas, many = some_etas(8), 1500
    times = np.asarray([5.0, 11.0, 17.0])
    steady = curves(model, repeated(90.0, steady=True, additional=1, **CASES[how]), times, Covariates(), etas)
    given = curves(model, repeated(90.0, steady=False, additional=many, **CASES[how]), times + 12.0 * many, Covariates(), etas)
    np.testing.assert_allclose(steady[:, :2], given[:, :2], rtol=1e-9)
    np.testing.assert_allclose(steady[:, 2], steady[:, 0], rtol=1e-9)


def test_negative_feedback(tmp_path: Path) -> None:
    """Auto-induction: the map of one interval is not monotone, and Newton still ends where doses one by one do."""
    model, etas = made(tmp_path, INDUCED), some_etas(6)
    times = np.asarray([0.0, 5.0])
    steady = curves(model, repeated(300.0, route=Route.ORAL, steady=True), times, Covariates(), etas)
    given = curves(model, repeated(300.0, route=Route.ORAL, steady=False, additional=400), times + 4800.0, Covariates(), etas)
    np.testing.assert_allclose(steady, given, rtol=1e-9)


def test_mass_balance(model: DrugModel) -> None:
    """What is eliminated in an interval at steady state, the integral of Vmax C / (Km + C), is the dose: here by Simpson's rule."""
    times = np.linspace(0.0, 12.0, 2401)
    level = curves(model, repeated(150.0, route=Route.ORAL, steady=True, additional=1), times, Covariates(), np.zeros((1, 4)))[0]
    gone = VMAX * level / (KM + level)
    simpson = (times[1] / 3) * (gone[0] + gone[-1] + 4 * gone[1:-1:2].sum() + 2 * gone[2:-1:2].sum())
    assert simpson == pytest.approx(150.0, rel=1e-7)


def test_added_steady_state(model: DrugModel) -> None:
    """SS = 2 adds the steady state to what is there."""
    columns = {"time_h": [0.0, 1.0, 1.0], "amt": [100.0, 90.0, 0.0], "rate": [0.0] * 3, "ii": [0.0, 12.0, 0.0], "cmt": [2, 2, 2]}
    found = table(model, np.zeros((1, 4)), evid=[1, 1, 0], addl=[0] * 3, ss=[0, 2, 0], **columns)[0]
    single = curves(model, repeated(100.0, route=Route.IV, steady=False), np.asarray([1.0]), Covariates(), np.zeros((1, 4)))[0, 0]
    steady = curves(model, repeated(90.0, route=Route.IV, steady=True), np.asarray([0.0]), Covariates(), np.zeros((1, 4)))[0, 0]
    assert found[2] == pytest.approx(single + steady + 90.0 / V, rel=1e-8)


@pytest.mark.parametrize("amount", [60.0, 150.0, 190.0])
def test_derivatives_at_steady_state(model: DrugModel, amount: float) -> None:
    """Forward derivatives through the fixed point against central differences of it."""
    regimen = repeated(amount, route=Route.ORAL, steady=True, additional=1)
    times = np.asarray([0.0, 4.0, 12.0])
    one = {k: jax.numpy.asarray(v[0]) for k, v in stack([build(model, regimen, Covariates(), times)]).arrays.items()}
    slope = np.asarray(slopes(model)(one, np.zeros(4)))
    h = 1e-4
    shifted = curves(model, regimen, times, Covariates(), np.concatenate([h * np.eye(4), -h * np.eye(4)]))
    np.testing.assert_allclose(slope.T, (shifted[:4] - shifted[4:]) / (2 * h), rtol=2e-5, atol=1e-6)


def test_where_the_dose_exceeds_what_can_be_eliminated(model: DrugModel) -> None:
    """Dose >= Vmax tau: infinite levels and AUC for that patient, numbers for the others, no NaN; and just below it a number."""
    etas = np.zeros((4, 4))
    etas[:, 0] = np.log([0.99, 1.001, 1.05, 1.5])  # Vmax as a share of the dose rate
    regimen = repeated(VMAX * 12.0, route=Route.ORAL, steady=True, additional=1)
    level = curves(model, regimen, np.asarray([0.0, 12.0]), Covariates(), etas)
    area = exposures(model, regimen, Metric.parse("AUC0-12"), Covariates(), etas)
    assert np.isinf(level[:2]).all() and np.isinf(area[:2]).all()
    assert np.isfinite(level[2:]).all() and np.isfinite(area[2:]).all()
    np.testing.assert_allclose(level[2:, 1], level[2:, 0], rtol=1e-7)


def patient(amount: float, level: float) -> Case:
    history = Regimen.steady(amount, every_h=12.0, route=Route.ORAL)
    return Case(label="A", drug="phenytoin", history=history, samples=(Sample(time_h=11.5, value=level),))


def test_a_patient_near_the_limit(model: DrugModel) -> None:
    """230 mg twice a day is more than the typical patient eliminates: the level says that this patient does."""
    case = patient(230.0, 25.0)
    for estimate in (map_estimate, laplace_estimate, posterior_estimate):
        found = estimate(model, case)
        assert 0.1 < found.eta_point[0] < 0.6  # Vmax above the typical one
        assert found.exposure(case.history, Metric.parse("Cavg0-24")).point == pytest.approx(26.5, rel=0.1)
    prior = a_priori(model, case)
    assert [n.code for n in prior.notices] == ["no-steady-state"] and prior.notices[0].blocks_signing
    assert np.isfinite(prior.exposure(case.history, Metric.parse("Cavg0-24")).values).all()


def test_a_regimen_that_cannot_settle_is_refused(model: DrugModel) -> None:
    """Never a silent number: the method abstains and says why; a dose nobody eliminates is an error with its remedy."""
    found = map_estimate(model, patient(150.0, 12.0))
    with pytest.raises(OutOfDomain, match="no steady state under this regimen"):
        found.exposure(Regimen.steady(400.0, every_h=12.0, route=Route.ORAL), Metric.parse("Cavg0-24"))
    with pytest.raises(EstimationError, match="no steady state"):
        a_priori(model, patient(2000.0, 25.0))
    with pytest.raises(EstimationError, match="no steady state"):
        map_estimate(model, patient(2000.0, 25.0))
