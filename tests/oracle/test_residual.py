"""Residual error and censoring against NONMEM's figures, SciPy's densities and quadrature."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import lognorm, norm, truncnorm

from auctor.case import Case, Dose, Regimen, Route, Sample
from auctor.errors import CaseError
from auctor.estimate import patient
from auctor.estimate.map import MapFit, map_batch
from auctor.estimate.objective import VARIANCE_FLOOR, sample_terms, variance
from auctor.estimate.observations import ABOVE, BELOW, MEASURED, POSITIVE, Blq, Observations, above_limit, of_case, stack_observations
from auctor.models.model import DrugModel, Residual
from auctor.models.reader import read_model
from auctor.pk.engine import jax, jnp
from auctor.pk.timeline import build, stack

LOG_2PI = np.log(2 * np.pi)
KINDS = {
    "combined": Residual(proportional=0.3, additive=0.5),
    "combined1": Residual(proportional=0.3, additive=0.5, kind="combined1"),
    "power": Residual(proportional=0.4, additive=0.2, kind="power", power=0.7),
    "log": Residual(proportional=0.3, additive=0.0, kind="log"),
}
SD: dict[str, Callable[[float], float]] = {
    "combined": lambda f: float(np.hypot(0.3 * f, 0.5)),
    "combined1": lambda f: 0.3 * f + 0.5,
    "power": lambda f: 0.2 + 0.4 * f**0.7,
    "log": lambda f: 0.3,
}
GAUSSIAN = ("combined", "combined1", "power")


def seen(value: float, state: int = MEASURED, limit: float = 0.0, weight: float = 1.0) -> Observations:
    return Observations(np.asarray([value]), np.asarray([weight]), np.asarray([state]), np.asarray([limit]))


def term(kind: str, f: float, what: Observations) -> float:
    return float(sample_terms(KINDS[kind], np.asarray([f]), what)[0])


@pytest.mark.parametrize("kind", GAUSSIAN)
@pytest.mark.parametrize("f", [0.3, 4.0, 60.0])
def test_a_measured_level(kind: str, f: float) -> None:
    """-2 log of the normal density, without log 2 pi."""
    assert term(kind, f, seen(5.0)) == pytest.approx(-2 * norm.logpdf(5.0, f, SD[kind](f)) - LOG_2PI, rel=1e-13)


@pytest.mark.parametrize("f", [0.3, 4.0, 60.0])
def test_a_log_error_is_the_lognormal_density(f: float) -> None:
    """-2 log of the lognormal density of y with median f, whose Jacobian (2 log y) does not depend on eta."""
    expected = -2 * lognorm.logpdf(5.0, s=0.3, scale=f) - 2 * np.log(5.0) - LOG_2PI
    assert term("log", f, seen(5.0)) == pytest.approx(expected, rel=1e-13)


def probability(kind: str, f: float, low: float, high: float) -> float:
    """The chance of a level in (low, high) by quadrature of its density."""
    density = (lambda y: lognorm.pdf(y, s=0.3, scale=f)) if kind == "log" else (lambda y: norm.pdf(y, f, SD[kind](f)))
    centre = [p for p in (f,) if low < p < high]
    return float(quad(density, low, high, points=centre or None, epsabs=0, epsrel=1e-11, limit=200)[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("f", [0.4, 2.0, 6.0])
def test_censored_levels_by_quadrature(kind: str, f: float) -> None:
    """M3, M4 and above an upper limit, each integrated from the density."""
    far = f * np.exp(8 * 0.3) if kind == "log" else f + 12 * SD[kind](f)
    deep = 1e-9 if kind == "log" else f - 12 * SD[kind](f)
    over_zero = 1.0 if kind == "log" else probability(kind, f, 0.0, far)
    expected = {
        BELOW: probability(kind, f, deep, 1.5),
        ABOVE: probability(kind, f, 3.0, max(far, 40.0)),
        BELOW | POSITIVE: probability(kind, f, max(deep, 0.0), 1.5) / over_zero,
        ABOVE | POSITIVE: probability(kind, f, 3.0, max(far, 40.0)) / over_zero,
    }
    for state, chance in expected.items():
        limit = 1.5 if state & BELOW else 3.0
        assert np.exp(-term(kind, f, seen(0.0, state, limit)) / 2) == pytest.approx(chance, rel=1e-8), state


@pytest.mark.parametrize("kind", GAUSSIAN)
def test_m4_truncates_the_density_of_a_measured_level(kind: str) -> None:
    """A measured level under M4 has the density of a normal distribution truncated at 0."""
    sd = SD[kind](2.0)
    expected = -2 * truncnorm.logpdf(1.7, -2.0 / sd, np.inf, 2.0, sd) - LOG_2PI
    assert term(kind, 2.0, seen(1.7, POSITIVE)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_far_from_the_limit_nothing_overflows(kind: str) -> None:
    """Terms and their derivatives stay finite a thousand SDs away, forwards and backwards."""
    states = np.asarray([MEASURED, BELOW, ABOVE, POSITIVE, BELOW | POSITIVE, ABOVE | POSITIVE])
    f, state = (jnp.asarray(a).ravel() for a in np.meshgrid([1e-12, 1e-3, 1.0, 1e4], states))
    at = Observations(jnp.full(24, 0.7), jnp.ones(24), state, jnp.full(24, 1.0))

    @jax.jit
    def derivatives(g: Any) -> Any:
        def terms(h: Any) -> Any:
            return sample_terms(KINDS[kind], h, at, jnp)

        return terms(g), jax.jvp(terms, (g,), (jnp.ones(24),))[1], jax.grad(lambda h: terms(h).sum())(g)

    value, forwards, backwards = derivatives(f)
    assert np.isfinite(value).all() and np.isfinite(forwards).all()
    np.testing.assert_allclose(forwards, backwards, rtol=1e-9)
    np.testing.assert_allclose(value, sample_terms(KINDS[kind], np.asarray(f), Observations(*map(np.asarray, at))), rtol=1e-9)


def test_the_variance_has_a_floor() -> None:
    """A proportional error at a vanishing prediction stops at the floor; at 0 it is that of f = 1, NONMEM's W = 1."""
    proportional = Residual(proportional=0.1, additive=0.0)
    assert variance(proportional, np.asarray([1e-30, 0.0, 10.0])).tolist() == pytest.approx([VARIANCE_FLOOR, 0.01, 1.0], rel=1e-12, abs=0)


