"""Random forest: the mean of deep trees grown on bootstrap samples (scikit-learn's; missing values are split upon)."""

from __future__ import annotations

from typing import Any

from auctor.learn.estimators.registry import settings

DEFAULTS = {"trees": 200, "min_leaf": 5, "share": 0.6}


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`trees`, the least number of patients in a leaf `min_leaf`, and the `share` of features looked at in a split."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    found = settings("random_forest", configuration, DEFAULTS)
    kind = RandomForestRegressor if task == "regression" else RandomForestClassifier
    return kind(n_estimators=found["trees"], min_samples_leaf=found["min_leaf"], max_features=found["share"], random_state=seed, n_jobs=1)
