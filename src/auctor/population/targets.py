"""What a plan is about: the `[target]` table, which names the quantity that every virtual patient has and that a learner predicts.

A metric of the concentration curve (at steady state, or in hours from the first dose), a clearance, or an event: several metrics each
within its range. `auctor.population.outcomes` computes it.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from auctor.case import Metric, MetricKind
from auctor.errors import AuctorError, PlanError
from auctor.models.model import DrugModel
from auctor.population.reading import Table
from auctor.units import convert

AREAS = (MetricKind.AUC, MetricKind.CAVG)
STEADY, FIRST_DOSE = "steady", "first_dose"
CLEARANCES = ("CL", "CL/F")
EVENT = "event"
LABELS = ("truth", "map")
PROPORTIONAL = ("dose_rate", "typical")
RELATIVE = "relative"
SCALES = (*PROPORTIONAL, "per_dose", RELATIVE, "log", "plain")


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One condition of an event: the metric (over the MIC in mg/L where there is one) lies above `low` and below `high`.

    Engine units: mg*h/L or mg/L, h or 1 over a MIC. `mic` is a number, a covariate of the plan, or None.
    """

    metric: Metric
    low: float
    high: float
    mic: float | str | None = None

    @property
    def name(self) -> str:
        """As printed: `AUC0-24/MIC > 666`."""
        what = self.metric.name + ("" if self.mic is None else "/MIC")
        sides = [f"{what} > {self.low:g}"] * math.isfinite(self.low) + [f"{what} < {self.high:g}"] * math.isfinite(self.high)
        return " and ".join(sides)


@dataclass(frozen=True, kw_only=True)
class PlanTarget:
    """The quantity of a plan. `quantity` is the name of a metric, `CL`, `CL/F` or `event`; `scale` what of it is modelled.

    `at`: `steady` (the maintenance dose for ever) or `first_dose` (hours from the first dose of the patient's own history).
    `keep` are the bounds (engine units), and `trim` the quantiles, outside which simulated patients are left out. `label` says what stands
    for it in training: the simulated `truth`, or `map`, the MAP estimate of the same model from the same samples (a circular label).
    """

    quantity: str
    at: str
    scale: str
    measured: Metric | None = None
    event: tuple[Criterion, ...] = ()
    keep: tuple[float, float] = (-math.inf, math.inf)
    trim: tuple[float, float] = (0.0, 1.0)
    label: str = "truth"

    @property
    def metric(self) -> Metric:
        """The metric. Raises PlanError for a target that is none (a clearance, an event)."""
        if self.measured is None:
            raise PlanError(where="target", what=f"is {self.name}, not a metric of the curve", remedy="use a plan with [target] metric")
        return self.measured

    @property
    def name(self) -> str:
        """As printed: `AUC0-12`, `Cmin0-24 from the first dose`, `CL/F`, `AUC0-24/MIC > 666 and C0 < 24.3`."""
        text = " and ".join(c.name for c in self.event) if self.event else self.quantity
        return f"{text} from the first dose" if self.at == FIRST_DOSE else text

    @property
    def proportional(self) -> bool:
        """Whether F/CL is what is modelled, so that every area and average at steady state follows by the dose rate."""
        return self.scale in PROPORTIONAL

    @property
    def task(self) -> str:
        """What a learner does: it gives the probability of an event, or a number."""
        return "classification" if self.event else "regression"

    @property
    def logarithmic(self) -> bool:
        """Whether the logarithm is modelled."""
        return self.scale != "plain"

    @property
    def modelled(self) -> str:
        """What the learner predicts, in words."""
        words = {"dose_rate": "log(F/CL)", "typical": "log(F/CL over the typical patient's)", "per_dose": f"log({self.name} / dose)"}
        words[RELATIVE] = f"log({self.name} over the typical patient's)"
        return words.get(self.scale, f"log({self.name})" if self.logarithmic else self.name)

    def answers(self, metric: Metric) -> bool:
        """Whether a learner of this target can tell that metric of a regimen at steady state."""
        if self.proportional or self.quantity == "CL/F":
            return metric.kind in AREAS
        return self.measured == metric and self.at == STEADY


def proportional(model: DrugModel) -> bool:
    """Whether exposure at steady state is F dose / CL: a named structure without saturable elimination."""
    return model.system is None and bool(model.structure.clearance) and model.structure.maximum is None


