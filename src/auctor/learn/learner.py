"""The artefact of a trained learner: its models, calibration scores, and a model card; hashed and checked at load, without pickle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.errors import ModelError, OutOfDomain
from auctor.learn.artefact import canonical, verified
from auctor.learn.conformal import Calibration
from auctor.learn.density import Density
from auctor.learn.estimators.registry import algorithm
from auctor.learn.estimators.storage import dump, load
from auctor.learn.features import matrix
from auctor.learn.histories import inputs
from auctor.learn.observed import Observed
from auctor.learn.probability import Recalibration
from auctor.learn.scales import centered, natural
from auctor.learn.subgroups import cells
from auctor.learn.training import Pair, Sides, joined
from auctor.models.model import DrugModel
from auctor.population.plan import Plan, read_plan

if TYPE_CHECKING:
    from auctor.learn.predictor import LearnedExposure, LearnedTarget

Array = NDArray[np.float64]
FILES = ("model.ubj", "spread.ubj", "scores.json", "plan.toml", "card.json")  # of an XGBoost learner with split intervals
ALWAYS = ("scores.json", "plan.toml", "card.json")
N_DRAWS = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class Learner:
    """A trained learner: `booster` predicts the log of the scale-free exposure, `spread` the log of its difficulty.

    `booster` is XGBoost's own or an estimator of the registry; `calibration` holds the errors that intervals rest on, `folds` the pairs
    that made them where the method is cv+; `density` refuses patients unlike the training ones; `card` is the model card. Of an
    event `booster` gives the probability, which `recalibration` corrects; it has no interval.
    """

    plan: Plan
    booster: Any
    spread: Any
    calibration: Calibration
    card: Mapping[str, Any]
    folder: Path
    folds: tuple[Pair, ...] = ()
    density: Density | None = None
    recalibration: Recalibration | None = None

    @property
    def scores(self) -> Array:
        """Calibration residuals divided by the spread, sorted within each model and subgroup."""
        return self.calibration.scores

    @classmethod
    def load(cls, folder: str | Path) -> Learner:
        """Read an artefact folder. Raises ModelError where a file is missing or differs from its recorded SHA-256."""
        where = Path(folder)
        content = verified(where, ALWAYS, called="learner", whole=_whole)
        card = json.loads(content["card.json"])
        plan = read_plan(card["plan"]["source"], text=content["plan.toml"].decode())
        if plan.sha256 != card["plan"]["sha256"]:
            raise ModelError(where=where.name, what="was trained on another version of its population model", remedy="train the plan again")
        _same_versions(where, plan, card)
        first = _pair(content, "")
        return cls(
            plan=plan,
            booster=first.model,
            spread=first.spread,
            calibration=Calibration.read(json.loads(content["scores.json"])),
            card=card,
            folder=where,
            folds=tuple(_pair(content, f"-{k}") for k in range(card.get("fold_models", 0))),
            recalibration=_recalibration(card) if plan.target.event else None,
            density=Density.read(json.loads(_part(content, "density.json"))) if plan.density < 1 else None,
        )

    @property
    def circular(self) -> bool:
        """Whether it was trained to give an individual estimate of the same model (a circular label), which every table then says."""
        return self.plan.label == "map"

    def content(self) -> dict[str, bytes]:
        """The artefact's files: name -> bytes."""
        found = {"scores.json": canonical(self.calibration.document()).encode(), "plan.toml": self.plan.text.encode()}
        for tail, pair in [("", Pair(model=self.booster, spread=self.spread)), *((f"-{k}", p) for k, p in enumerate(self.folds))]:
            for name, model in (("model", pair.model), ("spread", pair.spread)):
                kind, raw = dump(model)
                found[f"{name}{tail}.{kind}"] = raw
        if self.density is not None:
            found["density.json"] = canonical(self.density.document()).encode()
        return found | {"card.json": canonical(self.card).encode()}

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What forecasts: the estimator and its spread, or those of the folds where the method is cv+."""
        return self.folds or (Pair(model=self.booster, spread=self.spread),)

    def estimate(self, observed: Observed) -> tuple[Array, Array]:
        """(prediction, spread of its residual), each (n,): log F/CL, the target on its own scale, or the probability of an event."""
        found = joined(self.pairs, self._sides(observed))
        center = found.center.mean(axis=0)
        if self.recalibration is not None:
            center = self.recalibration(center)
        return centered(self.plan, observed, center), ((found.below + found.above) / 2).mean(axis=0)

    def _sides(self, observed: Observed) -> Sides:
        return Sides(z=inputs(observed), x=matrix(observed))

    def distribution(self, observed: Observed, levels: Array) -> Array:
        """Conformal quantiles (n, n_levels) of what is modelled, by the plan's method and within the patient's own subgroup.

        Raises OutOfDomain for a patient of a subgroup that no calibration patient is in.
        """
        found = self.calibration.quantiles(joined(self.pairs, self._sides(observed)), levels, cells(observed))
        return centered(self.plan, observed, found.T).T

    def interval(self, observed: Observed, *, level: float = 0.9) -> tuple[Array, Array, Array]:
        """(point, low, high) of F/CL (h/L) or of the target, each (n,); coverage `level` on average, or in each declared subgroup.

        Of an event its probability, three times: it has no interval.
        """
        if self.plan.target.event:
            point = natural(self.plan, self.estimate(observed)[0])
            return point, point, point
        low, high = self.distribution(observed, np.asarray([(1 - level) / 2, (1 + level) / 2])).T
        return natural(self.plan, self.estimate(observed)[0]), natural(self.plan, low), natural(self.plan, high)

    def require_near(self, observed: Observed) -> None:
        """Raise OutOfDomain for a patient whose features together are unlike those of the training patients."""
        if self.density is not None and bool(self.density.outside(matrix(observed))[0]):
            raise OutOfDomain(
                where="samples",
                what="levels, times and covariates together are unlike those of the training patients, though each is in its range",
                remedy="check doses, times, units and the order of the samples; use another method",
            )

    def predictor(self, case: Case, model: DrugModel) -> LearnedExposure | LearnedTarget:
        """This patient's exposure. Raises OutOfDomain with the reason where the learner was not built for the patient."""
        from auctor.learn.predictor import predictor

        return predictor(self, case, model)


