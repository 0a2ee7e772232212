"""Support vector machine with the radial kernel exp(-width |u - v|^2) over standardised features (scikit-learn's)."""

from __future__ import annotations

from typing import Any

from auctor.learn.estimators.prepared import prepared
from auctor.learn.estimators.registry import settings

DEFAULTS = {"cost": 3.0, "width": 0.01, "tube": 0.1}


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`cost` of an error, kernel `width`, and the `tube` of errors that cost nothing, as a share of the target's SD (regression).

    Probabilities of a class come from Platt's logistic curve, fitted to cross-validated scores.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC, SVR

    found = settings("svm", configuration, DEFAULTS)
    if task == "regression":
        machine = SVR(C=found["cost"], gamma=found["width"], epsilon=found["tube"])
        return TransformedTargetRegressor(regressor=prepared(machine), transformer=StandardScaler())
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    return CalibratedClassifierCV(prepared(SVC(C=found["cost"], gamma=found["width"])), cv=folds, ensemble=False)
