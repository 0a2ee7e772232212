"""The concentration curve as one SVG text: no script, no request, readable in print and by a screen reader."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from auctor.analysis.result import Analysis, Band, SampleRow
from auctor.case import MetricKind
from auctor.predictor import Array
from auctor.report.shown import Shown, concentration, significant

WIDTH, HEIGHT = 700, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 64, 66
MOST_PRIOR = 1.6  # the a-priori band may stretch the axis by this much over what was measured and estimated
INK, GREY_TEXT = "#1a1d21", "#4a5260"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """From data to pixels: `start`..`end` h on the time axis, 0..`top` (display unit) upwards."""

    start: float
    end: float
    top: float

    def x(self, time_h: float) -> float:
        """Pixels from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (time_h - self.start) / (self.end - self.start)

    def y(self, level: float) -> float:
        """Pixels from the top."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * level / self.top


def curve_svg(analysis: Analysis) -> str:
    """The chart: a-priori 50/90 % bands grey, a-posteriori ones blue with medians, samples, doses, target band, legend.

    Concentrations in the model's own unit against hours since the first dose. The same analysis gives the same text.
    """
    shown = concentration(analysis.model)
    frame = _frame(analysis, shown)
    parts = (
        _head(analysis, shown),
        _target_band(analysis, shown, frame),
        '<g clip-path="url(#plot)">',
        bands(analysis.curve.prior, analysis.curve.times_h, shown, frame, "prior"),
        "" if analysis.curve.posterior is None else bands(analysis.curve.posterior, analysis.curve.times_h, shown, frame, "post"),
        "</g>",
        _forecast_line(analysis, frame),
        axes(frame, shown),
        _doses(analysis, frame),
        _samples(analysis, shown, frame),
        _legend(analysis),
        "</svg>",
    )
    return "\n".join(part for part in parts if part)


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, some `about` of them.

    >>> nice_ticks(0, 23)
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    return _multiples(low, high, min((power * s for s in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / rough))))


def hour_ticks(start_h: float, end_h: float, *, most: int = 10) -> list[float]:
    """Times a clinician counts in: at most `most` + 1 multiples of 1, 2, 3, 4, 6, 12, 24 h or whole days.

    >>> hour_ticks(0, 60)
    [0.0, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 42.0, 48.0, 54.0, 60.0]
    """
    span = end_h - start_h
    days = 24.0 * math.ceil(span / (24.0 * most))
    return _multiples(start_h, end_h, next((step for step in (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0) if span / step <= most), days))


def _multiples(low: float, high: float, step: float) -> list[float]:
    return [round(k * step, 9) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _frame(analysis: Analysis, shown: Shown) -> Frame:
    curve = analysis.curve
    main = [row.limit or row.observed for row in analysis.samples if not row.below_lloq]
    main += [] if curve.posterior is None else [float(curve.posterior.q95.max())]
    main += [analysis.target.high] if _is_level(analysis) else []
    main += [] if main else [float(curve.prior.q75.max())]
    top = max(main)
    top = max(top, min(float(curve.prior.q95.max()), MOST_PRIOR * top))
    return Frame(start=float(curve.times_h[0]), end=float(curve.times_h[-1]), top=1.06 * shown.value(top))


def _is_level(analysis: Analysis) -> bool:
    return analysis.target.metric.kind is not MetricKind.AUC


def _head(analysis: Analysis, shown: Shown) -> str:
    curve = analysis.curve
    used = sum(row.used for row in analysis.samples)
    title = f"Concentration of {analysis.model.drug} over time"
    text = (
        f"Bands of 50 and 90 % of the concentration in {shown.unit} from {significant(float(curve.times_h[0]))} to "
        f"{significant(float(curve.times_h[-1]))} hours, before and after using {used} sample(s), measurement error not included. "
        "The same numbers are in the tables below."
    )
    return opening(title, text)


def opening(title: str, text: str) -> str:
    """The start of a chart: its size, its name and description for a screen reader, and the clip path of the plot."""
    box = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
    return (
        f'<svg class="curve" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="curve-title curve-desc" font-family="Helvetica, Arial, sans-serif" font-size="13">\n'
        f'<title id="curve-title">{escape(title)}</title>\n<desc id="curve-desc">{escape(text)}</desc>\n'
        f'<defs><clipPath id="plot"><rect {box}/></clipPath></defs>'
    )


_FILLS = {"prior": ("#e2e3e6", "#c6c9ce", "#6a7280", "5 4"), "post": ("#b7d5f0", "#7fb3df", "#0b4f8a", "")}
_OPACITY = {"prior": "1", "post": "0.78"}


def bands(band: Band, times: Array, shown: Shown, frame: Frame, kind: str) -> str:
    """A 90 and a 50 % ribbon with the median, of `kind` prior (grey, dashed) or post (blue)."""
    outer, inner, line, dash = _FILLS[kind]
    opacity = _OPACITY[kind]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    wide, narrow = (_ribbon(times, low, high, shown, frame) for low, high in ((band.q05, band.q95), (band.q25, band.q75)))
    middle = " ".join(points(times, band.q50, shown, frame))
    return (
        f'<polygon class="{kind}-90" points="{wide}" fill="{outer}" fill-opacity="{opacity}"/>\n'
        f'<polygon class="{kind}-50" points="{narrow}" fill="{inner}" fill-opacity="{opacity}"/>\n'
        f'<polyline class="{kind}-median" points="{middle}" fill="none" stroke="{line}" stroke-width="1.8"{dashed}/>'
    )


def points(times: Array, levels: Array, shown: Shown, frame: Frame) -> list[str]:
    """The points of a line, `x,y` in pixels, from engine times (h) and levels."""
    return [f"{frame.x(t):.1f},{frame.y(shown.value(c)):.1f}" for t, c in zip(times.tolist(), levels.tolist(), strict=True)]


def _ribbon(times: Array, low: Array, high: Array, shown: Shown, frame: Frame) -> str:
    return " ".join([*points(times, high, shown, frame), *reversed(points(times, low, shown, frame))])


def _target_band(analysis: Analysis, shown: Shown, frame: Frame) -> str:
    """Only for a target that is a concentration; an exposure has no place on this axis and is in the tables."""
    if not _is_level(analysis):
        return ""
    low, high = (frame.y(shown.value(v)) for v in (analysis.target.low, analysis.target.high))
    label = f"target {analysis.target.metric.name}"
    edges = f"M{LEFT} {high:.1f}H{WIDTH - RIGHT}M{LEFT} {low:.1f}H{WIDTH - RIGHT}"
    return (
        f'<rect class="target" x="{LEFT}" y="{high:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{low - high:.1f}" fill="#dff0d8"/>\n'
        f'<path d="{edges}" stroke="#3c763d" stroke-dasharray="2 3" fill="none"/>\n'
        f'<text x="{LEFT + 6}" y="{high + 14:.1f}" fill="#2b5a2c" font-size="12">{escape(label)}</text>'
    )


def _forecast_line(analysis: Analysis, frame: Frame) -> str:
    since = analysis.curve.forecast_from_h
    if since is None or not frame.start <= since < frame.end:
        return ""
    x = frame.x(since)
    words, wide = "forecast, current regimen", 150
    fits = x + wide < WIDTH - RIGHT
    place = f'x="{x + 5:.1f}"' if fits else f'x="{WIDTH - RIGHT}" text-anchor="end"'
    return (
        f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{GREY_TEXT}" stroke-dasharray="1 4" fill="none"/>\n'
        f'<text {place} y="{TOP - 5}" fill="{GREY_TEXT}" font-size="12">{words}</text>'
    )


def axes(frame: Frame, shown: Shown, *, since: str = "first dose") -> str:
    """Both axes with ticks and titles; time is counted from `since`."""
    base, left = HEIGHT - BOTTOM, LEFT
    x_ticks = hour_ticks(frame.start, frame.end)
    y_ticks = nice_ticks(0.0, frame.top)
    marks = [f"M{frame.x(t):.1f} {base}v6" for t in x_ticks] + [f"M{left} {frame.y(v):.1f}h-6" for v in y_ticks]
    words = [f'<text x="{frame.x(t):.1f}" y="{base + 20}" text-anchor="middle">{t:g}</text>' for t in x_ticks]
    words += [f'<text x="{left - 9}" y="{frame.y(v) + 4:.1f}" text-anchor="end">{v:g}</text>' for v in y_ticks]
    middle = (TOP + base) / 2
    return (
        f'<path d="M{left} {TOP}V{base}H{WIDTH - RIGHT}{"".join(marks)}" stroke="{INK}" stroke-width="1.3" fill="none"/>\n'
        f'<g fill="{INK}">{"".join(words)}</g>\n'
        f'<text x="{(left + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle" fill="{INK}" font-size="14">'
        f"Time since the {since} (h)</text>\n"
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle" fill="{INK}" font-size="14">'
        f"Concentration ({escape(shown.pretty)})</text>"
    )


def _doses(analysis: Analysis, frame: Frame) -> str:
    """A triangle for each dose below the time axis: filled when recorded, open when planned."""
    since, base = analysis.curve.forecast_from_h, HEIGHT - BOTTOM + 27
    marks = []
    for time, amount in analysis.curve.doses:
        planned = since is not None and time > since
        x = frame.x(time)
        name = f"{'planned dose' if planned else 'dose'} {amount:g} mg at {time:g} h"
        fill = "#ffffff" if planned else "#7a3e9d"
        marks.append(f'<path class="dose" d="M{x:.1f} {base}l-4 8h8z" fill="{fill}" stroke="#7a3e9d"><title>{escape(name)}</title></path>')
    return "\n".join(marks)


def _samples(analysis: Analysis, shown: Shown, frame: Frame) -> str:
    return "\n".join(_sample(row, shown, frame) for row in analysis.samples)


def _sample(row: SampleRow, shown: Shown, frame: Frame) -> str:
    value = (row.limit or 0.0) if row.censored else row.observed
    side = "below " if row.below_lloq else "above " if row.above_uloq else ""
    word = f"sample at {row.time_h:g} h: {side}{shown.text(value)} {shown.unit}{'' if row.used else ', not used'}"
    fill = "#c0392b" if row.used and not row.censored else "#ffffff"
    x, y = frame.x(row.time_h), frame.y(shown.value(value))
    look = f'r="4.5" fill="{fill}" stroke="#8e1f14" stroke-width="1.6"'
    return f'<circle class="sample" cx="{x:.1f}" cy="{y:.1f}" {look}><title>{escape(word)}</title></circle>'


def _legend(analysis: Analysis) -> str:
    entries = [_swatch("prior", "A priori (covariates only)")]
    entries += [] if analysis.curve.posterior is None else [_swatch("post", f"A posteriori ({analysis.curve.posterior_method})")]
    entries += (
        [('<circle cx="10" cy="0" r="4.5" fill="#c0392b" stroke="#8e1f14" stroke-width="1.6"/>', "Sample")] if analysis.samples else []
    )
    if not all(row.used and not row.censored for row in analysis.samples):
        entries.append(
            ('<circle cx="10" cy="0" r="4.5" fill="#ffffff" stroke="#8e1f14" stroke-width="1.6"/>', "Not used, or beyond a limit")
        )
    entries.append(('<path d="M10 -4l-4 8h8z" fill="#7a3e9d" stroke="#7a3e9d"/>', "Dose (open: planned)"))
    return f'<g class="legend" fill="{INK}" font-size="12">{"".join(_placed(entries))}</g>'


def _swatch(kind: str, words: str) -> tuple[str, str]:
    outer, inner, line, dash = _FILLS[kind]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    mark = (
        f'<rect x="-2" y="-7" width="24" height="14" fill="{outer}"/><rect x="-2" y="-4" width="24" height="8" fill="{inner}"/>'
        f'<path d="M-2 0h24" stroke="{line}" stroke-width="1.8"{dashed}/>'
    )
    return mark, f"{words}: median, 50, 90 %"


def _placed(entries: Iterable[tuple[str, str]]) -> Iterable[str]:
    """The legend in rows above the plot; 6 px a character at this size."""
    x, y = float(LEFT), 12.0
    for mark, words in entries:
        wide = 34 + 6 * len(words)
        if x + wide > WIDTH - RIGHT and x > LEFT:
            x, y = float(LEFT), y + 20
        yield f'<g transform="translate({x:.0f} {y:.0f})">{mark}<text x="26" y="4">{escape(words)}</text></g>'
        x += wide + 10


def table_times(analysis: Analysis, *, rows: int = 13) -> list[int]:
    """Indices of the curve's times for the table that stands in for the chart: about `rows` evenly spaced ones."""
    return [int(k) for k in np.unique(np.linspace(0, len(analysis.curve.times_h) - 1, rows).round())]
