"""The overview of the studies, made from their pages alone: what each says of the printed figures and of its marks, and its command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from auctor.report.markdown import table
from auctor.validate.first_dose_result import MEASURES
from auctor.validate.study_rows import AMORTISED_LEAST, PUBLISHED, TRAINED

MORE = {"R2", *(name for name, measure in MEASURES.items() if measure.more)}  # measures of which more is better
HEAD = """# Published studies, run again

Made from the pages below while the site is built. Each page has the paper's design and numbers, ours with 95 % bootstrap intervals for
every method, what public information lacks, and one figure; its command writes it again, and `--quick` shows in seconds that it runs.

*Printed figures reached*: of those that something of ours stands beside, how many our best learner reaches or betters, by the figures as
shown and whatever their intervals. A printed figure may be of another simulator, or of a design that forbids it: each page says so. *Marks*
are bounds of this project, met where in each truth at least one method meets them."""

SEVERAL = """## Several models against one

In patients of a simulator that no method knows, full residual error: rRMSE of the amortised posterior over several models, at its point of
least relative error, against MAP with the published residual error and learners that know one of its models alone. *Beats* counts them.
*Taken blindly* is the ratio to one of them chosen without knowing which is nearest: to the root mean square of theirs. Below 1 it is the
better."""


def study_index(pages: Mapping[str, str]) -> str:
    """The overview as Markdown; `pages` are those of the studies, file name -> text."""
    rows = sorted((_row(name, text) for name, text in pages.items()), key=lambda row: _order(row[0]))
    found = f"{HEAD}\n\n{table(('study', 'paper, day of the run', 'printed figures reached', 'marks', 'command'), rows)}\n"
    sets = [row for name in sorted(pages) for row in _several(name, pages[name])]
    names = ("study", "design; truth", "amortised", "beats, of MAP", "MAP taken blindly", "beats, of learners", "learner taken blindly")
    return f"{found}\n{SEVERAL}\n\n{table(names, sets)}\n" if sets else found


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


def _several(name: str, text: str) -> list[list[str]]:
    """A row for each set of patients on which a page sets several models against one."""
    found = []
    for row in rows_below(text, "Several models against one"):
        title = f"{row['design']}; {row['noise']}; truth: {row['truth']} ("
        part = next(one for one in text.split("\n### ") if one.startswith(title))
        errors = {cells["method"]: _number(cells["rRMSE"]) for cells in _table(part)}
        maps = [error for method, error in errors.items() if method.startswith("MAP, ") and method.endswith(PUBLISHED)]
        learned = [error for method, error in errors.items() if method.endswith(" alone")]
        learned = learned or [error for method, error in errors.items() if method.endswith(TRAINED)]
        ours = errors[AMORTISED_LEAST]
        study = text.partition(" · ")[0].removeprefix("# ")
        cells = [f"[{study}]({name})", f"{row['design']}; {row['truth']}", f"{ours:.1f} %"]
        for one in (maps, learned):
            cells += [f"{sum(ours < error for error in one)} of {len(one)}", f"{ours / fmean(e**2 for e in one) ** 0.5:.2f}"]
        found.append(cells)
    return found


def _number(cell: str) -> float:
    return float(cell.partition(" ")[0])


def rows_below(text: str, heading: str) -> list[dict[str, str]]:
    """The first table below a heading, heading of the column -> cell; empty where there is none."""
    _, _, below = text.partition(f"\n## {heading}\n")
    return _table(below.split("\n## ")[0])


def _table(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    head, _, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines] or [[], []]
    return [dict(zip(head, row, strict=True)) for row in rows]
