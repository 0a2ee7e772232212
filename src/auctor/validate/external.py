"""External evaluation: every method asked for the exposure of real subjects of a table, and held against a reference.

Each method sees the same chosen levels of each subject. Who cannot be read or has no reference is left out of all, with the reason; a
method that abstains is scored on those it answers, and the number of them stands beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Metric, Regimen
from auctor.data.nonmem import read_table
from auctor.data.plausible import MOVED
from auctor.data.sheet import read_sheet
from auctor.data.subject import subject_case
from auctor.dosing.current import current_regimen
from auctor.errors import AuctorError, CaseError, EstimationError, Notice, TableError
from auctor.estimate.averaging import average_estimate
from auctor.estimate.patient import a_priori, laplace_estimate, posterior_estimate
from auctor.learn.amortised.store import Amortised
from auctor.learn.learner import Learner
from auctor.models.model import DrugModel
from auctor.predictor import Draws, Predictor
from auctor.units import convert
from auctor.validate.metrics import accuracy, least_relative
from auctor.validate.reference import profile

if TYPE_CHECKING:
    from auctor.learn.scores import Score

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]
TRAPEZOID = "trapezoid"
HISTORY, STEADY = "history", "steady"
LEAST_SUBJECTS = 3  # below which a bootstrap says nothing
SEVERAL = ("average of the models", "amortised, ")  # how the rows begin whose mean is over several models
LEAST = ", least rRMSE"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of every subject: the metric in hours after the first dose of the table (`at` history) or of the going-on
    regimen at steady state (`at` steady), and which levels the methods see (`levels_h` h after that dose, to within `within_h`; None: all).
    """

    metric: Metric
    at: str = HISTORY
    levels_h: tuple[float, ...] | None = None
    within_h: float = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """One subject: its case by name of the model that reads it (the levels shown alone), the regimen and metric asked about, the reference.

    `given` are the covariates that the table has; `note` says how the reference was closed, where it was.
    """

    id: str
    cases: Mapping[str, Case]
    regimen: Regimen
    metric: Metric
    reference: float
    given: frozenset[str]
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """One method over n subjects: `point`, `low`, `high` (n,) with NaN where it abstains, and why (n,), "" where it answers.

    `least` (n,) is the point of its draws with the least expected relative error, which a mean over several models is not.
    """

    point: Array
    least: Array
    low: Array
    high: Array
    reasons: tuple[str, ...]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which subjects, (n,)."""
        return np.asarray([not reason for reason in self.reasons])

    def why(self) -> dict[str, int]:
        """Reason -> how many subjects, the commonest first."""
        return dict(Counter(reason for reason in self.reasons if reason).most_common())


@dataclass(frozen=True, kw_only=True, eq=False)
class External:
    """An evaluation: subjects, those left out and why, what each method answered, and its scores where it answered at least three.

    Means over several models have a second row of scores, at the point of least relative error.
    """

    asked: Asked
    subjects: tuple[Subject, ...]
    left_out: Mapping[str, str]
    answers: Mapping[str, Answers]
    scores: Mapping[str, Mapping[str, Score]]
    notices: tuple[Notice, ...] = ()

    @property
    def reference(self) -> Array:
        """Of every subject, (n,), engine units."""
        return np.asarray([one.reference for one in self.subjects])


Method = Callable[[Subject], Predictor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contestants:
    """Who is asked: models (covariates alone, MAP, posterior; their average where there are several), amortised posteriors, learners."""

    models: tuple[DrugModel, ...]
    amortised: tuple[Amortised, ...] = ()
    learners: tuple[Learner, ...] = ()
    draws: int = 1000
    seed: int = 0

    @property
    def readers(self) -> tuple[DrugModel, ...]:
        """Every model that has to read the table, each once."""
        every = (*self.models, *(m for one in self.amortised for m in one.plan.models), *(one.plan.model for one in self.learners))
        return tuple({m.name: m for m in every}.values())

    def methods(self) -> dict[str, Method]:
        """The words of its row -> what answers for one subject."""
        found: dict[str, Method] = {}
        for model in self.models:
            found |= self._of_model(model)
        if len(self.models) > 1:
            found[SEVERAL[0]] = self._average
        found |= {f"{SEVERAL[1]}{one.plan.name}": self._amortised(one) for one in self.amortised}
        return found | {f"machine learning, {one.plan.name}": self._learner(one) for one in self.learners}

    def _of_model(self, model: DrugModel) -> dict[str, Method]:
        def case(subject: Subject) -> Case:
            return subject.cases[model.name]

        return {
            f"covariates only, {model.name}": lambda one: a_priori(model, case(one), self.draws, self.seed),
            f"MAP, {model.name}": lambda one: laplace_estimate(model, case(one), self.draws, self.seed),
            f"posterior, {model.name}": lambda one: posterior_estimate(model, case(one), self.draws, self.seed),
        }

    def _average(self, subject: Subject) -> Predictor:
        return average_estimate(self.models, [subject.cases[m.name] for m in self.models], self.draws, self.seed)

    def _amortised(self, one: Amortised) -> Method:
        def answer(subject: Subject) -> Predictor:
            own = [subject.cases[m.name] for m in one.plan.models]
            # what the table gives: a plan fills in or refuses the rest, and a model's reference is not the patient's
            series = {name: points for case in own for name, points in case.covariates.series.items() if name in subject.given}
            return one.estimate(replace(own[0], covariates=Covariates(series=series)), self.draws, self.seed)

        return answer

    def _learner(self, one: Learner) -> Method:
        return lambda subject: one.predictor(subject.cases[one.plan.model.name], one.plan.model)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Where the truth comes from: `trapezoid` through all levels of a subject, or a `column` of the table in `unit`.

    `engine_unit` is that of the metric: mg*h/L of an area, mg/L of the others.
    """

    column: str
    unit: str = ""
    engine_unit: str = "mg*h/L"


