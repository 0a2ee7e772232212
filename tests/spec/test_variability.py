"""Regimens by rule, and what varies besides eta: occasions, adherence, assay bias and limit, covariates that change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auctor.case import Metric
from auctor.errors import OutOfDomain, PlanError
from auctor.learn.observed import of_case, of_profiles
from auctor.models.occasions import with_occasions
from auctor.pk.exposure import curves, exposures
from auctor.population.variability import SimulatedIov
from auctor.population.virtual import Profiles, parameters, simulate
from auctor.validate.comparators import patients
from plans import START, STEADY, plan_of

MORE = {"profiles": 2000, "split": {"train": 0.5, "calibration": 0.25, "test": 0.25}}
CRCL = {"CRCL": {"kind": "uniform", "low": 10, "high": 120}}
FORM = STEADY["covariates"]


def constant(value: float) -> dict[str, Any]:
    return {"kind": "constant", "value": value}


def regimen(base: dict[str, Any] = STEADY, **parts: Any) -> dict[str, Any]:
    return {key: value for key, value in (base["regimen"] | parts).items() if value is not None}


# regimens


def test_doses_follow_the_bands_of_a_covariate() -> None:
    """The label's valganciclovir maintenance: 900/24 h at 60 mL/min and more, 450/24 h, 450/48 h, 450/72 h below 25."""
    rule = [(60, 900, 24), (40, 450, 24), (25, 450, 48), (10, 450, 72)]
    bands = [{"when": f"CRCL >= {low}", "dose": constant(mg), "every_h": constant(h)} for low, mg, h in rule]
    target = {"metric": "AUC0-72", "scale": "log"}
    plan = plan_of(STEADY, covariates=FORM | CRCL, regimen=regimen(dose=None, every_h=None, band=bands), target=target, **MORE)
    assert plan.dosage.intervals_h == (24, 48, 72)
    profiles = simulate(plan)
    for i, crcl in enumerate(profiles.covariates["CRCL"]):
        _, mg, hours = next(row for row in rule if crcl >= row[0])
        assert (profiles.dose_mg[i], profiles.every_h[i]) == (mg, hours)
    whole = plan_of(STEADY, covariates=FORM | CRCL, regimen=regimen(dose=None, every_h=None, band=bands[:3]), target=target, **MORE)
    with pytest.raises(PlanError, match="without a dose"):
        simulate(whole)


def test_doses_follow_a_formula_rounded_and_capped() -> None:
    """Children's valganciclovir: 7 x BSA x min(CrCL, 150) mg, at most 900."""
    covariates = FORM | {"CRCL": {"kind": "uniform", "low": 60, "high": 200}, "BSA": {"kind": "uniform", "low": 0.3, "high": 1.7}}
    by_rule = regimen(dose={"expr": "7 * BSA * min(CRCL, 150)"}, round_mg=10, max_mg=900)
    profiles = simulate(plan_of(STEADY, covariates=covariates, regimen=by_rule))
    raw = 7 * profiles.covariates["BSA"] * np.minimum(profiles.covariates["CRCL"], 150)
    np.testing.assert_array_equal(profiles.dose_mg, np.minimum(np.round(raw / 10) * 10, 900))
    assert (profiles.dose_mg == 900).any() and (profiles.dose_mg < 900).any()


@pytest.mark.parametrize(
    ("says", "parts"),
    [
        ("dose.expr", {"dose": {"expr": "7 * HAIR"}}),
        ("dose.expr", {"dose": {"expr": "7 *"}}),
        ("route", {"route": "nasal"}),
        ("band", {"band": []}),
        ("per", {"per": "HAIR"}),
    ],
)
def test_a_rule_that_cannot_be_is_refused(says: str, parts: dict[str, Any]) -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(STEADY, regimen=regimen(**parts))
    assert says in caught.value.where and caught.value.remedy


def test_a_dose_without_a_finite_value_is_refused() -> None:
    with pytest.raises(PlanError, match="no finite dose"):
        simulate(plan_of(STEADY, regimen=regimen(dose={"expr": "log(HCT - 100)"})))


# samples after a numbered dose, or none


NUMBERED = {
    "nominal": [
        {"name": "P3", "dose": 3, "at_h": 2, "early_min": 0, "late_min": 30},
        {"name": "T3", "dose": 3, "at_h": 0, "early_min": 20, "late_min": 0},
    ]
}


