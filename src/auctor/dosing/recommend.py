"""From one method's draws to the next dose: the probability of each candidate to reach the target, and a documented choice.

The rule, in order (ours, written here so that it can be argued with):

1. Only a regimen that is not above a cap, not more than `CHANGE_LIMIT` times the current dose either way, and not hold can be selected.
2. The highest P(in target) wins; candidates within `TIE` of it (the Monte-Carlo error of 2,000 draws is 0.011) are equal.
3. Among equals: the smallest change of the daily dose, then of the interval, then the lower daily dose, then the table's order.
4. When the best of all regimens lies beyond the change limit it needs confirmation; the best smaller step in the same direction is
   selected meanwhile, or nothing when no such step reaches the target.
5. When every dose that could be given, however small, is more likely above the target than not, the action is hold.
6. When no regimen reaches P(in) of `REACHABLE`, nothing is selected: never a silent choice out of range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from auctor.case import Target
from auctor.dosing.candidates import Option, OptionKind
from auctor.dosing.windows import metric_for
from auctor.errors import Notice, OutOfDomain
from auctor.predictor import Draws, Predictor

CHANGE_LIMIT = 2.0  # clinical.md 3.2 row 6: never more than x2 unsigned
TIE = 0.01
REACHABLE = 0.05


class Action(StrEnum):
    """What changes: the daily dose goes up, stays, goes down, stops, or a first regimen starts."""

    INCREASE = "increase"
    KEEP = "keep"
    DECREASE = "decrease"
    HOLD = "hold"
    START = "start"


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """One option's exposure at steady state (target's unit: mg*h/L or mg/L) and its share below, in and above the target.

    `exposure` is None when the method abstains for this option, and `abstained` says why. `needs_confirmation` marks a
    change of the dose by more than `CHANGE_LIMIT`.
    """

    option: Option
    exposure: Draws | None
    below: float = 0.0
    inside: float = 0.0
    above: float = 0.0
    needs_confirmation: bool = False
    abstained: str = ""

    @property
    def shares(self) -> tuple[float, float, float]:
        """Below, in and above the target."""
        return self.below, self.inside, self.above

    @cached_property
    def median(self) -> float | None:
        """Median of the draws; None when the method abstained."""
        return None if self.exposure is None else float(np.median(self.exposure.values))

    @cached_property
    def interval90(self) -> tuple[float, float] | None:
        """Central 90 % interval of the draws; None when the method abstained."""
        return None if self.exposure is None else self.exposure.interval(0.9)

    @property
    def selectable(self) -> bool:
        """Whether the rule may select it by itself."""
        return self.considered and not self.needs_confirmation

    @property
    def considered(self) -> bool:
        """Whether it is a dose within the caps for which the method has an answer."""
        return self.exposure is not None and not self.option.over_cap and self.option.kind is not OptionKind.HOLD


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What one method would do: every option's forecast, the selected one (None when nothing may be selected) and the action.

    `favoured` is the best regimen before the change limit; it differs from `best` only when it needs confirmation.
    """

    method: str
    target: Target
    forecasts: tuple[Forecast, ...]
    best: Forecast | None
    favoured: Forecast | None
    action: Action | None
    notices: tuple[Notice, ...] = ()

    @property
    def current(self) -> Forecast | None:
        """The forecast of the regimen that goes on now."""
        return next((f for f in self.forecasts if f.option.kind is OptionKind.CURRENT), None)

    @property
    def hold(self) -> Forecast:
        """The forecast without any dose."""
        return next(f for f in self.forecasts if f.option.kind is OptionKind.HOLD)


def recommend(predictor: Predictor, *, target: Target, candidates: Sequence[Option], method: str | None = None) -> Recommendation:
    """The probability of each candidate to reach `target` at steady state, and the regimen the documented rule selects.

    `candidates` come from `candidate_regimens` (hold is required). Exposures are (n_draws,) in the target's unit; hold
    is 0. Raises OutOfDomain when the method has no answer for any regimen.
    """
    current = next((option for option in candidates if option.kind is OptionKind.CURRENT), None)
    forecasts = tuple(forecast(predictor, option, current, target) for option in candidates)
    given = [f for f in forecasts if f.option.kind is not OptionKind.HOLD]
    if given and all(f.exposure is None for f in given):
        raise OutOfDomain(where=predictor.name, what=given[0].abstained, remedy="use another method for this patient")
    return _decide(forecasts, current, target, method or predictor.name)


def expose(predictor: Predictor, option: Option, target: Target) -> Draws:
    """The target metric under an option at steady state, (n_draws,); zero for hold.

    The window is fitted to the option's interval (`metric_for`). Raises OutOfDomain when the method abstains.
    """
    if option.kind is OptionKind.HOLD:
        return Draws(values=np.zeros(1), point=0.0)
    fitted = metric_for(target.metric, option.every_h)
    raw = predictor.exposure(option.regimen, fitted.metric)
    return Draws(values=raw.values * fitted.factor, point=raw.point * fitted.factor)


