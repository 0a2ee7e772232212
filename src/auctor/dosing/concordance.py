"""Do the methods agree? A state with its reasons in words; the cut-offs are a proposal to be calibrated, not literature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from auctor.dosing.candidates import Option, OptionKind
from auctor.dosing.recommend import Action

AGREE_RATIO = 1.20
CAUTION_RATIO = 1.40
CAVEAT = "Machine learning trained on profiles simulated from the same population model is not independent evidence."


class State(StrEnum):
    """How far methods agree: `agree`, `caution` (show all, prefer none), `disagree`, or `alone` when only one answered."""

    AGREE = "agree"
    CAUTION = "caution"
    DISAGREE = "disagree"
    ALONE = "alone"


@dataclass(frozen=True, kw_only=True)
class View:
    """One method's answer: `exposure` of the current regimen in the target's unit, its action and its selected option.

    `doubt` says why the answer cannot be trusted (abstained, outside the domain, bad fit); empty when it can.
    """

    method: str
    exposure: float | None
    action: Action | None
    option: Option | None
    doubt: str = ""


@dataclass(frozen=True, kw_only=True)
class Concordance:
    """The state, its reasons in words, the largest difference as a ratio (>= 1, None when undefined) and the caveat to print."""

    state: State
    reasons: tuple[str, ...]
    largest_ratio: float | None
    methods: tuple[str, ...]
    caveat: str = CAVEAT


def concordance(views: Sequence[View], *, options: Sequence[Option]) -> Concordance:
    """The worst state over every pair of methods, with the reasons of the pairs in that state (the widest apart when all agree).

    `agree`: |delta ln exposure| <= ln 1.20, the same dose action and no doubt. `caution`: |delta ln exposure| <= ln 1.40, or the
    selected doses at most one step of the dosing table apart. `disagree`: otherwise, or either method in doubt.

    >>> a = View(method="MAP", exposure=100.0, action=Action.KEEP, option=None)
    >>> b = View(method="ML", exposure=115.0, action=Action.KEEP, option=None)
    >>> concordance([a, b], options=()).state
    <State.AGREE: 'agree'>
    """
    names = tuple(view.method for view in views)
    if len(views) < 2:
        return Concordance(state=State.ALONE, reasons=("only one method answered",), largest_ratio=None, methods=names)
    pairs = [_pair(one, other, options) for one, other in combinations(views, 2)]
    order = (State.DISAGREE, State.CAUTION, State.AGREE)
    state = min((p[0] for p in pairs), key=order.index)
    ratios = [p[2] for p in pairs if p[2] is not None]
    telling = [max(pairs, key=lambda p: p[2] or 0.0)] if state is State.AGREE else pairs
    reasons = tuple(dict.fromkeys(reason for found, words, _ in telling if found is state for reason in words))
    return Concordance(state=state, reasons=reasons, largest_ratio=max(ratios) if ratios else None, methods=names)


def steps_apart(one: Option, other: Option, *, options: Sequence[Option]) -> int:
    """How many steps of the dosing table lie between two options, counted in rising daily dose (hold is the lowest).

    >>> steps_apart(Option.hold(), Option.hold(), options=())
    0
    """
    daily = {round(o.daily_mg, 6) for o in (*options, one, other) if o.kind is not OptionKind.CURRENT}
    ladder = sorted(daily | {round(one.daily_mg, 6), round(other.daily_mg, 6)})
    return abs(ladder.index(round(one.daily_mg, 6)) - ladder.index(round(other.daily_mg, 6)))


_Pair = tuple[State, tuple[str, ...], float | None]


def _pair(one: View, other: View, options: Sequence[Option]) -> _Pair:
    ratio = _ratio(one, other)
    doubts = tuple(f"{view.method}: {view.doubt}" for view in (one, other) if view.doubt)
    if doubts or ratio is None:
        return State.DISAGREE, doubts or (f"{one.method} and {other.method} cannot be compared: no exposure",), ratio
    away = f"{one.method} and {other.method} differ by {100 * (ratio - 1):.0f} % in exposure"
    if ratio <= AGREE_RATIO and one.action == other.action:
        return State.AGREE, (f"{away}, with the same dose action ({_words(one.action)})",), ratio
    deed = _deed(one, other)
    steps = _steps(one, other, options)
    if ratio <= CAUTION_RATIO or (steps is not None and steps <= 1):
        close = f"; the selected doses are {steps} step(s) of the dosing table apart" if steps is not None else ""
        return State.CAUTION, (f"{away}; {deed}{close}",), ratio
    return State.DISAGREE, (f"{away}; {deed}",), ratio


def _ratio(one: View, other: View) -> float | None:
    if one.exposure is None or other.exposure is None or min(one.exposure, other.exposure) <= 0:
        return None
    return math.exp(abs(math.log(one.exposure / other.exposure)))


def _deed(one: View, other: View) -> str:
    if one.action == other.action:
        return f"both say {_words(one.action)}"
    return f"{one.method} says {_words(one.action)}, {other.method} says {_words(other.action)}"


def _steps(one: View, other: View, options: Sequence[Option]) -> int | None:
    if one.option is None or other.option is None:
        return None
    return steps_apart(one.option, other.option, options=options)


def _words(action: Action | None) -> str:
    return "no selection" if action is None else action.value
