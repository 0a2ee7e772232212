"""The figure of a first-dose study: what every method reaches, by who made the truth, with the limit and the mark of the project."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from auctor.report.curve_svg import GREY_TEXT, INK
from auctor.report.study_svg import COLOURS as STUDY
from auctor.report.study_svg import WIDTH, picture, point, scale
from auctor.validate.first_dose_file import FirstDoseFile
from auctor.validate.first_dose_result import MEASURES, DoseTable
from auctor.validate.metrics import Score

LEFT, RIGHT, TOP, LINE, HEAD, GAP, BOTTOM = 340, 160, 40, 19, 24, 14, 46
COLOURS = {"fixed": STUDY["covariates"], "model": STUDY["map"], "learner": STUDY["learner"], "limit": STUDY["limit"]}
LEGEND = {
    "fixed": "fixed or standard dose",
    "model": "population model or published formula",
    "learner": "learner",
    "limit": "best possible dose",
}
MARKED = STUDY["printed"]


def first_dose_svg(study: FirstDoseFile, tables: Sequence[DoseTable]) -> str:
    """The picture: one group of lines a truth, a named line a method with its value and 95 % interval."""
    measure = tables[0].measures[0]
    axis, y, groups = _Axis(measure, tables), float(TOP), []
    for one in tables:
        groups.append(_group(study, one, axis, y))
        y += HEAD + LINE * len(one.rows) + GAP
    title = f"{study.name}: {axis.measure.heading} of each method, by who made the truth"
    ticks = {axis.x(value): f"{axis.measure.scale * value:g}" for value in axis.ticks()}
    lines = scale(ticks, (TOP, y), (LEFT, WIDTH - RIGHT), f"{axis.name} ({axis.measure.unit})")
    return picture(title, y + BOTTOM, [lines, *groups, _legend(tables)])


class _Axis:
    """From values of the drawn measure to pixels, linear between round numbers."""

    def __init__(self, name: str, tables: Sequence[DoseTable]) -> None:
        self.name, self.measure = name, MEASURES[name]
        scores = [scores[name] for one in tables for scores in one.rows.values()]
        low, high = min(s.low for s in scores), max(s.high for s in scores)
        self.step = next(m * 10.0**p for p in range(-4, 4) for m in (1, 2, 5) if (high - low) / (m * 10.0**p) <= 7)
        self.low, self.high = math.floor(low / self.step) * self.step, math.ceil(high / self.step) * self.step

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        return [self.low + k * self.step for k in range(round((self.high - self.low) / self.step) + 1)]


def _group(study: FirstDoseFile, one: DoseTable, axis: _Axis, y: float) -> str:
    """One truth as a named group of lines from `y` down, crossed by its limit and its mark."""
    first, last = y + HEAD, y + HEAD + LINE * len(one.rows)
    drawn = one.scores(axis.name)
    lines = [_line(name, one.kinds[name], score, axis, first + LINE * (k + 0.5)) for k, (name, score) in enumerate(drawn.items())]
    limits = [(axis.x(score.value), LEGEND["limit"]) for score in one.scores(axis.name, ("limit",)).values()]
    marks = [(axis.x(value), f"mark: {words}") for value, words in _marks(study, one, axis.name)]
    crossing = [_upright(x, (first, last), f'stroke="{INK}" stroke-width="0.8"', words) for x, words in limits]
    crossing += [_upright(x, (first, last), f'stroke="{MARKED}" stroke-width="1.4" stroke-dasharray="4 3"', words) for x, words in marks]
    named = [_named(x, y, words) for x, words in marks]
    words = f'<text x="8" y="{y + 16:.1f}" fill="{INK}" font-weight="bold">{escape(one.short)}</text>'
    return f'<g><path d="M8 {y:.1f}H{WIDTH - 8}" stroke="#d7dbe0"/>{words}{"".join((*named, *crossing, *lines))}</g>'


def _marks(study: FirstDoseFile, one: DoseTable, drawn: str) -> list[tuple[float, str]]:
    """Where a mark lies, and what it asks: of the drawn measure itself, or of regret, so far below the limit."""
    limits = [score.value for score in one.scores(drawn, ("limit",)).values()]
    asked = [mark for mark in study.marks if one.own]
    direct = [(mark.bound, mark) for mark in asked if mark.measure == drawn]
    below = [(limit - mark.bound, mark) for mark in asked if mark.measure == "regret" for limit in limits]
    return [(value, f"{mark.measure} {MEASURES[mark.measure].value(mark.bound)}") for value, mark in direct + below]


def _named(x: float, y: float, words: str) -> str:
    """The words of a mark on the side of its line that has room."""
    right = x > (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<text x="{x + 4:.1f}" y="{y + 16:.1f}" text-anchor="{"end" if right else "start"}" fill="{MARKED}" font-size="11">'
        f"{escape(words)}</text>"
    )


def _line(name: str, kind: str, score: Score, axis: _Axis, y: float) -> str:
    text = axis.measure.text(score)
    places = (axis.x(score.low), axis.x(score.value), axis.x(score.high))
    return (
        f'<text x="{LEFT - 12}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{escape(name)}</text>'
        f"{point(places, y, colour=COLOURS[kind], title=f'{name}: {text}', bar=kind == 'limit')}"
        f'<text x="{WIDTH - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{escape(text)}</text>'
    )


def _upright(x: float, ends: tuple[float, float], stroke: str, title: str) -> str:
    return f'<g><title>{escape(title)}</title><path d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}" {stroke}/></g>'


def _legend(tables: Sequence[DoseTable]) -> str:
    used = {one.kinds[name] for one in tables for name in one.rows}
    x, parts = 8.0, []
    for kind, words in ((kind, words) for kind, words in LEGEND.items() if kind in used):
        parts.append(f'<circle cx="{x + 5:.0f}" cy="18" r="4" fill="{COLOURS[kind]}"/>')
        parts.append(f'<text x="{x + 15:.0f}" y="22" fill="{GREY_TEXT}">{words}</text>')
        x += 44 + 6.0 * len(words)
    return "".join(parts)
