"""The models of a drug on one axis: point and 90 % interval of the AUC for the same patient, by how well the model applies to him."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from auctor.analysis.comparison import Comparison, Row
from auctor.case import MetricKind
from auctor.report.comparison import regimen_text, unit_of
from auctor.report.curve_svg import GREY_TEXT, INK
from auctor.report.shown import exposure

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 760, 170, 16, 40, 22, 46
COLOURS = {"applies": "#0b4f8a", "doubtful": "#b26a00", "outside": "#9aa1ac"}
WORDS = {"applies": "inside its domain, as far as it is known", "doubtful": "a covariate is missing", "outside": "outside its domain"}
WIDEST = 8.0  # the axis reaches at most so many times beyond the models that apply


def kind_of(row: Row) -> str:
    """How a row is drawn: `applies`, `doubtful` (something missing) or `outside`."""
    if row.named("outside") or row.named("far"):
        return "outside"
    return "doubtful" if row.named("missing") else "applies"


def ordered(found: Comparison) -> list[Row]:
    """The models that answer: those that apply first, then by name."""
    rows = [row for row in found.rows if not row.refused and row.prior is not None]
    return sorted(rows, key=lambda row: (list(COLOURS).index(kind_of(row)), row.model.name))


def forest_svg(found: Comparison) -> str | None:
    """The picture, a-priori exposures on a logarithmic axis; None where fewer than two models answer."""
    rows = ordered(found)
    if len(rows) < 2:
        return None
    axis = _Axis(found, rows)
    base = TOP + ROW * len(rows)
    title = f"{found.auc.name} of one patient by {len(rows)} models of {found.drug}"
    text = f"{regimen_text(found)}; point and 90 % interval of each model, before any sample. The numbers are in the table below."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {base + BOTTOM}" role="img" style="background:#ffffff" '
        'aria-labelledby="forest-title forest-desc" font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<title id="forest-title">{escape(title)}</title><desc id="forest-desc">{escape(text)}</desc>',
        _target(found, axis, base),
        *(_row(row, axis, TOP + ROW * (k + 0.5)) for k, row in enumerate(rows)),
        _ticks(axis, base),
        _legend(rows),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


class _Axis:
    """From an AUC in mg*h/L to pixels, logarithmic."""

    def __init__(self, found: Comparison, rows: list[Row]) -> None:
        self.metric = exposure(unit_of(found), found.auc)
        self.name = found.auc.name
        main = [row for row in rows if kind_of(row) == "applies"] or rows
        spans = [row.prior.auc.interval(0.9) for row in main if row.prior]
        every = [row.prior.auc.interval(0.9) for row in rows if row.prior]
        goal = found.target if found.target is not None and found.target.metric == found.auc else None
        lows = [low for low, _ in spans] + ([goal.low] if goal else [])
        highs = [high for _, high in spans] + ([goal.high] if goal else [])
        self.low = max(min(low for low, _ in every), min(lows) / WIDEST) / 1.1
        self.high = min(max(high for _, high in every), max(highs) * WIDEST) * 1.1
        self.low, self.high = min(self.low, min(lows) / 1.1), max(self.high, max(highs) * 1.1)

    def x(self, value: float) -> float:
        """Pixels from the left, kept on the axis."""
        share = math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times powers of ten in the shown unit, as engine values."""
        start, stop = (self.metric.value(v) for v in (self.low, self.high))
        powers = range(math.floor(math.log10(start)), math.ceil(math.log10(stop)) + 1)
        marks = [m * 10.0**p for p in powers for m in (1, 2, 5)]
        return [m / self.metric.scale for m in marks if start <= m <= stop]


def _row(row: Row, axis: _Axis, y: float) -> str:
    assert row.prior is not None
    (low, high), point, colour = row.prior.auc.interval(0.9), row.prior.auc.point, COLOURS[kind_of(row)]
    said = f"{row.model.name}: {axis.metric.text(point)} ({axis.metric.span((low, high))}) {axis.metric.pretty}, {WORDS[kind_of(row)]}"
    name = row.model.name.removeprefix(f"{row.model.drug}_")
    off = point > axis.high or point < axis.low
    mark = f'<circle cx="{axis.x(point):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    if off:
        ahead = 1 if point > axis.high else -1
        mark = f'<path d="M{axis.x(point):.1f} {y:.1f}l{-8 * ahead} -5v10z" fill="{colour}"/>'
    return (
        f'<g class="model {kind_of(row)}"><title>{escape(said)}</title>'
        f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{escape(name)}</text>'
        f'<path d="M{axis.x(low):.1f} {y:.1f}H{axis.x(high):.1f}" stroke="{colour}" stroke-width="2.4"/>{mark}</g>'
    )


def _target(found: Comparison, axis: _Axis, base: float) -> str:
    goal = found.target
    if goal is None or goal.metric != found.auc or goal.metric.kind is not MetricKind.AUC:
        return ""
    left, right = axis.x(goal.low), axis.x(goal.high)
    box = f'x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{base - TOP}"'
    return f'<rect class="target" {box} fill="#dff0d8"><title>target</title></rect>'


def _ticks(axis: _Axis, base: float) -> str:
    marks = "".join(f"M{axis.x(v):.1f} {base}v6" for v in axis.ticks())
    words = "".join(
        f'<text x="{axis.x(v):.1f}" y="{base + 19}" text-anchor="middle" fill="{INK}">{axis.metric.value(v):g}</text>' for v in axis.ticks()
    )
    middle, title = (LEFT + WIDTH - RIGHT) / 2, f"{axis.name} ({axis.metric.pretty}), logarithmic"
    return (
        f'<path d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}{marks}" stroke="{INK}" fill="none"/>{words}'
        f'<text x="{middle}" y="{base + 38}" text-anchor="middle" fill="{INK}" font-size="13">{escape(title)}</text>'
    )


def _legend(rows: list[Row]) -> str:
    x, parts = 8.0, []
    for kind in COLOURS:
        if any(kind_of(row) == kind for row in rows):
            parts.append(f'<circle cx="{x + 5:.0f}" cy="18" r="4.5" fill="{COLOURS[kind]}"/>')
            parts.append(f'<text x="{x + 15:.0f}" y="22" fill="{GREY_TEXT}">{WORDS[kind]}</text>')
            x += 40 + 6.2 * len(WORDS[kind])
    return "".join(parts)