def _pair(content: Mapping[str, bytes], tail: str) -> Pair:
    def one(name: str) -> Any:
        kind = "ubj" if f"{name}{tail}.ubj" in content else "skops"
        return load(kind, _part(content, f"{name}{tail}.{kind}"))

    return Pair(model=one("model"), spread=one("spread"))


def _recalibration(card: Mapping[str, Any]) -> Recalibration:
    if "recalibration" not in card:
        raise ModelError(where=str(card["name"]), what="was trained before events were classified", remedy="train the plan again")
    return Recalibration(a=float(card["recalibration"]["intercept"]), b=float(card["recalibration"]["slope"]))


def _part(content: Mapping[str, bytes], name: str) -> bytes:
    if name not in content:
        raise ModelError(where=name, what="is missing: this is not a complete learner", remedy="train the plan again")
    return content[name]


def _same_versions(folder: Path, plan: Plan, card: Mapping[str, Any]) -> None:
    """Estimators kept by skops are scikit-learn's objects, which another version may read otherwise: refused, as ModelError."""
    chosen = algorithm(plan.learning.algorithm)
    chosen.require()
    if chosen.name != "xgboost" and any(card["versions"].get(k) != v for k, v in versions(plan).items()):
        raise ModelError(where=folder.name, what="was trained with other versions of its libraries", remedy="train the plan again")


def versions(plan: Plan) -> dict[str, str]:
    """Versions of the libraries a learner of this plan rests on."""
    from importlib.metadata import version

    base = {name: version(name) for name in ("numpy", "scikit-learn", "xgboost-cpu", "jax")}
    return base | algorithm(plan.learning.algorithm).versions()


def _whole(names: Iterable[str]) -> bool:
    """Whether there is an estimator and a spread, of one kind or the other."""
    return all(any(f"{part}.{kind}" in names for kind in ("ubj", "skops")) for part in ("model", "spread"))
