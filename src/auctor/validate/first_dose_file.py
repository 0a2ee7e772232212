"""What a first-dose study's page says beside its results, as one TOML file: the paper's design and numbers, and the marks of the project.

The format is documented in docs/study-file.md. Reading is strict: a key that is not known is refused (PlanError).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from auctor.validate.first_dose_result import MEASURES
from auctor.validate.study_file import FLAGS, StudyTable, StudyTexts, study_content, texts_of

FOLDER = Path(__file__).parent / "first_doses"
KINDS = ("fixed", "model", "learner")  # of methods that a mark can be asked of


@dataclass(frozen=True, kw_only=True)
class Printed:
    """One figure of the paper as printed, how much of the source was read (`flag`), and which of ours stands beside it.

    `truth` names the judging model of our table ("": the only one), `row` our row of the same method ("": none), `limit` the row that no
    method can exceed ("": not known).
    """

    what: str
    measure: str
    printed: str
    flag: str
    source: str
    truth: str = ""
    row: str = ""
    limit: str = ""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A bound that this project asks of a measure in the training world, and of which `kinds` of methods; `least`: from below."""

    what: str
    measure: str
    bound: float
    least: bool
    kinds: tuple[str, ...]

    @property
    def text(self) -> str:
        """In words: `regret ...: at most 2 %`."""
        return f"{self.what}: {'at least' if self.least else 'at most'} {MEASURES[self.measure].value(self.bound)}"

    def met(self, value: float) -> bool:
        """Whether a value, not rounded, is within the bound."""
        return value >= self.bound if self.least else value <= self.bound


@dataclass(frozen=True, kw_only=True)
class FirstDoseFile(StudyTexts):
    """The texts, printed figures and marks of a first-dose study; its page is named by `slug`."""

    published: tuple[Printed, ...]
    marks: tuple[Mark, ...]

    @property
    def printed(self) -> str:
        """The paper and its figures in one line."""
        return f"{self.cite}: " + "; ".join(f"{one.what}: {one.measure} {one.printed} ({one.flag})" for one in self.published)


def shipped_first_doses() -> Mapping[str, Path]:
    """Name -> file of the first-dose studies.

    >>> sorted(shipped_first_doses())
    ['E5', 'E8', 'IWPC']
    """
    return {path.stem.partition("_")[0].upper(): path for path in sorted(FOLDER.glob("*.toml"))}


@lru_cache(maxsize=8)
def open_first_dose(name: str) -> FirstDoseFile:
    """The file of a first-dose study by name."""
    return read_first_dose(shipped_first_doses()[name])


def read_first_dose(path: Path, *, text: str | None = None) -> FirstDoseFile:
    """Read a file, or `text` as if it stood at `path`. Errors: PlanError naming the key and the remedy."""
    top = StudyTable(study_content(path, text), where=path.stem)
    if top.integer("schema") != 1:
        raise top.refuse("schema", "is not a known version of the study format", "write schema = 1")
    found = FirstDoseFile(
        **texts_of(top, path.stem),
        published=tuple(_printed(row) for row in top.tables("published")),
        marks=tuple(_mark(row) for row in top.tables("mark")),
    )
    top.done()
    return found


def _printed(row: StudyTable) -> Printed:
    found = Printed(
        flag=row.text("flag", choices=(*FLAGS, "NOTE")),
        measure=row.text("measure", choices=tuple(MEASURES)),
        **{key: row.text(key) for key in ("what", "printed", "source")},
        **{key: row.text(key, default="") for key in ("truth", "row", "limit")},
    )
    row.done()
    return found


def _mark(row: StudyTable) -> Mark:
    least = row.has("at_least")
    kinds = row.texts("of")
    if unknown := set(kinds) - set(KINDS):
        raise row.refuse("of", f"names {min(unknown)!r}, which is no kind of method", f"choose from {', '.join(KINDS)}")
    found = Mark(
        what=row.text("what"),
        measure=row.text("measure", choices=tuple(MEASURES)),
        bound=row.number("at_least" if least else "at_most"),
        least=least,
        kinds=kinds,
    )
    row.done()
    return found
