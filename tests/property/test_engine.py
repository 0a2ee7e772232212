"""What must hold of any linear model under any regimen: the engine over random regimens and parameters of two library models."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auctor.case import Covariates, Dose, Metric, MetricKind, Regimen, Route
from auctor.estimate.map import map_batch
from auctor.estimate.objective import variance
from auctor.estimate.observations import Observations, of_records
from auctor.models.model import DrugModel
from auctor.models.reader import library_path, read_model
from auctor.pk.course import concentrations
from auctor.pk.exposure import curves, exposures
from auctor.pk.timeline import Batch, build, stack
from auctor.records import Records

MODELS = {
    "vancomycin_goti_2018": Covariates.constant({"CRCL": 80.0, "WT": 75.0, "DIAL": 0.0}),
    "tacrolimus_woillard_2011": Covariates.constant({"HCT": 34.0, "CYP3A5": 0.0, "FORM": 1.0}),
}
NAMES = sorted(MODELS)
# few sizes on purpose: every new one is compiled
DRAWS = 16
few = settings(max_examples=15, deadline=None)  # a first example may compile
seeds = st.integers(0, 2**32 - 1)
times = st.lists(st.floats(0, 72), min_size=1, max_size=8).map(np.asarray)
model_of = cache(read_model)


def etas(model: DrugModel, seed: int) -> np.ndarray:
    """Draws of eta within 2 SD, (DRAWS, p)."""
    z = np.clip(np.random.default_rng(seed).standard_normal((DRAWS, len(model.eta_names))), -2, 2)
    return np.asarray(z @ np.linalg.cholesky(model.omega).T)


@st.composite
def regimens(draw: st.DrawFn, name: str, most: int = 3) -> Regimen:
    """Up to three doses the model can take, at any times and in any order, some repeated."""
    intravenous = name.startswith("vancomycin")
    doses = []
    for _ in range(draw(st.integers(1, most))):
        doses.append(
            Dose(
                time_h=draw(st.floats(0, 48)),
                amount_mg=draw(st.floats(0.5, 2000)),
                route=Route.IV if intravenous else Route.ORAL,
                duration_h=draw(st.sampled_from([0.0, 0.5, 2.0])) if intravenous else 0.0,
                every_h=draw(st.floats(4, 24)),
                additional=draw(st.integers(0, 1)),
            )
        )
    return Regimen(doses=tuple(doses))


def course(name: str, regimen: Regimen, at: np.ndarray, seed: int) -> np.ndarray:
    model = model_of(name)
    return curves(model, regimen, at, MODELS[name], etas(model, seed))


def scale_of(*parts: np.ndarray) -> float:
    """An absolute tolerance for sums of terms of both sizes."""
    return 1e-12 * float(max(np.abs(p).max() for p in parts)) + 1e-300


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data(), at=times, seed=seeds)
def test_superposition(name: str, data: st.DataObject, at: np.ndarray, seed: int) -> None:
    """The course under two regimens together is the sum of their courses."""
    one, other = data.draw(regimens(name, 2)), data.draw(regimens(name, 2))
    a, b = course(name, one, at, seed), course(name, other, at, seed)
    both = course(name, Regimen(doses=one.doses + other.doses), at, seed)
    np.testing.assert_allclose(both, a + b, rtol=1e-10, atol=scale_of(a, b))


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data(), at=times, seed=seeds, factor=st.floats(1e-3, 1e3))
def test_dose_linearity(name: str, data: st.DataObject, at: np.ndarray, seed: int, factor: float) -> None:
    """Every dose times a factor is the course times the factor; so is AUC."""
    regimen = data.draw(regimens(name))
    more = Regimen(doses=tuple(replace(d, amount_mg=d.amount_mg * factor) for d in regimen.doses))
    expected = factor * course(name, regimen, at, seed)
    np.testing.assert_allclose(course(name, more, at, seed), expected, rtol=1e-10, atol=scale_of(expected))
    model, window = model_of(name), Metric.parse("AUC0-24")
    low, high = (exposures(model, r, window, MODELS[name], etas(model, seed)) for r in (regimen, more))
    np.testing.assert_allclose(high, factor * low, rtol=1e-9, atol=scale_of(high))


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data(), at=times, seed=seeds, shift=st.floats(0, 500))
def test_time_shift(name: str, data: st.DataObject, at: np.ndarray, seed: int, shift: float) -> None:
    """Doses and times moved together change nothing (apart from the rounding of t + shift)."""
    regimen = data.draw(regimens(name))
    on_grid = np.round(at * 64) / 64 + 1 / 128
    moved = round(shift * 64) / 64
    still = Regimen(doses=tuple(replace(d, time_h=round(d.time_h * 64) / 64, every_h=round(d.every_h * 64) / 64) for d in regimen.doses))
    later = Regimen(doses=tuple(replace(d, time_h=d.time_h + moved) for d in still.doses))
    expected = course(name, still, on_grid, seed)
    np.testing.assert_allclose(course(name, later, on_grid + moved, seed), expected, rtol=1e-10, atol=scale_of(expected))


@pytest.mark.parametrize("name", NAMES)
@few
@given(data=st.data(), at=times, seed=seeds, order=st.randoms(use_true_random=False))
def test_order_of_doses_and_times(name: str, data: st.DataObject, at: np.ndarray, seed: int, order: object) -> None:
    """Doses listed in any order are the same regimen, and times asked for in any order get the same answers."""
    regimen = data.draw(regimens(name))
    doses, columns = list(regimen.doses), list(range(len(at)))
    order.shuffle(doses), order.shuffle(columns)  # type: ignore[attr-defined]
    expected = course(name, regimen, at, seed)[:, columns]
    np.testing.assert_allclose(course(name, Regimen(doses=tuple(doses)), at[columns], seed), expected, rtol=1e-12, atol=scale_of(expected))


NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
EDGES = np.asarray([0.0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 8192])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(amount=st.floats(1, 2000), duration=st.sampled_from([0.5, 1.0, 2.0]), seed=seeds)
def test_mass_balance(name: str, amount: float, duration: float, seed: int) -> None:
    """AUC to infinity is dose / CL; the engine's AUC and the area under its curve (Gauss-Legendre) agree on the way there."""
    model, drawn = model_of(name), etas(model_of(name), seed)
    route = Route.IV if name.startswith("vancomycin") else Route.ORAL
    regimen = Regimen(doses=(Dose(time_h=0, amount_mg=amount, route=route, duration_h=duration if route is Route.IV else 0.0),))
    half = np.diff(EDGES) / 2
    at = (EDGES[:-1] + half)[:, None] + half[:, None] * NODES
    area = np.einsum("dij,j,i->d", curves(model, regimen, at.ravel(), MODELS[name], drawn).reshape(DRAWS, *at.shape), WEIGHTS, half)
    clearance = model.individual(MODELS[name].at(0.0), drawn)["CL"]
    np.testing.assert_allclose(area * clearance, amount, rtol=2e-6)
    whole = exposures(model, regimen, Metric(kind=MetricKind.AUC, start_h=0.0, stop_h=8192.0), MODELS[name], drawn)
    np.testing.assert_allclose(whole, area, rtol=2e-6)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(amount=st.floats(1, 2000), every=st.sampled_from([24.0, 36.0]), seed=seeds)
