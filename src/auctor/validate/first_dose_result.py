"""What a first-dose study found: methods and their scores, for the terminal, as JSON, and what its page needs of any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auctor.population.reading import plan_digest
from auctor.validate.metrics import Score, as_it_is

if TYPE_CHECKING:
    from rich.table import Table

ROC = "ROC-AUC"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a column holds: its heading, its unit (a share in %, mg/week, or none), digits, and whether more is better.

    >>> MEASURES["regret"].text(Score(value=0.02, low=0.01, high=0.03)), MEASURES["regret"].value(0.02)
    ('2.0 % (1.0 to 3.0)', '2 %')
    >>> MEASURES["MAE"].text(Score(value=8.3, low=8.0, high=8.6)), MEASURES["MAE"].value(8.3)
    ('8.30 (8.00 to 8.60)', '8.3 mg/week')
    """

    heading: str
    unit: str = "%"
    digits: int = 2
    more: bool = False

    def text(self, score: Score) -> str:
        """A score with its interval; a unit other than % stands in the heading."""
        return str(score) if self.unit == "%" else as_it_is(score, self.digits)

    def value(self, bound: float) -> str:
        """A single value with its unit."""
        return f"{self.scale * bound:g} {self.unit}".strip()

    @property
    def scale(self) -> float:
        """From the stored value to the shown one."""
        return 100.0 if self.unit == "%" else 1.0


MEASURES: Mapping[str, Measure] = {
    "P(target)": Measure(heading="P(target)", more=True),
    "regret": Measure(heading="regret"),
    "MAE": Measure(heading="MAE mg/week", unit="mg/week"),
    "difference": Measure(heading="less the published algorithm's", unit="mg/week"),
    "within20": Measure(heading="within 20 %", more=True),
    ROC: Measure(heading=ROC, unit="", digits=3, more=True),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a study is: profiles to train on, patients and eta draws to judge with, eta draws of the integration."""

    profiles: int
    patients: int
    draws: int
    own_draws: int
    courses: int


@dataclass(frozen=True, kw_only=True)
class RunDesign:
    """What determines the numbers of a run besides its code: `covered` (models or data by their hashes, sizes, doses ...) and the seeds."""

    covered: Mapping[str, Any]
    seeds: Mapping[str, int]

    @property
    def sha256(self) -> str:
        """Of the canonical form of all of it.

        >>> one, other = (RunDesign(covered={"size": 10}, seeds={"patients": seed}) for seed in (1, 2))
        >>> one.sha256 == other.sha256
        False
        """
        return plan_digest({**self.covered, "seeds": dict(self.seeds)})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"sha256": self.sha256, "seeds": dict(self.seeds)}


@dataclass(frozen=True, kw_only=True)
class DoseTable:
    """Methods on the same patients of one truth: method -> measure -> score, with bootstrap 95 % intervals over patients.

    `truth` is the judging model ("": real patients); `own` says that it also trained the methods, or is real: there the marks are asked.
    `heading` says it whole, `short` on one line of the picture, and `facts` in the JSON document. `kinds`: of every row whether it is
    `fixed`, a population `model` or published formula, a `learner`, the `limit`, or judged on what it has `seen`. `discrimination` has
    further rows: how well an event is ranked (ROC-AUC), empty where nothing is. Of `measures` the first is drawn.
    """

    title: str
    heading: str
    short: str
    truth: str
    own: bool
    facts: Mapping[str, Any]
    measures: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Score]]
    kinds: Mapping[str, str]
    discrimination: Mapping[str, Score]
    notes: tuple[str, ...]
    design: RunDesign

    def scores(self, measure: str, kinds: tuple[str, ...] = ()) -> dict[str, Score]:
        """Method -> score of a measure, of some kinds of methods or of all; empty where the table does not have it."""
        ranked = self.discrimination if measure == ROC else {}
        found = ranked or {name: scores[measure] for name, scores in self.rows.items() if measure in scores}
        return {name: score for name, score in found.items() if not kinds or self.kinds[name] in kinds}

    def cells(self) -> list[tuple[str, ...]]:
        """Headings, then each method and its scores, as text."""
        head = ("method", *(MEASURES[name].heading for name in self.measures))
        return [head, *((method, *(MEASURES[name].text(scores[name]) for name in self.measures)) for method, scores in self.rows.items())]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; shares as fractions, errors in the unit of their heading, rounded to six decimals."""
        return {
            **self.facts,
            "methods": {method: {name: score.as_dict() for name, score in scores.items()} for method, scores in self.rows.items()},
            "roc_auc": {name: score.as_dict() for name, score in self.discrimination.items()},
            "notes": list(self.notes),
            "run": self.design.as_dict(),
        }

    def table(self) -> Table:
        """For the terminal."""
        from rich.table import Table

        ranked = [f"{ROC} {name}: {MEASURES[ROC].text(score)}" for name, score in self.discrimination.items()]
        head, *rows = self.cells()
        found = Table(*head, title=f"{self.title}; {self.heading}", caption="\n".join((*ranked, *self.notes)))
        for cells in rows:
            found.add_row(*cells)
        return found


def virtual_table(
    title: str, *, trained_on: str, truth: str, about: str, patients: int, published: str, measured: Mapping[str, Any]
) -> DoseTable:
    """The table of virtual patients: who trained, who made the truth (`about` in words), and what was `measured`, by field of the table."""
    own, said = truth == trained_on, f"{truth} ({about})"
    return DoseTable(
        title=title,
        heading=f"trained on {trained_on}, truth {said}, {patients} virtual patients",
        short=f"truth: {truth} (trained on {'it' if own else trained_on})",
        truth=truth,
        own=own,
        facts={"title": title, "trained_on": trained_on, "truth": said, "patients": patients, "published": published},
        measures=("P(target)", "regret"),
        **measured,
    )
