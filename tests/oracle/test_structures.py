"""Every named structure equals its spelling as differential equations, event by event, and NumPy equals the compiled engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import gammaln

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.spelled import spelled
from auctor.models.structures import ABSORPTION, DISPOSITION
from auctor.pk.course import course
from auctor.pk.direct import is_direct, readings
from auctor.pk.engine import jax
from auctor.pk.exposure import curves
from auctor.pk.steady import steady_profile
from auctor.pk.system import Written
from auctor.pk.timeline import Timeline, build, stack

HEAD = """
schema = 1
drug = "oracle"
status = "draft"
population = "none: a structure to be checked"
reference = { cite = "closed form" }
units = { time = "h", dose = "mg", concentration = "ug/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
[residual]
concentration = { proportional = 0.1, source = "none" }
"""
VALUES = {
    "CL": (4.0, "L/h"), "V1": (50.0, "L"), "Q": (8.0, "L/h"), "V2": (70.0, "L"), "Q3": (0.9, "L/h"), "V3": (120.0, "L"),
    "VMAX": (30.0, "mg/h"), "KM": (2000.0, "ug/L"), "rate": (1.3, "1/h"), "rate2": (0.25, "1/h"), "lag": (0.7, "h"), "lag2": (1.6, "h"),
    "duration": (2.5, "h"), "input_rate": (45.0, "mg/h"), "fraction": (0.62, "1"), "stages": (4.3, "1"), "mtt": (1.9, "h"),
    "scale": (0.8, "1/h"), "shape": (2.4, "1"), "shape1": (3.1, "1"), "rate1": (2.2, "1/h"), "shape2": (9.4, "1"),
    "bioavailability": (0.55, "1"),
}  # fmt: skip
BODY = {"one_compartment": "one", "two_compartment": "two", "three_compartment": "three"}


def named(folder: Path, absorption: str, disposition: str, *, extra: tuple[str, ...] = (), gone: tuple[str, ...] = ()) -> DrugModel:
    """The structure with every optional part in `extra` and without the parts in `gone`; each of the two rates has an eta."""
    parts = [p for p in (*ABSORPTION[absorption][0], *extra) if p in (*ABSORPTION[absorption][0], *ABSORPTION[absorption][1])]
    body = [p for p in ("CL", *DISPOSITION[disposition], *extra) if p not in gone and p in ("CL", "VMAX", "KM", *DISPOSITION[disposition])]
    inputs = ", ".join(f'{p} = "{p}"' if not (p == "stages" and absorption == "erlang") else "stages = 3" for p in parts)
    lines = [
        f'{p} = {{ value = {VALUES[p][0]}, unit = "{VALUES[p][1]}", iiv = 0.2, source = "none" }}' for p in dict.fromkeys((*parts, *body))
    ]
    share = 'bioavailability = "bioavailability"' if absorption != "none" else ""
    if share:
        lines.append('bioavailability = { value = 0.55, unit = "1", source = "none" }')
    path = folder / "named.toml"
    path.write_text(
        HEAD
        + f'[structure]\n{share}\nabsorption = {{ kind = "{absorption}"{", " if inputs else ""}{inputs} }}\n'
        + f'disposition = {{ kind = "{disposition}", {", ".join(f"""{p} = "{p}" """.strip() for p in body)} }}\n[parameters]\n'
        + "\n".join(lines)
    )
    return read_model(path)


STRUCTURES = {
    **{f"iv, {short}": ("none", kind, ()) for kind, short in BODY.items()},
    "first order, three": ("first_order", "three_compartment", ()),
    "first order with lag, one": ("first_order", "one_compartment", ("lag",)),
    "erlang, two": ("erlang", "two_compartment", ()),
    "erlang with lag, three": ("erlang", "three_compartment", ("lag",)),
    "zero order of modelled length, two": ("zero_order", "two_compartment", ("duration", "lag")),
    "zero order of modelled rate, one": ("zero_order", "one_compartment", ("input_rate",)),
    "sequential, two": ("sequential", "two_compartment", ("lag",)),
    "mixed, two": ("mixed", "two_compartment", ("lag",)),
    "parallel, two": ("parallel", "two_compartment", ("lag", "lag2")),
    "transit, two": ("transit", "two_compartment", ()),
    "transit with depot, one": ("transit", "one_compartment", ("rate", "lag")),
    "transit with depot, two": ("transit", "two_compartment", ("rate",)),
    "double gamma, one": ("double_gamma", "one_compartment", ("lag",)),
    "weibull, two": ("weibull", "two_compartment", ()),
    "Michaelis-Menten, one": ("first_order", "one_compartment", ("VMAX", "KM")),
    "parallel elimination, two": ("none", "two_compartment", ("VMAX", "KM")),
}


@pytest.fixture(params=list(STRUCTURES))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> DrugModel:
    """One structure at a time."""
    absorption, disposition, extra = STRUCTURES[request.param]
    gone = ("CL",) if request.param.startswith("Michaelis") else ()
    return named(tmp_path, absorption, disposition, extra=extra, gone=gone)


def test_the_list_has_every_named_structure() -> None:
    assert {a for a, _, _ in STRUCTURES.values()} == set(ABSORPTION)
    assert {d for _, d, _ in STRUCTURES.values()} == set(DISPOSITION)


def doses_of(model: DrugModel) -> Regimen:
    """Two single doses, then steady state reached at 40 h and kept up; infusions where the model takes no other."""
    iv = model.structure.absorption == "none"
    route, length = (Route.IV, 1.5) if iv else (Route.ORAL, 0.0)
    one = [Dose(time_h=t, amount_mg=a, route=route, duration_h=length) for t, a in ((0.0, 100.0), (9.0, 60.0))]
    steady = Dose(time_h=40.0, amount_mg=80, route=route, duration_h=length, every_h=8, additional=2, steady_state=True)
    return Regimen(doses=(*one, steady))


TIMES = np.asarray([0.4, 1.0, 1.9, 3.0, 8.9, 9.6, 12.0, 39.9, 40.0, 40.9, 42.0, 47.9, 50.0, 55.9, 57.0, 70.0])


def both(model: DrugModel, timeline: Timeline, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concentrations and areas by the model's own tier and by its spelled-out equations, (2, n) each."""
    arrays = {name: values[0] for name, values in stack([timeline]).arrays.items()}
    spelt = Written(model, spelled(model), timeline.infused.shape[1])
    own, other = (np.asarray(jax.jit(lambda e, t=t: tuple(course(model, arrays, e, t)))(eta)) for t in (None, spelt))
    return own[:, : len(TIMES)], other[:, : len(TIMES)]


def test_named_equals_spelled_out(model: DrugModel) -> None:
    """Concentration and area at every time, single doses and steady state, to what the solver or the exponential gives."""
    eta = np.random.default_rng(3).normal(size=len(model.eta_names)) * 0.2
    timeline = build(model, doses_of(model), Covariates(), TIMES)
    own, other = both(model, timeline, eta)
    assert np.isfinite(own).all() and (own[0, 1:] > 0).sum() >= 13
    exact = spelled(model).linear and not spelled(model).densities
    np.testing.assert_allclose(own, other, rtol=1e-9 if exact else 2e-6, atol=1e-12 if exact else 1e-8)
    if is_direct(model):
        direct = readings(model, timeline, eta[None])
        np.testing.assert_allclose(direct[0][0], own[0], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(direct[1][0], own[1], rtol=1e-10, atol=1e-12)


def test_steady_profile_equals_the_events(model: DrugModel) -> None:
    """The profile of many patients is what the event engine reads after a steady-state record."""
    if not model.structure.linear:
        pytest.skip("steady_profile is for structures with a closed form")
    iv = model.structure.absorption == "none"
    dose = Dose(time_h=0, amount_mg=80, route=Route.IV if iv else Route.ORAL, duration_h=1.5 if iv else 0, every_h=8, steady_state=True)
    times = np.asarray([0.0, 0.5, 1.0, 2.2, 4.0, 7.9])
    eta = np.random.default_rng(5).normal(size=(1, len(model.eta_names))) * 0.2
    expected = readings(model, build(model, Regimen(doses=(dose,)), Covariates(), times), eta)[0]
    found = steady_profile(model, model.individual({}, eta), 80.0, 8.0, times[None], duration_h=dose.duration_h)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_savic_against_the_integral_equation(tmp_path: Path) -> None:
    """A dose through n = 4.3 transit compartments: the depot's equation integrated with the published input rate (Savic 2007, eq. 3)."""
    model = named(tmp_path, "transit", "one_compartment", extra=("rate",))
    p = {name: float(value) for name, value in model.individual({}, np.zeros(len(model.eta_names))).items()}
    ktr = (p["stages"] + 1) / p["mtt"]

    def slope(t: float, a: np.ndarray) -> list[float]:
        arriving = 55.0 * np.exp(np.log(ktr) + p["stages"] * np.log(max(ktr * t, 1e-300)) - ktr * t - gammaln(p["stages"] + 1))
        return [arriving - p["rate"] * a[0], p["rate"] * a[0] - p["CL"] / p["V1"] * a[1]]

    times = [0.5, 1.0, 2.0, 5.0, 20.0]
    wanted = solve_ivp(slope, (0, 20), [0.0, 0.0], t_eval=times, rtol=1e-11, atol=1e-13, method="DOP853").y[1] / p["V1"]
    regimen = Regimen(doses=(Dose(time_h=0, amount_mg=100, route=Route.ORAL),))
    found = readings(model, build(model, regimen, Covariates(), times), np.zeros((1, len(model.eta_names))))[0][0]
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_whole_transit_chains_are_erlang(tmp_path: Path) -> None:
    """Two transit compartments before central are three steps of (n + 1) / mtt: the Erlang chain, also at steady state."""
    transit, erlang = (named(tmp_path, kind, "two_compartment") for kind in ("transit", "erlang"))
    three = {**transit.parameters, "stages": replace(transit.parameters["stages"], value=2.0, omega=None)}
    steps = {**erlang.parameters, "rate": replace(erlang.parameters["rate"], value=3.0 / 1.9, omega=None)}
    transit = replace(transit, parameters=three, eta_names=(), omega=np.zeros((0, 0)), sha256="t")
    erlang = replace(erlang, parameters=steps, eta_names=(), omega=np.zeros((0, 0)), sha256="e")
    found = [readings(m, build(m, doses_of(m), Covariates(), TIMES), np.zeros((1, 0)))[0][0] for m in (transit, erlang)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 1e-5), (0.0, 1.0)])
