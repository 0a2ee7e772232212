"""What must hold of every named structure, and of equations written out, under any regimen: one compiled shape a model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auctor.case import Covariates, Dose, Metric, MetricKind, Regimen, Route
from auctor.errors import TableError
from auctor.estimate.diagnostics import linearise
from auctor.estimate.table import Subject, TableEstimate
from auctor.models.model import DrugModel
from auctor.pk.course import concentrations
from auctor.pk.exposure import curves, exposures
from auctor.pk.timeline import from_records, stack
from auctor.records import Records
from property.structures import ALL, WRITTEN_OUT, model_of

DRAWS = 16
some = settings(max_examples=12, deadline=None)  # a first example may compile
seeds = st.integers(0, 2**32 - 1)
NOBODY = Covariates()
TIMES = st.lists(st.integers(0, 48 * 16), min_size=1, max_size=6).map(lambda ticks: np.asarray(ticks) / 16 + 1 / 32)


def etas(model: DrugModel, seed: int) -> np.ndarray:
    z = np.clip(np.random.default_rng(seed).standard_normal((DRAWS, len(model.eta_names))), -2, 2)
    return np.asarray(z @ np.linalg.cholesky(model.omega).T)


def swallowed(name: str) -> bool:
    return not name.startswith("none")


@st.composite
def doses(draw: st.DrawFn, name: str) -> tuple[Dose, ...]:
    """One or two doses on a grid of 1/16 h (so that shifting them rounds nothing), by either route where there are two."""
    out = []
    for _ in range(draw(st.integers(1, 2))):
        oral = swallowed(name) and draw(st.booleans())
        out.append(
            Dose(
                time_h=draw(st.integers(0, 24 * 16)) / 16,
                amount_mg=draw(st.floats(0.5, 2000)),
                route=Route.ORAL if oral else Route.IV,
                duration_h=0.0 if oral else draw(st.sampled_from([0.0, 0.5, 2.0])),
                every_h=draw(st.integers(4 * 16, 24 * 16)) / 16,
                additional=draw(st.integers(0, 1)),
            )
        )
    return tuple(out)


def course(name: str, given: tuple[Dose, ...], at: np.ndarray, seed: int) -> np.ndarray:
    model = model_of(name)
    return curves(model, Regimen(doses=given), at, NOBODY, etas(model, seed))


def close(got: np.ndarray, expected: np.ndarray, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-11 * float(np.abs(expected).max()) + 1e-300)


# the rate of Weibull-type absorption depends on the time since the last dose, whichever it was: doses do not add up
ADDITIVE = [name for name in ALL if not name.startswith("weibull")]


@pytest.mark.parametrize("name", ADDITIVE)
@some
@given(data=st.data(), at=TIMES, seed=seeds, factor=st.floats(1e-3, 1e3))
def test_linear_in_the_doses_and_blind_to_their_order(name: str, data: st.DataObject, at: np.ndarray, seed: int, factor: float) -> None:
    """The course under one regimen and a multiple of another is the sum of their courses, in whatever order they are listed."""
    one, other = data.draw(doses(name)), data.draw(doses(name))
    more = tuple(replace(d, amount_mg=factor * d.amount_mg) for d in other)
    close(course(name, (*more, *one), at, seed), course(name, one, at, seed) + factor * course(name, other, at, seed))


@pytest.mark.parametrize("name", ALL)
@some
@given(data=st.data(), at=TIMES, seed=seeds, shift=st.integers(0, 500 * 16))
def test_time_shift(name: str, data: st.DataObject, at: np.ndarray, seed: int, shift: int) -> None:
    """Doses and times moved together change nothing but the rounding of the lag."""
    now = data.draw(doses(name))
    later = tuple(replace(d, time_h=d.time_h + shift / 16) for d in now)
    close(course(name, later, at + shift / 16, seed), course(name, now, at, seed))


@pytest.mark.parametrize("name", ALL)
@some
@given(data=st.data(), seed=seeds)
def test_what_is_given_leaves_through_clearance(name: str, data: st.DataObject, seed: int) -> None:
    """AUC to infinity times CL is F times what was given, for absorbed doses; of an infusion past the absorption, all of it."""
    model, given_now = model_of(name), data.draw(doses(name))
    drawn = etas(model, seed)
    auc = exposures(model, Regimen(doses=given_now), Metric(kind=MetricKind.AUC, start_h=0.0, stop_h=2000.0), NOBODY, drawn)
    # F1 belongs to the depot where there is one; the written-out model puts it on both compartments
    share = [0.7 if d.route is Route.ORAL or not swallowed(name) or name == WRITTEN_OUT else 1.0 for d in given_now]
    amount = sum(s * d.amount_mg * (d.additional + 1) for s, d in zip(share, given_now, strict=True))
    np.testing.assert_allclose(auc * model.individual({}, drawn)["CL"], amount, rtol=1e-8)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=6, deadline=None)
@given(amount=st.floats(1, 2000), every=st.integers(24, 36), seed=seeds)
def test_steady_state_is_the_limit_of_repeated_doses(name: str, amount: float, every: int, seed: int) -> None:
    """The course after a steady-state dose is that after the twelfth of a series, and closes on itself after an interval."""
    oral = swallowed(name)
    dose = Dose(time_h=0.0, amount_mg=amount, route=Route.ORAL if oral else Route.IV, duration_h=0.0 if oral else 1.0, every_h=float(every))
    at = np.asarray([0.1, 0.25, 0.6, 1.0]) * every
    try:
        steady = course(name, (replace(dose, steady_state=True),), at, seed)
    except TableError as refused:
        pytest.skip(str(refused))
    repeated = course(name, (replace(dose, additional=11),), at + 11 * every, seed)
    np.testing.assert_allclose(steady, repeated, rtol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_units_of_the_model_file(name: str) -> None:
    """Every parameter in another unit, the concentration in ng/mL: the same numbers in the engine, to the rounding of a product."""
    plain, other = model_of(name), model_of(name, other_units=True)
    assert plain.eta_names == other.eta_names and (plain.omega == other.omega).all()
    assert (plain.scale, other.scale) == (1.0, 1000.0)
    for key, parameter in plain.parameters.items():
        assert other.parameters[key].value == pytest.approx(parameter.value, rel=1e-12), key
        assert other.parameters[key].unit != parameter.unit
    assert other.residual.additive == pytest.approx(plain.residual.additive, rel=1e-12)


def test_units_of_the_equations() -> None:
    """A written-out output in ng/mL is the course of the one in mg/L."""
    at = np.asarray([0.3, 1.0, 5.0, 12.0])
    dose = Regimen(doses=(Dose(time_h=0.0, amount_mg=100.0, route=Route.ORAL),))
    plain, other = (curves(m, dose, at, NOBODY, etas(m, 1)) for m in (model_of(WRITTEN_OUT), model_of(WRITTEN_OUT, other_units=True)))
    np.testing.assert_allclose(other, plain, rtol=1e-12)


# --- tables: three models, so that few things are compiled -------------------------------------------------------------------

TABLES = [*(name for name in ALL if name.startswith(("first_order", "erlang"))), WRITTEN_OUT]
LEVELS = 4


def table(seed: int, order: list[int] | None = None, ident: str = "1") -> Records:
    """Two doses at one time, another record and a level at one time, and levels; rows of one time in `order`."""
    rng = np.random.default_rng(seed)
    times = [0.0, 0.0, 2.0, 2.0, *np.sort(rng.uniform(3, 40, LEVELS - 1))]
    evid = [1, 1, 2, 0, *[0] * (LEVELS - 1)]
    amt = [*rng.uniform(10, 500, 2), *[0.0] * (LEVELS + 1)]
    rows = np.asarray(order or range(len(times)))
    columns = {"time_h": times, "evid": evid, "amt": amt, "dv": np.where(np.asarray(evid) == 0, 5.0, 0.0)}
    cmt = np.ones(len(times), int)
    return Records.make(ident, cmt=cmt, **{name: np.asarray(values)[rows] for name, values in columns.items()})


def levels(model: DrugModel, subjects: list[Records], eta: np.ndarray) -> list[np.ndarray]:
    got = concentrations(model, stack([from_records(model, r) for r in subjects]), eta)
    return [row[: len(r)][r.observed] for row, r in zip(got, subjects, strict=True)]


@pytest.mark.parametrize("name", TABLES)
@some
@given(seed=seeds)
def test_records_that_commute_and_subjects_in_any_order(name: str, seed: int) -> None:
    """Two doses of one time, a level and a record without an event of one time, and whole subjects, may change places."""
    model = model_of(name)
    eta = etas(model, seed)[:3]
    subjects = [table(seed + k, ident=str(k)) for k in range(3)]
    expected = levels(model, subjects, eta)
    swapped = [table(seed + k, [1, 0, 3, 2, *range(4, LEVELS + 3)], str(k)) for k in range(3)]
    turned = np.asarray([2, 0, 1])
    for got, same in zip(levels(model, swapped, eta), expected, strict=True):
        np.testing.assert_allclose(got, same, rtol=1e-12)
    for k, got in zip(turned, levels(model, [subjects[k] for k in turned], eta[turned]), strict=True):
        np.testing.assert_array_equal(got, expected[k])


def fitted(model: DrugModel, ident: str, eta: np.ndarray) -> Subject:
    zero = np.zeros_like(eta)
    return Subject(
        id=ident, eta=eta, sd=zero, ofv=0.0, objective=0.0, parameters={}, converged=True, n_modes=1, n_observations=0, ess=None, rows=()
    )


@pytest.mark.parametrize("name", TABLES)
@some
@given(seed=seeds)
def test_a_sample_more_never_widens_the_posterior(name: str, seed: int) -> None:
    """The expected covariance of eta at fixed etas: each sample taken away makes it larger or equal in every direction, up to the prior."""
    model = model_of(name)
    full = table(seed)
    rows = np.flatnonzero(full.observed)
    # the same subject with only its first 0 to all samples: the others become times to predict at
    parts = [replace(full, mdv=np.where(np.isin(np.arange(len(full)), rows[:k]), 0, 1)) for k in range(len(rows), -1, -1)]
    eta = etas(model, seed)[0]
    subjects = tuple(fitted(model, str(k), eta) for k in range(len(parts)))
    estimate = TableEstimate(model=model, source=model, method="map", subjects=subjects, occasions=())
    spread = [part.covariance(model.omega) for part in linearise(estimate, parts)]
    np.testing.assert_allclose(spread[-1], model.omega, rtol=1e-9, atol=1e-14)
    for more, fewer in pairwise(spread):
        assert np.linalg.eigvalsh(fewer - more).min() > -1e-12
        assert (np.diag(more) <= np.diag(fewer) * (1 + 1e-12)).all()
    assert np.linalg.slogdet(spread[0])[1] < np.linalg.slogdet(model.omega)[1] - 1e-3
