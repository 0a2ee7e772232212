"""LightGBM through its own interface; a stored learner holds its text format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.estimators.boosted import PATIENCE, ROUNDS, Boosted, BoostedClassifier, BoostedRegressor

Array = NDArray[np.float64]
FIXED: dict[str, Any] = {"num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1, "bagging_freq": 1}
WHOLE = ("num_leaves", "min_data_in_leaf", "max_depth", "max_bin")


class _LightGBM(Boosted):
    def _grow(self, x: Array, target: Array, classes: int, held: tuple[Array, Array] | None) -> tuple[Any, list[float]]:
        import lightgbm as lgb

        task = {"objective": "multiclass", "num_class": classes} if classes else {"objective": "regression", "metric": "rmse"}
        parameters = _tuned(self.settings or {}, self.seed) | task
        rows = lgb.Dataset(x, target, params=parameters)
        curve: dict[str, dict[str, list[float]]] = {}
        extra: dict[str, Any] = {}
        if held is not None:
            watching = [lgb.early_stopping(PATIENCE, verbose=False), lgb.record_evaluation(curve)]
            extra = {
                "valid_sets": [lgb.Dataset(held[0], held[1], reference=rows, params=parameters)],
                "valid_names": ["held"],
                "callbacks": watching,
            }
        booster = lgb.train(parameters, rows, num_boost_round=self.rounds, **extra)
        found = lgb.Booster(model_str=booster.model_to_string(num_iteration=-1))
        return found, curve["held"]["multi_logloss" if classes else "rmse"] if held is not None else []

    def _raw(self, x: Array, rounds: int) -> Array:
        return np.asarray(self.model_.predict(x, num_iteration=rounds, num_threads=1), dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return state | ({"model_": self.model_.model_to_string(num_iteration=-1)} if "model_" in state else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        import lightgbm as lgb

        super().__setstate__(state)
        if isinstance(state.get("model_"), str):
            self.model_ = lgb.Booster(model_str=state["model_"])


class LightGBMRegressor(_LightGBM, BoostedRegressor):
    """LightGBM for a number."""


class LightGBMClassifier(_LightGBM, BoostedClassifier):
    """LightGBM for a class."""


def _tuned(settings: Mapping[str, float], seed: int) -> dict[str, Any]:
    return {**FIXED, "seed": seed, **{k: int(v) if k in WHOLE else v for k, v in settings.items()}}


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`rounds` (the most trees), and any of LightGBM's numeric parameters."""
    rest = {k: v for k, v in configuration.items() if k != "rounds"}
    kind = LightGBMRegressor if task == "regression" else LightGBMClassifier
    return kind(rounds=int(configuration.get("rounds", ROUNDS)), settings=rest, seed=seed)