def test_steady_state_is_the_limit_of_repeated_doses(name: str, amount: float, every: float, seed: int) -> None:
    """The course of a steady-state dose is that of the 200th repeated one."""
    route = Route.IV if name.startswith("vancomycin") else Route.ORAL
    dose = Dose(time_h=0, amount_mg=amount, route=route, duration_h=1.0 if route is Route.IV else 0.0, every_h=every)
    at = np.linspace(0, every, 9)
    steady = course(name, Regimen(doses=(replace(dose, steady_state=True),)), at, seed)
    # asked for many times over, so that the size is the one compiled for the mass balance
    late = np.tile(at + 199 * every, 20)
    repeated = course(name, Regimen(doses=(replace(dose, additional=199),)), late, seed)[:, :9]
    np.testing.assert_allclose(steady, repeated, rtol=1e-8)


def table(dv: list[float], lloq: float) -> Records:
    n = len(dv)
    return Records.make(
        "1", time_h=np.arange(n + 1), evid=[1, *[0] * n], amt=[3, *[0] * n], dv=[0, *dv], blq=[0] * n + [1], lloq=[lloq] * (n + 1)
    )


@few
@given(dv=st.lists(st.floats(0.1, 100), min_size=1, max_size=5))
def test_units_of_concentration(tmp_path_factory: pytest.TempPathFactory, dv: list[float]) -> None:
    """The same model and levels in ng/mL and in mg/L reach the engine as the same numbers."""
    micro = model_of("tacrolimus_woillard_2011")
    milli = read_model(in_milligrams(tmp_path_factory.getbasetemp() / "milligrams.toml"))
    assert milli.residual == micro.residual and milli.parameters == micro.parameters and (milli.omega == micro.omega).all()
    assert (milli.scale, micro.scale) == (1.0, 1000.0)
    ours, theirs = of_records(milli, table([v / 1000 for v in dv], 0.001)), of_records(micro, table(dv, 1.0))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15)