def test_a_weight_counts_a_sample_that_often() -> None:
    """Weight 2 is the sample twice, 0 is none, and a negative one is refused."""
    assert term("combined", 4.0, seen(5.0, weight=2.0)) == pytest.approx(2 * term("combined", 4.0, seen(5.0)))
    samples = tuple(Sample(time_h=1.0, value=3.0, weight=w, used=used) for w, used in ((1.0, True), (0.5, True), (2.0, False)))
    history = Regimen(doses=(Dose(time_h=0, amount_mg=100, route=Route.IV),))
    case = Case(label="w", drug="oracle", history=history, samples=samples)
    assert of_case(case).weight.tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(CaseError, match="weight"):
        of_case(Case(label="w", drug="oracle", history=history, samples=(Sample(time_h=1.0, value=3.0, weight=-1.0),)))


CENSORED = """
schema = 1
drug = "oracle"
status = "draft"
population = "one patient, simulated"
reference = { doi = "none", cite = "mapbayr's test of M3, whose reference is NONMEM" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "variance" }
[structure]
absorption = { kind = "none" }
disposition = { kind = "two_compartment", CL = "CL", V1 = "V1", Q = "Q", V2 = "V2" }
[residual]
concentration = { proportional = 0.1, additive = 0.5, unit = "mg/L", printed_as = "variance", source = "none" }
[parameters]
CL = { value = 0.2, unit = "L/h", iiv = 0.05, source = "none" }
V1 = { value = 2.0, unit = "L", iiv = 0.02, source = "none" }
Q = { value = 0.1, unit = "L/h", source = "none" }
V2 = { value = 0.5, unit = "L", source = "none" }
"""