def read_target(table: Table, model: DrugModel) -> PlanTarget:
    """`[target]`. Errors: PlanError naming the key."""
    kinds = [key for key in ("metric", "clearance", EVENT) if table.has(key)]
    if len(kinds) != 1:
        raise table.refuse("metric", "is missing, or one of several kinds of target", "give one of metric, clearance and event")
    metric = _metric(table, table.text("metric")) if kinds == ["metric"] else None
    event = tuple(_criterion(row, model) for row in table.rows(EVENT)) if kinds == [EVENT] else ()
    quantity = metric.name if metric else EVENT if event else table.text("clearance", choices=CLEARANCES)
    found = PlanTarget(
        quantity=quantity,
        at=table.text("at", default=STEADY, choices=(STEADY, FIRST_DOSE)),
        scale=table.text("scale", default="plain" if event else None, choices=SCALES),
        measured=metric,
        event=event,
        keep=_range(table.table("keep"), quantity, model, over=None) if table.has("keep") else (-math.inf, math.inf),
        trim=_trim(table) if table.has("trim") else (0.0, 1.0),
        label=table.text("label", default="truth", choices=LABELS),
    )
    table.done()
    _check(found, table)
    return found


def _check(target: PlanTarget, table: Table) -> None:
    if target.proportional and (target.measured is None or target.measured.kind not in AREAS):
        raise table.refuse("metric", "is not an area or an average", "only these are proportional to the dose rate: take another scale")
    if target.label == "map" and not target.proportional:
        raise table.refuse("label", "is the MAP estimate of F/CL, which this target is not", 'take scale = "dose_rate" or "typical"')
    if target.proportional and target.at != STEADY:
        raise table.refuse("at", "does not go with this scale", "F/CL tells the exposure at steady state: take scale = 'per_dose' or 'log'")
    if target.scale == RELATIVE and target.at != FIRST_DOSE:
        raise table.refuse("scale", "is for metrics from the first dose on", "at steady state take scale = 'typical', 'per_dose' or 'log'")
    if target.event and target.scale != "plain":
        raise table.refuse("scale", "is not plain", "an event is 0 or 1: write scale = 'plain'")
    if target.measured is None and not target.event and (target.scale not in ("log", "plain") or target.at != STEADY):
        raise table.refuse("scale", "is not log or plain", "a clearance has no dose and no time")


def check_target(target: PlanTarget, where: str, *, models: tuple[DrugModel, ...], start: bool, covariates: Container[str]) -> None:
    """What the target asks of the rest of the plan: linear models for F/CL, a first dose, the covariate that holds the MIC."""
    if (target.proportional or target.quantity in CLEARANCES) and not all(proportional(m) for m in models):
        what = "is F/CL, which a model written as equations or with saturable elimination does not have"
        raise PlanError(where=f"{where}.target.scale", what=what, remedy="name a metric and write scale = 'log' or 'per_dose'")
    if target.at == FIRST_DOSE and not start:
        raise PlanError(where=f"{where}.target.at", what="needs a first dose", remedy='write history = "start" in [regimen]')
    for criterion in target.event:
        if isinstance(criterion.mic, str) and criterion.mic not in covariates:
            raise PlanError(where=f"{where}.target.event", what=f"the MIC {criterion.mic} is no covariate", remedy="add it to [covariates]")


def _metric(table: Table, text: str) -> Metric:
    try:
        return Metric.parse(text)
    except AuctorError as error:
        raise table.refuse("metric", error.what, error.remedy) from error


def _criterion(row: Table, model: DrugModel) -> Criterion:
    metric, mic = _metric(row, row.text("metric")), None
    if row.has("mic"):
        value = row.any("mic")
        mic = value if isinstance(value, str) else Table({"mic": value}, where=row.where).number("mic", low=1e-9)
    low, high = _range(row, metric.name, model, over=mic)
    return Criterion(metric=metric, low=low, high=high, mic=mic)


def _range(row: Table, quantity: str, model: DrugModel, *, over: float | str | None) -> tuple[float, float]:
    """low and high in engine units; `unit` is required, and may only be one of the quantity's own kind."""
    area = quantity.startswith("AUC")
    to = "L/h" if quantity in CLEARANCES else ("mg*h/L" if area else "mg/L") if over is None else ("h" if area else "1")
    unit = row.text("unit")
    low, high = (row.number(key) if row.has(key) else side * math.inf for key, side in (("low", -1), ("high", 1)))
    row.done()
    if not low < high or (math.isinf(high - low) and low == -high):
        raise row.refuse("high", "and low bound nothing", "give low, high or both, low < high")

    def engine(value: float) -> float:
        return value if math.isinf(value) else convert(value, unit, to, where=f"{row.where}.unit", molar_mass=model.molar_mass)

    try:
        return engine(low), engine(high)
    except AuctorError as error:
        raise row.refuse("unit", error.what, error.remedy) from error


def _trim(table: Table) -> tuple[float, float]:
    shares = table.numbers("trim", low=0.0)
    if len(shares) != 2 or not shares[0] < shares[1] <= 1:
        raise table.refuse("trim", "is not two quantiles", "write for example trim = [0.01, 0.99]")
    return shares[0], shares[1]