def evaluate(path: Path, who: Contestants, asked: Asked, reference: Reference, progress: Progress | None = None) -> External:
    """Ask everybody. Raises TableError for a table that cannot be read or a column it does not have, CaseError where nobody is left."""
    subjects, left_out, notices = _subjects(path, who.readers, asked, reference)
    if not subjects:
        reason = next(iter(left_out.values()), "it has no subject")
        raise CaseError(where=path.name, what=f"leaves nobody to judge on ({reason})", remedy="see the reason, or choose other levels")
    answers: dict[str, Answers] = {}
    methods = who.methods()
    for k, (name, method) in enumerate(methods.items()):
        if progress:
            progress(name, k / len(methods))
        answers[name] = _asked(method, subjects)
    truth = np.asarray([one.reference for one in subjects])
    scores: dict[str, Mapping[str, Score]] = {}
    for name, one in answers.items():
        if one.answered.sum() < LEAST_SUBJECTS:
            continue
        scores[name] = _scores(one, one.point, truth, who.seed)
        if name.startswith(SEVERAL):
            scores[f"{name}{LEAST}"] = _scores(one, one.least, truth, who.seed)
    return External(asked=asked, subjects=subjects, left_out=left_out, answers=answers, scores=scores, notices=notices)


def _scores(found: Answers, point: Array, truth: Array, seed: int) -> Mapping[str, Score]:
    kept = found.answered
    return accuracy(point[kept], truth[kept], interval=(found.low[kept], found.high[kept]), seed=seed)


def _asked(method: Method, subjects: Sequence[Subject]) -> Answers:
    rows, reasons = np.full((len(subjects), 4), np.nan), []
    for k, subject in enumerate(subjects):
        try:
            drawn = method(subject).exposure(subject.regimen, subject.metric)
            rows[k] = _sound(drawn)
            reasons.append("")
        except AuctorError as refusal:
            reasons.append(f"{refusal.where}: {refusal.what}")
    return Answers(**dict(zip(("point", "low", "high", "least"), rows.T, strict=True)), reasons=tuple(reasons))


def _sound(drawn: Draws) -> tuple[float, ...]:
    positive = bool(np.all(drawn.values > 0))
    found = (drawn.point, *drawn.interval(0.9), float(least_relative(drawn.values)) if positive else drawn.point)
    if not np.isfinite(found).all():
        raise EstimationError(where="exposure", what="is not finite", remedy="see the patient's own analysis")
    return found


# --- subjects ------------------------------------------------------------------------------------------------------------


