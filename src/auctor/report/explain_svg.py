"""Pictures of an explanation, each one self-contained SVG text: all patients, one patient, pairs of features, one feature.

Contributions are on the log scale and shown as the percentages they make; the same explanation gives the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

import numpy as np

from auctor.learn.drivers import Drivers
from auctor.learn.explain import Array, Dependence, Explanation, percent
from auctor.report.curve_svg import GREY_TEXT, INK, nice_ticks

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 760, 230, 96, 52, 26, 52
RAISES, LOWERS, LINE = "#b26a00", "#0b4f8a", "#9aa1ac"
LOW, HIGH = (11, 79, 138), (208, 112, 0)  # colour of a feature's lowest and highest value
MISSING = "#c6c9ce"
LEAST = 0.08  # the narrowest range of a patient's picture on either side, so that small changes look small
SHOWN = 12  # features in a picture; the others are in the table
DOTS = 300  # patients in a picture


def opening(title: str, text: str, height: float, *, key: str) -> str:
    """The start of a picture of this height, with its name and description for a screen reader."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" style="background:#ffffff" '
        f'aria-labelledby="{key}-title {key}-desc" font-family="Helvetica, Arial, sans-serif" font-size="12">\n'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(text)}</desc>\n'
        f'<text x="12" y="20" font-size="14" font-weight="bold" fill="{INK}">{escape(title)}</text>'
    )


class Scale:
    """From a change on the log scale to pixels, with ticks in percent."""

    def __init__(self, low: float, high: float) -> None:
        slack = 0.04 * max(high - low, 1e-6)
        self.low, self.high = min(low, 0.0) - slack, max(high, 0.0) + slack

    def x(self, contribution: float) -> float:
        """Pixels from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (contribution - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Whole percentages, as contributions."""
        marks = nice_ticks(percent(self.low), percent(self.high), about=6)
        return [float(np.log1p(m / 100)) for m in marks if m > -100]

    def axis(self, base: float, words: str) -> str:
        """The axis below the rows, and the line of no change."""
        marks = "".join(f"M{self.x(t):.1f} {base:.1f}v5" for t in self.ticks())
        texts = "".join(
            f'<text x="{self.x(t):.1f}" y="{base + 19:.1f}" text-anchor="middle" fill="{INK}">{_signed(t)}</text>' for t in self.ticks()
        )
        middle = (LEFT + WIDTH - RIGHT) / 2
        return (
            f'<path d="M{LEFT} {base:.1f}H{WIDTH - RIGHT}{marks}" stroke="{INK}" fill="none"/>{texts}'
            f'<path d="M{self.x(0.0):.1f} {TOP}V{base:.1f}" stroke="{LINE}" stroke-dasharray="3 3" fill="none"/>'
            f'<text x="{middle:.0f}" y="{base + 40:.1f}" text-anchor="middle" fill="{INK}" font-size="13">{escape(words)}</text>'
        )


def _signed(contribution: float) -> str:
    """`+12 %`, and one decimal below 10 %, without a trailing zero.

    >>> _signed(0.1133), _signed(-0.0131), _signed(0.0)
    ('+12 %', '−1.3 %', '0 %')
    """
    change = percent(contribution)
    text = f"{round(change, 1 if abs(change) < 9.95 else 0):+g} %"
    return "0 %" if text in ("+0 %", "-0 %") else text.replace("-", "−")


def _name(text: str, y: float) -> str:
    return f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{escape(text)}</text>'


def beeswarm_svg(found: Explanation, title: str) -> str:
    """Every patient's contribution of every feature as a dot, coloured by the feature's value; the mean size at the right."""
    rows = found.order[:SHOWN]
    dots = np.unique(np.linspace(0, len(found.x) - 1, min(len(found.x), DOTS)).round().astype(int))
    shown = found.contributions[dots][:, rows]
    scale, base = Scale(float(shown.min()), float(shown.max())), TOP + ROW * len(rows)
    text = f"{len(dots)} of {len(found.x)} patients, {len(rows)} of {len(found.names)} features."
    parts = [opening(title, text, base + BOTTOM, key="bees"), _colour_key(), _mean_heading()]
    for k, j in enumerate(rows):
        y = TOP + ROW * (k + 0.5)
        parts += [_name(found.names[j], y), _swarm(found.contributions[dots, j], found.x[dots, j], scale, y)]
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{y + 4:.1f}" fill="{INK}">{percent(found.importance[j]):.1f} %</text>')
    return "\n".join([*parts, scale.axis(base, "Contribution to the estimated exposure"), "</svg>"])


