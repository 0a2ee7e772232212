"""Fitted estimators as bytes: an XGBoost regressor in XGBoost's own format, everything else by skops with its types listed here.

Loading builds no type that is not on the list, so a file cannot run code; there is no pickle. Equal estimators give equal bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from auctor.errors import ModelError

OURS = "auctor.learn.estimators"
TRUSTED = (
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
    f"{OURS}.catboosted.CatBoostClassifier",
    f"{OURS}.catboosted.CatBoostRegressor",
    f"{OURS}.lightgbmed.LightGBMClassifier",
    f"{OURS}.lightgbmed.LightGBMRegressor",
    f"{OURS}.linear.ElasticNetPath",
    f"{OURS}.linear.StagedPipeline",
    f"{OURS}.mars.MarsClassifier",
    f"{OURS}.mars.MarsRegressor",
    f"{OURS}.perceptron.ClassNetwork",
    f"{OURS}.perceptron.RegressionNetwork",
    f"{OURS}.recurrent.RecurrentClassifier",
    f"{OURS}.recurrent.RecurrentRegressor",
    f"{OURS}.stacking.StackClassifier",
    f"{OURS}.stacking.StackRegressor",
    f"{OURS}.xgboosted.XGBoostClassifier",
    f"{OURS}.xgboosted.XGBoostRegressor",
)
UBJ, SKOPS = "ubj", "skops"
EPOCH = (1980, 1, 1, 0, 0, 0)


def dump(estimator: Any) -> tuple[str, bytes]:
    """(`ubj` or `skops`, the bytes) of a fitted estimator of the registry, or of XGBoost's own booster."""
    booster = getattr(estimator, "model_", estimator)
    if type(estimator).__name__ in ("Booster", "XGBoostRegressor"):
        return UBJ, bytes(booster.save_raw("ubj"))
    import skops.io

    return SKOPS, _repeatable(skops.io.dumps(estimator))


def load(kind: str, raw: bytes) -> Any:
    """The estimator that `dump` wrote; of `ubj` XGBoost's own booster. Raises ModelError for a type that is not on the list."""
    if kind == UBJ:
        from auctor.learn.estimators.xgboosted import booster

        return booster(raw)
    import skops.io

    unknown = sorted(set(skops.io.get_untrusted_types(data=raw)) - set(TRUSTED))
    if unknown:
        raise ModelError(where="model.skops", what=f"holds the type {unknown[0]}", remedy="do not use it: train the plan again")
    return skops.io.loads(raw, trusted=list(TRUSTED))


def _repeatable(raw: bytes) -> bytes:
    """The archive with its objects numbered in order instead of by their place in memory, and without the time of day."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        schema = json.loads(archive.read("schema.json"))
        files = {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}
    names: dict[str, str] = {}
    numbers: dict[int, int] = {}
    renamed = _renumbered(schema, numbers, names)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("schema.json", EPOCH), json.dumps(renamed, sort_keys=True), zipfile.ZIP_DEFLATED)
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new, EPOCH), files[old], zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _renumbered(node: Any, numbers: dict[int, int], names: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_renumbered(each, numbers, names) for each in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__":
            found[key] = numbers.setdefault(value, len(numbers))
        elif key == "file":
            found[key] = names.setdefault(value, f"{len(names)}.{value.rpartition('.')[2]}")
        else:
            found[key] = _renumbered(value, numbers, names)
    return found
