"""Why a learner predicts what it predicts: Shapley values, interactions, partial dependence, and a local linear surrogate.

A learner models a logarithm, so a contribution c is a factor exp(c): +12 % and -3 % make 1.12 * 0.97, not +9 % (of an event a factor of
its odds, before they are recalibrated). XGBoost computes the
Shapley values of its own trees exactly (Lundberg & Lee 2017; TreeSHAP, path-dependent); other families go through the package shap.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError

Array = NDArray[np.float64]
Predict = Callable[[Array], Array]
TREES = ("lightgbm", "catboost", "sklearn.ensemble", "sklearn.tree")
FEW = 10  # features up to which every coalition is evaluated
WIDTH = 0.75  # of the surrogate's kernel, times sqrt(p): LIME's default (Ribeiro 2016)


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Of n predictions from p features: `base` + the row sum of `contributions` (n, p) = `predicted` (n,), all on the log scale.

    `x` (n, p) are the features, `method` how the contributions were found.
    """

    names: tuple[str, ...]
    x: Array
    base: float
    contributions: Array
    predicted: Array
    method: str

    @property
    def importance(self) -> Array:
        """Mean |contribution| of each feature, (p,)."""
        return np.asarray(np.abs(self.contributions).mean(axis=0), dtype=np.float64)

    @property
    def order(self) -> NDArray[np.int64]:
        """Features from the most important to the least; ties in the plan's order."""
        return np.argsort(-self.importance, kind="stable")

    @property
    def gap(self) -> float:
        """The largest |base + contributions - predicted|: zero but for rounding."""
        return float(np.max(np.abs(self.base + self.contributions.sum(axis=1) - self.predicted), initial=0.0))


def percent(contribution: float) -> float:
    """The change in percent of a contribution on the log scale.

    >>> round(percent(0.1133), 2), round(percent(-0.1133), 2)
    (12.0, -10.71)
    """
    return float(100 * np.expm1(contribution))


def explain(fitted: Any, x: Array, names: Sequence[str], *, background: Array | None = None, seed: int = 0) -> Explanation:
    """Shapley values of a fitted XGBoost booster, of another tree ensemble, or of any function x (n, p) -> (n,).

    All but XGBoost need the package shap (extra `learn`), and a function needs `background` (m, p), the patients it is compared with.
    Raises ModelError where the package is absent.
    """
    if hasattr(fitted, "get_dump"):
        base, found, predicted, method = _boosted(fitted, x)
    elif type(fitted).__module__.startswith(TREES):
        base, found, predicted, method = _trees(fitted, x)
    else:
        predict = fitted.predict if hasattr(fitted, "predict") else fitted
        base, found, predicted, method = _sampled(predict, x, x if background is None else background, seed)
    return Explanation(names=tuple(names), x=x, base=base, contributions=found, predicted=predicted, method=method)


def models_of(learner: Any) -> tuple[Any, ...]:
    """The fitted estimators whose mean is a learner's estimate: one, or one a fold."""
    return tuple(pair.model for pair in getattr(learner, "pairs", ())) or (learner.booster,)


def boosted(learner: Any) -> bool:
    """Whether a learner explains itself, exactly and without another package: all its estimators are XGBoost's."""
    return all(hasattr(model, "get_dump") for model in models_of(learner))


def explain_learner(learner: Any, x: Array, background: Array | None = None) -> Explanation:
    """`explain` of a trained learner on features x (n, p) of its plan; the mean over its estimators, which stays additive."""
    names = tuple(learner.plan.learning.features)
    each = [explain(model, x, names, background=background) for model in models_of(learner)]
    return Explanation(
        names=names,
        x=x,
        base=float(np.mean([e.base for e in each])),
        contributions=np.mean([e.contributions for e in each], axis=0),
        predicted=np.mean([e.predicted for e in each], axis=0),
        method=each[0].method,
    )


Found = tuple[float, Array, Array, str]


def _boosted(booster: Any, x: Array) -> Found:
    import xgboost as xgb

    data = xgb.DMatrix(x, nthread=1)
    found = np.asarray(booster.predict(data, pred_contribs=True), dtype=np.float64)
    predicted = np.asarray(booster.predict(data, output_margin=True), dtype=np.float64)
    if found.ndim == 3:  # an event: what moves the logit of its probability
        found, predicted = found[:, 1] - found[:, 0], predicted[:, 1] - predicted[:, 0]
    return float(found[0, -1]), found[:, :-1], predicted, "TreeSHAP of XGBoost, exact"


def _trees(model: Any, x: Array) -> Found:
    found = _shap().TreeExplainer(model)(x)
    base = float(np.ravel(found.base_values)[0])
    return base, np.asarray(found.values, dtype=np.float64), np.asarray(model.predict(x), dtype=np.float64), "TreeSHAP of shap, exact"


