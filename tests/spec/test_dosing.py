"""What a recommendation promises, checked with a real one-compartment patient whose steady state is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from auctor.case import Dose, Metric, MetricKind, Regimen, Route, Target
from auctor.dosing.candidates import Option, OptionKind, candidate_regimens
from auctor.dosing.concordance import State, View, concordance, steps_apart
from auctor.dosing.recommend import Action, beyond_limit, expose, recommend
from auctor.dosing.windows import metric_for
from auctor.errors import CaseError, Notice, OutOfDomain
from auctor.models.model import Dosing
from auctor.predictor import Array, Draws, Prediction

VANCOMYCIN = Dosing(
    route="iv",
    strengths_mg=(250.0, 500.0, 1000.0),
    intervals_h=(8.0, 12.0, 24.0, 48.0),
    max_dose_mg=2000.0,
    max_daily_mg=4000.0,
    infusion_h=1.0,
    infusion_rate_max_mg_h=1000.0,
)
CAPSULES = Dosing(route="oral", strengths_mg=(0.5, 1.0, 5.0), intervals_h=(12.0, 24.0), max_dose_mg=10.0, max_daily_mg=20.0)


@dataclass(frozen=True)
class OneCompartment:
    """A patient of one compartment at steady state under repeated infusions: clearance draws (L/h), one volume (L)."""

    clearance: Array
    volume: float = 40.0
    name: str = "closed form"
    notices: tuple[Notice, ...] = ()

    @classmethod
    def lognormal(cls, typical: float, sd: float, n: int = 400) -> OneCompartment:
        rng = np.random.default_rng(7)
        return cls(clearance=typical * np.exp(sd * rng.standard_normal(n)))

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        values = np.stack([self._course(regimen.doses[0], cl, times_h) for cl in self.clearance])
        point = self._course(regimen.doses[0], float(np.median(self.clearance)), times_h)
        return Prediction(times_h=times_h, values=values, point=point)

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        times = np.linspace(metric.start_h, metric.stop_h, 481) if metric.kind is not MetricKind.CONC else np.array([metric.start_h])
        course = self.predict(regimen, times)
        read = {MetricKind.AUC: self._area, MetricKind.CAVG: self._mean, MetricKind.CMIN: np.min, MetricKind.CONC: np.min}[metric.kind]
        values = np.array([read(row, times) if metric.kind in (MetricKind.AUC, MetricKind.CAVG) else read(row) for row in course.values])
        return Draws(values=values, point=float(np.median(values)))

    @staticmethod
    def _area(row: Array, times: Array) -> float:
        return float(np.trapezoid(row, times))

    @staticmethod
    def _mean(row: Array, times: Array) -> float:
        return float(np.trapezoid(row, times) / (times[-1] - times[0]))

    def _course(self, dose: Dose, clearance: float, times_h: Array) -> Array:
        k, length, tau = clearance / self.volume, max(dose.duration_h, 1e-9), dose.every_h
        since = np.mod(times_h, tau)
        peak = dose.amount_mg / length / clearance * (1 - np.exp(-k * length)) / (1 - np.exp(-k * tau))
        trough = peak * np.exp(-k * (tau - length))
        rising = dose.amount_mg / length / clearance * (1 - np.exp(-k * since)) + trough * np.exp(-k * since)
        return np.where(since < length, rising, peak * np.exp(-k * (since - length)))


@dataclass(frozen=True)
class OnlyTwiceDaily(OneCompartment):
    """The same patient seen by a method that knows 12-hourly regimens only, as a direct-AUC learner does."""

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        if regimen.doses[0].every_h != 12.0:
            raise OutOfDomain(where="regimen", what="trained on 12-hourly doses only", remedy="use another method")
        return super().exposure(regimen, metric)


AUC24 = Target(metric=Metric.parse("AUC0-24"), low=400.0, high=600.0, source="Rybak 2020")


def steady(mg: float, every: float, hours: float = 1.0) -> Regimen:
    return Regimen.steady(mg, every_h=every, route=Route.IV, duration_h=hours)


def offered(mg: float, every: float = 12.0) -> Option:
    return Option(kind=OptionKind.OFFERED, dose_mg=mg, every_h=every, duration_h=1.0, route=Route.IV)


def test_current_and_hold_are_always_listed_first() -> None:
    options = candidate_regimens(VANCOMYCIN, current=steady(1100, 12), weight_kg=None)
    assert [o.kind for o in options[:2]] == [OptionKind.CURRENT, OptionKind.HOLD]
    assert options[0].dose_mg == 1100
    assert all(o.kind is OptionKind.OFFERED for o in options[2:])


def test_without_a_current_regimen_hold_is_still_there() -> None:
    options = candidate_regimens(VANCOMYCIN, current=None, weight_kg=None)
    assert options[0].kind is OptionKind.HOLD
    assert len(options) > 10


def test_no_offered_dose_crosses_a_cap_and_infusions_are_stretched() -> None:
    options = [o for o in candidate_regimens(VANCOMYCIN, current=None, weight_kg=None) if o.kind is OptionKind.OFFERED]
    assert max(o.dose_mg for o in options) == 2000
    assert max(o.daily_mg for o in options) <= 4000
    assert all(o.dose_mg / o.duration_h <= 1000 * (1 + 1e-9) for o in options)
    assert {o.duration_h for o in options if o.dose_mg == 1250} == {1.25}
    assert {o.duration_h for o in options if o.dose_mg == 500} == {1.0}


def test_doses_are_sums_of_real_strengths() -> None:
    doses = {o.dose_mg for o in candidate_regimens(CAPSULES, current=None, weight_kg=None)}
    assert {0.5, 1.5, 3.5, 7.5, 10.0} <= doses
    assert 0.25 not in doses and 0.75 not in doses
    assert all(dose <= 10 for dose in doses)


def test_the_current_regimen_is_not_listed_twice() -> None:
    current = Regimen.steady(2.0, every_h=12, route=Route.ORAL)
    labels = [o.label for o in candidate_regimens(CAPSULES, current=current, weight_kg=None)]
    assert labels.count("2 mg every 12 h") == 1


@pytest.mark.parametrize(("current", "why"), [(steady(2500, 24, 3), "dose"), (steady(2000, 8, 2), "day"), (steady(1500, 24, 1), "rate")])
def test_a_current_regimen_above_a_cap_is_listed_flagged_and_never_selected(current: Regimen, why: str) -> None:
    options = candidate_regimens(VANCOMYCIN, current=current, weight_kg=None)
    assert options[0].over_cap, why
    found = recommend(OneCompartment.lognormal(7.5, 0.2), target=replace(AUC24, low=50, high=5000), candidates=options)
    assert found.current is not None and found.current.exposure is not None
    assert found.best is None or not found.best.option.over_cap


def test_per_kg_doses_follow_the_weight_and_round_down() -> None:
    table = Dosing(route="iv", strengths_mg=(2.5,), intervals_h=(24.0,), max_dose_mg=5.0, max_daily_mg=5.0, infusion_h=0.5, per_kg=True)
    doses = [o.dose_mg for o in candidate_regimens(table, current=None, weight_kg=1.333)[1:]]
    assert doses == [3.33, 6.66]
    assert max(doses) <= 5.0 * 1.333


@pytest.mark.parametrize("weight", [None, 0.0, -3.0, float("nan")])
def test_per_kg_without_a_usable_weight_is_refused(weight: float | None) -> None:
    with pytest.raises(CaseError, match=r"covariates\.WT"):
        candidate_regimens(replace(VANCOMYCIN, per_kg=True), current=None, weight_kg=weight)


@pytest.mark.parametrize(("mg", "every"), [(1000, 8), (1000, 12), (1000, 24), (1500, 48), (1500, 36), (1000, 18)])
def test_auc24_is_the_daily_dose_over_clearance_whatever_the_interval(mg: float, every: float) -> None:
    patient = OneCompartment.lognormal(4.0, 0.3, n=20)
    exposure = expose(patient, offered(mg, every), AUC24)
    np.testing.assert_allclose(exposure.values, 24 * mg / every / patient.clearance, rtol=2e-3)


@pytest.mark.parametrize("every", [8.0, 24.0, 36.0, 48.0])
def test_cavg_is_auc24_over_24_h_at_steady_state(every: float) -> None:
    patient = OneCompartment.lognormal(4.0, 0.3, n=20)
    average = expose(patient, offered(1000, every), replace(AUC24, metric=Metric.parse("Cavg0-24")))
    area = expose(patient, offered(1000, every), AUC24)
    np.testing.assert_allclose(average.values, area.values / 24, rtol=2e-3)


def test_a_short_auc_window_under_a_long_interval_is_the_average_over_the_interval() -> None:
    fitted = metric_for(Metric.parse("AUC0-12"), 24)
    assert (fitted.metric.name, fitted.factor) == ("AUC0-24", 0.5)


def test_the_trough_metric_covers_the_whole_interval() -> None:
    assert metric_for(Metric.parse("Cmin0-24"), 48).metric.name == "Cmin0-48"
    assert metric_for(Metric.parse("Cmin0-24"), 48).factor == 1.0
    assert metric_for(Metric.parse("C0"), 48).metric.name == "C0"


def test_shares_add_to_one_and_follow_the_draws() -> None:
    patient = OneCompartment.lognormal(4.0, 0.3)
    found = recommend(patient, target=AUC24, candidates=candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None))
    for forecast in found.forecasts:
        assert forecast.below + forecast.inside + forecast.above == pytest.approx(1.0)
    now = found.current
    assert now is not None and now.exposure is not None
    assert now.inside == pytest.approx(float(np.mean((now.exposure.values >= 400) & (now.exposure.values <= 600))))


def test_hold_has_no_exposure_at_steady_state() -> None:
    found = recommend(
        OneCompartment.lognormal(4.0, 0.3),
        target=AUC24,
        candidates=candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None),
    )
    assert (found.hold.median, found.hold.below, found.hold.inside) == (0.0, 1.0, 0.0)


def test_the_best_is_the_highest_share_in_target() -> None:
    found = recommend(
        OneCompartment.lognormal(3.0, 0.2),
        target=AUC24,
        candidates=candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None),
    )
    assert found.best is not None and found.action is Action.DECREASE
    assert found.best.inside >= max(f.inside for f in found.forecasts if f.selectable) - 0.01
    assert found.best.option.daily_mg == 1500  # 1500 / 3.0 = 500, the middle of the target


def test_ties_go_to_the_smaller_change() -> None:
    """1500 mg a day is in the table every 8, 12 and 24 h, with the same AUC: the interval in use is kept."""
    options = candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None)
    found = recommend(OneCompartment.lognormal(3.0, 0.2), target=AUC24, candidates=options)
    assert found.best is not None
    assert (found.best.option.dose_mg, found.best.option.every_h) == (750, 12)


def test_a_good_current_regimen_is_kept() -> None:
    options = candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None)
    found = recommend(OneCompartment.lognormal(4.0, 0.1), target=AUC24, candidates=options)
    assert found.action is Action.KEEP and found.best is found.current


def test_without_a_current_regimen_the_action_is_start_with_the_lower_daily_dose_among_equals() -> None:
    sure = OneCompartment(clearance=np.full(50, 4.0))
    found = recommend(sure, target=AUC24, candidates=candidate_regimens(VANCOMYCIN, current=None, weight_kg=None))
    assert found.action is Action.START and found.best is not None
    assert found.best.option.daily_mg == min(f.option.daily_mg for f in found.forecasts if f.inside > 0.99)


def test_more_than_double_needs_confirmation_and_is_not_selected() -> None:
    options = candidate_regimens(VANCOMYCIN, current=steady(500, 12), weight_kg=None)
    found = recommend(OneCompartment.lognormal(6.0, 0.15), target=AUC24, candidates=options)
    assert found.favoured is not None and found.favoured.needs_confirmation
    assert [n.code for n in found.notices] == ["needs-confirmation"] and found.notices[0].blocks_signing
    assert found.best is None or not beyond_limit(found.best.option, options[0])


def test_the_smaller_step_in_the_same_direction_is_selected_when_it_reaches_the_target() -> None:
    options = candidate_regimens(VANCOMYCIN, current=steady(500, 12), weight_kg=None)
    found = recommend(OneCompartment.lognormal(4.6, 0.2), target=AUC24, candidates=options)
    assert found.favoured is not None and found.favoured.needs_confirmation
    assert found.best is not None and found.best.option.daily_mg == 2000
    assert found.action is Action.INCREASE


def test_less_than_half_needs_confirmation_too() -> None:
    assert beyond_limit(offered(400), replace(offered(1000), kind=OptionKind.CURRENT))
    assert not beyond_limit(offered(500), replace(offered(1000), kind=OptionKind.CURRENT))


def test_when_even_the_smallest_dose_is_too_much_the_action_is_hold() -> None:
    options = candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None)
    found = recommend(OneCompartment.lognormal(0.1, 0.2), target=AUC24, candidates=options)
    assert found.action is Action.HOLD and found.best is found.hold
    assert found.notices[0].code == "hold-suggested"


def test_out_of_reach_selects_nothing_and_says_so() -> None:
    options = candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None)
    found = recommend(OneCompartment.lognormal(60.0, 0.2), target=AUC24, candidates=options)
    assert found.best is None and found.action is None
    assert found.notices[0].code == "target-out-of-reach" and found.notices[0].blocks_signing


def test_with_no_dosing_table_nothing_is_selected() -> None:
    current = candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None)[:2]
    found = recommend(OneCompartment.lognormal(4.0, 0.2), target=AUC24, candidates=current)
    assert found.best is None and found.notices[0].code == "no-candidate"


def test_a_method_that_abstains_for_some_regimens_keeps_the_reason_beside_them() -> None:
    patient = OnlyTwiceDaily(clearance=OneCompartment.lognormal(3.0, 0.2).clearance)
    found = recommend(patient, target=AUC24, candidates=candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None))
    other = [f for f in found.forecasts if f.option.every_h == 8]
    assert other and all(f.exposure is None and f.abstained == "trained on 12-hourly doses only" for f in other)
    assert found.best is not None and found.best.option.every_h == 12


def test_a_method_that_abstains_for_every_regimen_raises() -> None:
    patient = OnlyTwiceDaily(clearance=np.array([4.0]))
    with pytest.raises(OutOfDomain, match="trained on 12-hourly"):
        recommend(patient, target=AUC24, candidates=[Option.hold(Route.IV), offered(1000, 24)])


def test_the_same_input_gives_the_same_recommendation() -> None:
    options = candidate_regimens(VANCOMYCIN, current=steady(1000, 12), weight_kg=None)
    once, again = (recommend(OneCompartment.lognormal(3.0, 0.2), target=AUC24, candidates=options) for _ in range(2))
    assert [f.inside for f in once.forecasts] == [f.inside for f in again.forecasts]
    assert once.best is not None and again.best is not None and once.best.option == again.best.option


def view(exposure: float | None, action: Action | None, mg: float | None = None, doubt: str = "", method: str = "MAP") -> View:
    return View(method=method, exposure=exposure, action=action, option=None if mg is None else offered(mg), doubt=doubt)


LADDER = tuple(offered(mg) for mg in (500, 750, 1000, 1250, 1500))


@pytest.mark.parametrize(
    ("one", "other", "state"),
    [
        (view(500, Action.KEEP, 1000), view(590, Action.KEEP, 1000, method="ML"), State.AGREE),
        (view(500, Action.KEEP, 1000), view(600, Action.KEEP, 1000, method="ML"), State.AGREE),  # 1.20 exactly still agrees
        (view(500, Action.KEEP, 1000), view(590, Action.DECREASE, 750, method="ML"), State.CAUTION),
        (view(500, Action.KEEP, 1000), view(680, Action.KEEP, 1000, method="ML"), State.CAUTION),
        (view(500, Action.KEEP, 1000), view(750, Action.DECREASE, 750, method="ML"), State.CAUTION),
        (view(500, Action.KEEP, 1000), view(800, Action.DECREASE, 500, method="ML"), State.DISAGREE),
        (view(500, Action.KEEP, 1000), view(None, None, doubt="weight outside the domain", method="ML"), State.DISAGREE),
        (view(500, Action.KEEP, 1000, doubt="bad fit"), view(505, Action.KEEP, 1000, method="ML"), State.DISAGREE),
    ],
)
def test_concordance_follows_the_table(one: View, other: View, state: State) -> None:
    found = concordance([one, other], options=LADDER)
    assert found.state is state
    assert found.reasons and all(found.reasons)
    assert concordance([other, one], options=LADDER).state is state


def test_the_worst_pair_decides_and_the_reason_names_it() -> None:
    views = [view(500, Action.KEEP, 1000), view(510, Action.KEEP, 1000, method="posterior"), view(None, None, doubt="age 3 y", method="ML")]
    found = concordance(views, options=LADDER)
    assert found.state is State.DISAGREE
    assert found.reasons == ("ML: age 3 y",)


def test_the_caveat_about_circular_evidence_is_always_printed() -> None:
    assert "not independent evidence" in concordance([view(1.0, None), view(1.0, None, method="ML")], options=()).caveat


def test_one_method_alone_has_no_concordance() -> None:
    assert concordance([view(500, Action.KEEP)], options=LADDER).state is State.ALONE


def test_steps_are_counted_on_the_dosing_table() -> None:
    assert steps_apart(offered(500), offered(1000), options=LADDER) == 2
    assert steps_apart(Option.hold(), offered(500), options=LADDER) == 1


def test_when_all_agree_the_reason_names_the_two_furthest_apart() -> None:
    views = [view(500, Action.KEEP, 1000), view(510, Action.KEEP, 1000, method="posterior"), view(560, Action.KEEP, 1000, method="ML")]
    found = concordance(views, options=LADDER)
    assert found.reasons == ("MAP and ML differ by 12 % in exposure, with the same dose action (keep)",)
    assert found.largest_ratio == pytest.approx(1.12)
