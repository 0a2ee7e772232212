"""The page of a first-dose study: the paper's design and numbers, ours beside them, the marks of the project, and every table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from auctor.report.first_dose_svg import first_dose_svg
from auctor.report.markdown import bullets, plain, table
from auctor.report.study_page import READ, opening, write_page
from auctor.validate.first_dose_file import FirstDoseFile, Mark, Printed
from auctor.validate.first_dose_result import MEASURES, ROC, DoseTable
from auctor.validate.metrics import Score

NOTE = "NOTE: the project's notes on the data, which do not say how much of the paper was read."
MET = (
    "A mark is met where the value itself, not rounded, is within it; an interval that holds the mark says that other patients could "
    "decide otherwise."
)
COLUMNS = ("published", "measure", "printed", "read", "the same method here", "best learner here", "limit")


def write_first_dose(study: FirstDoseFile, tables: Sequence[DoseTable], folder: Path, today: date) -> tuple[Path, Path]:
    """Write `<study>.md` and `<study>.svg` into `folder`; both paths. The page holds the date, no time of day."""
    return write_page(folder, study.slug, page=first_dose_page(study, tables, today), figure=first_dose_svg(study, tables))


def first_dose_page(study: FirstDoseFile, tables: Sequence[DoseTable], today: date) -> str:
    """The page as Markdown, of the tables of one run (at least one)."""
    parts = [
        *opening(study, today, determined=_determined(tables[0]), figure=f"{MEASURES[tables[0].measures[0]].heading} of every method"),
        "## Published beside ours",
        f"{READ}{f' {NOTE}' if any(one.flag == 'NOTE' for one in study.published) else ''}",
        table(COLUMNS, [[plain(cell) for cell in _beside(figure, tables)] for figure in study.published]),
        "## The marks of this project",
        MET,
        table(("mark", "truth", "met by", "missed by"), [_asked(mark, one) for mark in study.marks for one in tables if one.own]),
        *_ranked(tables),
        "## What the design decides",
        bullets(plain(text) for text in study.decides),
        "## Every table",
        *(part for one in tables for part in _whole(one)),
    ]
    return "\n\n".join(parts) + "\n"


def _determined(one: DoseTable) -> str:
    covered = ", ".join(name for name in one.design.covered if name != "study")
    seeds = ", ".join(f"{name} {seed}" for name, seed in one.design.seeds.items())
    return f"Design hash `{one.design.sha256[:16]}` ({covered} and seeds; not the code). Seeds: {seeds}"


def _beside(figure: Printed, tables: Sequence[DoseTable]) -> tuple[str, ...]:
    """A printed figure, and of ours: the same method, the best learner (where the method is judged on new patients), the limit."""
    head, shown = (figure.what, figure.measure, figure.printed, figure.flag), MEASURES[figure.measure]
    ours = next((one for one in tables if figure.row and one.own and one.truth == figure.truth), None)
    if ours is None:
        return (*head, "-", "-", "-")
    scores = ours.scores(figure.measure)
    name, best = best_of(ours, figure.measure)
    best_text = "-" if ours.kinds[figure.row] == "seen" else f"{shown.text(best)}: {name}"
    return (*head, shown.text(scores[figure.row]), best_text, shown.text(scores[figure.limit]) if figure.limit else "-")


def best_of(one: DoseTable, measure: str) -> tuple[str, Score]:
    """The learner that is best by a measure, and its score."""
    learners = one.scores(measure, ("learner",))
    name = (max if MEASURES[measure].more else min)(learners, key=lambda row: learners[row].value)
    return name, learners[name]


def _asked(mark: Mark, one: DoseTable) -> list[str]:
    """A mark in one truth: which methods meet it and which do not, with their values."""
    shown, asked = MEASURES[mark.measure], one.scores(mark.measure, mark.kinds)
    cells = [[f"{name} {shown.text(s)}" for name, s in asked.items() if mark.met(s.value) is met] for met in (True, False)]
    return [plain(cell) for cell in (mark.text, one.truth or "real patients", *("; ".join(each) or "-" for each in cells))]


def _ranked(tables: Sequence[DoseTable]) -> list[str]:
    """How well the event is ranked, a column a generator; nothing where no table ranks anything."""
    ranking = [one for one in tables if one.discrimination]
    if not ranking:
        return []
    rows = [[plain(name), *(MEASURES[ROC].text(one.discrimination[name]) for one in ranking)] for name in ranking[0].discrimination]
    return ["## ROC-AUC of the event", table(("ranked by", *(plain(one.truth) for one in ranking)), rows)]


def _whole(one: DoseTable) -> list[str]:
    head, *rows = [[plain(cell) for cell in cells] for cells in one.cells()]
    return [f"### {plain(one.heading)}", table(head, rows), plain(f"{'. '.join(one.notes)}.")]
