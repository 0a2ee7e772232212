"""The figure of a study: relative RMSE of every method in every design, noise regime and world, on one logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from xml.sax.saxutils import escape

from auctor.report.curve_svg import GREY_TEXT, INK
from auctor.validate.metrics import Score
from auctor.validate.study_file import SAME
from auctor.validate.study_result import WORDS, StudyResult, StudyTable
from auctor.validate.study_rows import AMORTISED, AVERAGED

WIDTH, LEFT, RIGHT, TOP, LINE, GAP, BOTTOM = 860, 330, 20, 82, 9, 12, 46
COLOURS = {
    "covariates": "#9aa1ac",
    "map": "#b26a00",
    "average": "#6b3fa0",
    "learner": "#0b4f8a",
    "amortised": "#1b7f5c",
    "limit": INK,
    "printed": "#b3261e",
}
LEGEND = {
    "covariates": "covariates only (best model)",
    "map": "MAP, published error (best model)",
    "average": "model averaging, published errors",
    "learner": "learner",
    "amortised": "amortised posterior, mean",
    "limit": "posterior mean: the limit",
    "printed": "printed in the paper",
}


def chosen(table: StudyTable) -> dict[str, str]:
    """Which row of a table is drawn as what; of several models the one with the least rRMSE."""

    def best(fits: Callable[[str], bool]) -> str:
        return min((row for row in table.rows if fits(row)), key=lambda row: table.rows[row]["rRMSE"].value, default="")

    mapped = best(lambda r: r.startswith("MAP") and "published" in r)  # none where nobody was sampled
    found = {"covariates": best(lambda r: r.startswith("covariates only")), "map": mapped}
    found |= {"average": AVERAGED, "learner": table.best, "amortised": AMORTISED, "limit": table.limit}
    return {kind: row for kind, row in found.items() if row in table.rows}


def study_svg(result: StudyResult) -> str:
    """The picture: one group of lines a table, point and 95 % bootstrap interval of rRMSE; the numbers are in the page's tables."""
    axis = _Axis(result)
    groups, y = [], float(TOP)
    for table in result.tables:
        part, height = _group(result, table, axis, y)
        groups.append(part)
        y += height
    title = f"{result.study.name}: relative RMSE of each method, by design, noise and the simulator that made the truth"
    ticks = {axis.x(value): f"{100 * value:g}" for value in axis.ticks()}
    lines = scale(ticks, (TOP, y), (LEFT, WIDTH - RIGHT), "relative RMSE (%), logarithmic")
    return picture(title, y + BOTTOM, [lines, *groups, _legend(result)])