def _subjects(
    path: Path, readers: Sequence[DrugModel], asked: Asked, reference: Reference
) -> tuple[tuple[Subject, ...], dict[str, str], tuple[Notice, ...]]:
    """Everybody with a reference and the levels asked for; the others with the reason; what reading the table says."""
    tables = {m.name: {records.id: records for records in read_table(path, m)} for m in readers}
    column = None if reference.column == TRAPEZOID else _column(path, reference, readers[0])
    found, left_out = [], {}
    for id, lines in ((id, records.line) for id, records in tables[readers[0].name].items()):
        own = {name: by_id[id] for name, by_id in tables.items()}
        try:
            cases = {m.name: subject_case(own[m.name], m) for m in readers}
            first = cases[readers[0].name]
            value, note = _by_trapezoids(first, asked) if column is None else (_of_column(column, lines, first.label), "")
            shown = {name: _shown(case, asked) for name, case in cases.items()}
            regimen, metric = _question(first, asked)
        except AuctorError as refusal:
            left_out[id] = f"{refusal.where}: {refusal.what}"
            continue
        given = frozenset(name for records in own.values() for name in records.given)
        found.append(Subject(id=id, cases=shown, regimen=regimen, metric=metric, reference=value, given=given, note=note))
    notices = dict.fromkeys(n for by_id in tables.values() for records in by_id.values() for n in records.notices)
    return tuple(found), left_out, tuple(n for n in notices if n.code != "unused-column")


def _back(case: Case) -> float:
    """Hours from the case's time 0 to the table's first dose: a level before a steady-state dose puts the case back an interval."""
    return case.history.doses[0].every_h if any(n.code == MOVED for n in case.notices) else 0.0


def _moved(metric: Metric, by_h: float) -> Metric:
    return replace(metric, start_h=metric.start_h + by_h, stop_h=metric.stop_h + by_h)


def _by_trapezoids(case: Case, asked: Asked) -> tuple[float, str]:
    if asked.at != HISTORY:
        what = "of the levels is of the history, not of a steady state to come"
        raise TableError(where="--reference", what=what, remedy="leave --at out, or name a column")
    found = profile(case, _moved(asked.metric, _back(case)), asked.within_h)
    return found.value, found.closed


def _shown(case: Case, asked: Asked) -> Case:
    """The case with the levels that the methods see."""
    if asked.levels_h is None:
        return case
    usable, back = [s for s in case.samples if case.counts(s)], _back(case)
    chosen = []
    for time in asked.levels_h:
        near = min(usable, key=lambda s: abs(s.time_h - back - time), default=None)
        if near is None or abs(near.time_h - back - time) > asked.within_h + 1e-9:
            raise TableError(
                where=f"{case.label}, levels", what=f"none within {asked.within_h:g} h of {time:g} h", remedy="choose other levels"
            )
        chosen.append(near)
    if len({id(s) for s in chosen}) < len(chosen):
        raise TableError(where=f"{case.label}, levels", what="one level is nearest to two of the times", remedy="choose other levels")
    return replace(case, samples=tuple(sorted(chosen, key=lambda s: s.time_h)))


def _question(case: Case, asked: Asked) -> tuple[Regimen, Metric]:
    if asked.at == HISTORY:
        return case.history, _moved(asked.metric, _back(case))
    regimen, _ = current_regimen(case)
    if regimen is None:
        raise CaseError(where=f"{case.label}, doses", what="no repeated dose goes on", remedy="give II, and SS or ADDL")
    return regimen, asked.metric


def _column(path: Path, reference: Reference, model: DrugModel) -> dict[int, float]:
    """Line of the table -> its value of the reference's column where it has one, engine units."""
    sheet = read_sheet(path)
    name = reference.column.upper()
    if name not in sheet.columns:
        raise TableError(where=f"{path.name}, {reference.column}", what="no such column", remedy="name the column that holds the reference")
    values, present = sheet.numbers(name)
    found = {}
    for row in np.flatnonzero(present):
        if not values[row] > 0:
            raise sheet.fault(int(row), name, "not above 0", "an error relative to it is not defined: leave the subject out")
        found[sheet.line[row]] = convert(
            float(values[row]), reference.unit, reference.engine_unit, where=sheet.at(int(row), name), molar_mass=model.molar_mass
        )
    return found


def _of_column(column: Mapping[int, float], lines: NDArray[np.int64], label: str) -> float:
    own = {column[int(line)] for line in lines if int(line) in column}
    if len(own) != 1:
        what = f"{len(own)} values of it" if own else "no value of it"
        raise TableError(where=f"{label}, reference", what=what, remedy="give one for each subject, on one row or the same on all")
    return own.pop()
