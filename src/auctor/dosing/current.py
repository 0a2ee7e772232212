"""Which regimen goes on now, when the case does not say: read off the dosing history, with a warning, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from auctor.case import Case, Dose, Regimen
from auctor.errors import Notice

HORIZON_H = 96.0
GAP_TOLERANCE_H = 1.0  # nurses' rounds: doses an hour early or late still belong to one regimen


def current_regimen(case: Case, *, intervals_h: Sequence[float] = ()) -> tuple[Regimen | None, tuple[Notice, ...]]:
    """The regimen as it would go on, at steady state, and what has to be confirmed about it.

    In order: the case's own `current`; the last dose of the history when it says that it repeats; the last three single
    doses when they are equal and spaced, within 1 h, by one of `intervals_h` (h). Otherwise None with a notice.

    >>> from auctor.case import Route
    >>> history = Regimen.steady(5, every_h=12, route=Route.ORAL)
    >>> found, notices = current_regimen(Case(label="A", drug="tacrolimus", history=history))
    >>> found.doses[0].amount_mg, [n.code for n in notices]
    (5, ['current-derived'])
    """
    if case.current is not None:
        return case.current, ()
    last = case.history.doses[-1] if case.history.doses else None
    if last is not None and last.every_h > 0 and (last.additional > 0 or last.steady_state):
        return _steady(last, last.every_h), (_derived("the last repeated dose of the history"),)
    interval = _regular(case.history.doses[-3:], intervals_h)
    if last is not None and interval is not None:
        return _steady(last, interval), (_derived(f"the last three doses, equal and about {interval:g} h apart"),)
    return None, (_unknown(),)


def _steady(dose: Dose, every_h: float) -> Regimen:
    return Regimen.steady(dose.amount_mg, every_h=every_h, route=dose.route, duration_h=dose.duration_h, horizon_h=HORIZON_H)


def _regular(doses: Sequence[Dose], intervals_h: Sequence[float]) -> float | None:
    """The table's interval that three equal single doses follow; None when they follow none."""
    if len(doses) < 3 or len({(d.amount_mg, d.route, d.duration_h) for d in doses}) > 1 or any(d.additional for d in doses):
        return None
    gaps = [b.time_h - a.time_h for a, b in pairwise(doses)]
    return next((every for every in intervals_h if all(abs(gap - every) <= GAP_TOLERANCE_H for gap in gaps)), None)


def _derived(source: str) -> Notice:
    return Notice(
        code="current-derived", where="current", what=f"the current regimen was taken from {source}", remedy="confirm it, or give `current`"
    )


def _unknown() -> Notice:
    return Notice(
        code="current-unknown",
        where="current",
        what="the current regimen is not given and the history shows no repeated dose",
        remedy="give `current`: without it no change of dose can be judged",
        blocks_signing=True,
    )
