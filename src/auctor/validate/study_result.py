"""What a study found: one table a design, noise regime and world, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from auctor.validate.metrics import Score, as_it_is, score_table
from auctor.validate.study_file import Published, StudyFile

if TYPE_CHECKING:
    from rich.table import Table

COVERED = ("design", "noise", "learner", "subgroup", "patients", "90 % interval covers")
WORDS = {"none": "no noise", "assay": "assay noise", "full": "full residual error"}


@dataclass(frozen=True, kw_only=True)
class Covered:
    """The share of a subgroup's `patients` whose interval holds the truth, with exact 95 % limits (Clopper-Pearson)."""

    subgroup: str
    patients: int
    coverage: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.coverage:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """Methods on the same patients of one world: method -> measure -> score.

    `truth` names the models that made them, `train` those that the learners, MAP and averaging know. `learned` are the rows of learners.
    `limit` and `least` name the rows of the posterior mean and of the least rRMSE, as far as anyone can know them who is told what the
    methods are told: which models there are, not which of them made a patient. `ratio` is the best learner's rRMSE over that of `limit`,
    `ratio_amortised` that of the amortised posterior where it has a row, and `beside` its least rRMSE over that of each method that knows
    one model alone. `held`: what each learner's interval covers.
    """

    design: str
    noise: str
    world: str
    truth: tuple[str, ...]
    train: tuple[str, ...]
    patients: int
    rows: Mapping[str, Mapping[str, Score]]
    learned: tuple[str, ...]
    limit: str
    least: str
    ratio: Score
    ratio_least: Score
    ess_p05: float
    notes: tuple[str, ...] = ()
    ratio_amortised: Score | None = None
    beside: Mapping[str, Score] = field(default_factory=dict)
    held: Mapping[str, tuple[Covered, ...]] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The learner with the least rRMSE."""
        return min(self.learned, key=lambda name: self.rows[name]["rRMSE"].value)

    @property
    def title(self) -> str:
        """Design, noise and world in words."""
        return f"{self.design}; {WORDS[self.noise]}; truth: {self.world} ({', '.join(self.truth)})"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; shares as fractions, rounded to six decimals."""
        names = ("design", "noise", "world", "patients", "limit", "least", "best")
        return {
            **{name: getattr(self, name) for name in names},
            "truth": list(self.truth),
            "train": list(self.train),
            "methods": {method: {name: score.as_dict() for name, score in scores.items()} for method, scores in self.rows.items()},
            "ratio_to_limit": self.ratio.as_dict(),
            "ratio_to_least": self.ratio_least.as_dict(),
            **({} if self.ratio_amortised is None else {"amortised_to_limit": self.ratio_amortised.as_dict()}),
            "amortised_to_one_model": {name: ratio.as_dict() for name, ratio in self.beside.items()},
            "held": {name: [asdict(one) for one in rows] for name, rows in self.held.items()},
            "ess_p05": round(self.ess_p05, 1),
            "notes": list(self.notes),
        }

    def caption(self) -> str:
        """The learner against the limits, in one line, and the notes."""
        over = [as_it_is(r) for r in (self.ratio, self.ratio_least)]
        first = f"{self.best} over '{self.limit}': {over[0]}; over '{self.least}': {over[1]}"
        if self.ratio_amortised is not None:
            first += f"; amortised over '{self.limit}': {as_it_is(self.ratio_amortised)}"
        return "\n".join((f"{first}; effective draws of one patient in twenty: at most {self.ess_p05:.0f}", *self.notes))

    def table(self) -> Table:
        """For the terminal: percent with 95 % bootstrap intervals."""
        return score_table(self.rows, title=f"{self.title}, {self.patients} virtual patients", caption=self.caption())


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """All tables of a study and the study they are of; `quick` tables are small and say nothing about the paper's numbers."""

    study: StudyFile
    quick: bool
    tables: tuple[StudyTable, ...]

    def find(self, figure: Published) -> StudyTable | None:
        """The table that a published figure stands beside."""
        key = (figure.design, figure.noise, figure.world)
        return next((t for t in self.tables if (t.design, t.noise, t.world) == key), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        study = self.study
        return {
            "study": study.name,
            "title": study.title,
            "reference": study.cite,
            "sha256": study.sha256,
            "seed": study.seed,
            "quick": self.quick,
            "paper": list(study.paper),
            "missing": list(study.missing),
            "published": [self._beside(figure) for figure in study.published],
            "tables": [table.as_dict() for table in self.tables],
        }

    def _beside(self, figure: Published) -> dict[str, Any]:
        table = self.find(figure)
        ours = table.rows[table.best].get(figure.measure) if table else None
        known = {"what": figure.what, "measure": figure.measure, "percent": figure.percent, "flag": figure.flag, "source": figure.source}
        return known | {"ours": ours.as_dict() if ours else None, "table": table.title if table else None}

    def table(self) -> Table:
        """The short one: published figures beside ours."""
        from rich.table import Table

        found = Table(title=f"{self.study.name}: published beside ours ({self.study.cite})")
        for name in ("published", "measure", "printed", "read", "ours (best learner)", "ours (limit)"):
            found.add_column(name)
        for row in compared(self):
            found.add_row(*row)
        return found

    def coverage(self) -> StudyCoverage:
        """What the learners' intervals cover, subgroup by subgroup."""
        held = {(table.design, table.noise): table.held for table in self.tables if table.held}
        return StudyCoverage(study=self.study, quick=self.quick, held=held)


@dataclass(frozen=True, kw_only=True)
class StudyCoverage:
    """What 90 % intervals hold of new patients of the training simulators: (design, noise) -> learner -> all and each subgroup."""

    study: StudyFile
    quick: bool
    held: Mapping[tuple[str, str], Mapping[str, tuple[Covered, ...]]]

    def rows(self) -> list[tuple[str, ...]]:
        """Design, noise, learner, subgroup, patients, share and limits as text."""
        return [
            (design, WORDS[noise], learner, one.subgroup, str(one.patients), str(one))
            for (design, noise), learners in self.held.items()
            for learner, each in learners.items()
            for one in each
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = [
            {"design": design, "noise": noise, "learner": learner, **asdict(one)}
            for (design, noise), learners in self.held.items()
            for learner, each in learners.items()
            for one in each
        ]
        return {"study": self.study.name, "sha256": self.study.sha256, "quick": self.quick, "coverage": found}

    def table(self) -> Table:
        """For the terminal."""
        from rich.table import Table

        found = Table(title=f"{self.study.name}: share of new patients of the training simulators that a 90 % interval holds")
        for name in COVERED:
            found.add_column(name)
        for row in self.rows():
            found.add_row(*row)
        return found


def compared(result: StudyResult) -> list[tuple[str, ...]]:
    """Published figures beside ours as text: what, measure, printed, how read, our best learner, our limit."""
    return [_compared(result, figure) for figure in result.study.published]


def _compared(result: StudyResult, figure: Published) -> tuple[str, ...]:
    table = result.find(figure)
    ours = [str(table.rows[row].get(figure.measure, "-")) if table else "-" for row in _pair(table)]
    return (figure.what, figure.measure, f"{figure.percent:g} %", figure.flag, *ours)


def _pair(table: StudyTable | None) -> tuple[str, str]:
    return (table.best, table.limit) if table else ("", "")
