"""CatBoost through its own interface; a stored learner holds its JSON format without the time and the number of the training run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.estimators.boosted import PATIENCE, ROUNDS, Boosted, BoostedClassifier, BoostedRegressor

Array = NDArray[np.float64]
FIXED: dict[str, Any] = {"thread_count": 1, "allow_writing_files": False, "logging_level": "Silent"}


class _CatBoost(Boosted):
    def _grow(self, x: Array, target: Array, classes: int, held: tuple[Array, Array] | None) -> tuple[Any, list[float]]:
        import catboost

        if np.all(np.isnan(x) | (x == x[:1])):
            raise ValueError(f"CatBoost needs a feature that varies (n_samples = {len(x)})")
        task = {"loss_function": "MultiClass", "classes_count": classes} if classes else {"loss_function": "RMSE"}
        settings = {k: int(v) if k == "depth" else v for k, v in (self.settings or {}).items()}
        model = catboost.CatBoost({**FIXED, "random_seed": self.seed, "iterations": self.rounds, **settings, **task})
        if held is None:
            model.fit(x, target)
            return _read(_written(model)), []
        model.fit(x, target, eval_set=catboost.Pool(*held), early_stopping_rounds=PATIENCE, use_best_model=False)
        return _read(_written(model)), model.get_evals_result()["validation"]["MultiClass" if classes else "RMSE"]

    def _raw(self, x: Array, rounds: int) -> Array:
        kind = "Probability" if isinstance(self, CatBoostClassifier) else "RawFormulaVal"
        return np.asarray(self.model_.predict(x, prediction_type=kind, ntree_end=rounds, thread_count=1), dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return state | ({"model_": _written(self.model_)} if "model_" in state else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if isinstance(state.get("model_"), str):
            self.model_ = _read(state["model_"])


class CatBoostRegressor(_CatBoost, BoostedRegressor):
    """CatBoost for a number."""


class CatBoostClassifier(_CatBoost, BoostedClassifier):
    """CatBoost for a class."""


def _written(model: Any) -> str:
    """CatBoost's JSON, in which only the trees and what they need are kept: the rest names the run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        content = json.loads(path.read_text(encoding="utf-8"))
    content["model_info"] = {k: v for k, v in content.get("model_info", {}).items() if k in ("class_params", "params")}
    return json.dumps(content, sort_keys=True)


def _read(text: str) -> Any:
    import catboost

    found = catboost.CatBoost()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        path.write_text(text, encoding="utf-8")
        found.load_model(str(path), format="json")
    return found


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`rounds` (the most trees), and any of CatBoost's numeric parameters."""
    rest = {k: v for k, v in configuration.items() if k != "rounds"}
    kind = CatBoostRegressor if task == "regression" else CatBoostClassifier
    return kind(rounds=int(configuration.get("rounds", ROUNDS)), settings=rest, seed=seed)