def in_milligrams(path: Path) -> Path:
    """Tacrolimus with its table in mg/L; the numbers quoted from the paper keep their unit."""
    path.write_text(library_path("tacrolimus_woillard_2011").read_text().replace('concentration = "ng/mL"', 'concentration = "mg/L"'))
    return path


PATIENTS = 64


@cache
def simulated(seed: int) -> tuple[Batch, Observations]:
    """Patients drawn from the model itself with levels at 1.5 and 10 h, (64, 2)."""
    model, rng = model_of("vancomycin_goti_2018"), np.random.default_rng(seed)
    dose = Dose(time_h=0, amount_mg=1000, route=Route.IV, duration_h=1.0)
    batch = stack([build(model, Regimen(doses=(dose,)), MODELS["vancomycin_goti_2018"], [1.5, 10.0])] * PATIENTS)
    eta = rng.standard_normal((PATIENTS, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T
    f = concentrations(model, batch, eta)
    y = np.maximum(f + np.sqrt(variance(model.residual, f)) * rng.standard_normal(f.shape), 0.01)
    taken = np.zeros_like(y)
    taken[:, :2] = 1.0
    return batch, Observations(y, taken, np.zeros((PATIENTS, 0), int), np.zeros_like(y))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_sample_more_is_never_less_known_on_average(seed: int) -> None:
    """Curvature at the mode, 64 patients drawn from the model, no sample, one, two: the mean log determinant of eta's covariance falls.

    No eta's mean variance grows either (law of total variance), but for the error of the curvature, which is the variance only
    approximately: 0.2 % on V2, of which a peak tells nothing.
    """
    model = model_of("vancomycin_goti_2018")
    batch, seen = simulated(seed)
    volume, spread = [np.linalg.slogdet(model.omega)[1]], [np.diag(model.omega)]
    for columns in ([0], [0, 1]):
        weight = np.zeros_like(seen.weight)
        weight[:, columns] = 1.0
        best = np.stack([m[0].covariance for m in map_batch(model, batch, seen._replace(weight=weight)).modes])
        volume.append(np.linalg.slogdet(best)[1].mean())
        spread.append(np.mean(np.diagonal(best, axis1=1, axis2=2), axis=0))
    assert (np.diff(volume) < -0.1).all(), volume
    assert (np.divide(spread[1:], spread[:-1]) < 1.003).all(), spread


def test_order_of_samples() -> None:
    """The estimate does not depend on the order in which samples are listed."""
    model = model_of("vancomycin_goti_2018")
    batch, seen = simulated(1)
    swapped = Batch(
        {**batch.arrays, "wanted": batch.arrays["wanted"][:, [1, 0, *range(2, batch.arrays["wanted"].shape[1])]]}, batch.n, batch.n_wanted
    )
    mirrored = seen._replace(value=seen.value[:, [1, 0, *range(2, batch.arrays["wanted"].shape[1])]])
    a, b = map_batch(model, batch, seen), map_batch(model, swapped, mirrored)
    np.testing.assert_allclose(a.eta, b.eta, atol=1e-8)
    np.testing.assert_allclose(a.ofv, b.ofv, rtol=1e-10)