def test_samples_may_follow_a_numbered_dose() -> None:
    learner = START["learner"] | {"features": ["log_ratio:P3", "dt:P3", "after:T3", "planned_mg"]}
    profiles = simulate(plan_of(START, sampling=NUMBERED, learner=learner))
    assert np.all((profiles.sample_h[:, 0] >= 26) & (profiles.sample_h[:, 0] <= 26.5))
    assert np.all((profiles.sample_h[:, 1] >= 36 - 1 / 3) & (profiles.sample_h[:, 1] <= 36))
    observed = of_profiles(profiles)
    for i in range(3):
        own = of_case(profiles.plan, profiles.case(i))
        for name in ("value", "after_h", "since_h", "nominal_h", "planned_mg", "pred"):
            np.testing.assert_allclose(getattr(own, name)[0], getattr(observed, name)[i], rtol=1e-12)
    with pytest.raises(PlanError):
        plan_of(STEADY, sampling=NUMBERED)


def test_a_sample_whose_time_was_not_written_down_has_the_nominal_one() -> None:
    rows = [row | {"recorded": "nominal"} for row in STEADY["sampling"]["nominal"][1:]]
    learner = STEADY["learner"] | {"features": ["C2/dose", "dt:C2"]}
    known, told = (simulate(plan_of(STEADY, sampling={"nominal": r}, learner=learner)) for r in (STEADY["sampling"]["nominal"][1:], rows))
    assert np.all(told.sample_h == 2) and np.ptp(told.drawn_h) > 0.2
    assert np.array_equal(told.drawn_h, known.sample_h) and np.array_equal(told.true, known.true), "the level is that of the true time"
    assert np.all(of_profiles(told).after_h == 2) and told.case(0).samples[0].time_h == 2


@pytest.mark.parametrize("name", ["LAID_OUT", "CHUNK"])
def test_how_many_patients_the_engine_takes_at_a_time_moves_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = START if name == "LAID_OUT" else STEADY
    whole = simulate(plan_of(base, noise="full"))
    monkeypatch.setattr(f"auctor.population.virtual.{name}", 32)
    parts = simulate(plan_of(base, noise="full"))
    assert np.array_equal(parts.eta, whole.eta) and np.array_equal(parts.sample_h, whole.sample_h, equal_nan=True)
    for field in ("true", "observed", "target"):
        # compiled code for another number of patients may round the last digit otherwise
        np.testing.assert_allclose(getattr(parts, field), getattr(whole, field), rtol=1e-13)


def test_a_plan_without_samples_knows_what_is_known_before_them() -> None:
    from auctor.learn.train import prepare

    for base in (STEADY, START):
        made = prepare(plan_of(base, sampling=None, learner=base["learner"] | {"features": ["planned_mg", "log_typical"]}))
        assert made.x.shape == (60, 2) and np.all(np.isfinite(made.x))
        assert made.profiles.sample_h.shape == (60, 0)
        case = made.profiles.case(0)
        np.testing.assert_allclose(of_case(made.profiles.plan, case).typical[0], made.observed.typical[0])


# occasions


def test_kappas_of_the_sampled_occasion_act_on_levels_and_target() -> None:
    def of(target: str) -> Profiles:
        return simulate(plan_of(STEADY, iov={"occasion": "interval", "target": target}, target={"metric": "AUC0-12", "scale": "log"}))

    sampled, following = of("sampled"), of("next")
    model = with_occasions(sampled.plan.model, 2)
    whole = np.concatenate([sampled.eta, sampled.kappa], axis=1)
    for occasion, found in ((1.0, sampled), (2.0, following)):
        params = parameters(model, {**sampled.covariates, "OCC": np.full(60, occasion)}, whole)
        np.testing.assert_allclose(found.target, sampled.dose_mg / params["CL"], rtol=1e-12)
    assert np.array_equal(sampled.true, following.true), "the samples are of the first occasion in both"
    without = simulate(plan_of(STEADY))
    assert np.array_equal(without.eta, sampled.eta), "a new quantity does not move the others"
    assert not np.allclose(without.true, sampled.true)


def test_kappas_have_the_variance_of_the_model() -> None:
    profiles = simulate(plan_of(STEADY, iov={"occasion": "interval", "target": "next"}, **MORE))
    varying = [p.iov for p in profiles.plan.model.parameters.values() if p.iov]
    # 2,000 draws: a standard deviation has a standard error of 1.6 %
    np.testing.assert_allclose(profiles.kappa.std(axis=0), varying * 2, rtol=0.065)


