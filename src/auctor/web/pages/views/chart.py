"""The concentration curve of a stored result as SVG on the ward's clock, and the same data for the interactive chart.

Drawn with the pieces of the report's chart (`auctor.report.curve_svg`). It needs no script and prints; colours are paired with dashes and
shapes, and the numbers stand in a table below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from auctor.analysis.result import Band
from auctor.predictor import Array
from auctor.report.curve_svg import (
    BOTTOM,
    GREY_TEXT,
    HEIGHT,
    INK,
    LEFT,
    MOST_PRIOR,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    bands,
    nice_ticks,
    opening,
    points,
)
from auctor.report.shown import Shown
from auctor.web.pages.language import Language
from auctor.web.pages.views.axis import Axis

QUANTILES = ("q05", "q25", "q50", "q75", "q95")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A stored result ready to be drawn: its numbers are in `unit` already, times in h from its time 0; `now` is the reader's."""

    result: dict[str, Any]
    axis: Axis
    language: Language
    now: datetime

    @property
    def unit(self) -> str:
        """The unit of the concentrations."""
        return str(self.result["curve"]["unit"])

    @property
    def level_target(self) -> tuple[float, float] | None:
        """The target where it is a concentration; an exposure has no place on this axis."""
        goal = self.result["target"]
        return None if goal["metric"].startswith("AUC") else (goal["low"], goal["high"])

    def svg(self) -> str:
        """The chart as one SVG text; the same result and time give the same text."""
        curve, frame = self.result["curve"], self._frame()
        times = np.asarray(curve["time"]["values"], dtype=np.float64)
        shown = Shown(scale=1.0, unit=self.unit)
        ribbons = [bands(_band(curve[key]), times, shown, frame, kind) for key, kind in _KINDS if curve[key] is not None]
        parts = (
            self._opening(),
            self._target(frame),
            f'<g clip-path="url(#plot)">{"".join(ribbons)}{self._measured(times, shown, frame)}</g>',
            self._verticals(frame),
            self._axes(frame),
            self._doses(frame),
            self._samples(frame),
            "</svg>",
        )
        return "\n".join(part for part in parts if part)

    def data(self) -> dict[str, Any]:
        """What the interactive chart draws: seconds since 1970 and the bands, samples, doses, target, now and data cut-off."""
        curve = self.result["curve"]
        seconds = [self._seconds(t) for t in curve["time"]["values"]]
        return {
            "unit": self.unit.replace("*", "·"),
            "times": seconds,
            "prior": [curve["a_priori"][q] for q in QUANTILES],
            "posterior": None if curve["a_posteriori"] is None else [curve["a_posteriori"][q] for q in QUANTILES],
            "measured": None if self.measured is None else [self.measured["q05"], self.measured["q95"]],
            "target": self.level_target,
            "samples": [[self._seconds(s["time"]["value"]), _level(s), bool(s["used"])] for s in self.result["samples"]],
            "doses": [[self._seconds(t), mg] for t, mg in curve["doses"]["values"]],
            "now": self.now.timestamp(),
            "cutoff": self._seconds(self.cutoff_h),
            "zone": str(self.axis.zone),
            "words": self._words(),
        }

    @property
    def cutoff_h(self) -> float:
        """The last time at which something was recorded, h from time 0: the forecast starts here."""
        forecast = self.result["curve"]["forecast_from"]
        if forecast is not None:
            return float(forecast["value"])
        known = [float(s["time"]["value"]) for s in self.result["samples"]] + [float(t) for t, _ in self.result["curve"]["doses"]["values"]]
        return max(known, default=0.0)

    @property
    def measured(self) -> dict[str, list[float]] | None:
        """Where 90 % of new measurements would lie; None in a result made before that was kept."""
        found: dict[str, list[float]] | None = self.result["curve"].get("measured")
        return found

    def rows(self) -> list[dict[str, str]]:
        """The same curve as a table, every 12th point."""
        curve, say = self.result["curve"], self.language.number
        posterior = curve["a_posteriori"]
        return [
            {
                "time": self.language.moment(self.axis.at(curve["time"]["values"][k])),
                "prior": say(curve["a_priori"]["q50"][k]),
                "prior90": f"{say(curve['a_priori']['q05'][k])}–{say(curve['a_priori']['q95'][k])}",
                "post": "–" if posterior is None else say(posterior["q50"][k]),
                "new90": "–" if self.measured is None else f"{say(self.measured['q05'][k])}–{say(self.measured['q95'][k])}",
                "post90": "–" if posterior is None else f"{say(posterior['q05'][k])}–{say(posterior['q95'][k])}",
            }
            for k in range(0, len(curve["time"]["values"]), 12)
        ]

    def _seconds(self, hours: float) -> float:
        return round(self.axis.at(hours).timestamp(), 1)

    def _words(self) -> dict[str, str]:
        say = self.language.say
        return {
            "level": say("Concentration"),
            "prior": say("before samples"),
            "posterior": say("with samples"),
            "measured": say("new measurement, 90 %"),
            "sample": say("sample"),
            "unused": say("sample not used"),
            "dose": say("dose"),
            "target": say("target"),
            "now": say("now"),
            "cutoff": say("data end"),
        }

    def _frame(self) -> Frame:
        curve, samples = self.result["curve"], self.result["samples"]
        posterior, prior = curve["a_posteriori"], curve["a_priori"]
        main = [_level(s) for s in samples] + ([] if posterior is None else [max(posterior["q95"])])
        main += [self.level_target[1]] if self.level_target else []
        top = max(main or [max(prior["q75"])])
        widest = max([*prior["q95"], *(self.measured or {"q95": [0.0]})["q95"]])
        top = max(top, min(widest, MOST_PRIOR * top))
        times = curve["time"]["values"]
        return Frame(start=times[0], end=times[-1], top=1.06 * top)

    def _opening(self) -> str:
        say = self.language.say
        title = say("Concentration of %(drug)s over time", drug=self.result["case"]["drug"])
        text = say(
            "Bands of 50 and 90 % before and after using the samples, without measurement error; dotted lines with it. "
            "The numbers are in the table below."
        )
        return opening(title, text)

    def _measured(self, times: Array, shown: Shown, frame: Frame) -> str:
        """Two dotted lines, so that they are told from the bands without their colour."""
        if self.measured is None:
            return ""
        levels = (np.asarray(self.measured[q], dtype=np.float64) for q in ("q05", "q95"))
        lines = (" ".join(points(times, one, shown, frame)) for one in levels)
        style = 'fill="none" stroke="#0b4f8a" stroke-width="1.3" stroke-dasharray="1 3"'
        return f'<g class="measured">{"".join(f"<polyline points={quoteattr(line)} {style}/>" for line in lines)}</g>'

    def _target(self, frame: Frame) -> str:
        if self.level_target is None:
            return ""
        low, high = (frame.y(v) for v in self.level_target)
        edges = f"M{LEFT} {high:.1f}H{WIDTH - RIGHT}M{LEFT} {low:.1f}H{WIDTH - RIGHT}"
        return (
            f'<rect class="target" x="{LEFT}" y="{high:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{low - high:.1f}" fill="#dff0d8"/>'
            f'<path d="{edges}" stroke="#3c763d" stroke-dasharray="2 3" fill="none"/>'
        )

    def _verticals(self, frame: Frame) -> str:
        marks = ((self.cutoff_h, self.language.say("data end"), "1 4"), (self.axis.hours(self.now), self.language.say("now"), "6 3"))
        inside = [(frame.x(h), word, dash) for h, word, dash in marks if frame.start <= h <= frame.end]
        return "".join(
            f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{GREY_TEXT}" stroke-dasharray="{dash}" fill="none"/>'
            f'<text x="{x:.1f}" y="{TOP - 5}" text-anchor="middle" fill="{GREY_TEXT}" font-size="12">{escape(word)}</text>'
            for x, word, dash in inside
        )

    def _axes(self, frame: Frame) -> str:
        base = HEIGHT - BOTTOM
        marks = self.axis.midnights(frame.start, frame.end)
        levels = nice_ticks(0.0, frame.top)
        ticks = "".join(f"M{frame.x(h):.1f} {base}v6" for h, _ in marks) + "".join(f"M{LEFT} {frame.y(v):.1f}h-6" for v in levels)
        words = "".join(_mark(frame.x(h), base, t, self.language, first=k == 0) for k, (h, t) in enumerate(marks))
        words += "".join(
            f'<text x="{LEFT - 9}" y="{frame.y(v) + 4:.1f}" text-anchor="end">{self.language.number(v)}</text>' for v in levels
        )
        title = f"{self.language.say('Concentration')} ({self.unit.replace('*', '·')})"
        middle = (TOP + base) / 2
        return (
            f'<path d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}{ticks}" stroke="{INK}" stroke-width="1.3" fill="none"/>'
            f'<g fill="{INK}">{words}</g>'
            f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle" fill="{INK}" font-size="14">{escape(title)}</text>'
        )

    def _doses(self, frame: Frame) -> str:
        base, end = HEIGHT - BOTTOM, self.cutoff_h
        marks = []
        for time, amount in self.result["curve"]["doses"]["values"]:
            x, fill = frame.x(time), "#ffffff" if time > end else "#7a3e9d"
            name = f"{amount:g} mg, {self.language.moment(self.axis.at(time))}"
            marks.append(f'<path d="M{x:.1f} {base - 10}l-4 8h8z" fill="{fill}" stroke="#7a3e9d"><title>{escape(name)}</title></path>')
        return "".join(marks)

    def _samples(self, frame: Frame) -> str:
        marks = []
        for row in self.result["samples"]:
            x, y = frame.x(row["time"]["value"]), frame.y(_level(row))
            cross = "" if row["used"] else f'<path d="M{x - 7:.1f} {y - 7:.1f}l14 14M{x - 7:.1f} {y + 7:.1f}l14 -14" stroke="#8e1f14"/>'
            fill = "#c0392b" if row["used"] else "#ffffff"
            marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="#5b1a12" stroke-width="1.5"/>{cross}')
        return "".join(marks)


_KINDS = (("a_priori", "prior"), ("a_posteriori", "post"))


def _mark(x: float, base: float, time: datetime, language: Language, *, first: bool) -> str:
    """The time of day below the axis, with the day at midnight and at the first mark."""
    clock = f'<text x="{x:.1f}" y="{base + 20}" text-anchor="middle">{time:%H:%M}</text>'
    if not first and (time.hour or time.minute):
        return clock
    return f'{clock}<text x="{x:.1f}" y="{base + 36}" text-anchor="middle" font-size="12">{escape(language.short_day(time))}</text>'


def _level(row: dict[str, Any]) -> float:
    """A measured value, or the limit that was passed."""
    found = row["observed"] or row["lloq"] or row["uloq"]
    return 0.0 if found is None else float(found["value"])


def _band(values: dict[str, list[float]]) -> Band:
    return Band(**{q: np.asarray(values[q], dtype=np.float64) for q in QUANTILES})
