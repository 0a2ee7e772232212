"""What models that need complete, comparable columns see: medians for missing samples with a column saying so, then Yeo-Johnson.

Every number is fitted where the model is fitted: inside the folds while tuning, on the training part in the end.
"""

from __future__ import annotations

from typing import Any


def prepared(model: Any) -> Any:
    """The model behind imputation (median and indicator), standardisation and the Yeo-Johnson transform; a scikit-learn pipeline."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import PowerTransformer, StandardScaler

    return Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("straighten", PowerTransformer(method="yeo-johnson")),
            ("model", model),
        ]
    )
