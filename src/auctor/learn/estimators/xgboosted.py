"""XGBoost through its own interface, so that a stored learner is one of its own files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.estimators.boosted import PATIENCE, ROUNDS, Boosted, BoostedClassifier, BoostedRegressor

Array = NDArray[np.float64]
FIXED: dict[str, Any] = {"tree_method": "hist", "nthread": 1, "verbosity": 0}


class _XGBoost(Boosted):
    def _grow(self, x: Array, target: Array, classes: int, held: tuple[Array, Array] | None) -> tuple[Any, list[float]]:
        import xgboost as xgb

        task = {"objective": "multi:softprob", "num_class": classes} if classes else {"objective": "reg:squarederror"}
        rows = xgb.QuantileDMatrix(x, target, nthread=1)
        if held is None:
            return xgb.train(tuned(self.settings or {}, self.seed) | task, rows, num_boost_round=self.rounds), []
        curve: dict[str, dict[str, list[float]]] = {}
        booster = xgb.train(
            tuned(self.settings or {}, self.seed) | task,
            rows,
            num_boost_round=self.rounds,
            evals=[(xgb.QuantileDMatrix(held[0], held[1], ref=rows, nthread=1), "held")],
            evals_result=curve,
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        return booster, curve["held"]["mlogloss" if classes else "rmse"]

    def _raw(self, x: Array, rounds: int) -> Array:
        import xgboost as xgb

        found = self.model_.predict(xgb.DMatrix(x, nthread=1), iteration_range=(0, rounds))
        return np.asarray(found, dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return state | ({"model_": bytes(self.model_.save_raw("ubj"))} if "model_" in state else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if isinstance(state.get("model_"), bytes):
            self.model_ = booster(state["model_"])


class XGBoostRegressor(_XGBoost, BoostedRegressor):
    """XGBoost for a number."""


class XGBoostClassifier(_XGBoost, BoostedClassifier):
    """XGBoost for a class."""


def booster(raw: bytes) -> Any:
    """XGBoost's own model from the bytes of a .ubj file."""
    import xgboost as xgb

    found = xgb.Booster({"nthread": 1})
    found.load_model(bytearray(raw))
    return found


def tuned(settings: Mapping[str, float], seed: int) -> dict[str, Any]:
    """Parameters for the library: what never changes, the seed, and the settings with whole depths as integers."""
    return {**FIXED, "seed": seed, **{k: int(v) if k == "max_depth" else v for k, v in settings.items()}}


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`rounds` (the most trees), and any of XGBoost's numeric parameters."""
    rest = {k: v for k, v in configuration.items() if k != "rounds"}
    kind = XGBoostRegressor if task == "regression" else XGBoostClassifier
    return kind(rounds=int(configuration.get("rounds", ROUNDS)), settings=rest, seed=seed)
