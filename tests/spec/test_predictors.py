"""What every Predictor promises, whatever it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from auctor.case import Case, Covariates, Metric, Regimen, Route, Sample
from auctor.errors import OutOfDomain
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.predictor import Predictor
from predictors import ALL

AUC = Metric.parse("AUC0-12")
NOW = Regimen.steady(3.0, every_h=12, route=Route.ORAL)
TWICE = Regimen.steady(6.0, every_h=12, route=Route.ORAL)


@pytest.fixture(scope="module")
def model() -> DrugModel:
    """Woillard 2011."""
    return read_model("tacrolimus_woillard_2011")


@pytest.fixture(scope="module")
def case() -> Case:
    """A kidney-transplant patient at steady state with C0, C1 and C3."""
    samples = tuple(Sample(time_h=t, value=v / 1000) for t, v in ((0.0, 6.8), (1.0, 18.5), (3.0, 14.2)))
    return Case(
        label="t",
        drug="tacrolimus",
        history=NOW,
        samples=samples,
        covariates=Covariates.constant({"HCT": 32.3, "CYP3A5": 0, "FORM": 1}),
        current=NOW,
    )


@pytest.fixture(scope="module", params=sorted(ALL))
def method(request: pytest.FixtureRequest, model: DrugModel, case: Case) -> tuple[str, Predictor]:
    """Each method in turn, fitted once."""
    return request.param, ALL[request.param](model, case)


def test_exposure_is_finite_and_positive(method: tuple[str, Predictor]) -> None:
    """Every draw and the point."""
    drawn = method[1].exposure(NOW, AUC)
    assert np.isfinite(drawn.values).all() and (drawn.values > 0).all() and drawn.point > 0


def test_exposure_is_linear_in_dose(method: tuple[str, Predictor]) -> None:
    """A linear model: twice the dose, twice the exposure, draw by draw."""
    np.testing.assert_allclose(method[1].exposure(TWICE, AUC).values, 2 * method[1].exposure(NOW, AUC).values, rtol=1e-9)


def test_the_point_lies_inside_the_interval(method: tuple[str, Predictor]) -> None:
    """Point and 90 % interval belong together."""
    drawn = method[1].exposure(NOW, AUC)
    low, high = drawn.interval(0.9)
    assert low <= drawn.point <= high


def test_same_input_same_bytes(method: tuple[str, Predictor], model: DrugModel, case: Case) -> None:
    """Fitted again, the same draws to the last bit."""
    again = ALL[method[0]](model, case)
    assert again.exposure(NOW, AUC).values.tobytes() == method[1].exposure(NOW, AUC).values.tobytes()


def test_a_curve_or_a_reasoned_refusal(method: tuple[str, Predictor]) -> None:
    """Curves are finite, positive and ordered as asked; a direct-AUC learner says that it has none."""
    times = np.asarray([0.0, 1.0, 3.0, 12.0])
    if method[0] == "machine learning":
        with pytest.raises(OutOfDomain) as refusal:
            method[1].predict(NOW, times)
        assert refusal.value.remedy
        return
    drawn = method[1].predict(NOW, times)
    assert drawn.values.shape[1] == 4 and (drawn.values > 0).all() and np.isfinite(drawn.values).all()
    np.testing.assert_allclose(drawn.values[:, 0], drawn.values[:, 3], rtol=1e-9)


def test_no_dose_no_exposure(method: tuple[str, Predictor]) -> None:
    """Hold: nothing given, nothing reached."""
    assert method[1].exposure(Regimen(doses=()), AUC).point == 0.0
