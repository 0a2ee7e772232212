"""The residual error of each observation, where a model has several outputs."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from auctor.models.model import DrugModel, Residual


def residual_at(model: DrugModel, arrays: dict[str, Any], xp: ModuleType = np) -> Residual:
    """The residual error of every wanted time, its SDs of the shape of `arrays["output"]`; that of the model when all outputs share it."""
    if len(model.residuals) < 2:
        return model.residual
    of = list(model.residuals.values())
    proportional, additive = (xp.asarray([getattr(r, name) for r in of])[arrays["output"]] for name in ("proportional", "additive"))
    return replace(model.residual, proportional=proportional, additive=additive)
