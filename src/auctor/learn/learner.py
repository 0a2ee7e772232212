"""The artefact of a trained learner: XGBoost's own files, calibration scores, and a model card; hashed and checked at load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.errors import ModelError
from auctor.learn.features import matrix
from auctor.learn.observed import Observed
from auctor.learn.tuning import evaluate
from auctor.models.model import DrugModel
from auctor.population.plan import Plan, read_plan

if TYPE_CHECKING:
    from auctor.learn.predictor import LearnedExposure

Array = NDArray[np.float64]
FILES = ("model.ubj", "spread.ubj", "scores.json", "plan.toml", "card.json")
N_DRAWS = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    """A trained learner: `booster` predicts the log of the scale-free exposure, `spread` the log of its difficulty.

    `scores` (n_calibration,) are the sorted calibration residuals divided by the spread; `card` is the model card.
    """

    plan: Plan
    booster: Any
    spread: Any
    scores: Array
    card: Mapping[str, Any]
    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> Learner:
        """Read an artefact folder. Raises ModelError where a file is missing or differs from its recorded SHA-256."""
        where = Path(folder)
        content = _verified(where)
        card = json.loads(content["card.json"])
        plan = read_plan(card["plan"]["source"], text=content["plan.toml"].decode())
        if plan.sha256 != card["plan"]["sha256"]:
            raise ModelError(where=where.name, what="was trained on another version of its population model", remedy="train the plan again")
        scores = np.asarray(json.loads(content["scores.json"]), dtype=np.float64)
        return cls(
            plan=plan,
            booster=_booster(content["model.ubj"]),
            spread=_booster(content["spread.ubj"]),
            scores=scores,
            card=card,
            folder=where,
        )

    @property
    def circular(self) -> bool:
        """Whether it was trained to give an individual estimate of the same model (a circular label), which every table then says."""
        return self.plan.label == "map"

    def estimate(self, observed: Observed) -> tuple[Array, Array]:
        """(log F/CL, spread of its residual), each (n,), for what n patients show."""
        x = matrix(observed)
        offset = np.log(observed.typical) if self.plan.scale == "typical" else 0.0
        return evaluate(self.booster, x) + offset, np.exp(evaluate(self.spread, x))

    def quantiles(self, levels: Array) -> Array:
        """Conformal quantiles of the scaled residual: order statistic (n + 1) p of the calibration scores."""
        return np.quantile(self.scores, levels, method="weibull")

    def interval(self, observed: Observed, *, level: float = 0.9) -> tuple[Array, Array, Array]:
        """(point, low, high) of F/CL in h/L, each (n,): split-conformal, marginal coverage `level`."""
        center, spread = self.estimate(observed)
        low, high = self.quantiles(np.asarray([(1 - level) / 2, (1 + level) / 2]))
        return np.exp(center), np.exp(center + spread * low), np.exp(center + spread * high)

    def predictor(self, case: Case, model: DrugModel) -> LearnedExposure:
        """This patient's exposure. Raises OutOfDomain with the reason where the learner was not built for the patient."""
        from auctor.learn.predictor import predictor

        return predictor(self, case, model)


def _booster(raw: bytes) -> Any:
    import xgboost as xgb

    found = xgb.Booster({"nthread": 1})
    found.load_model(bytearray(raw))
    return found


def _verified(folder: Path) -> dict[str, bytes]:
    try:
        recorded = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sha256"]
        content = {name: (folder / name).read_bytes() for name in FILES}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(where=folder.name, what="is not a complete learner", remedy="train the plan again") from error
    for name, raw in content.items():
        if hashlib.sha256(raw).hexdigest() != recorded.get(name):
            raise ModelError(
                where=f"{folder.name}/{name}", what="differs from its recorded SHA-256", remedy="do not use it: train the plan again"
            )
    return content


def write(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write an artefact's files and the manifest of their SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_bytes(content[name])
    digests = {name: hashlib.sha256(content[name]).hexdigest() for name in FILES}
    (folder / "manifest.json").write_text(canonical({"sha256": digests}), encoding="utf-8")


def canonical(content: Any) -> str:
    """JSON with sorted keys and a last newline: the same content gives the same bytes."""
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