def _sampled(predict: Predict, x: Array, background: Array, seed: int) -> Found:
    shap = _shap()
    masker = shap.maskers.Independent(background, max_samples=len(background))
    p = x.shape[1]
    if p <= FEW:
        found, method = shap.explainers.Exact(predict, masker)(x), "Shapley values, every coalition"
    else:
        explainer = shap.explainers.Permutation(predict, masker, seed=seed)
        found, method = explainer(x, max_evals=10 * (2 * p + 1), silent=True), "Shapley values, permutations"
    base = float(np.ravel(found.base_values)[0])
    return base, np.asarray(found.values, dtype=np.float64), np.asarray(predict(x), dtype=np.float64), method


def _shap() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own deprecations, while it is imported
            import shap
    except ImportError as error:
        raise ModelError(
            where="shap", what="is not installed, and only XGBoost explains itself", remedy='pip install "auctor[learn]"'
        ) from error
    return shap


def interactions(booster: Any, x: Array) -> Array:
    """Mean |interaction| of each pair of features over the patients, (p, p), symmetric with a zero diagonal; log scale.

    XGBoost's exact SHAP interaction values; a pair's two halves are added. Raises ModelError for another family, which has none.
    """
    import xgboost as xgb

    if not hasattr(booster, "get_dump"):
        raise ModelError(where="interactions", what="are computed for XGBoost alone", remedy="look at the partial dependence instead")
    found = np.asarray(booster.predict(xgb.DMatrix(x, nthread=1), pred_interactions=True), dtype=np.float64)[:, :-1, :-1]
    strength = np.abs(found + found.swapaxes(1, 2)).mean(axis=0)
    np.fill_diagonal(strength, 0.0)
    return np.asarray(strength, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dependence:
    """One feature over a `grid` (g,): the prediction of each patient (`each`, (n, g)) and their mean (`mean`, (g,)), log scale."""

    name: str
    grid: Array
    each: Array
    mean: Array


def dependence(predict: Predict, x: Array, name: str, column: int, *, points: int = 25) -> Dependence:
    """Partial dependence (Friedman 2001) and individual conditional expectation (Goldstein 2015) between the 2nd and 98th percentile.

    >>> found = dependence(lambda x: 3 * x[:, 0] + x[:, 1], np.array([[0.0, 1.0], [1.0, 5.0]]), "a", 0, points=3)
    >>> np.round(np.diff(found.mean) / np.diff(found.grid), 9)
    array([3.])
    """
    values = x[np.isfinite(x[:, column]), column]
    known = np.unique(values)
    grid = known if len(known) <= points else np.linspace(float(np.quantile(values, 0.02)), float(np.quantile(values, 0.98)), points)
    each = np.empty((len(x), len(grid)))
    for k, value in enumerate(grid):
        moved = x.copy()
        moved[:, column] = value
        each[:, k] = predict(moved)
    return Dependence(name=name, grid=grid, each=each, mean=each.mean(axis=0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Surrogate:
    """A linear model near one patient: log prediction = `intercept` + sum `slopes` * (x - patient) / `scales`; `r2` is its weighted fit.

    `slopes` (p,) are changes of the log prediction per standard deviation (`scales`) of a feature over the background.
    """

    slopes: Array
    scales: Array
    intercept: float
    r2: float


def surrogate(predict: Predict, at: Array, background: Array, *, draws: int = 2000, seed: int = 0) -> Surrogate:
    """The local surrogate of LIME (Ribeiro 2016), written out: the package lime has had no wheel since 2020.

    Neighbours of the patient `at` (p,) are drawn normally with the background's SDs, weighted by exp(-d^2 / width^2) of their standardised
    distance, and fitted by weighted least squares. A feature that is missing, or the same in everybody, has slope 0.
    """
    scales = np.nanstd(background, axis=0)
    moving = np.isfinite(at) & (scales > 0)
    z = np.random.Generator(np.random.PCG64(seed)).standard_normal((draws, int(moving.sum())))
    x = np.tile(at, (draws, 1))
    x[:, moving] += z * scales[moving]
    width = WIDTH * np.sqrt(max(z.shape[1], 1))
    root = np.exp(-0.5 * np.sum(z * z, axis=1) / width**2)  # the square root of the weight
    design, y = np.column_stack([np.ones(draws), z]), predict(x)
    found = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]
    slopes = np.zeros(len(at))
    slopes[moving] = found[1:]
    left, spread = (np.sum(root**2 * v**2) for v in (y - design @ found, y - np.average(y, weights=root**2)))
    return Surrogate(slopes=slopes, scales=scales, intercept=float(found[0]), r2=float(1 - left / spread) if spread > 0 else 1.0)
