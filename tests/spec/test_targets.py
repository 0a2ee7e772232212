"""The target of a plan is what the engine computes for each patient, and a learner answers for that target alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auctor.case import Metric, Regimen, Route
from auctor.errors import OutOfDomain, PlanError
from auctor.learn.features import check_features
from auctor.learn.learner import Learner
from auctor.learn.scales import modelled, truth
from auctor.learn.train import Material, prepare, split, train
from auctor.pk.exposure import exposures
from auctor.population.virtual import Profiles, simulate, stream
from plans import START, STEADY, plan_of

SATURABLE = """
schema = 1
drug = "example"
status = "draft"
population = "an example, not a published model"
reference = { cite = "none" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
[structure]
disposition = { kind = "one_compartment", V1 = "V", VMAX = "VMAX", KM = "KM" }
[parameters]
VMAX = { value = 20, unit = "mg/h", iiv = 0.3, source = "example" }
KM = { value = 5, unit = "mg/L", iiv = 0.4, source = "example" }
V = { value = 45, unit = "L", source = "example" }
[residual]
concentration = { proportional = 0.15, source = "example" }
"""
RATE = 12.0  # mg/h, an infusion that never ends
INFUSED = STEADY | {
    "models": ["saturable.toml"],
    "target": {"metric": "C0", "scale": "log"},
    "covariates": None,
    "regimen": {
        "history": "steady",
        "dose": {"kind": "constant", "value": 12 * RATE},
        "every_h": {"kind": "choice", "values": [12]},
        "infusion_h": 12,
    },
    "sampling": None,
    "split": {"train": 0.5, "calibration": 0.25, "test": 0.25},
    "learner": STEADY["learner"] | {"features": ["planned_mg"]},
}


@pytest.fixture
def saturable(tmp_path: Path) -> Path:
    (tmp_path / "saturable.toml").write_text(SATURABLE)
    return tmp_path


def by_one_patient(profiles: Profiles, metric: Metric, i: int, regimen: Regimen) -> float:
    """The second implementation: one patient at a time, in NumPy where the model has a closed form."""
    model = profiles.plan.model
    return float(exposures(model, regimen, metric, profiles.covariates_of(i), profiles.eta[i : i + 1, : len(model.eta_names)])[0])


@pytest.mark.parametrize("metric", ["Cmin0-12", "Cmax0-12", "C0", "C4", "AUC0-5", "Cavg2-9", "AUC0-24"])
def test_a_target_at_steady_state_is_that_of_the_patient_alone(metric: str) -> None:
    profiles = simulate(plan_of(STEADY, target={"metric": metric, "scale": "log"}))
    for i in range(3):
        assert profiles.target[i] == pytest.approx(by_one_patient(profiles, Metric.parse(metric), i, profiles.steady(i)), rel=1e-6)


def test_an_area_at_steady_state_of_a_linear_model_is_dose_times_f_over_cl() -> None:
    profiles = simulate(plan_of(STEADY))
    assert np.array_equal(profiles.target, profiles.exposure * profiles.dose_mg)
    twice = simulate(plan_of(STEADY, target={"metric": "Cavg0-24", "scale": "per_dose"}))
    np.testing.assert_allclose(twice.target * 12, profiles.target, rtol=1e-15)


def test_targets_from_the_first_dose_are_the_closed_forms_of_one_compartment() -> None:
    """Before the second dose: C(t) = D/V exp(-k t), AUC0-t = D/CL (1 - exp(-k t)); Gibaldi & Perrier 1982, eq. 1.10."""
    from auctor.population.virtual import parameters

    found = {}
    for metric in ("C10", "AUC0-12", "Cmax0-12", "Cmin1-12"):
        found[metric] = simulate(plan_of(START, target={"metric": metric, "scale": "log", "at": "first_dose"}))
    one = found["C10"]
    params = parameters(one.plan.model, one.covariates, one.eta)
    dose, k = one.loading_mg, params["CL"] / params["V"]
    np.testing.assert_allclose(one.target, dose / params["V"] * np.exp(-10 * k), rtol=1e-9)
    np.testing.assert_allclose(found["AUC0-12"].target, dose / params["CL"] * -np.expm1(-12 * k), rtol=1e-9)
    # the largest level is read right after the dose, on a grid of 240 points
    np.testing.assert_allclose(found["Cmax0-12"].target, dose / params["V"], rtol=0.05 / 10)
    np.testing.assert_allclose(found["Cmin1-12"].target, dose / params["V"] * np.exp(-12 * k), rtol=1e-9)
    with pytest.raises(PlanError, match="is 0"):  # before the first dose there is nothing
        simulate(plan_of(START, target={"metric": "Cmin0-12", "scale": "log", "at": "first_dose"}))


def test_a_window_from_the_first_dose_is_that_of_the_patients_own_history() -> None:
    profiles = simulate(plan_of(START, target={"metric": "AUC48-72", "scale": "log", "at": "first_dose"}))
    for i in range(3):
        assert profiles.target[i] == pytest.approx(by_one_patient(profiles, Metric.parse("AUC48-72"), i, profiles.given(i)), rel=1e-9)


def test_a_nonlinear_target_and_who_has_none(saturable: Path) -> None:
    """A constant infusion R: C = Km R / (Vmax - R) where Vmax > R, and no steady state elsewhere (Gibaldi & Perrier 1982, eq. 7.22)."""
    with pytest.raises(PlanError, match="without a steady state"):
        simulate(plan_of(INFUSED, saturable))
    kept = simulate(plan_of(INFUSED, saturable, target={"metric": "C0", "scale": "log", "keep": {"high": 100, "unit": "mg/L"}}))
    assert np.all(np.isnan(kept.exposure)), "there is no F/CL"
    model = kept.plan.model
    every = stream(kept.plan.seed, "model:0:eta").standard_normal((60, 2))
    level = []
    for values in every @ np.diag(np.sqrt(np.diag(model.omega))):
        vmax, km = 20 * np.exp(values[0]), 5 * np.exp(values[1])
        level.append(km * RATE / (vmax - RATE) if vmax > RATE else np.inf)
    expected = np.asarray(level)
    assert 30 <= len(kept) == np.sum(expected <= 100) < 60
    np.testing.assert_allclose(kept.target, expected[expected <= 100], rtol=1e-6)
    parts = split(kept.plan, len(kept))
    assert sum(map(len, parts.values())) == len(kept)


def test_trimming_leaves_out_the_tails() -> None:
    whole = simulate(plan_of(STEADY))
    some = simulate(plan_of(STEADY, target=STEADY["target"] | {"trim": [0.1, 0.9]}))
    low, high = np.quantile(whole.target, [0.1, 0.9])
    assert np.array_equal(some.target, whole.target[(whole.target >= low) & (whole.target <= high)])


def test_clearances_are_those_of_the_patient() -> None:
    profiles = simulate(plan_of(STEADY, target={"clearance": "CL/F", "scale": "log"}))
    np.testing.assert_allclose(profiles.target, 1 / profiles.exposure)
    other = simulate(plan_of(STEADY, target={"clearance": "CL", "scale": "plain"}))
    np.testing.assert_allclose(other.target, profiles.target)  # this model has no F of its own


def test_an_event_is_the_conjunction_of_its_criteria() -> None:
    def target(**more: Any) -> Profiles:
        return simulate(plan_of(STEADY, **more))

    area = target(target={"metric": "AUC0-24", "scale": "log"}).target
    trough = target(target={"metric": "C0", "scale": "log"}).target
    middle = [float(np.median(v)) for v in (area, trough)]
    criteria = [
        {"metric": "AUC0-24", "low": middle[0] / 0.5, "mic": 0.5, "unit": "h"},
        {"metric": "C0", "high": middle[1] * 1000, "unit": "ng/mL"},
    ]
    event = target(target={"event": criteria})
    assert np.array_equal(event.target, ((area > middle[0]) & (trough < middle[1])).astype(float))
    assert event.plan.target.name == f"AUC0-24/MIC > {middle[0] / 0.5:g} and C0 < {middle[1]:g}"


REFUSED = [
    ("scale", {"metric": "AUC0-12", "scale": "relative"}),
    ("metric", {"metric": "Cmin0-12", "scale": "typical"}),
    ("metric", {"metric": "AUC0-12", "clearance": "CL", "scale": "log"}),
    ("at", {"metric": "AUC0-12", "scale": "dose_rate", "at": "first_dose"}),
    ("target.at", {"metric": "AUC0-12", "scale": "log", "at": "first_dose"}),
    ("scale", {"clearance": "CL/F", "scale": "per_dose"}),
    ("scale", {"metric": "AUC0-12"}),
    ("scale", {"event": [{"metric": "C0", "low": 1, "unit": "mg/L"}], "scale": "log"}),
    ("event", {"event": [{"metric": "C0", "low": 1, "unit": "1", "mic": "MIC"}]}),
    ("high", {"event": [{"metric": "C0", "unit": "mg/L"}]}),
    ("unit", {"event": [{"metric": "C0", "low": 1}]}),
    ("unit", {"event": [{"metric": "C0", "low": 1, "unit": "mg*h/L"}]}),
    ("trim", {"metric": "C0", "scale": "log", "trim": [0.9, 0.1]}),
]


@pytest.mark.parametrize(("says", "target"), REFUSED, ids=[f"{k}-{w}" for k, (w, _) in enumerate(REFUSED)])
def test_a_target_that_cannot_be_is_refused(says: str, target: dict[str, Any]) -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(STEADY, target=target)
    assert says in caught.value.where and caught.value.remedy


def test_f_over_cl_of_a_nonlinear_model_is_refused(saturable: Path) -> None:
    with pytest.raises(PlanError, match="saturable"):
        plan_of(INFUSED, saturable, target={"metric": "AUC0-12", "scale": "dose_rate"})
    with pytest.raises(PlanError, match="nonlinear"):
        check_features(plan_of(INFUSED, saturable, learner=INFUSED["learner"] | {"features": ["log_typical"]}))


# learners


def learner_of(target: dict[str, Any], folder: Path, base: dict[str, Any] = STEADY, **parts: Any) -> tuple[Learner, Material]:
    sizes: dict[str, Any] = {"profiles": 160, "split": {"train": 100, "calibration": 30, "test": 30}}
    plan = plan_of(base, **(sizes | parts), target=target)
    return train(plan, folder), prepare(plan)


@pytest.fixture(scope="module")
def trough(tmp_path_factory: pytest.TempPathFactory) -> tuple[Learner, Material]:
    return learner_of({"metric": "Cmin0-12", "scale": "per_dose"}, tmp_path_factory.mktemp("learner"))


def test_a_learner_of_a_trough_answers_the_trough(trough: tuple[Learner, Material]) -> None:
    learner, made = trough
    metric = Metric.parse("Cmin0-12")
    answered, near = 0, 0
    for i in made.parts["test"]:
        case = made.profiles.case(int(i))
        try:
            found = learner.predictor(case, learner.plan.model).exposure(made.profiles.steady(int(i)), metric)
        except OutOfDomain:
            continue
        answered += 1
        near += abs(found.point / made.profiles.target[i] - 1) < 0.4
    assert answered >= 15
    assert near / answered > 0.7  # C0 without noise is the trough, to within what a hundred patients teach
    assert learner.card["target"] == {"metric": "Cmin0-12", "label": "simulated truth", "modelled": "log(Cmin0-12 / dose)"}
    assert "own regimen" in learner.card["limits"][2]


def test_it_answers_that_target_alone_and_the_kind_of_regimen_it_was_trained_for(trough: tuple[Learner, Material]) -> None:
    learner, made = trough
    metric = Metric.parse("Cmin0-12")
    middle = int(made.parts["train"][np.argsort(made.y[made.parts["train"]])[50]])
    case = made.profiles.case(middle)
    predictor, own = learner.predictor(case, learner.plan.model), made.profiles.steady(middle)
    mg = own.doses[0].amount_mg
    half = Regimen.steady(mg / 2 if mg >= 2 else mg * 2, every_h=12, route=Route.ORAL)
    ratio = half.doses[0].amount_mg / mg
    np.testing.assert_allclose(predictor.exposure(half, metric).values, predictor.exposure(own, metric).values * ratio)
    assert predictor.exposure(Regimen(doses=()), metric).values.max() == 0
    for other in ("AUC0-12", "Cmin0-24", "C0"):
        with pytest.raises(OutOfDomain, match="predicts Cmin0-12"):
            predictor.exposure(own, Metric.parse(other))
    for regimen in (
        Regimen.steady(mg, every_h=24, route=Route.ORAL),
        Regimen.steady(mg, every_h=12, route=Route.ORAL, duration_h=1),
        Regimen.steady(40, every_h=12, route=Route.ORAL),
        replace(own, doses=(replace(own.doses[0], steady_state=False),)),
    ):
        with pytest.raises(OutOfDomain):
            predictor.exposure(regimen, metric)
    with pytest.raises(OutOfDomain, match="alone"):
        predictor.predict(own, np.asarray([1.0]))


def test_a_learner_of_apparent_clearance_answers_areas(tmp_path: Path) -> None:
    learner, made = learner_of({"clearance": "CL/F", "scale": "log"}, tmp_path)
    i = int(made.parts["train"][0])
    observed = made.observed.rows(np.asarray([i]))
    point, low, high = learner.interval(observed)
    found = learner.predictor(made.profiles.case(i), learner.plan.model).exposure(made.profiles.steady(i), Metric.parse("AUC0-24"))
    assert found.point == pytest.approx(2 * made.profiles.dose_mg[i] / point[0], rel=1e-12)
    assert found.interval(0.9) == pytest.approx(tuple(2 * made.profiles.dose_mg[i] / v[0] for v in (high, low)), rel=5e-3)
    assert not np.any(np.diff(found.values) < 0)


@pytest.mark.parametrize("scale", ["log", "relative"])
def test_a_learner_from_the_first_dose_answers_for_that_history(scale: str, tmp_path: Path) -> None:
    target = {"metric": "C96", "scale": scale, "at": "first_dose"}
    learner, made = learner_of(target, tmp_path, base=START, sampling={"irregular": START["sampling"]["irregular"] | {"to_h": 24}})
    i = next(int(k) for k in made.parts["train"] if made.profiles.sample_h[k, 0] < 24)
    case = made.profiles.case(i)
    predictor = learner.predictor(case, learner.plan.model)
    said = predictor.exposure(case.history, Metric.parse("C96"))
    low, high = said.interval(0.9)
    assert 0 < low < said.point < high and 0.3 < said.point / made.profiles.target[i] < 3
    assert (
        learner.card["target"]["modelled"]
        == {
            "log": "log(C96 from the first dose)",
            "relative": "log(C96 from the first dose over the typical patient's)",
        }[scale]
    )
    with pytest.raises(OutOfDomain, match="own doses until 96 h"):
        predictor.exposure(made.profiles.steady(i), Metric.parse("C96"))


@pytest.mark.parametrize("algorithm", ["xgboost", "elastic_net"])
def test_an_event_is_classified_with_a_probability(algorithm: str, tmp_path: Path) -> None:
    """Stored and loaded again; scored against patients it did not see; an event that cannot be learnt is refused."""
    area = float(np.median(simulate(plan_of(STEADY)).target))
    target = {"event": [{"metric": "AUC0-12", "low": area, "unit": "mg*h/L"}]}
    features = STEADY["learner"] | {"features": ["C0", "C2", "dose_mg"], "algorithm": algorithm}
    features |= {} if algorithm == "xgboost" else {"grid": {"l1_ratio": [0.5], "cost": [10.0]}}
    sizes: dict[str, Any] = {"profiles": 600, "split": {"train": 300, "calibration": 150, "test": 150}}
    learner, made = learner_of(target, tmp_path, learner=features, **sizes)
    point, low, high = learner.interval(made.observed)
    assert point.min() >= 0 and point.max() <= 1 and np.array_equal(low, high)
    scores = {name: one["value"] for name, one in learner.card["metrics"]["test"].items()}
    assert scores["Brier"] < 0.4 * scores["Brier of the prevalence"]
    assert scores["ROC-AUC"] > 0.95 and scores["log loss"] < 0.4
    rows = made.parts["test"]
    assert scores["Brier"] == pytest.approx(np.mean((point[rows] - made.profiles.target[rows]) ** 2), abs=1e-6)
    assert [fifth["patients"] for fifth in learner.card["reliability"]] == [30] * 5
    i = int(made.parts["train"][0])
    with pytest.raises(OutOfDomain, match="AUC0-12 >"):
        learner.predictor(made.profiles.case(i), learner.plan.model).exposure(made.profiles.steady(i), Metric.parse("AUC0-12"))


def test_an_event_that_happens_to_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="or to none"):
        learner_of({"event": [{"metric": "AUC0-12", "low": 1e6, "unit": "mg*h/L"}]}, tmp_path, learner=STEADY["learner"])


def test_a_plan_without_a_learner_is_for_simulation_alone() -> None:
    plan = plan_of(STEADY, learner=None)
    assert len(simulate(plan)) == 60
    with pytest.raises(PlanError, match="simulation alone"):
        prepare(plan)


def test_the_logarithm_of_a_feature_is_a_feature_where_it_is_always_positive() -> None:
    def features(*names: str) -> Material:
        return prepare(plan_of(STEADY, learner=STEADY["learner"] | {"features": list(names)}))

    made = features("C2/dose", "log:C2/dose", "log:cov:HCT")
    np.testing.assert_allclose(made.x[:, 1], np.log(made.x[:, 0]))
    for name in ("log:C0-C2", "log:dt:C2"):
        with pytest.raises(PlanError, match="infinite"):
            features(name)
    with pytest.raises(PlanError, match="is not a feature"):
        features("log:log:C2")


@pytest.mark.parametrize("scale", ["dose_rate", "typical", "per_dose", "log", "plain"])
def test_every_scale_leads_back_to_the_target(scale: str) -> None:
    from auctor.learn.scales import centered, natural

    made = prepare(plan_of(STEADY, target={"metric": "AUC0-12", "scale": scale}))
    back = natural(made.profiles.plan, centered(made.profiles.plan, made.observed, modelled(made.profiles, made.observed)))
    np.testing.assert_allclose(back, truth(made.profiles), rtol=1e-12)


def test_a_target_relative_to_the_typical_patient_leads_back_to_it_and_is_so_by_the_engine() -> None:
    from auctor.learn.scales import centered, natural

    made = prepare(plan_of(START, target={"metric": "AUC48-72", "scale": "relative", "at": "first_dose"}))
    profiles, metric = made.profiles, Metric.parse("AUC48-72")
    typical = replace(profiles, eta=np.zeros_like(profiles.eta))
    for i in range(3):
        assert made.observed.typical[i] == pytest.approx(by_one_patient(typical, metric, i, profiles.regimen(i)), rel=1e-9)
    learnt = modelled(profiles, made.observed)
    np.testing.assert_allclose(learnt, np.log(profiles.target / made.observed.typical), rtol=1e-12)
    np.testing.assert_allclose(natural(profiles.plan, centered(profiles.plan, made.observed, learnt)), profiles.target, rtol=1e-12)
    column = profiles.plan.learning.features.index("log_typical")
    np.testing.assert_allclose(made.x[:, column], np.log(made.observed.typical), rtol=1e-12)
