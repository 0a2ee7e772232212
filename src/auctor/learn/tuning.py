"""Tuning an algorithm of the registry by k-fold cross-validation on the training part alone; one thread, fixed seeds: it repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.learn.estimators.registry import Algorithm, algorithm
from auctor.learn.estimators.validation import Validated, fitted, split_by, validated
from auctor.population.learning import Learning
from auctor.population.virtual import Progress

Array = NDArray[np.float64]
Configuration = Mapping[str, float]
# the spread model is deliberately smooth: it only has to rank patients by how hard they are
SPREAD = {"max_depth": 3, "learning_rate": 0.08, "min_child_weight": 40, "subsample": 1.0, "lambda": 1.0}
SPREAD_ROUNDS = 80
CLASSES = 2  # an event happens or not


@dataclass(frozen=True, kw_only=True, eq=False)
class Tuned:
    """The best configuration, its number of stages (0: none), its out-of-fold predictions (n,), and the table of all configurations."""

    configuration: Configuration
    rounds: int
    out_of_fold: Array
    table: tuple[Configuration, ...]
    algorithm: str = "xgboost"
    task: str = "regression"

    @property
    def predicted(self) -> Array:
        """Out-of-fold predictions (n,): the number, or the probability that an event happens."""
        return self.out_of_fold if self.out_of_fold.ndim == 1 else self.out_of_fold[:, -1]


def tune(
    x: Array,
    y: Array,
    learning: Learning,
    progress: Progress | None = None,
    *,
    task: str = "regression",
    groups: Array | None = None,
    fixed: Configuration | None = None,
) -> Tuned:
    """Cross-validate configurations; the least out-of-fold RMSE of the modelled (log) target wins, or the least log loss of a class.

    Whoever shares a number of `groups` (n,) is in one fold; `fixed` settings are no matter of choice. Where to stop (trees, place on the
    path of penalties) is the minimum of the fold-averaged learning curve, so it too is chosen on the training part only.
    """
    chosen = algorithm(learning.algorithm)
    labels = y if task == "classification" else None
    splits = split_by(len(y), learning.folds, learning.seed, groups=groups, labels=labels)
    measure = "cv_log_loss" if labels is not None else "cv_rmse"
    rows: list[dict[str, float]] = []
    found: list[tuple[Configuration, Validated]] = []

    def judge(candidate: Configuration) -> float:
        configuration = {**candidate, **(fixed or {})}
        one = validated(lambda: chosen.make(task, configuration, learning.seed), x, y, splits, groups=groups)
        found.append((configuration, one))
        rows.append({**configuration, **stages(configuration, one.rounds), measure: round(one.error, 8)})
        if progress:
            progress("tune", len(found) / learning.configurations)
        return rows[-1][measure]

    SEARCHES[learning.tuner](judge, _space(chosen, learning), learning)
    configuration, best = min(found, key=lambda pair: round(pair[1].error, 8))
    return Tuned(
        configuration=configuration,
        rounds=best.rounds,
        out_of_fold=best.out_of_fold,
        table=tuple(rows),
        algorithm=chosen.name,
        task=task,
    )


def stages(configuration: Configuration, rounds: int) -> dict[str, int]:
    """Where a staged estimator stops, under its own name: so many `trees`, or a `step` down the path of penalties; {} without stages."""
    return {"trees" if "rounds" in configuration else "step": rounds} if rounds else {}


def _space(chosen: Algorithm, learning: Learning) -> dict[str, list[float]]:
    return {key: list(values) for key, values in (learning.grid or chosen.space).items()}


def _random(judge: Callable[[Configuration], float], space: dict[str, list[float]], learning: Learning) -> None:
    """Random points of the grid, each once."""
    from sklearn.model_selection import ParameterSampler

    size = int(np.prod([len(v) for v in space.values()]))
    for candidate in ParameterSampler(space, n_iter=min(learning.configurations, size), random_state=learning.seed):
        judge(dict(sorted(candidate.items())))


def _optuna(judge: Callable[[Configuration], float], space: dict[str, list[float]], learning: Learning) -> None:
    """Optuna's tree-structured Parzen estimator, seeded, in memory; its own messages are kept quiet for the length of the search."""
    try:
        import optuna
    except ImportError:
        raise PlanError(where="learner.tuner", what="optuna is not installed", remedy='pip install "auctor[learn]"') from None

    def objective(trial: Any) -> float:
        return judge({name: trial.suggest_categorical(name, values) for name, values in sorted(space.items())})

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=learning.seed))
        study.optimize(objective, n_trials=learning.configurations)
    finally:
        optuna.logging.set_verbosity(level)


SEARCHES: Mapping[str, Callable[[Callable[[Configuration], float], dict[str, list[float]], Learning], None]] = {
    "random": _random,
    "optuna": _optuna,
}


def fit(x: Array, y: Array, tuned: Tuned, seed: int, groups: Array | None = None) -> Any:
    """An estimator of the chosen configuration, fitted to all rows given; XGBoost's own booster where that says it all."""
    new = algorithm(tuned.algorithm).make(tuned.task, tuned.configuration, seed)
    found = fitted(new.stopped(tuned.rounds) if tuned.rounds else new, x, y, groups)
    return found.model_ if (tuned.algorithm, tuned.task) == ("xgboost", "regression") else found


def fit_spread(x: Array, residuals: Array, seed: int) -> Any:
    """A booster of log |out-of-fold residual|: the relative difficulty of a patient, which scales the conformal interval."""
    target = np.log(np.maximum(np.abs(residuals), 1e-6))
    return boosted(x, target, SPREAD | {"objective": "reg:squarederror"}, seed)


def boosted(x: Array, target: Array, settings: Mapping[str, Any], seed: int) -> Any:
    """XGBoost's own model of a smooth auxiliary quantity."""
    import xgboost as xgb

    from auctor.learn.estimators.xgboosted import tuned

    return xgb.train(tuned(settings, seed), xgb.QuantileDMatrix(x, target, nthread=1), num_boost_round=SPREAD_ROUNDS)


def evaluate(model: Any, x: Array) -> Array:
    """Predictions (n,) of a regressor, the probability (n,) of the last class; (n,) or (n, outputs) of one of XGBoost's own boosters."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(x)[:, -1], dtype=np.float64)
    if hasattr(model, "get_params"):
        return np.asarray(model.predict(x), dtype=np.float64)
    import xgboost as xgb

    found = np.asarray(model.predict(xgb.DMatrix(x, nthread=1)), dtype=np.float64)
    return found[:, 1] if found.ndim == 2 and found.shape[1] == CLASSES else found