def test_histories_change_occasion_on_the_way() -> None:
    """The second implementation: one patient, a covariate OCC with the hours at which it changes."""
    from auctor.case import Covariates

    plan = plan_of(
        START,
        models=["tacrolimus_woillard_2011"],
        covariates=FORM,
        regimen=regimen(START, per=None, loading=None, dose=constant(5)),
        sampling={"irregular": {"count": [3], "from_h": 0, "to_h": 72, "after_dose_h": 1}},
        target={"metric": "C72", "scale": "log", "at": "first_dose"},
        iov={"occasion": 24, "target": "sampled"},
    )
    profiles = simulate(plan)
    model = with_occasions(plan.model, 5)  # three days, the one after them, and room for one more
    occasion = ((0.0, 1.0), (24 - 1e-7, 2.0), (48 - 1e-7, 3.0))
    for i in range(2):
        known = Covariates(series={**profiles.covariates_of(i).series, "OCC": occasion})
        eta = np.concatenate([profiles.eta[i], profiles.kappa[i]])[None]
        np.testing.assert_allclose(curves(model, profiles.given(i), profiles.sample_h[i], known, eta)[0], profiles.true[i], rtol=1e-7)
    with pytest.raises(PlanError, match="more than 15 occasions"):
        simulate(replace(plan, iov=SimulatedIov(occasion_h=4, target="next")))
    with pytest.raises(PlanError, match="models with iov"):
        plan_of(START, iov={"occasion": 24, "target": "next"})


# adherence


ADHERENCE = {"miss_after_taken": 0.1, "miss_after_missed": 0.5, "late_share": 0.3, "late_h": {"kind": "uniform", "low": 1, "high": 4}}


def test_missed_doses_are_a_markov_chain() -> None:
    profiles = simulate(
        plan_of(
            START,
            adherence=ADHERENCE | {"reported": "true"},
            sampling={"irregular": START["sampling"]["irregular"] | {"to_h": 240}},
            **MORE,
        )
    )
    assert profiles.taken is not None
    taken = profiles.taken.taken
    assert taken[:, 0].all(), "the first dose is always taken"
    before, after = taken[:, :-1].ravel(), taken[:, 1:].ravel()
    # some 30,000 doses: three standard errors
    assert np.mean(~after[before]) == pytest.approx(0.1, abs=0.006)
    assert np.mean(~after[~before]) == pytest.approx(0.5, abs=0.03)
    # stationary share a / (a + 1 - b), reached after a few doses
    assert np.mean(~taken[:, 8:]) == pytest.approx(0.1 / (0.1 + 0.5), abs=0.012)
    late = profiles.taken.late_h[:, 1:]
    assert np.mean(late > 0) == pytest.approx(0.3, abs=0.01)
    assert late[late > 0].min() >= 1 and late.max() <= 4


def test_levels_are_those_of_the_doses_really_taken_and_the_methods_see_what_is_reported() -> None:
    for reported in ("true", "planned"):
        profiles = simulate(plan_of(START, adherence=ADHERENCE | {"reported": reported}))
        for i in range(4):
            given = profiles.given(i)
            assert len(given.doses) == profiles.taken.taken[i, : 1 + sum(d.additional + 1 for d in profiles.planned(i).doses[1:])].sum()  # type: ignore[union-attr]
            seen = np.isfinite(profiles.sample_h[i])
            found = curves(profiles.plan.model, given, profiles.sample_h[i][seen], profiles.covariates_of(i), profiles.eta[i : i + 1])
            np.testing.assert_allclose(found[0], profiles.true[i][seen], rtol=1e-7)
            assert profiles.case(i).history == (given if reported == "true" else profiles.planned(i))


@pytest.mark.parametrize(
    ("says", "parts"),
    [
        ("late_h", {"adherence": ADHERENCE | {"reported": "true", "late_share": 0.0}}),
        ("reported", {"adherence": ADHERENCE}),
        ("adherence", {"adherence": ADHERENCE | {"reported": "true"}, "sampling": NUMBERED}),
        ("factor", {"paths": [{"covariate": "WT", "from_h": constant(1)}]}),
        ("covariate", {"paths": [{"covariate": "HAIR", "from_h": constant(1), "factor": constant(1)}]}),
        ("from_h", {"paths": [{"covariate": "WT", "factor": constant(1)}]}),
    ],
)
def test_what_cannot_be_is_refused(says: str, parts: dict[str, Any]) -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(START, **parts)
    assert says in caught.value.where and caught.value.remedy


def test_a_steady_state_has_no_missed_doses_and_no_changes() -> None:
    for parts in (
        {"adherence": ADHERENCE | {"reported": "true"}},
        {"paths": [{"covariate": "HCT", "from_h": constant(1), "factor": constant(1)}]},
    ):
        with pytest.raises(PlanError, match="has no place"):
            plan_of(STEADY, **parts)


# assay


