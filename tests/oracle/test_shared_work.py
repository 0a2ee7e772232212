"""What one analysis computes once for several candidates, or only where it is needed, gives the figures of the whole computation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from auctor.case import Case, Covariates, Metric, Regimen, Route
from auctor.errors import CaseError
from auctor.estimate.patient import Estimate
from auctor.models.model import DrugModel
from auctor.models.reader import list_models, read_model
from auctor.models.spelled import spelled
from auctor.pk import direct, erlang
from auctor.pk.exposure import curves, exposures, scaling, whole_intervals
from auctor.pk.timeline import build

DAY, TROUGH = Metric.parse("AUC0-24"), Metric.parse("C8")


def regimens(model: DrugModel, amount: float) -> Iterator[Regimen]:
    """Every way in which the model takes a dose, every 8 and 12 h at steady state."""
    for route, length in ((Route.ORAL, 0.0), (Route.IV, 0.0), (Route.IV, 1.5)):
        for every in (8.0, 12.0):
            regimen = Regimen.steady(amount, every_h=every, route=route, duration_h=length, horizon_h=96.0)
            try:
                build(model, regimen, known(model), [0.0])
            except CaseError:
                continue
            yield regimen


def known(model: DrugModel) -> Covariates:
    return Covariates.constant({name: one.reference for name, one in model.covariates.items()})


def some(model: DrugModel, n: int = 10) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((n, len(model.eta_names))) @ np.linalg.cholesky(model.omega).T


def test_areas_over_whole_intervals_and_amounts_are_those_of_the_courses() -> None:
    """For every library model in closed form: F dose / CL against the event loop's mass balance, and 1 mg times the amount."""
    tried = 0
    for model in filter(direct.is_direct, map(read_model, list_models())):
        etas, covariates = some(model, 1 if spelled(model).densities else 10), known(model)
        case = Case(label="x", drug=model.drug, history=Regimen(doses=()), covariates=covariates)
        who = Estimate(name="x", model=model, case=case, etas=etas, eta_point=etas[0])
        for regimen in regimens(model, 37.0):
            _, area = direct.readings(model, build(model, regimen, covariates, [0.0, 24.0]), etas)
            whole = whole_intervals(model, regimen, DAY, covariates)
            assert whole == (0 if spelled(model).densities else 24.0 / regimen.doses[0].every_h) or model.structure.bioavailability
            tried += bool(whole)
            np.testing.assert_allclose(exposures(model, regimen, DAY, covariates, etas), area[:, 1] - area[:, 0], rtol=1e-9)
            one, level = who.exposure(regimen, TROUGH).values, exposures(model, regimen, TROUGH, covariates, etas)
            assert scaling(model, regimen) == 37.0
            np.testing.assert_allclose(one, level, rtol=1e-9, atol=1e-15)
    assert tried > 100


def test_a_long_course_under_changing_covariates_is_that_of_its_parts() -> None:
    """Read in runs between the doses, and one by one: the same to rounding."""
    model = read_model("vancomycin_goti_2018")
    covariates = Covariates(series={"CRCL": ((0.0, 60.0), (30.0, 90.0), (31.0, 20.0)), "WT": ((0.0, 70.0),), "DIAL": ((0.0, 0.0),)})
    regimen = Regimen.steady(1000, every_h=12, route=Route.IV, duration_h=1, horizon_h=60)
    times, etas = np.unique([*np.linspace(0, 60, 150), 30.0, 31.0]), some(model)
    assert len(times) > direct.LONG
    parts = [curves(model, regimen, part, covariates, etas) for part in np.array_split(times, 10)]
    np.testing.assert_allclose(curves(model, regimen, times, covariates, etas), np.hstack(parts), rtol=1e-11)


@pytest.mark.parametrize("stages", [1, 3, 6])
def test_each_entry_by_its_own_formula_changes_no_bit(stages: int) -> None:
    rng = np.random.default_rng(stages)
    alpha, beta = rng.uniform(0, 4, (2, 50, 7))
    for shift in (0.0, 10.0):  # both formulas, and the recurrence alone
        split, whole = erlang._split(stages, alpha + shift, beta), erlang._integrals(stages, alpha + shift, beta, np)
        assert all(np.array_equal(a, b) for a, b in zip(split, whole, strict=True))
