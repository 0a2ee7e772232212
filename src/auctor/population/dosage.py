"""How virtual patients are dosed: amounts drawn, worked out by a formula or looked up by a rule, and which doses are really taken."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Dose, Regimen, Route
from auctor.errors import PlanError
from auctor.models.expressions import Expression
from auctor.models.model import DrugModel
from auctor.population.distributions import Distribution, stream
from auctor.population.reading import Table

Array = NDArray[np.float64]
Amount = Distribution | Expression


@dataclass(frozen=True, kw_only=True)
class Band:
    """One row of a dosing rule: patients for whom `when` holds get `dose` every `every_h`. The first row that holds counts."""

    when: Expression
    dose: Amount
    every_h: Distribution


@dataclass(frozen=True, kw_only=True)
class Dosage:
    """How virtual patients are dosed: at steady state (`steady`), or from the first dose on (`start`, with a loading dose).

    Doses in mg, or per unit of the covariate `per` (mg/kg when it is WT), then rounded to `round_mg` and kept in
    [min_mg, max_mg]. Infusions last `infusion_h`, or amount / `infusion_mg_h`. `bands` holds the rule; one row without one.
    """

    history: str
    bands: tuple[Band, ...]
    loading: Amount | None = None
    per: str = ""
    round_mg: float = 0.0
    min_mg: float = 0.0
    max_mg: float = float("inf")
    infusion_h: float = 0.0
    infusion_mg_h: float = 0.0
    route: Route | None = None

    @property
    def start(self) -> bool:
        """Whether histories begin with the first dose."""
        return self.history == "start"

    @property
    def intervals_h(self) -> tuple[float, ...]:
        """Every interval that a patient may have, ascending."""
        return tuple(sorted({v for band in self.bands for v in band.every_h.values}))


@dataclass(frozen=True, kw_only=True)
class Adherence:
    """Missed doses as a Markov chain of two states, and late ones; the first dose is always taken.

    The probability of missing a dose after one that was taken, and after one that was missed. A dose that is taken is late with
    probability `late_share`, by `late_h` (kept below the interval). `reported`: the methods see the `true` history, or the one `planned`.
    """

    miss_after_taken: float
    miss_after_missed: float
    late_share: float
    late_h: Distribution | None
    reported: str


class Dosing(NamedTuple):
    """Amounts (mg), intervals and infusion lengths (h) of n patients, each (n,); `loading_mg` 0 where there is none."""

    dose_mg: Array
    loading_mg: Array
    every_h: Array
    infusion_h: Array
    loading_infusion_h: Array


def route_of(model: DrugModel) -> Route:
    """Oral for a model with absorption, intravenous without; for equations, oral where the model says where oral doses go."""
    if model.system is not None:
        return Route.ORAL if "depot" in model.structure.cmt else Route.IV
    return Route.IV if model.structure.absorption == "none" else Route.ORAL


def read_dosage(table: Table, covariates: Container[str]) -> Dosage:
    """`[regimen]`; formulas may read the plan's `covariates`. Errors: PlanError."""
    found = Dosage(
        history=table.text("history", choices=("steady", "start")),
        bands=_bands(table, covariates),
        loading=_amount(table, "loading", covariates) if table.has("loading") else None,
        per=table.text("per", default=""),
        round_mg=table.number("round_mg", low=0, default=0.0),
        min_mg=table.number("min_mg", low=0, default=0.0),
        max_mg=table.number("max_mg", low=0, default=1e9),
        infusion_h=table.number("infusion_h", low=0, default=0.0),
        infusion_mg_h=table.number("infusion_mg_h", low=0, default=0.0),
        route=Route(table.text("route", choices=tuple(Route))) if table.has("route") else None,
    )
    table.done()
    if found.per and found.per not in covariates:
        raise table.refuse("per", "is not a covariate of the plan's models", "name one, or leave it out")
    return found


def _bands(table: Table, covariates: Container[str]) -> tuple[Band, ...]:
    if not table.has("band"):
        return (_band(table, covariates, Table({"when": "1"}, where=table.where)),)
    rows = table.rows("band")
    found = tuple(_band(row, covariates, row) for row in rows)
    for row in rows:
        row.done()
    return found


def _band(row: Table, covariates: Container[str], condition: Table) -> Band:
    when = condition.formula("when", names=covariates)
    dose, sub = _amount(row, "dose", covariates), row.table("every_h")
    every = Distribution.read(sub.left, where=sub.where)
    if not every.values or min(every.values) <= 0:
        raise row.refuse("every_h", "is not a choice of positive intervals", 'write { kind = "choice", values = [12] }')
    return Band(when=when, dose=dose, every_h=every)


def _amount(table: Table, key: str, covariates: Container[str]) -> Amount:
    sub = table.table(key)
    if not sub.has("expr"):
        return Distribution.read(sub.left, where=sub.where)
    found = sub.formula("expr", names=covariates)
    sub.done()
    return found


