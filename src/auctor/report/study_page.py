"""The page of a study: the paper's design and numbers, ours beside them, what the design decides, and every table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from auctor.report.markdown import bullets, plain, table
from auctor.report.study_svg import study_svg
from auctor.validate.metrics import as_it_is, columns
from auctor.validate.study_file import StudyTexts
from auctor.validate.study_result import COVERED, WORDS, StudyResult, StudyTable, compared
from auctor.validate.study_rows import AMORTISED_LEAST

COVERED_TEXT = (
    "New patients of the training simulators, all and by declared subgroup; exact 95 % limits of the share (Clopper-Pearson) are in "
    "parentheses. Intervals are calibrated within every combination of the subgroups (Mondrian)."
)
AGAINST = ("design", "noise", "truth", "best learner", "limit", "learner / limit", "learner covers", "amortised / limit")
READ = "ABS: the abstract only; FULL: the text; CODE: the group's public code or supplement; SEED: a review's sentence."


def write_study(result: StudyResult, folder: Path, today: date) -> tuple[Path, Path]:
    """Write `<study>.md` and `<study>.svg` into `folder`; both paths. The page holds the date, no time of day."""
    return write_page(folder, result.study.slug, page=study_page(result, today), figure=study_svg(result))


def write_page(folder: Path, slug: str, *, page: str, figure: str) -> tuple[Path, Path]:
    """Write a page and its picture side by side; both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = folder / f"{slug}.md", folder / f"{slug}.svg"
    for path, text in zip(found, (page, figure), strict=True):
        path.write_text(text, encoding="utf-8")
    return found


def opening(study: StudyTexts, today: date, *, determined: str, figure: str) -> list[str]:
    """Title, paper, date, command, what determined the run, the picture, and the paper's design, as Markdown."""
    return [
        f"# {study.name} · {plain(study.title)}",
        plain(f"{study.cite}{f', doi {study.doi}' if study.doi else ''}. Run on {today.isoformat()} by"),
        f"<!-- not run: it takes some minutes -->\n```bash\nauctor reproduce {study.name} --write docs/studies\n```",
        f"{determined}. 95 % bootstrap intervals are in parentheses.",
        f"![{figure}]({study.slug}.svg)",
        "## The paper",
        bullets(plain(text) for text in study.paper),
        "What public information lacks:",
        bullets(plain(text) for text in study.missing),
        "What is done differently here:",
        bullets(plain(text) for text in study.differs),
    ]


def study_page(result: StudyResult, today: date) -> str:
    """The page as Markdown."""
    study = result.study
    determined = f"study file `{study.sha256[:16]}` (content and models), seed {study.seed}"
    parts = [
        *opening(study, today, determined=determined, figure="relative RMSE of every method"),
        "## Published beside ours",
        f"{READ} Ours is the best learner's row, and the limit's, of the same design, noise and simulator.",
        table(("published", "measure", "printed", "read", "best learner", "limit"), [[plain(c) for c in row] for row in compared(result)]),
        "## Against the limit",
        _against_text(),
        _against(result.tables),
        *_beside(result),
        *_covered(result),
        "## What the design decides",
        bullets(plain(text) for text in study.decides),
        *_regimes(result),
        "## Every table",
        *(part for one in result.tables for part in _whole(one)),
    ]
    return "\n\n".join(parts) + "\n"


def _covered(result: StudyResult) -> tuple[str, ...]:
    """Coverage of the intervals by subgroup; nothing where no arm had intervals to judge."""
    rows = [[plain(cell) for cell in row] for row in result.coverage().rows()]
    return ("## What a 90 % interval covers", COVERED_TEXT, table(COVERED, rows)) if rows else ()


def _against_text() -> str:
    return (
        "rRMSE of the best learner and of the posterior mean. In the same simulator the limit is what can be known by someone who is told "
        "the training models, not which of them made a patient; with another simulator it is the posterior under that simulator, "
        "which no method here knows. The posterior mean is the least RMSE; the least rRMSE, another point of the same posterior, is in the "
        "tables below. A ratio well below 1 beside a posterior of few effective draws (under each table) says that the limit was not "
        "computed well enough, not that it was beaten."
    )


def _against(tables: Sequence[StudyTable]) -> str:
    """One line a table; a column of the amortised posterior where a table has it."""
    asked = any(one.ratio_amortised for one in tables)
    rows = []
    for one in tables:
        scores = one.rows[one.best]
        cells = [
            one.design,
            WORDS[one.noise],
            one.world,
            scores["rRMSE"],
            one.rows[one.limit]["rRMSE"],
            as_it_is(one.ratio),
            scores["coverage"],
        ]
        if asked:
            cells.append(as_it_is(one.ratio_amortised) if one.ratio_amortised else "-")
        rows.append([plain(str(cell)) for cell in cells])
    return table(AGAINST if asked else AGAINST[:-1], rows)


BESIDE_TEXT = (
    "rRMSE of the amortised posterior over several models, at its point of least relative error, in patients of a simulator that it "
    "does not know either, over that of the methods that know one model alone: of MAP and of the learner the better one, which "
    "nobody knows beforehand, and the worse one. Below 1 it is the better."
)


def _beside(result: StudyResult) -> tuple[str, ...]:
    """The amortised posterior against the methods of one model, other simulators; nothing where it has no row."""
    rows = [_against_single(one) for one in result.tables if one.beside]
    names = ("design", "noise", "truth", "amortised", "best MAP of one", "worst", "best learner of one", "worst")
    return ("## Several models against one", BESIDE_TEXT, table(names, rows)) if rows else ()


def _against_single(one: StudyTable) -> list[str]:
    maps, learned = ([r for name, r in one.beside.items() if name.startswith("MAP") is wanted] for wanted in (True, False))
    cells = [one.design, WORDS[one.noise], one.world, one.rows[AMORTISED_LEAST]["rRMSE"]]
    for ratios in (maps, learned):
        cells += [as_it_is(pick(ratios, key=lambda r: r.value)) for pick in (max, min)]
    return [plain(str(cell)) for cell in cells]


def _regimes(result: StudyResult) -> list[str]:
    """The limit by noise regime of every design that has several, in the training simulator."""
    designs = dict.fromkeys(t.design for t in result.tables)
    same = {(t.design, t.noise): t for t in result.tables if t.world == "same"}
    rows = []
    for design in designs:
        own = {noise: same[design, noise] for noise in WORDS if (design, noise) in same}
        if len(own) > 1:
            cells = [str(t.rows[t.limit]["rRMSE"]) if t else "-" for t in (own.get(noise) for noise in WORDS)]
            rows.append([plain(design), *(plain(cell) for cell in cells)])
    if not rows:
        return []
    return ["The limit (rRMSE of the posterior mean) in the same simulator:", table(("design", *WORDS.values()), rows)]


def _whole(one: StudyTable) -> list[str]:
    names = columns(one.rows)
    rows = [[plain(method), *(plain(str(scores[name])) for name in names)] for method, scores in one.rows.items()]
    note = plain(f"{one.patients} virtual patients; trained on {', '.join(one.train)}. {'. '.join(one.caption().splitlines())}.")
    return [f"### {plain(one.title)}", table(("method", *names.values()), rows), note]