def test_three_compartments_with_equal_or_empty_ones(tmp_path: Path, rates: tuple[float, float]) -> None:
    """Peripherals of equal rate, a nearly closed one and a closed one: finite, and equal to the matrix exponential."""
    model = named(tmp_path, "none", "three_compartment")
    changed = {"Q": (rates[0] * 5.0, 50.0), "Q3": (rates[1] * 5.0, 50.0)}
    parameters = dict(model.parameters)
    for (q, (flow, volume)), v in zip(changed.items(), ("V2", "V3"), strict=True):
        parameters |= {q: replace(parameters[q], value=flow), v: replace(parameters[v], value=volume)}
    model = replace(model, parameters=parameters, sha256=str(rates))
    own, other = both(model, build(model, doses_of(model), Covariates(), TIMES), np.zeros(len(model.eta_names)))
    np.testing.assert_allclose(own[0], other[0], rtol=2e-6)


def test_a_reading_at_a_dose_time_is_the_trough(model: DrugModel) -> None:
    """Also at the further doses of one repeated record: the level just before each."""
    iv = model.structure.absorption == "none"
    dose = Dose(time_h=0, amount_mg=80, route=Route.IV if iv else Route.ORAL, every_h=8, additional=3)
    times = np.asarray([8.0, 8.0 - 1e-9, 16.0, 16.0 - 1e-9, 24.0, 24.0 - 1e-9])
    found = curves(model, Regimen(doses=(dose,)), times, Covariates(), np.zeros((1, len(model.eta_names))))[0]
    np.testing.assert_allclose(found[::2], found[1::2], rtol=1e-7)