def read_adherence(table: Table) -> Adherence:
    """`[adherence]`. Errors: PlanError."""
    late = table.table("late_h") if table.has("late_h") else None
    found = Adherence(
        miss_after_taken=table.number("miss_after_taken", low=0, high=1),
        miss_after_missed=table.number("miss_after_missed", low=0, high=1),
        late_share=table.number("late_share", low=0, high=1, default=0.0),
        late_h=Distribution.read(late.left, where=late.where) if late else None,
        reported=table.text("reported", choices=("true", "planned")),
    )
    table.done()
    if (found.late_share > 0) != (found.late_h is not None):
        raise table.refuse("late_h", "and late_share belong together", "give both or neither")
    return found


def draw_dosing(dosage: Dosage, covariates: Mapping[str, Array], n: int, *, seed: int, where: str) -> Dosing:
    """What each patient is given; PlanError for a patient outside every band, or one who would get nothing."""
    band, size = _band_of(dosage, covariates, n, where), covariates[dosage.per] if dosage.per else np.ones(n)
    every, mg = np.empty(n), np.empty(n)
    for k, row in enumerate(dosage.bands):
        mark = f":{k}" if len(dosage.bands) > 1 else ""
        chosen = band == k
        every[chosen] = row.every_h.draw(stream(seed, f"every{mark}"), n)[chosen]
        mg[chosen] = _amounts(row.dose, covariates, stream(seed, f"dose{mark}"), n, where=f"{where}.dose")[chosen]
    loading = np.zeros(n) if dosage.loading is None else _amounts(dosage.loading, covariates, stream(seed, "loading"), n, where=where)
    dose_mg, loading_mg = (np.where(amount > 0, _given(dosage, amount * size), 0.0) for amount in (mg, loading))
    if np.any(dose_mg <= 0):
        raise PlanError(where=f"{where}.dose", what="gives doses of 0 mg", remedy="raise the dose or min_mg, or lower round_mg")
    lengths = [v / dosage.infusion_mg_h if dosage.infusion_mg_h else np.full(n, dosage.infusion_h) for v in (dose_mg, loading_mg)]
    return Dosing(dose_mg, loading_mg, every, *lengths)


def _band_of(dosage: Dosage, covariates: Mapping[str, Array], n: int, where: str) -> NDArray[np.int64]:
    holds = [np.broadcast_to(np.asarray(b.when.evaluate(covariates)) != 0, (n,)) for b in dosage.bands]
    if not np.all(np.any(holds, axis=0)):
        remedy = "add a band for them, or say in [covariates] who can be a patient"
        raise PlanError(where=f"{where}.band", what="leaves patients without a dose", remedy=remedy)
    return np.asarray(np.argmax(holds, axis=0), dtype=np.int64)


def _amounts(amount: Amount, covariates: Mapping[str, Array], rng: np.random.Generator, n: int, *, where: str) -> Array:
    if isinstance(amount, Distribution):
        return amount.draw(rng, n)
    with np.errstate(all="ignore"):
        found = np.broadcast_to(np.asarray(amount.evaluate(covariates), dtype=np.float64), (n,))
    if not np.all(np.isfinite(found)):
        raise PlanError(where=where, what="is no finite dose for some patients", remedy="check the formula against the covariates")
    return found


def _given(d: Dosage, amount: Array) -> Array:
    """What is really given: rounded to the plan's step, kept within its bounds; mg."""
    rounded = np.round(amount / d.round_mg) * d.round_mg if d.round_mg else amount
    return np.asarray(np.clip(rounded, d.min_mg, d.max_mg), dtype=np.float64)


class Taken(NamedTuple):
    """Which of the planned doses are taken, (n, m), and how late, h."""

    taken: NDArray[np.bool_]
    late_h: Array


def draw_taken(adherence: Adherence, every_h: Array, doses: int, *, seed: int) -> Taken:
    """The chain of every patient over `doses` planned doses."""
    n = len(every_h)
    chance = stream(seed, "adherence").uniform(size=(n, doses))
    taken = np.ones((n, doses), dtype=bool)
    for k in range(1, doses):
        taken[:, k] = chance[:, k] >= np.where(taken[:, k - 1], adherence.miss_after_taken, adherence.miss_after_missed)
    late = np.zeros((n, doses))
    if adherence.late_h is not None:
        drawn = adherence.late_h.draw(stream(seed, "late"), n * doses).reshape(n, doses)
        some = stream(seed, "late share").uniform(size=(n, doses)) < adherence.late_share
        late = np.where(some, np.clip(drawn, 0.0, 0.99 * every_h[:, None]), 0.0)
        late[:, 0] = 0.0
    return Taken(taken, late)


def as_taken(planned: Regimen, taken: NDArray[np.bool_], late_h: Array) -> Regimen:
    """The planned doses of one patient, one by one, without those missed, each as late as it was taken.

    >>> course = Regimen(doses=(Dose(time_h=0, amount_mg=5, route=Route.ORAL, every_h=12, additional=2),))
    >>> [d.time_h for d in as_taken(course, np.array([True, False, True]), np.array([0.0, 0.0, 1.5])).doses]
    [0.0, 25.5]
    """
    each = [(d.time_h + k * d.every_h, d) for d in planned.doses for k in range(d.additional + 1)]
    doses = tuple(
        Dose(time_h=t + float(late_h[k]), amount_mg=d.amount_mg, route=d.route, duration_h=d.duration_h, every_h=d.every_h)
        for k, (t, d) in enumerate(each)
        if taken[k]
    )
    return Regimen(doses=doses)
