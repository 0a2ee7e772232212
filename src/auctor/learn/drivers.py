"""What drove one patient's prediction, in the clinician's words: features put back to the levels and covariates they were made from.

A feature made from two levels (`C1/C0`) is shared equally between them: a convention, which keeps the sum exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auctor.learn.explain import Array, boosted, explain_learner, percent
from auctor.learn.features import matrix
from auctor.learn.observed import Observed
from auctor.learn.provenance import Source, declared
from auctor.learn.scales import BESIDE_TYPICAL

if TYPE_CHECKING:
    from auctor.learn.learner import Learner

NAMED = 3  # drivers that the sentence names
TIMES, DOSE, TYPICAL = "the timing of the samples", "the dose", "the population prediction"
LATEST = ("the latest level", "the level before it", "the third latest level", "the fourth latest level")


@dataclass(frozen=True, kw_only=True)
class Driver:
    """One thing that moved the estimate: its name, its value with unit (empty where it is several), contribution on the log scale."""

    name: str
    value: str
    contribution: float

    @property
    def percent(self) -> float:
        """The change of the estimate, in percent."""
        return percent(self.contribution)


@dataclass(frozen=True, kw_only=True)
class Drivers:
    """All drivers of one prediction, the strongest first: `base` + the contributions = log F/CL (h/L), `against` whom it is compared."""

    base: float
    each: tuple[Driver, ...]
    against: str
    metric: str

    @property
    def predicted(self) -> float:
        """log F/CL of the patient."""
        return self.base + sum(d.contribution for d in self.each)

    def sentence(self) -> str:
        """For the report: the strongest drivers, then the rest together; the percentages multiply."""
        named = [d for d in self.each[:NAMED] if abs(d.percent) >= 0.5]
        rest = sum(d.contribution for d in self.each if d not in named)
        total = sum(d.contribution for d in self.each)
        if not named:
            return f"Against {self.against}, nothing moves the estimated {self.metric} by more than 0.5 %."
        words = "; ".join(f"{_called(d)} {_moves(d.percent)}" for d in named)
        return (
            f"Against {self.against}, per mg of dose, what moves the estimated {self.metric}: {words}; "
            f"everything else together {_moves(percent(rest))}. The factors multiply: in all {_signed(percent(total))}."
        )


def _called(driver: Driver) -> str:
    name = driver.name if driver.name[1:2].isupper() or driver.name[1:2].isdigit() else driver.name[:1].lower() + driver.name[1:]
    return f"{name} of {driver.value}" if driver.value[:1].isdigit() else f"{name} {driver.value}".strip()


def _moves(change: float) -> str:
    if abs(change) < 0.5:
        return "leaves it as it is"
    return f"{'raises' if change > 0 else 'lowers'} it by {abs(change):.0f} %"


def _signed(change: float) -> str:
    return "no change" if abs(change) < 0.5 else f"{change:+.0f} %".replace("-", "−")


def explained(learner: Learner, observed: Observed) -> str:
    """The sentence, of a learner that explains itself at no cost and models F/CL; empty for another."""
    return drivers(learner, observed).sentence() if boosted(learner) and learner.plan.scale in ("dose_rate", "typical") else ""


def drivers(learner: Learner, observed: Observed, background: Array | None = None) -> Drivers:
    """The drivers of the first patient of `observed`; all learners but XGBoost need `background` (m, p), features of training patients."""
    plan, x = learner.plan, matrix(observed)[:1]
    found = explain_learner(learner, x, background)
    shares: dict[str, float] = {}
    for name, contribution in zip(plan.learning.features, found.contributions[0].tolist(), strict=True):
        owners = _owners(learner, name)
        for owner in owners:
            shares[owner] = shares.get(owner, 0.0) + contribution / len(owners)
    each = [Driver(name=_label(learner, o), value=_value(learner, observed, o), contribution=c) for o, c in shares.items()]
    typical = plan.scale in BESIDE_TYPICAL
    return Drivers(
        base=found.base + (float(np.log(observed.typical[0])) if typical else 0.0),
        each=tuple(sorted(each, key=lambda d: (-abs(d.contribution), d.name))),
        against="the typical patient with the same covariates" if typical else "the average training patient",
        metric=plan.metric.name,
    )


def _owners(learner: Learner, feature: str) -> tuple[str, ...]:
    """Whose contribution a feature's is: the samples it uses, its covariate, or a word for the rest."""
    found = declared(learner.plan)[feature]
    if found.samples:
        return found.samples
    if feature.startswith("cov:"):
        return (feature.removeprefix("cov:"),)
    if Source.POPULATION in found.sources:
        return (TYPICAL,)
    return (TIMES,) if re.match(r"dt:|after:|log_since:", feature) else (DOSE,)


def _label(learner: Learner, owner: str) -> str:
    if learner.plan.irregular is not None and owner in learner.plan.sample_names[: len(LATEST)]:
        return LATEST[learner.plan.sample_names.index(owner)]
    covariate = learner.plan.model.covariates.get(owner)
    return (covariate.label or owner).partition(" (")[0] if covariate else owner


def _value(learner: Learner, observed: Observed, owner: str) -> str:
    plan, model = learner.plan, learner.plan.model
    if owner in plan.sample_names:
        level = float(observed.value[0, plan.sample_names.index(owner)])
        return f"{_number(level * model.scale)} {model.units['concentration']}" if np.isfinite(level) else "not taken"
    if owner not in model.covariates:
        return ""
    covariate, value = model.covariates[owner], float(observed.covariates[owner][0])
    word = next((w for w, code in (covariate.levels or {}).items() if code == value), "")
    return word or f"{_number(value)} {covariate.unit}".removesuffix(" 1").strip()


def _number(value: float) -> str:
    """Three significant digits, without an exponent below a million.

    >>> _number(12345.6), _number(0.01234)
    ('12300', '0.0123')
    """
    return f"{float(f'{value:.3g}'):g}"
