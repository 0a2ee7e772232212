"""Learners that choose a first dose, all trained on virtual patients: classify the event, regress the exposure, or name the dose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from auctor.dosing.first_dose.exposure import Unit, outcomes, unit_exposures
from auctor.dosing.first_dose.ladder import Ladder
from auctor.dosing.first_dose.prior import Prior
from auctor.dosing.first_dose.training import Virtual
from auctor.population.virtual import stream

Array = NDArray[np.float64]
MOST_ROWS = 30_000
RESIDUALS = 400
SHALLOW = {"n_estimators": 200, "max_depth": 3, "learning_rate": 0.08, "subsample": 0.8, "min_child_weight": 20, "reg_lambda": 5.0}


class Chooser(Protocol):
    """Anything that ranks the rungs for patients known by their covariates alone."""

    @property
    def name(self) -> str:
        """What the method is called in a table."""
        ...

    @property
    def gives_probability(self) -> bool:
        """Whether its scores are probabilities of the joint target."""
        ...

    def scores(self, covariates: Mapping[str, Array], doses_mg: Array) -> Array:
        """Higher is better: (n, rungs) for covariates (n,) and the doses (n, rungs) mg of the ladder; -infinity above a cap."""
        ...


def chosen(chooser: Chooser, covariates: Mapping[str, Array], doses_mg: Array) -> NDArray[np.int64]:
    """The best rung of each patient, (n,); the lowest among equals, never one above a cap."""
    worth = np.where(np.isfinite(doses_mg), chooser.scores(covariates, doses_mg), -np.inf)
    return np.asarray(np.argmax(worth, axis=1), dtype=np.int64)


def _columns(names: tuple[str, ...], covariates: Mapping[str, Array]) -> Array:
    return np.column_stack([np.asarray(covariates[name], dtype=np.float64) for name in names])


def _regressor(**more: Any) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(**{**SHALLOW, **more}, n_jobs=1, random_state=0, tree_method="hist")


@dataclass(frozen=True, kw_only=True, eq=False)
class EventClassifier:
    """P(joint event) from dose, interval and covariates by gradient boosting; the dose is the argmax over the ladder (studies.md [62]).

    With `typical` it also sees the exposures of the typical patient with these covariates under the dose.
    """

    booster: Any
    names: tuple[str, ...]
    virtual: Virtual
    typical: bool = True
    name: str = "classifier of the joint event (XGBoost)"
    gives_probability: bool = True

    @classmethod
    def fit(cls, virtual: Virtual, *, published: bool = False, seed: int = 0) -> EventClassifier:
        """Trained on rungs of each patient and their frequency over its courses; `published`: one rung a patient and its one event."""
        n, m = virtual.doses_mg.shape
        rng = stream(seed, "classifier rungs")
        per = 1 if published else max(1, min(m, MOST_ROWS // n))
        rungs = np.argsort(rng.random((n, m)), axis=1)[:, :per]
        rows, columns = np.repeat(np.arange(n), per), rungs.ravel()
        kept = np.isfinite(virtual.doses_mg[rows, columns])
        rows, columns = rows[kept], columns[kept]
        found = cls(
            booster=_regressor(objective="binary:logistic"), names=tuple(virtual.covariates), virtual=virtual, typical=not published
        )
        labels = virtual.success if published else virtual.chance
        some = {name: values[rows] for name, values in virtual.covariates.items()}
        found.booster.fit(found._features(some, virtual.doses_mg[rows, columns], columns), labels[rows, columns])
        return found

    def probability(self, covariates: Mapping[str, Array], doses_mg: Array, rungs: NDArray[np.int64]) -> Array:
        """P(event) of one dose (n,) mg and rung number (n,) for each patient."""
        return np.asarray(self.booster.predict(self._features(covariates, doses_mg, rungs)), dtype=np.float64)

    def scores(self, covariates: Mapping[str, Array], doses_mg: Array) -> Array:
        """P(event) for every rung."""
        n, m = doses_mg.shape
        rows = {name: np.repeat(covariates[name], m) for name in self.names}
        found = self.probability(rows, doses_mg.ravel(), np.tile(np.arange(m), n)).reshape(n, m)
        return np.where(np.isfinite(doses_mg), found, -np.inf)

    def _features(self, covariates: Mapping[str, Array], doses_mg: Array, rungs: NDArray[np.int64]) -> Array:
        ladder = self.virtual.ladder
        every = np.asarray([rung.every_h for rung in ladder.rungs])[rungs]
        amount = np.asarray([rung.amount for rung in ladder.rungs])[rungs]
        columns = [_columns(self.names, covariates), doses_mg, amount, every]
        return np.column_stack([*columns, *(self._typical(covariates, doses_mg, rungs) if self.typical else ())])

    def _typical(self, covariates: Mapping[str, Array], doses_mg: Array, rungs: NDArray[np.int64]) -> list[Array]:
        """Log exposure of the typical patient for each goal."""
        virtual, n = self.virtual, len(doses_mg)
        prior = Prior.of(virtual.model)
        known = prior.covariates({**{name: np.full(n, value) for name, value in virtual.held.items()}, **covariates})
        unit = unit_exposures(prior.model, known, np.zeros((n, len(prior.model.eta_names))), virtual.target, virtual.ladder)
        kinds = [(rung.every_h, rung.duration_h) for rung in virtual.ladder.rungs]
        found = []
        for goal in virtual.target.goals:
            per = np.stack([unit.columns[(goal.metric.name, *kind)] for kind in kinds], axis=1)
            found.append(np.log(per[np.arange(n), rungs] * doses_mg))
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class ExposureRegressor:
    """Log exposure per mg by gradient boosting, and its predictive distribution from held-out residuals; P(target) follows for any dose.

    The residuals of all exposures are kept together (rows), so that a joint target sees how they go together.
    """

    boosters: Mapping[tuple[str, float, float], Any]
    residuals: Mapping[tuple[str, float, float], Array]
    names: tuple[str, ...]
    virtual: Virtual
    name: str = "exposure regressed, with its spread (XGBoost)"
    gives_probability: bool = True

    @classmethod
    def fit(cls, virtual: Virtual, *, seed: int = 0) -> ExposureRegressor:
        """Trained on three quarters of the patients; the spread comes from the last quarter."""
        n = len(virtual)
        order = stream(seed, "regressor split").permutation(n)
        train, held = order[: 3 * n // 4], order[3 * n // 4 :][:RESIDUALS]
        boosters, residuals = {}, {}
        for key, values in virtual.unit.columns.items():
            boosters[key] = _regressor(n_estimators=300).fit(virtual.x[train], virtual.log_unit[key][train])
            residuals[key] = np.log(values[held]) - boosters[key].predict(virtual.x[held])
        return cls(boosters=boosters, residuals=residuals, names=tuple(virtual.covariates), virtual=virtual)

    def scores(self, covariates: Mapping[str, Array], doses_mg: Array) -> Array:
        """P(target) over the residuals for every rung."""
        x = _columns(self.names, covariates)
        center = {key: booster.predict(x).astype(np.float64) for key, booster in self.boosters.items()}
        target, ladder = self.virtual.target, self.virtual.ladder
        total, k = np.zeros(doses_mg.shape), len(next(iter(self.residuals.values())))
        for i in range(k):
            unit = Unit(columns={key: np.exp(center[key] + self.residuals[key][i]) for key in center})
            total += np.stack([target.share(values) for values in outcomes(unit, target, ladder, doses_mg)], axis=1)
        return np.where(np.isfinite(doses_mg), total / k, -np.inf)


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectDose:
    """The daily dose itself by gradient boosting; the label of a virtual patient is the rung an oracle that knows it would give.

    Among rungs that serve the patient equally the oracle takes the one farthest inside the ranges.
    """

    booster: Any
    names: tuple[str, ...]
    ladder: Ladder
    favour: Array
    name: str = "dose regressed directly (XGBoost)"
    gives_probability: bool = False

    @classmethod
    def fit(cls, virtual: Virtual) -> DirectDose:
        """Trained on the log daily dose of the oracle's rung."""
        rung = oracle_rungs(virtual)
        daily = _daily(virtual.doses_mg, virtual.ladder)[np.arange(len(virtual)), rung]
        booster = _regressor().fit(virtual.x, np.log(daily))
        favour = np.bincount(rung, minlength=len(virtual.ladder.rungs)) / len(virtual)
        return cls(booster=booster, names=tuple(virtual.covariates), ladder=virtual.ladder, favour=favour)

    def scores(self, covariates: Mapping[str, Array], doses_mg: Array) -> Array:
        """Minus the log distance to the predicted daily dose; among equals the rung the oracle takes more often."""
        wanted = self.booster.predict(_columns(self.names, covariates)).astype(np.float64)
        away = np.abs(np.log(_daily(doses_mg, self.ladder)) - wanted[:, None])
        return np.where(np.isfinite(doses_mg), 1e-3 * self.favour - away, -np.inf)