def _mean_heading() -> str:
    return f'<text x="{WIDTH - RIGHT + 12}" y="{TOP - 8}" fill="{GREY_TEXT}">mean size</text>'


def _colour_key() -> str:
    return (
        f'<g fill="{GREY_TEXT}"><circle cx="{LEFT + 4}" cy="{TOP - 12}" r="4" fill="{_colour(0.0)}"/>'
        f'<text x="{LEFT + 13}" y="{TOP - 8}">low value</text><circle cx="{LEFT + 84}" cy="{TOP - 12}" r="4" fill="{_colour(1.0)}"/>'
        f'<text x="{LEFT + 93}" y="{TOP - 8}">high value of the feature</text></g>'
    )


def _colour(share: float) -> str:
    if not np.isfinite(share):
        return MISSING
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(LOW, HIGH, strict=True))


def _swarm(contributions: Array, values: Array, scale: Scale, y: float) -> str:
    """Dots side by side where they would hide each other: the k-th of a 4-pixel bin goes up and down in turn."""
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable") / max(len(values) - 1, 1)
    share = np.where(np.isfinite(values), order, np.nan) if len(np.unique(values)) > 2 else _two(values)
    seen: dict[int, int] = {}
    dots = []
    for c, s in zip(contributions.tolist(), share.tolist(), strict=True):
        x = scale.x(c)
        k = seen[round(x / 4)] = seen.get(round(x / 4), -1) + 1
        off = min((k + 1) // 2 * 1.8, ROW / 2 - 3) * (1 if k % 2 else -1)
        dots.append(f'<circle cx="{x:.1f}" cy="{y + off:.1f}" r="2.4" fill="{_colour(s)}"/>')
    return f"<g>{''.join(dots)}</g>"


def _two(values: Array) -> Array:
    spread = np.ptp(values)
    return np.asarray((values - values.min()) / spread if spread > 0 else np.full(len(values), 0.5))


def waterfall_svg(found: Drivers, title: str) -> str:
    """One patient: from whom he is compared with, driver by driver, to his estimate; percentages multiply along the way."""
    each = list(found.each[:SHOWN])
    rest = sum(d.contribution for d in found.each[SHOWN:])
    steps = [(f"{d.name}, {d.value}" if d.value else d.name, d.contribution) for d in each]
    steps += [("everything else", rest)] if rest else []
    at = np.concatenate([[0.0], np.cumsum([c for _, c in steps])])
    scale, base = Scale(min(float(at.min()), -LEAST), max(float(at.max()), LEAST)), TOP + ROW * (len(steps) + 1)
    parts = [opening(title, found.sentence(), base + BOTTOM, key="patient")]
    parts.append(f'<text x="12" y="{TOP - 12}" fill="{GREY_TEXT}">compared with {escape(found.against)}, per mg of dose</text>')
    for k, ((name, contribution), (start, stop)) in enumerate(zip(steps, pairwise(at.tolist()), strict=True)):
        parts.append(_step(name, contribution, (scale.x(start), scale.x(stop)), TOP + ROW * (k + 0.5)))
    total, y = float(at[-1]), TOP + ROW * (len(steps) + 0.5)
    parts += [_name("estimate", y), f'<circle cx="{scale.x(total):.1f}" cy="{y:.1f}" r="5" fill="{INK}"/>']
    parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{y + 4:.1f}" font-weight="bold" fill="{INK}">{_signed(total)}</text>')
    return "\n".join([*parts, scale.axis(base, f"Estimated {found.metric}"), "</svg>"])


def _step(name: str, contribution: float, span: tuple[float, float], y: float) -> str:
    left, right = sorted(span)
    colour = RAISES if contribution > 0 else LOWERS
    box = f'x="{left:.1f}" y="{y - 8:.1f}" width="{max(right - left, 0.8):.1f}" height="16"'
    return (
        f'{_name(name, y)}<rect {box} fill="{colour}"/><path d="M{span[1]:.1f} {y - 8:.1f}v{ROW + 8}" stroke="{LINE}" fill="none"/>'
        f'<text x="{WIDTH - RIGHT + 12}" y="{y + 4:.1f}" fill="{colour}">{_signed(contribution)}</text>'
    )


def pairs_svg(strength: Array, names: Sequence[str], title: str) -> str:
    """The strongest interactions of two features, as bars of their mean size."""
    p = len(names)
    pairs = sorted(((float(strength[i, j]), i, j) for i in range(p) for j in range(i)), key=lambda t: (-t[0], t[1], t[2]))[:SHOWN]
    scale, base = Scale(0.0, pairs[0][0] if pairs else 0.01), TOP + ROW * len(pairs)
    parts = [
        opening(
            title,
            "Mean size of the interaction of two features over the patients, beyond what each adds alone.",
            base + BOTTOM,
            key="pairs",
        )
    ]
    for k, (size, i, j) in enumerate(pairs):
        y = TOP + ROW * (k + 0.5)
        bar = f'<rect x="{scale.x(0):.1f}" y="{y - 7:.1f}" width="{scale.x(size) - scale.x(0):.1f}" height="14" fill="{LOWERS}"/>'
        parts.append(f"{_name(f'{names[j]} with {names[i]}', y)}{bar}")
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{y + 4:.1f}" fill="{INK}">{percent(size):.1f} %</text>')
    return "\n".join([*parts, scale.axis(base, "Mean size of the interaction"), "</svg>"])


PLOT = 300  # height of the dependence picture's plot
LINES = 60  # patients drawn


def dependence_svg(found: Dependence, title: str, *, unit: str = "") -> str:
    """How the estimate moves with one feature: each patient thin, the mean thick, relative to the mean over the grid."""
    center = float(found.mean.mean())
    each, mean = found.each[:LINES] - center, found.mean - center
    low, high = (float(np.quantile(each, q)) for q in (0.01, 0.99))
    low, high = min(low, float(mean.min())), max(high, float(mean.max()))
    frame = _Plot(float(found.grid[0]), float(found.grid[-1]), low, high)
    parts = [opening(title, f"{len(each)} patients thin, their mean thick.", TOP + PLOT + 56, key="dependence")]
    parts.append(f'<defs><clipPath id="inside"><rect x="70" y="{TOP}" width="{WIDTH - 90}" height="{PLOT}"/></clipPath></defs>')
    lines = "".join(f'<polyline points="{frame.points(found.grid, row)}"/>' for row in each)
    parts.append(f'<g clip-path="url(#inside)"><g fill="none" stroke="{MISSING}">{lines}</g>')
    parts.append(f'<polyline points="{frame.points(found.grid, mean)}" fill="none" stroke="{LOWERS}" stroke-width="2.6"/></g>')
    return "\n".join([*parts, frame.axes(f"{found.name}{f' ({unit})' if unit else ''}"), "</svg>"])


class _Plot:
    """A plot of a value upwards in percent against a feature."""

    def __init__(self, start: float, end: float, low: float, high: float) -> None:
        slack = 0.05 * max(high - low, 1e-6)
        self.start, self.end = start, end if end > start else start + 1.0
        self.low, self.high = low - slack, high + slack

    def x(self, value: float) -> float:
        return 70 + (WIDTH - 90) * (value - self.start) / (self.end - self.start)

    def y(self, value: float) -> float:
        return TOP + PLOT * (self.high - value) / (self.high - self.low)

    def points(self, grid: Array, values: Array) -> str:
        return " ".join(f"{self.x(g):.1f},{self.y(v):.1f}" for g, v in zip(grid.tolist(), values.tolist(), strict=True))

    def axes(self, words: str) -> str:
        base, across = TOP + PLOT, nice_ticks(self.start, self.end)
        up = [float(np.log1p(m / 100)) for m in nice_ticks(percent(self.low), percent(self.high)) if m > -100]
        marks = "".join([*(f"M{self.x(v):.1f} {base}v5" for v in across), *(f"M70 {self.y(v):.1f}h-5" for v in up)])
        texts = "".join(f'<text x="{self.x(v):.1f}" y="{base + 19}" text-anchor="middle">{v:g}</text>' for v in across)
        texts += "".join(f'<text x="62" y="{self.y(v) + 4:.1f}" text-anchor="end">{_signed(v)}</text>' for v in up)
        return (
            f'<path d="M70 {TOP}V{base}H{WIDTH - 20}{marks}" stroke="{INK}" fill="none"/><g fill="{INK}">{texts}</g>'
            f'<text x="{(WIDTH + 50) / 2}" y="{base + 42}" text-anchor="middle" fill="{INK}" font-size="13">{escape(words)}</text>'
            f'<text x="12" y="{TOP - 12}" fill="{GREY_TEXT}">estimated exposure, relative to its mean</text>'
        )