def beyond_limit(option: Option, current: Option | None, limit: float = CHANGE_LIMIT) -> bool:
    """Whether the daily dose changes more than `limit` times either way, or a single dose grows more than that.

    >>> from auctor.case import Route
    >>> def every12(mg): return Option(kind=OptionKind.OFFERED, dose_mg=mg, every_h=12, duration_h=0, route=Route.ORAL)
    >>> beyond_limit(every12(4), every12(2)), beyond_limit(every12(4.5), every12(2))
    (False, True)
    """
    if current is None or option.kind is not OptionKind.OFFERED or current.daily_mg <= 0:
        return False
    slack = limit * (1 + 1e-9)
    daily = option.daily_mg / current.daily_mg
    return not 1 / slack <= daily <= slack or option.dose_mg / current.dose_mg > slack


def forecast(predictor: Predictor, option: Option, current: Option | None, target: Target) -> Forecast:
    """One option's exposure and its shares below, in and above the target; a method that abstains says so in the forecast."""
    try:
        exposure = expose(predictor, option, target)
    except OutOfDomain as abstained:
        return Forecast(option=option, exposure=None, abstained=abstained.what)
    below, inside, above = exposure.shares(target.low, target.high)
    far = beyond_limit(option, current)
    return Forecast(option=option, exposure=exposure, below=below, inside=inside, above=above, needs_confirmation=far)


def _decide(forecasts: tuple[Forecast, ...], current: Option | None, target: Target, method: str) -> Recommendation:
    best, favoured, action, notices = _choice(forecasts, current, method)
    return Recommendation(method=method, target=target, forecasts=forecasts, best=best, favoured=favoured, action=action, notices=notices)


_Choice = tuple[Forecast | None, Forecast | None, Action | None, tuple[Notice, ...]]


def _choice(forecasts: tuple[Forecast, ...], current: Option | None, method: str) -> _Choice:
    considered = [f for f in forecasts if f.considered]
    if all(f.option.kind is not OptionKind.OFFERED for f in considered):
        return None, None, None, (_nothing_to_offer(method),)
    if all(f.above > 0.5 for f in considered):
        held = next(f for f in forecasts if f.option.kind is OptionKind.HOLD)
        return held, held, Action.HOLD, (_hold_notice(method),)
    favoured = _preferred(considered, current)
    if favoured.inside < REACHABLE:
        return None, None, None, (_out_of_reach(method),)
    action = action_of(favoured.option, current)
    if favoured.needs_confirmation:
        return _smaller_step(considered, current, action), favoured, action, (_confirm_notice(method),)
    return favoured, favoured, action, ()


def _smaller_step(considered: Sequence[Forecast], current: Option | None, action: Action) -> Forecast | None:
    steps = [f for f in considered if f.selectable and f.inside >= REACHABLE and action_of(f.option, current) is action]
    return _preferred(steps, current) if steps else None


def _preferred(considered: Sequence[Forecast], current: Option | None) -> Forecast:
    top = max(f.inside for f in considered)
    equals = [f for f in considered if f.inside >= top - TIE]
    return min(equals, key=lambda f: _distance(f.option, current))


def _distance(option: Option, current: Option | None) -> tuple[float, ...]:
    """The tie-break, smaller first: change of the daily dose, change of the interval, daily dose."""
    if current is None or current.daily_mg <= 0:
        return (round(option.daily_mg, 6),)
    daily = abs(math.log(option.daily_mg / current.daily_mg))
    interval = abs(math.log(option.every_h / current.every_h))
    return round(daily, 6), round(interval, 6), round(option.daily_mg, 6)


def action_of(option: Option, current: Option | None) -> Action:
    """What moving from `current` to `option` does to the daily dose; `start` when nothing goes on now.

    >>> action_of(Option.hold(), None)
    <Action.START: 'start'>
    """
    if current is None or current.daily_mg <= 0:
        return Action.START
    change = option.daily_mg - current.daily_mg
    if abs(change) <= 1e-6 * current.daily_mg:
        return Action.KEEP
    return Action.INCREASE if change > 0 else Action.DECREASE


def _nothing_to_offer(method: str) -> Notice:
    return Notice(
        code="no-candidate",
        where=f"recommendation.{method}",
        what="no regimen within the caps could be judged",
        remedy="choose the regimen by hand",
        blocks_signing=True,
    )


def _hold_notice(method: str) -> Notice:
    return Notice(
        code="hold-suggested",
        where=f"recommendation.{method}",
        what="every dose that could be given is more likely above the target than not",
        remedy="hold the dose, measure again and restart lower",
        blocks_signing=True,
    )


def _confirm_notice(method: str) -> Notice:
    return Notice(
        code="needs-confirmation",
        where=f"recommendation.{method}",
        what=f"the best regimen changes the dose more than {CHANGE_LIMIT:g} times",
        remedy="check the dosing history and sample times, then confirm it or take the smaller step",
        blocks_signing=True,
    )


def _out_of_reach(method: str) -> Notice:
    return Notice(
        code="target-out-of-reach",
        where=f"recommendation.{method}",
        what=f"no regimen within the caps reaches the target with a probability of {REACHABLE:g} or more",
        remedy="check the target, the samples and whether the model can represent this patient; nothing is selected",
        blocks_signing=True,
    )