def test_an_assay_has_a_bias_and_a_limit() -> None:
    def of(**assay: Any) -> Profiles:
        return simulate(plan_of(START, noise="full", assay=assay))

    plain = simulate(plan_of(START, noise="full"))
    taken = np.isfinite(plain.observed)
    high = of(bias=constant(0.1))
    np.testing.assert_allclose(high.observed[taken], 1.1 * plain.observed[taken], rtol=1e-12)
    lots = of(bias={"kind": "normal", "mean": 0, "sd": 0.05})
    both = taken.all(axis=1)
    ratio = (lots.observed / plain.observed)[both]
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], rtol=1e-12)  # one lot a patient
    limit = float(np.median(plain.observed[taken]))
    limited = of(lloq=limit * 1000, unit="ng/mL")
    assert np.array_equal(limited.below, taken & (plain.observed < limit))
    np.testing.assert_allclose(limited.observed[limited.below], limit / 2, rtol=1e-12)
    assert np.array_equal(limited.observed[taken & ~limited.below], plain.observed[taken & ~limited.below])


def test_methods_see_a_level_below_the_limit_as_censored_and_a_learner_as_half_of_it() -> None:
    profiles = simulate(plan_of(START, noise="full", assay={"lloq": 20, "unit": "mg/L"}))
    i = int(np.flatnonzero(profiles.below.any(axis=1))[0])
    case = profiles.case(i)
    low = [s for s in case.samples if s.below_lloq]
    assert low and all(s.lloq == 20 and s.value == 20 for s in low)
    own = of_case(profiles.plan, case)
    np.testing.assert_allclose(own.value[0], of_profiles(profiles).value[i], rtol=1e-12)
    with pytest.raises(OutOfDomain, match="outside the assay's limits"):
        of_case(plan_of(START, noise="full"), case)
    seen = patients(profiles, np.arange(60)).seen
    assert np.array_equal(seen.censored[:, :2], profiles.below)
    assert np.all(seen.limit[:, :2][profiles.below] == 20)


# covariates that change


def test_renal_function_and_an_interacting_drug_change_on_the_way() -> None:
    paths = [
        {"covariate": "SCR", "from_h": constant(24), "until_h": constant(60), "factor": {"kind": "uniform", "low": 2, "high": 3}},
        {"covariate": "WT", "share": 0.5, "from_h": constant(48), "value": constant(2)},
    ]
    covariates = {"SCR": {"kind": "uniform", "low": 0.4, "high": 0.8}, "CRCL": {"expr": "40 * WT / SCR"}}
    learner = START["learner"] | {"features": ["log_ratio:L1", "cov:CRCL"]}
    target = {"metric": "AUC72-96", "scale": "log", "at": "first_dose"}
    profiles = simulate(plan_of(START, covariates=covariates, paths=paths, learner=learner, target=target))
    heavier = 0
    for i in range(20):
        known = profiles.covariates_of(i)
        start, ill, later = (known.at(t) for t in (0.0, 30.0, 70.0))
        assert 2 <= ill["SCR"] / start["SCR"] <= 3
        assert later["SCR"] == pytest.approx(start["SCR"])
        for moment in (start, ill, later):
            assert moment["CRCL"] == pytest.approx(40 * moment["WT"] / moment["SCR"], rel=1e-12), "formulas follow their inputs"
        heavier += later["WT"] == 2
        seen = np.isfinite(profiles.sample_h[i])
        found = curves(profiles.plan.model, profiles.given(i), profiles.sample_h[i][seen], known, profiles.eta[i : i + 1])
        np.testing.assert_allclose(found[0], profiles.true[i][seen], rtol=1e-7)
    assert 4 <= heavier <= 16
    area = exposures(profiles.plan.model, profiles.given(0), Metric.parse("AUC72-96"), profiles.covariates_of(0), profiles.eta[:1])
    assert profiles.target[0] == pytest.approx(area[0], rel=1e-7)


def test_a_target_at_steady_state_is_under_the_covariates_last_seen() -> None:
    paths = [{"covariate": "WT", "from_h": constant(48), "factor": constant(1.5)}]
    profiles = simulate(plan_of(START, paths=paths, target={"metric": "AUC0-24", "scale": "log"}))
    late = profiles.sample_h[:, 0] >= 48
    assert late.any() and (~late).any()
    weight = profiles.covariates["WT"] * np.where(late, 1.5, 1.0)
    params = parameters(profiles.plan.model, profiles.covariates | {"WT": weight}, profiles.eta)
    np.testing.assert_allclose(profiles.target, 2 * profiles.dose_mg / params["CL"], rtol=1e-12)
