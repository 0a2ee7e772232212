"""Conformal intervals: the coverage that theory promises on exchangeable patients, overall and by subgroup, and two other programs."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from auctor.errors import OutOfDomain, PlanError
from auctor.learn.conformal import LEAST, Calibration, Forecast
from auctor.learn.estimators.validation import split_by

Array = NDArray[np.float64]
ENDS = np.array([0.05, 0.95])


def patients(n: int, seed: int) -> tuple[Array, Array, Array]:
    """A feature, a truth whose noise is skewed and three times as large in one of two subgroups, and the subgroup."""
    rng = np.random.default_rng(seed)
    x, hard = rng.normal(size=n), rng.integers(0, 2, size=n).astype(float)
    noise = rng.exponential(size=n) - 1
    return x, 2 * x + np.where(hard == 1, 1.5, 0.5) * noise, hard


def line(x: Array, y: Array) -> Callable[[Array], Array]:
    slope, level = np.polyfit(x, y, 1)
    return lambda new: np.asarray(slope * new + level)


def _split(x: Array, y: Array, new: Array, cells: Array | None, mine: Array | None) -> tuple[Array, Array]:
    predict = line(x[:200], y[:200])
    held = Forecast.even(predict(x[200:]), np.ones(len(x) - 200))
    names = None if cells is None else cells[200:].astype(str)
    fitted = Calibration.of(held.scaled(y[200:]), cells=names)
    found = fitted.quantiles(Forecast.even(predict(new), np.ones(len(new))), ENDS, None if mine is None else mine.astype(str))
    return found[:, 0], found[:, 1]


def _plus(x: Array, y: Array, new: Array, cells: Array | None, mine: Array | None, folds: int = 10) -> tuple[Array, Array]:
    scores, which, forecasts = np.empty(len(y)), np.empty(len(y), dtype=np.int64), []
    for k, (inside, outside) in enumerate(split_by(len(y), folds, 1)):
        predict = line(x[inside], y[inside])
        scores[outside], which[outside] = y[outside] - predict(x[outside]), k
        forecasts.append(Forecast.even(predict(new), np.ones(len(new))))
    fitted = Calibration.of(scores, model=which, cells=None if cells is None else cells.astype(str))
    found = fitted.quantiles(Forecast.joined(forecasts), ENDS, None if mine is None else mine.astype(str))
    return found[:, 0], found[:, 1]


def _cqr(x: Array, y: Array, new: Array, cells: Array | None, mine: Array | None) -> tuple[Array, Array]:
    """Quantile curves that are wrong on purpose (parallel, too narrow): calibration has to mend them."""
    predict = line(x[:200], y[:200])

    def forecast(at: Array) -> Forecast:
        return Forecast.between(predict(at), np.tile([-0.2, 0.0, 0.6], (len(at), 1)))

    names = None if cells is None else cells[200:].astype(str)
    fitted = Calibration.of(forecast(x[200:]).scaled(y[200:]), cells=names)
    found = fitted.quantiles(forecast(new), ENDS, None if mine is None else mine.astype(str))
    return found[:, 0], found[:, 1]


METHODS = {"split": _split, "cv+": _plus, "cqr": _cqr}
TRIALS, NEW = 60, 50


@pytest.mark.parametrize("grouped", [False, True], ids=["all", "subgroups"])
@pytest.mark.parametrize("method", METHODS)
def test_coverage_is_what_the_theorem_says(method: str, grouped: bool) -> None:
    """Over new calibrations and new patients; limits so wide that chance breaks them once in 10,000 times.

    A patient's own calibration moves the coverage of all its 50 new patients together, which the effective number below allows for.
    """
    inside, hard = [], []
    for trial in range(TRIALS):
        x, y, cells = patients(500, trial)
        new_x, new_y, mine = patients(NEW, 1000 + trial)
        low, high = METHODS[method](x, y, new_x, cells if grouped else None, mine if grouped else None)
        inside.append((low <= new_y) & (new_y <= high))
        hard.append(mine)
    covered, group = np.concatenate(inside), np.concatenate(hard)
    _within(covered, 300)
    for which in (0, 1):
        share = np.mean(covered[group == which])
        if grouped:
            _within(covered[group == which], 150)
        else:
            assert (share > 0.93) if which == 0 else (share < 0.87), (
                "one width for all is too wide for one subgroup and too narrow for the other"
            )


def _within(covered: NDArray[np.bool_], calibration: int) -> None:
    """Var = p q (1/n + NEW / (n (calibration + 2))) of a mean over trials that share a calibration of that size (beta-binomial)."""
    n = len(covered)
    effective = int(n / (1 + min(NEW, n / TRIALS) / (calibration + 2)))
    low, high = binom.ppf([5e-5, 1 - 5e-5], effective, 0.9) / effective
    assert low <= np.mean(covered) <= high


def test_the_order_statistic_is_the_one_of_the_theorem() -> None:
    """With 19 errors the 5 % and 95 % points are the least and the largest: P(inside) = 18/20, whatever the distribution."""
    errors = np.random.default_rng(0).normal(size=19)
    found = Calibration.of(errors).quantiles(Forecast.even(np.zeros(1), np.ones(1)), ENDS)[0]
    assert found == pytest.approx([errors.min(), errors.max()], abs=1e-12)


def test_mondrian_distributions_are_those_of_crepes() -> None:
    from crepes import ConformalPredictiveSystem

    x, y, cells = patients(380, 3)
    sigma = 0.5 + np.abs(x)
    held = Forecast.even(2 * x, sigma)
    fitted = Calibration.of(held.scaled(y), cells=cells.astype(str))
    counts = [int((cells == which).sum()) for which in (0, 1)]
    other = ConformalPredictiveSystem().fit(y - 2 * x, sigmas=sigma, bins=cells, seed=1)
    new, mine, spread = np.array([0.3, -0.2]), np.array([0.0, 1.0]), np.array([1.1, 0.7])
    for which in (0, 1):
        # at levels that hit an order statistic both programs say the same number; between two, crepes takes the outer one
        levels = np.array([round(0.1 * (counts[which] + 1)), round(0.9 * (counts[which] + 1))]) / (counts[which] + 1)
        forecast = Forecast.even(2 * new[[which]], spread[[which]])
        ours = fitted.quantiles(forecast, levels, mine[[which]].astype(str))[0]
        theirs = other.predict_percentiles(
            y_hat=2 * new[[which]],
            sigmas=spread[[which]],
            bins=mine[[which]],
            lower_percentiles=[100 * levels[0] + 1e-9],
            higher_percentiles=[100 * levels[1] - 1e-9],
        )[0]
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_cv_plus_with_equal_sizes_is_barbers_interval_as_mapie_computes_it() -> None:
    """MAPIE takes absolute errors: given errors of both signs in pairs, both programs cut at the same order statistics."""
    from mapie.regression import CrossConformalRegressor
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import KFold

    x, y, _ = patients(99, 4)
    new = np.array([-1.0, 0.0, 2.0])
    folds = KFold(5, shuffle=True, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = CrossConformalRegressor(LinearRegression(), confidence_level=0.9, method="plus", cv=folds)
        _, theirs = other.fit_conformalize(x[:, None], y).predict_interval(new[:, None])
    scores, which, forecasts = [], [], []
    for k, (inside, outside) in enumerate(folds.split(x)):
        predict = line(x[inside], y[inside])
        scores.append(np.abs(y[outside] - predict(x[outside])))
        which.append(np.full(len(outside), k))
        forecasts.append(Forecast.even(predict(new), np.ones(len(new))))
    model = np.concatenate(which)
    upper = Calibration.of(np.concatenate(scores), model=model).quantiles(Forecast.joined(forecasts), np.array([0.9]))[:, 0]
    lower = Calibration.of(-np.concatenate(scores), model=model).quantiles(Forecast.joined(forecasts), np.array([0.1]))[:, 0]
    np.testing.assert_allclose(np.stack([lower, upper], axis=1), theirs[:, :, 0], rtol=1e-9)


def test_jackknife_plus_is_cv_plus_with_a_fold_for_each_patient() -> None:
    x, y, _ = patients(60, 5)
    low, high = _plus(x, y, np.array([0.5]), None, None, folds=60)
    left_out = [line(np.delete(x, i), np.delete(y, i)) for i in range(60)]
    atoms = np.sort([f(np.array([0.5]))[0] + y[i] - f(x[[i]])[0] for i, f in enumerate(left_out)])
    # order statistics 3.05 and 57.95 of 60
    assert atoms[2] <= low[0] <= atoms[3] and atoms[56] <= high[0] <= atoms[57]


def test_a_subgroup_that_is_too_small_or_unseen_is_refused() -> None:
    errors = np.random.default_rng(6).normal(size=100)
    cells = np.where(np.arange(100) < LEAST, "children", "adults")
    fitted = Calibration.of(errors, cells=cells)
    with pytest.raises(OutOfDomain, match="subgroup"):
        fitted.quantiles(Forecast.even(np.zeros(1), np.ones(1)), ENDS, np.array(["neonates"]))
    with pytest.raises(PlanError, match=f"{LEAST - 1} patients"):
        Calibration.of(errors[1:], cells=cells[1:])


def test_scores_come_back_from_their_document() -> None:
    errors = np.random.default_rng(7).normal(size=120)
    cells, model = np.where(np.arange(120) % 2, "a", "b"), (np.arange(120) % 3).astype(np.int64)
    for fitted in (Calibration.of(errors), Calibration.of(errors, cells=cells), Calibration.of(errors, model=model, cells=cells)):
        back = Calibration.read(fitted.document())
        for name in ("scores", "model", "cells"):
            assert np.array_equal(getattr(back, name), getattr(fitted, name))