def _daily(doses_mg: Array, ladder: Ladder) -> Array:
    return np.asarray(doses_mg * np.asarray([24.0 / rung.every_h for rung in ladder.rungs]), dtype=np.float64)


def oracle_rungs(virtual: Virtual) -> NDArray[np.int64]:
    """The rung that an oracle who knows each virtual patient gives, (n,)."""
    best = virtual.success >= virtual.success.max(axis=1, keepdims=True)
    return np.asarray(np.argmax(np.where(best, virtual.margin, -np.inf), axis=1), dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One line of the readable rule: the conditions, the rung to give, P(target) there, and how many training patients it rests on."""

    conditions: tuple[str, ...]
    rung: int
    probability: float
    patients: int


@dataclass(frozen=True, kw_only=True, eq=False)
class DoseTree:
    """One decision tree on the covariates whose leaves give the rung that served most of their training patients."""

    tree: Any
    names: tuple[str, ...]
    ladder: Ladder
    name: str = "decision tree"
    gives_probability: bool = True

    @classmethod
    def fit(cls, virtual: Virtual, *, leaves: int = 8) -> DoseTree:
        """Splits are those that best explain which rungs serve the patient (all rungs at once); at least 2 % of patients a leaf."""
        from sklearn.tree import DecisionTreeRegressor

        served = np.where(np.isfinite(virtual.chance), virtual.chance, 0.0)
        least = max(1, len(virtual) // 50)
        tree = DecisionTreeRegressor(max_leaf_nodes=leaves, min_samples_leaf=least, random_state=0).fit(virtual.x, served)
        return cls(tree=tree, names=tuple(virtual.covariates), ladder=virtual.ladder)

    def scores(self, covariates: Mapping[str, Array], doses_mg: Array) -> Array:
        """The share of the leaf's training patients that each rung served."""
        found = self.tree.predict(_columns(self.names, covariates)).reshape(doses_mg.shape)
        return np.where(np.isfinite(doses_mg), found, -np.inf)

    def leaves(self) -> tuple[Leaf, ...]:
        """The rule as a table, from the left of the tree to the right."""
        return tuple(self._below(0, {}))

    def _below(self, node: int, bounds: Mapping[str, float]) -> list[Leaf]:
        """The leaves under a node; of several bounds on one side of a covariate the last is the tightest."""
        t = self.tree.tree_
        if t.children_left[node] < 0:
            shares = t.value[node].ravel()
            conditions = tuple(f"{side} {bound:.4g}" for side, bound in bounds.items())
            rung, patients = int(shares.argmax()), int(t.n_node_samples[node])
            return [Leaf(conditions=conditions, rung=rung, probability=float(shares.max()), patients=patients)]
        name, bound = self.names[t.feature[node]], float(t.threshold[node])
        left = self._below(t.children_left[node], {**bounds, f"{name} <=": bound})
        return left + self._below(t.children_right[node], {**bounds, f"{name} >": bound})


LEARNERS: Mapping[str, Callable[[Virtual], Chooser]] = {
    "classify": EventClassifier.fit,
    "regress": ExposureRegressor.fit,
    "direct": DirectDose.fit,
    "tree": DoseTree.fit,
}
