"""The learning curve as one SVG text: error, bias and coverage against the number of training patients, with the limit as the floor."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from auctor.learn.circular import marked
from auctor.learn.scores import Score
from auctor.report.curve_svg import GREY_TEXT, INK, nice_ticks
from auctor.validate.learning_curve import FLOOR, LearningCurve

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 66, 20, 66, 56
PANELS = {"rRMSE": ("rRMSE", 190), "rMPE": ("bias (rMPE)", 110), "coverage": ("90 % interval covers", 110)}
GAP = 26
LEARNED, LIMIT = "#0b4f8a", "#b26a00"


def learning_curve_svg(found: LearningCurve) -> str:
    """Three panels over one logarithmic axis; vertical bars are bootstrap 95 % intervals. The same curve gives the same text."""
    height = TOP + sum(h for _, h in PANELS.values()) + GAP * (len(PANELS) - 1) + BOTTOM
    title = f"{marked(found.plan, circular=found.circular)}: learning curve"
    text = f"{found.metric}, {found.patients} held-out patients of {found.simulator}, noise {found.noise}; the numbers are in the table."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" style="background:#ffffff" '
        'aria-labelledby="learning-title learning-desc" font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f'<title id="learning-title">{escape(title)}</title><desc id="learning-desc">{escape(text)}</desc>',
        f'<text x="12" y="20" font-size="14" font-weight="bold" fill="{INK}">{escape(title)}</text>',
        f'<text x="12" y="38" fill="{GREY_TEXT}">{escape(text.partition(";")[0])}</text>',
    ]
    top = TOP
    for name, (words, tall) in PANELS.items():
        parts.append(_panel(found, name, words, (top, tall)))
        top += tall + GAP
    return "\n".join([*parts, _sizes(found, height - BOTTOM), "</svg>"])


def _x(found: LearningCurve, size: float) -> float:
    low, high = (math.log(s.size) for s in (found.steps[0], found.steps[-1]))
    share = (math.log(size) - low) / (high - low) if high > low else 0.5
    return LEFT + 30 + (WIDTH - LEFT - RIGHT - 60) * share


def _panel(found: LearningCurve, name: str, words: str, place: tuple[int, int]) -> str:
    top, tall = place
    floor = None if found.floor is None else found.floor[name]
    scores = [step.scores[name] for step in found.steps]
    frame = _Frame([*scores, *([floor] if floor else [])], top, tall, always={"rRMSE": 0.0, "rMPE": 0.0, "coverage": 0.9}[name])
    points = " ".join(f"{_x(found, s.size):.1f},{frame.y(v.value):.1f}" for s, v in zip(found.steps, scores, strict=True))
    parts = [_reference(frame, name), "" if floor is None else _floor(frame, floor, label=name == "rRMSE")]
    parts.append(f'<polyline points="{points}" fill="none" stroke="{LEARNED}" stroke-width="1.8"/>')
    parts += [_mark(_x(found, step.size), frame, step.scores[name], step.size) for step in found.steps]
    return "\n".join([*parts, frame.axis(words)])


class _Frame:
    """From a share to pixels in one panel; the axis holds every interval and the value `always`."""

    def __init__(self, scores: list[Score], top: int, tall: int, *, always: float) -> None:
        low, high = min([always, *(s.low for s in scores)]), max([always, *(s.high for s in scores)])
        slack = 0.08 * max(high - low, 0.01)
        self.low, self.high = (0.0 if low == always == 0.0 else low - slack), high + slack
        self.top, self.tall = top, tall

    def y(self, share: float) -> float:
        return self.top + self.tall * (self.high - share) / (self.high - self.low)

    def axis(self, words: str) -> str:
        ticks = [t / 100 for t in nice_ticks(100 * self.low, 100 * self.high, about=max(2, self.tall // 40))]
        marks = "".join(f"M{LEFT} {self.y(t):.1f}h-5" for t in ticks)
        texts = "".join(f'<text x="{LEFT - 9}" y="{self.y(t) + 4:.1f}" text-anchor="end">{100 * t:g} %</text>' for t in ticks)
        return (
            f'<path d="M{LEFT} {self.top}V{self.top + self.tall}H{WIDTH - RIGHT}{marks}" stroke="{INK}" fill="none"/>'
            f'<g fill="{INK}">{texts}</g><text x="{LEFT + 6}" y="{self.top - 6}" fill="{INK}" font-size="13">{escape(words)}</text>'
        )


def _reference(frame: _Frame, name: str) -> str:
    """Where the panel would ideally be: no bias, 90 % covered."""
    if name == "rRMSE":
        return ""
    y = frame.y(0.9 if name == "coverage" else 0.0)
    return f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GREY_TEXT}" stroke-dasharray="2 4" fill="none"/>'


def _floor(frame: _Frame, score: Score, *, label: bool) -> str:
    low, high, y = frame.y(score.low), frame.y(score.high), frame.y(score.value)
    band = f'<rect x="{LEFT}" y="{high:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{low - high:.1f}" fill="{LIMIT}" fill-opacity="0.14"/>'
    line = f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{LIMIT}" stroke-width="1.6" stroke-dasharray="6 4" fill="none"/>'
    words = f'<text x="{LEFT + 8}" y="{low + 15:.1f}" fill="{LIMIT}">{FLOOR}, with its 95 % interval</text>' if label else ""
    return band + line + words


def _mark(x: float, frame: _Frame, score: Score, size: int) -> str:
    said, bar = f"{size} training patients: {score}", f"M{x:.1f} {frame.y(score.low):.1f}V{frame.y(score.high):.1f}"
    return (
        f'<g stroke="{LEARNED}"><title>{escape(said)}</title><path d="{bar}" fill="none"/>'
        f'<circle cx="{x:.1f}" cy="{frame.y(score.value):.1f}" r="4" fill="{LEARNED}"/></g>'
    )


def _sizes(found: LearningCurve, base: int) -> str:
    marks = "".join(f"M{_x(found, s.size):.1f} {base}v5" for s in found.steps)
    texts = "".join(f'<text x="{_x(found, s.size):.1f}" y="{base + 19}" text-anchor="middle">{s.size}</text>' for s in found.steps)
    middle = (LEFT + WIDTH - RIGHT) / 2
    return (
        f'<path d="{marks}" stroke="{INK}" fill="none"/><g fill="{INK}">{texts}</g>'
        f'<text x="{middle:.0f}" y="{base + 42}" text-anchor="middle" fill="{INK}" font-size="13">training patients (logarithmic)</text>'
    )
