"""Tuning XGBoost by k-fold cross-validation on the training part alone; one thread and fixed seeds, so that it repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.population.plan import Learning
from auctor.population.virtual import Progress

Array = NDArray[np.float64]
FIXED: dict[str, Any] = {"objective": "reg:squarederror", "tree_method": "hist", "nthread": 1, "verbosity": 0}
# the spread model is deliberately smooth: it only has to rank patients by how hard they are
SPREAD = {"max_depth": 3, "learning_rate": 0.08, "min_child_weight": 40, "subsample": 1.0, "lambda": 1.0}
SPREAD_ROUNDS = 80
PATIENCE = 25


@dataclass(frozen=True, kw_only=True, eq=False)
class Tuned:
    """The best configuration, its number of trees, its out-of-fold predictions (n,), and the table of all configurations."""

    configuration: Mapping[str, float]
    rounds: int
    out_of_fold: Array
    table: tuple[Mapping[str, float], ...]


def tune(x: Array, y: Array, learning: Learning, progress: Progress | None = None) -> Tuned:
    """Cross-validate random configurations of the grid; the least out-of-fold RMSE of the modelled (log) target wins.

    The number of trees is the minimum of the fold-averaged learning curve, so it too is chosen on the training part only.
    """
    from sklearn.model_selection import KFold, ParameterSampler

    grid = {key: list(values) for key, values in learning.grid.items()}
    size = int(np.prod([len(v) for v in grid.values()]))
    candidates = list(ParameterSampler(grid, n_iter=min(learning.configurations, size), random_state=learning.seed))
    splits = list(KFold(learning.folds, shuffle=True, random_state=learning.seed).split(x))
    folds = [_fold(x, y, inside, outside) for inside, outside in splits]
    found = []
    for k, candidate in enumerate(candidates):
        found.append(_validated(folds, splits, dict(sorted(candidate.items())), learning.seed))
        if progress:
            progress("tune", (k + 1) / len(candidates))
    best = min(found, key=lambda tuned: tuned.table[0]["cv_rmse"])
    return Tuned(configuration=best.configuration, rounds=best.rounds, out_of_fold=best.out_of_fold, table=tuple(t.table[0] for t in found))


def _fold(x: Array, y: Array, inside: NDArray[np.int64], outside: NDArray[np.int64]) -> tuple[Any, Any]:
    import xgboost as xgb

    fitted = xgb.QuantileDMatrix(x[inside], y[inside], nthread=1)
    return fitted, xgb.QuantileDMatrix(x[outside], y[outside], ref=fitted, nthread=1)


def _validated(folds: list[tuple[Any, Any]], splits: list[Any], configuration: dict[str, float], seed: int) -> Tuned:
    boosters, curves = zip(*(_grown(fold, configuration, seed) for fold in folds), strict=True)
    longest = min(len(curve) for curve in curves)
    mean = np.sqrt(np.mean([np.square(curve[:longest]) for curve in curves], axis=0))
    rounds = int(np.argmin(mean)) + 1
    predicted = np.empty(sum(len(outside) for _, outside in splits))
    for booster, (_, held), (_, outside) in zip(boosters, folds, splits, strict=True):
        predicted[outside] = booster.predict(held, iteration_range=(0, rounds))
    row = {**configuration, "trees": rounds, "cv_rmse": round(float(mean[rounds - 1]), 8)}
    return Tuned(configuration=configuration, rounds=rounds, out_of_fold=predicted, table=(row,))


def _grown(fold: tuple[Any, Any], configuration: Mapping[str, float], seed: int) -> tuple[Any, list[float]]:
    import xgboost as xgb

    curve: dict[str, dict[str, list[float]]] = {}
    booster = xgb.train(
        _settings(configuration, seed),
        fold[0],
        num_boost_round=int(configuration["rounds"]),
        evals=[(fold[1], "held")],
        evals_result=curve,
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return booster, curve["held"]["rmse"]


def _settings(configuration: Mapping[str, float], seed: int) -> dict[str, Any]:
    whole = {"max_depth": int(configuration["max_depth"])} if "max_depth" in configuration else {}
    return {**FIXED, "seed": seed, **{k: v for k, v in configuration.items() if k not in ("rounds", "max_depth")}, **whole}


def fit(x: Array, y: Array, tuned: Tuned, seed: int) -> Any:
    """The booster of the chosen configuration on the whole training part."""
    import xgboost as xgb

    return xgb.train(_settings(tuned.configuration, seed), xgb.QuantileDMatrix(x, y, nthread=1), num_boost_round=tuned.rounds)


def fit_spread(x: Array, residuals: Array, seed: int) -> Any:
    """A booster of log |out-of-fold residual|: the relative difficulty of a patient, which scales the conformal interval."""
    import xgboost as xgb

    target = np.log(np.maximum(np.abs(residuals), 1e-6))
    return xgb.train({**FIXED, **SPREAD, "seed": seed}, xgb.QuantileDMatrix(x, target, nthread=1), num_boost_round=SPREAD_ROUNDS)


def evaluate(booster: Any, x: Array) -> Array:
    """Predictions (n,) of a booster."""
    import xgboost as xgb

    return np.asarray(booster.predict(xgb.DMatrix(x, nthread=1)), dtype=np.float64)