@pytest.fixture(scope="module")
def censored(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    """The model of the M3 case: two etas, so that the posterior can be integrated on a grid."""
    path = tmp_path_factory.mktemp("model") / "censored.toml"
    path.write_text(CENSORED)
    return read_model(path)


def case_of(last: Sample, data: dict[str, Any]) -> Case:
    dose = Dose(time_h=0, amount_mg=100, route=Route.IV, duration_h=100 / 1200)
    pairs = zip(data["time"][:-1], data["DV"][:-1], strict=True)
    return Case(label="M3", drug="oracle", history=Regimen(doses=(dose,)), samples=(*(Sample(time_h=t, value=y) for t, y in pairs), last))


@pytest.fixture(scope="module")
def m3(oracles: Path) -> dict[str, Any]:
    """The case as mapbayr's tests state it."""
    cases = json.loads((oracles / "mapbayr_tests" / "cases.json").read_text())["cases"]
    return next(c for c in cases if "M3" in c["name"])


def found(model: DrugModel, case: Case, what: Observations) -> MapFit:
    batch = stack([build(model, case.history, case.covariates, [s.time_h for s in case.samples])])
    return map_batch(model, batch, stack_observations([what], batch.arrays["wanted"].shape[1]))


def test_m3_is_nonmem(m3: dict[str, Any], censored: DrugModel) -> None:
    """MAP etas of NONMEM's M3 code within its six digits; and the same level taken as a measured 1."""
    expected = list(m3["expected"].values())
    below = Sample(time_h=48.0, value=0.0, lloq=float(m3["data"]["LLOQ"]), below_lloq=True)
    for last, theirs in zip((below, Sample(time_h=48.0, value=1.0)), expected, strict=True):
        ours = patient.map_estimate(censored, case_of(last, m3["data"])).eta_point
        assert ours == pytest.approx([theirs["ETA1"], theirs["ETA2"]], abs=1e-6)


def test_each_method_is_at_its_own_optimum(m3: dict[str, Any], censored: DrugModel) -> None:
    """M1 is the case without the level; M3, M4 and an upper limit end where an independent objective is lowest."""
    below = Sample(time_h=48.0, value=0.0, lloq=1.0, below_lloq=True)
    case = case_of(below, m3["data"])
    m1 = found(censored, case, of_case(case, blq=Blq.M1)).eta[0]
    assert m1 == pytest.approx(patient.map_estimate(censored, case_of(Sample(time_h=48.0, value=1.0, used=False), m3["data"])).eta_point)
    high = case_of(Sample(time_h=48.0, value=2.0), m3["data"])
    for own, what, extra in (
        (case, of_case(case, blq=Blq.M4), lambda f, sd: truncated(f[..., 3], sd[..., 3]) + conditioned(f, sd)),
        (high, above_limit(of_case(high), np.arange(4) == 3, 1.0), lambda f, sd: -2 * norm.logsf(1.0, f[..., 3], sd[..., 3])),
    ):
        best = found(censored, own, what)
        grid = best.eta[0] + 1e-3 * np.asarray([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
        f = patient.sample_predictions(censored, own, grid)
        sd = np.sqrt(0.1 * f**2 + 0.5)
        y = np.asarray(m3["data"]["DV"][:3])
        plain = np.sum(-2 * norm.logpdf(y, f[:, :3], sd[:, :3]) - LOG_2PI, axis=1)
        value = plain + extra(f, sd) + np.sum(grid**2 / [0.05, 0.02], axis=1)
        assert value[0] == pytest.approx(best.ofv[0], rel=1e-12)
        assert np.argmin(value) == 0
        assert (value[1::2] - value[2::2]) / 2e-3 == pytest.approx(np.zeros(2), abs=1e-4)


def truncated(f: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """-2 log of the chance of a level in (0, 1)."""
    return np.asarray(-2 * np.log(norm.cdf(1.0, f, sd) - norm.cdf(0.0, f, sd)))


def conditioned(f: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """2 log of the chance that all levels are above 0."""
    return np.asarray(2 * norm.logsf(0.0, f, sd).sum(axis=-1))
