"""For any dosing table and any current regimen: no negative, no non-finite and no over-cap dose is ever offered or selected."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from auctor.case import Metric, Regimen, Route, Target
from auctor.dosing.candidates import Option, OptionKind, candidate_regimens
from auctor.dosing.recommend import beyond_limit, recommend
from auctor.errors import Notice
from auctor.models.model import Dosing
from auctor.predictor import Array, Draws, Prediction

SLACK = 1 + 1e-6
positive = st.floats(min_value=0.01, max_value=5000, allow_nan=False)


@dataclass(frozen=True)
class LinearClearance:
    """Steady state of any linear drug: AUC over whole intervals is doses in the window / CL, here for any CL draws (L/h)."""

    clearance: Array
    name: str = "dose / CL"
    notices: tuple[Notice, ...] = ()

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        average = regimen.daily_mg / 24 / self.clearance
        values = np.repeat(average[:, None], len(times_h), axis=1)
        return Prediction(times_h=times_h, values=values, point=np.median(values, axis=0))

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        values = regimen.daily_mg / 24 * (metric.stop_h - metric.start_h) / self.clearance
        return Draws(values=values, point=float(np.median(values)))


@st.composite
def tables(draw: st.DrawFn) -> Dosing:
    strengths = tuple(sorted(draw(st.sets(positive, min_size=1, max_size=3))))
    route = draw(st.sampled_from(["oral", "iv"]))
    return Dosing(
        route=route,
        strengths_mg=strengths,
        intervals_h=tuple(sorted(draw(st.sets(st.sampled_from([6.0, 8.0, 12.0, 24.0, 48.0]), min_size=1)))),
        max_dose_mg=draw(positive),
        max_daily_mg=draw(positive),
        infusion_h=draw(st.sampled_from([0.0, 0.5, 1.0])),
        infusion_rate_max_mg_h=draw(st.none() | positive) if route == "iv" else None,
        per_kg=draw(st.booleans()),
    )


def within_caps(option: Option, table: Dosing, weight: float) -> bool:
    mass = weight if table.per_kg else 1.0
    rate = table.infusion_rate_max_mg_h
    slow = rate is None or (option.duration_h > 0 and option.dose_mg / option.duration_h <= rate * mass * SLACK)
    small = option.dose_mg <= table.max_dose_mg * mass * SLACK and option.daily_mg <= table.max_daily_mg * mass * SLACK
    return small and slow and option.duration_h <= option.every_h


@settings(max_examples=150, deadline=None, derandomize=True)
@given(table=tables(), weight=st.floats(min_value=0.4, max_value=250), mg=positive, every=st.sampled_from([6.0, 12.0, 24.0, 48.0]))
def test_no_offered_dose_crosses_a_cap(table: Dosing, weight: float, mg: float, every: float) -> None:
    current = Regimen.steady(mg, every_h=every, route=Route(table.route), duration_h=table.infusion_h)
    options = candidate_regimens(table, current=current, weight_kg=weight)
    assert [o.kind for o in options].count(OptionKind.CURRENT) == [o.kind for o in options].count(OptionKind.HOLD) == 1
    for option in options:
        assert math.isfinite(option.dose_mg) and option.dose_mg >= 0
        assert option.kind is not OptionKind.OFFERED or (option.dose_mg > 0 and within_caps(option, table, weight))
    going_on = options[0]
    assert going_on.over_cap or going_on.duration_h > every or within_caps(going_on, table, weight)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(table=tables(), weight=st.floats(min_value=0.4, max_value=250), mg=positive, typical=positive, low=positive, seed=st.integers(0, 99))
def test_no_selected_dose_crosses_a_cap_or_the_change_limit(
    table: Dosing, weight: float, mg: float, typical: float, low: float, seed: int
) -> None:
    current = Regimen.steady(mg, every_h=12, route=Route(table.route), duration_h=table.infusion_h)
    options = candidate_regimens(table, current=current, weight_kg=weight)
    draws = typical * np.exp(0.3 * np.random.default_rng(seed).standard_normal(64))
    target = Target(metric=Metric.parse("AUC0-24"), low=low, high=1.5 * low, source="property test")
    found = recommend(LinearClearance(clearance=draws), target=target, candidates=options)
    for forecast in found.forecasts:
        assert forecast.exposure is not None and np.all(np.isfinite(forecast.exposure.values))
        assert abs(forecast.below + forecast.inside + forecast.above - 1) < 1e-9
    if found.best is not None:
        assert not found.best.option.over_cap and not beyond_limit(found.best.option, options[0])
        assert found.best.option.kind is OptionKind.HOLD or within_caps(found.best.option, table, weight)