def picture(title: str, height: float, parts: list[str]) -> str:
    """The picture of a study around its parts, white below them, with a name and a description."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" style="background:#ffffff" '
            'aria-labelledby="study-title study-desc" font-family="Helvetica, Arial, sans-serif" font-size="12">',
            f'<title id="study-title">{escape(title)}</title>',
            '<desc id="study-desc">Points with 95 % bootstrap intervals. The numbers are in the tables of the page.</desc>',
            *parts,
            "</svg>",
            "",
        ]
    )


class _Axis:
    """From rRMSE (fraction) to pixels, logarithmic."""

    def __init__(self, result: StudyResult) -> None:
        values = [t.rows[row]["rRMSE"].value for t in result.tables for row in chosen(t).values()]
        printed = [f.percent / 100 for f in result.study.published if f.measure == "rRMSE" and result.find(f)]
        self.low, self.high = min(values + printed) / 1.25, min(max(values + printed) * 1.25, 4.0)

    def x(self, value: float) -> float:
        share = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def ticks(self) -> list[float]:
        marks = [m * 10.0**p for p in range(-4, 2) for m in (1, 2, 5)]
        return [m for m in marks if self.low <= m <= self.high]


def _group(result: StudyResult, table: StudyTable, axis: _Axis, y: float) -> tuple[str, float]:
    """One table as a group of lines from `y` down, and its height."""
    rows = list(chosen(table).items())
    height = LINE * len(rows) + GAP
    lines = [_mark(kind, row, table.rows[row]["rRMSE"], axis, y + LINE * (k + 0.5) + GAP / 2) for k, (kind, row) in enumerate(rows)]
    world = "same simulator" if table.world == SAME else f"truth: {table.world}"
    words = (
        f'<text x="{LEFT - 10}" y="{y + height / 2 - 2:.1f}" text-anchor="end" fill="{INK}">{escape(table.design)}</text>'
        f'<text x="{LEFT - 10}" y="{y + height / 2 + 12:.1f}" text-anchor="end" fill="{GREY_TEXT}" font-size="11">'
        f"{escape(WORDS[table.noise])}; {escape(world)}</text>"
    )
    rule = f'<path d="M8 {y:.1f}H{WIDTH - RIGHT}" stroke="#d7dbe0"/>'
    return f"<g>{rule}{words}{''.join(lines)}{''.join(_printed(result, table, axis, y, height))}</g>", height


def _mark(kind: str, row: str, score: Score, axis: _Axis, y: float) -> str:
    places = (axis.x(score.low), axis.x(score.value), axis.x(score.high))
    return point(places, y, colour=COLOURS[kind], title=f"{row}: {score}", bar=kind == "limit")


def point(places: tuple[float, float, float], y: float, *, colour: str, title: str, bar: bool = False) -> str:
    """A value on the line at `y` with its interval (low, value, high in pixels): a dot, or a bar; `title` is read aloud and on hover."""
    low, x, high = places
    shape = f'<path d="M{x:.1f} {y - 4.5:.1f}v9" stroke="{colour}" stroke-width="3"/>'
    if not bar:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{colour}"/>'
    span = f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" stroke="{colour}" stroke-width="1.6"/>'
    return f"<g><title>{escape(title)}</title>{span}{shape}</g>"


def _printed(result: StudyResult, table: StudyTable, axis: _Axis, y: float, height: float) -> Iterator[str]:
    for figure in result.study.published:
        if figure.measure == "rRMSE" and result.find(figure) is table:
            x, dashed = axis.x(figure.percent / 100), f'stroke="{COLOURS["printed"]}" stroke-width="1.6" stroke-dasharray="4 3"'
            yield (
                f"<g><title>{escape(figure.what)}: {figure.percent:g} %</title>"
                f'<path d="M{x:.1f} {y + 3:.1f}V{y + height - 3:.1f}" {dashed}/></g>'
            )


def scale(ticks: Mapping[float, str], down: tuple[float, float], across: tuple[float, float], title: str) -> str:
    """The horizontal axis: a grid line and a label at each tick (pixels from the left), `down` from the top to the base, and its title."""
    (top, base), (left, right) = down, across
    lines = "".join(f'<path d="M{x:.1f} {top}V{base:.1f}" stroke="#eceff2"/>' for x in ticks)
    words = "".join(f'<text x="{x:.1f}" y="{base + 18:.1f}" text-anchor="middle" fill="{INK}">{text}</text>' for x, text in ticks.items())
    return (
        f'{lines}<path d="M{left} {base:.1f}H{right}" stroke="{INK}"/>{words}'
        f'<text x="{(left + right) / 2}" y="{base + 37:.1f}" text-anchor="middle" fill="{INK}" font-size="13">{escape(title)}</text>'
    )


def _legend(result: StudyResult) -> str:
    used = {kind for table in result.tables for kind in chosen(table)} | {"printed"}
    parts, places = [], [(8 + 290 * (k % 3), 18 + 20 * (k // 3)) for k in range(len(COLOURS))]
    for (x, y), kind in zip(places, (kind for kind in COLOURS if kind in used), strict=False):
        parts.append(f'<circle cx="{x + 5}" cy="{y}" r="4" fill="{COLOURS[kind]}"/>')
        parts.append(f'<text x="{x + 15}" y="{y + 4}" fill="{GREY_TEXT}">{LEGEND[kind]}</text>')
    return "".join(parts)
