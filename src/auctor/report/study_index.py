"""The overview of the studies, made from their pages alone: what each says of the printed figures and of its marks, and its command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from auctor.report.markdown import table
from auctor.validate.first_dose_result import MEASURES

MORE = {"R2", *(name for name, measure in MEASURES.items() if measure.more)}  # measures of which more is better
HEAD = """# Published studies, run again

Made from the pages below while the site is built. Each page has the paper's design and numbers, ours with 95 % bootstrap intervals for
every method, what public information lacks, and one figure; its command writes it again, and `--quick` shows in seconds that it runs.

*Printed figures reached*: of those that something of ours stands beside, how many our best learner reaches or betters, by the figures as
shown and whatever their intervals. A printed figure may be of another simulator, or of a design that forbids it: each page says so. *Marks*
are bounds of this project, met where in each truth at least one method meets them."""


def study_index(pages: Mapping[str, str]) -> str:
    """The overview as Markdown; `pages` are those of the studies, file name -> text."""
    rows = sorted((_row(name, text) for name, text in pages.items()), key=lambda row: _order(row[0]))
    return f"{HEAD}\n\n{table(('study', 'paper, day of the run', 'printed figures reached', 'marks', 'command'), rows)}\n"


def pages_of(folder: Path) -> dict[str, str]:
    """The pages of the studies in a folder."""
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}


def _order(cell: str) -> tuple[bool, int, str]:
    """E2 before E10, and those without a number last."""
    found = re.match(r"\[E(\d+)", cell)
    return (found is None, int(found.group(1)) if found else 0, cell)


def _row(name: str, text: str) -> list[str]:
    title, paper, command = (re.search(pattern, text, re.MULTILINE) for pattern in (r"^# (.+)$", r"^(.+) by$", r"^(auctor reproduce \S+)"))
    assert title and paper and command, f"{name} is not a study's page"
    return [
        f"[{title[1]}]({name})",
        paper[1].replace(". Run on ", ", "),
        _reached(text),
        _marks(text),
        f"`{command[1]} --write docs/studies`",
    ]


def _reached(text: str) -> str:
    """How many printed figures the best learner reaches, of those that it stands beside."""
    found = [_reaches(row) for row in rows_below(text, "Published beside ours")]
    judged = [one for one in found if one is not None]
    return f"{sum(judged)} of {len(judged)}"


def _reaches(row: Mapping[str, str]) -> bool | None:
    """Whether the best learner reaches a printed figure; None where one of the two is no number."""
    learner = next(cell for head, cell in row.items() if head.startswith("best learner"))
    ours, printed = (re.match(r"-?\d+(\.\d+)?", cell) for cell in (learner, row["printed"]))
    if ours is None or printed is None:
        return None
    a, b = abs(float(ours[0])), abs(float(printed[0]))  # a bias may have either sign
    return a >= b if row["measure"] in MORE else a <= b


def _marks(text: str) -> str:
    met: dict[str, bool] = {}
    for row in rows_below(text, "The marks of this project"):
        met[row["mark"]] = met.get(row["mark"], True) and row["met by"] != "-"
    return "; ".join(f"{mark}: {'met' if one else '**not met**'}" for mark, one in met.items()) or "-"


def rows_below(text: str, heading: str) -> list[dict[str, str]]:
    """The first table below a heading, heading of the column -> cell; empty where there is none."""
    _, _, below = text.partition(f"\n## {heading}\n")
    lines = [line for line in below.split("\n## ")[0].splitlines() if line.startswith("| ")]
    head, _, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines] or [[], []]
    return [dict(zip(head, row, strict=True)) for row in rows]
