"""A first dose without levels: probabilities against closed forms, caps that hold, methods that abstain, and doses that lose little."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from auctor.case import Covariates, Metric, Route
from auctor.cli import app
from auctor.dosing.candidates import Option, OptionKind
from auctor.dosing.first_dose.compare import Question, first_dose
from auctor.dosing.first_dose.exposure import per_mg
from auctor.dosing.first_dose.goals import Goal, JointTarget, Mic
from auctor.dosing.first_dose.ladder import Caps, Ladder, Rung, ladder_of
from auctor.dosing.first_dose.learned import DirectDose, DoseTree, EventClassifier, ExposureRegressor, chosen, oracle_rungs
from auctor.dosing.first_dose.nomograms import list_nomograms, read_nomogram
from auctor.dosing.first_dose.prior import Prior, best_rung, chance_table, chances, useful_rung
from auctor.dosing.first_dose.training import Virtual, population_of, simulate_patients, training_patients
from auctor.errors import CaseError, ModelError, OutOfDomain
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.writing import toml_text
from auctor.pk.exposure import exposures
from auctor.population.plan import read_plan
from auctor.population.virtual import draw_covariates, parameters
from auctor.validate.regret import regret_scores, roc_auc

CLEARANCE, SPREAD = 4.0, 0.3
ONE_PARAMETER = f"""
schema = 1
drug = "example"
status = "draft"
population = "an example with one random effect, not a published model"
reference = {{ cite = "none" }}
units = {{ time = "h", dose = "mg", concentration = "mg/L" }}
variability = {{ distribution = "lognormal", printed_as = "sd" }}
[structure]
disposition = {{ kind = "one_compartment", CL = "CL", V1 = "V1" }}
[covariates.WT]
unit = "kg"
reference = 70
low = 40
high = 120
distribution = {{ kind = "uniform", low = 40, high = 120 }}
[parameters]
CL = {{ value = {CLEARANCE}, unit = "L/h", iiv = {SPREAD}, source = "example" }}
V1 = {{ value = 50, unit = "L", source = "example" }}
[effects]
CL = {{ expr = "WT / 70", source = "example" }}
[residual]
concentration = {{ proportional = 0.1, source = "example" }}
"""
AUC = Metric.parse("AUC0-24")
RANGE = JointTarget(goals=(Goal(metric=AUC, low=400.0, high=600.0),))
RUNGS = tuple(Rung(amount=50.0 * k, every_h=12.0, duration_h=1.0) for k in range(4, 41))
LADDER = Ladder(rungs=RUNGS, route=Route.IV)


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    path = tmp_path_factory.mktemp("model") / "example.toml"
    path.write_text(ONE_PARAMETER)
    return read_model(path)


@pytest.fixture(scope="module")
def daptomycin() -> DrugModel:
    return read_model("daptomycin_dvorchik_2004")


def joint(mic: Mic | None = None) -> JointTarget:
    goals = (Goal(metric=AUC, low=666.0, high=math.inf, per_mic=True), Goal(metric=Metric.parse("C0"), low=0.0, high=24.3))
    return JointTarget(goals=goals, mic=mic or Mic(values=(1.0,)))


def weight_ladder(*amounts: float) -> Ladder:
    return Ladder(rungs=tuple(Rung(amount=a, every_h=24.0, duration_h=0.5) for a in amounts), route=Route.IV, per_kg=True)


def analytic(daily_mg: Any, clearance: float, low: float = 400.0, high: float = 600.0) -> Any:
    """P(low <= daily / CL <= high), ln CL normal."""
    center = np.log(np.asarray(daily_mg) / clearance)
    return norm.cdf((np.log(high) - center) / SPREAD) - norm.cdf((np.log(low) - center) / SPREAD)


# --- integration over the prior -------------------------------------------------------------------------------------------


def test_the_probability_of_the_target_is_that_of_the_closed_form(simple: DrugModel) -> None:
    found = chances(simple, {"WT": 70.0}, RANGE, LADDER, draws=20_000)
    for rung, chance in zip(RUNGS, found, strict=True):
        assert chance is not None
        assert chance.inside == pytest.approx(float(analytic(2 * rung.amount, CLEARANCE)), abs=4 * max(chance.error, 1e-4))


def test_the_best_dose_is_the_geometric_mean_of_the_range_times_clearance(simple: DrugModel) -> None:
    for weight in (45.0, 70.0, 110.0):
        found = chances(simple, {"WT": weight}, RANGE, LADDER, draws=20_000)
        wanted = math.sqrt(400 * 600) * CLEARANCE * weight / 70
        best = 2 * RUNGS[best_rung(found)].amount
        assert best == pytest.approx(wanted, rel=0.08)
        assert float(analytic(best, CLEARANCE * weight / 70)) > 2 * norm.cdf(math.log(1.5) / (2 * SPREAD)) - 1 - 0.01


def test_a_distribution_of_mics_is_the_weighed_mean_of_its_values(simple: DrugModel) -> None:
    mic = Mic(values=(0.5, 2.0), weights=(3.0, 1.0))
    target = JointTarget(goals=(Goal(metric=AUC, low=400.0, high=math.inf, per_mic=True),), mic=mic)
    found = chances(simple, {"WT": 70.0}, target, LADDER, draws=20_000)[20]
    daily = 2 * RUNGS[20].amount
    wanted = 0.75 * analytic(daily, CLEARANCE, 200.0, 1e12) + 0.25 * analytic(daily, CLEARANCE, 800.0, 1e12)
    assert found is not None and found.inside == pytest.approx(float(wanted), abs=4 * found.error)


def test_utility_takes_a_lower_dose_than_the_probability_alone(simple: DrugModel) -> None:
    found = chances(simple, {"WT": 70.0}, RANGE, LADDER, draws=20_000)
    assert useful_rung(found) < best_rung(found)
    chance = found[useful_rung(found)]
    assert chance is not None and chance.utility == pytest.approx(chance.inside - chance.above)


def test_the_same_question_gives_the_same_numbers_and_rungs_share_their_draws(simple: DrugModel) -> None:
    one, other = (chances(simple, {"WT": 70.0}, RANGE, LADDER, draws=500, seed=3) for _ in range(2))
    assert one == other
    assert one != chances(simple, {"WT": 70.0}, RANGE, LADDER, draws=500, seed=4)
    above = [c.above for c in one if c is not None]
    assert above == sorted(above)  # the same etas for every dose: a higher dose is never less often above


def test_many_patients_at_once_get_what_each_gets_alone(daptomycin: DrugModel) -> None:
    ladder, target = weight_ladder(6.0, 9.0), joint()
    covariates = draw_covariates(population_of(daptomycin), 3, seed=4)
    table = chance_table(daptomycin, covariates, target, ladder, Prior.of(daptomycin).etas(600, seed=0))
    for i in range(3):
        alone = chances(daptomycin, {n: float(v[i]) for n, v in covariates.items()}, target, ladder, draws=600, seed=0)
        assert [c.inside for c in alone if c is not None] == pytest.approx(list(table[i]), abs=1e-12)


@pytest.mark.parametrize("metric", ["AUC0-24", "AUC0-48", "Cavg0-24", "C0", "C6", "Cmax0-24", "Cmin0-24"])
def test_exposure_per_mg_is_that_of_the_engine(daptomycin: DrugModel, metric: str) -> None:
    covariates = {"WT": 80.0, "CRCL": 60.0, "TEMP": 38.0, "SEX": 0.0, "INFECTED": 1.0}
    etas = Prior.of(daptomycin).etas(5, seed=1)
    rung, asked = Rung(amount=1.0, every_h=24.0, duration_h=0.5), Metric.parse(metric)
    params = parameters(daptomycin, {n: np.full(5, v) for n, v in covariates.items()}, etas)
    option = Option(kind=OptionKind.OFFERED, dose_mg=500.0, every_h=24.0, duration_h=0.5, route=Route.IV)
    wanted = exposures(daptomycin, option.regimen, asked, Covariates.constant(covariates), etas)
    assert 500.0 * per_mg(daptomycin, params, asked, rung) == pytest.approx(wanted, rel=1e-6)


def test_oral_peaks_and_iov_are_those_of_the_engine() -> None:
    model = Prior.of(read_model("tacrolimus_woillard_2011")).model
    covariates = {"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0, "OCC": 1.0}
    etas, rung = Prior(model=model).etas(4, seed=1), Rung(amount=1.0, every_h=12.0)
    params = parameters(model, {n: np.full(4, v) for n, v in covariates.items()}, etas)
    option = Option(kind=OptionKind.OFFERED, dose_mg=3.0, every_h=12.0, duration_h=0.0, route=Route.ORAL)
    for name, rtol in (("AUC0-12", 1e-9), ("C0", 1e-6), ("Cmax0-12", 1e-6)):
        asked = Metric.parse(name)
        wanted = exposures(model, option.regimen, asked, Covariates.constant(covariates), etas)
        assert 3.0 * per_mg(model, params, asked, rung) == pytest.approx(wanted, rel=rtol)


def test_a_coding_whose_patients_cannot_exist_is_refused(daptomycin: DrugModel) -> None:
    coded = read_model("daptomycin_dvorchik_2004@woillard_code")
    light = {"WT": 48.0, "CRCL": 60.0, "TEMP": 38.0, "SEX": 0.0, "INFECTED": 1.0}
    with pytest.raises(OutOfDomain, match="volume"):
        chances(coded, light, joint(), weight_ladder(6.0), draws=2000)
    virtual = training_patients(coded, joint(), weight_ladder(6.0), n=400, courses=1)
    assert virtual.left_out > 0 and len(virtual) + virtual.left_out == 400
    assert np.isfinite(virtual.unit.columns[("AUC0-24", 24.0, 0.5)]).all()


# --- doses and caps -------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    amounts=st.lists(st.floats(0.1, 5000), min_size=1, max_size=6),
    weight=st.floats(0.5, 250),
    most=st.floats(1, 4000),
    daily=st.floats(1, 6000),
    rate=st.floats(0.5, 2000),
    per_kg=st.booleans(),
)
def test_no_dose_is_negative_or_above_a_cap(
    amounts: list[float], weight: float, most: float, daily: float, rate: float, per_kg: bool
) -> None:
    rungs = tuple(Rung(amount=a, every_h=8.0, duration_h=2.0) for a in amounts)
    ladder = Ladder(rungs=rungs, route=Route.IV, per_kg=per_kg, caps=(Caps(dose_mg=most), Caps(daily_mg=daily, rate_mg_h=rate)))
    for option in ladder.all_options({"WT": weight}):
        if option is not None:
            assert 0 < option.dose_mg <= most * (1 + 1e-8) and option.daily_mg <= daily * (1 + 1e-8)
            assert option.dose_mg / 2.0 <= rate * (1 + 1e-8)


def test_no_method_chooses_above_a_cap(simple: DrugModel) -> None:
    capped = replace(LADDER, caps=(Caps(dose_mg=700.0),))
    found = chances(simple, {"WT": 110.0}, RANGE, capped, draws=500)
    assert [c is None for c in found] == [rung.amount > 700 for rung in RUNGS]
    assert RUNGS[best_rung(found)].amount <= 700
    virtual = training_patients(simple, RANGE, capped, n=300, courses=2)
    heavy = {"WT": np.asarray([110.0])}
    for chooser in (EventClassifier.fit(virtual), ExposureRegressor.fit(virtual), DirectDose.fit(virtual), DoseTree.fit(virtual)):
        assert RUNGS[int(chosen(chooser, heavy, capped.doses_mg(heavy))[0])].amount <= 700
    with pytest.raises(CaseError, match="above a cap"):
        chances(simple, {"WT": 70.0}, RANGE, replace(LADDER, caps=(Caps(dose_mg=10.0),)), draws=500)


def test_the_dosing_table_of_a_model_is_a_ladder_with_its_caps() -> None:
    dosing = read_model("vancomycin_goti_2018").dosing
    assert dosing is not None
    ladder = ladder_of(dosing)
    assert ladder.caps == (Caps(dose_mg=2000.0, daily_mg=4500.0, rate_mg_h=1000.0),)
    assert len(ladder.options({})) == len(ladder.rungs)  # infusions are long enough for the rate
    daily = [24 * rung.amount / rung.every_h for rung in ladder.rungs]
    assert daily == sorted(daily) and daily[-1] <= 4500


@pytest.mark.parametrize(("low", "high"), [(600.0, 400.0), (0.0, math.inf), (-1.0, 3.0)], ids=["upside down", "no end", "negative"])
def test_a_goal_that_is_no_range_is_refused(low: float, high: float) -> None:
    with pytest.raises(CaseError, match="not a range"):
        Goal(metric=AUC, low=low, high=high)


def test_a_target_divided_by_an_unknown_mic_is_refused() -> None:
    with pytest.raises(CaseError, match="mic"):
        JointTarget(goals=(Goal(metric=AUC, low=400.0, high=math.inf, per_mic=True),))


def test_training_patients_may_be_a_plans_who_hang_together(daptomycin: DrugModel) -> None:
    """Weight and creatinine clearance of a copula of adults rise together; those of the source population are drawn apart."""
    covariates = {
        "copula": {"name": "nhanes_adults", "where": "WT <= 153 and WT >= 48"},
        "SCR": {"kind": "lognormal", "median": 0.9, "cv": 0.3},
        "CRCL": {"expr": "min(max((140 - AGE) * WT / (72 * SCR) * (0.85 if SEX == 1 else 1), 14), 150)"},
    }
    content = {
        "schema": 1, "name": "adults", "title": "Adults", "models": ["daptomycin_dvorchik_2004"], "seed": 1, "profiles": 40,
        "noise": "none", "split": {"train": 20, "calibration": 10, "test": 10}, "target": {"metric": "AUC0-24", "scale": "dose_rate"},
        "covariates": covariates, "regimen": {
            "history": "steady", "dose": {"kind": "constant", "value": 500}, "infusion_h": 0.5,
            "every_h": {"kind": "choice", "values": [24]},
        },
    }  # fmt: skip
    people = read_plan("adults.toml", text=toml_text(content)).people
    apart = training_patients(daptomycin, joint(), weight_ladder(6.0), n=400, courses=1)
    together = training_patients(daptomycin, joint(), weight_ladder(6.0), n=400, courses=1, people=people)
    ranks = [spearmanr(v.covariates["WT"], v.covariates["CRCL"]).statistic for v in (apart, together)]
    assert abs(ranks[0]) < 0.15 and ranks[1] > 0.25
    assert set(together.covariates) <= set(daptomycin.covariates)
    with pytest.raises(OutOfDomain, match="needs"):
        training_patients(read_model("vancomycin_goti_2018"), joint(), weight_ladder(6.0), n=400, courses=1, people=people)


# --- learners -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def virtual(daptomycin: DrugModel) -> Virtual:
    return training_patients(daptomycin, joint(), weight_ladder(*np.arange(4.0, 12.5, 1.0)), n=1500, courses=16, seed=1)


@pytest.fixture(scope="module")
def judged(daptomycin: DrugModel, virtual: Virtual) -> tuple[dict[str, Any], Any]:
    """Fresh patients and P(target) of every rung for each, integrated over eta."""
    covariates = draw_covariates(population_of(daptomycin), 150, seed=7)
    return covariates, chance_table(daptomycin, covariates, virtual.target, virtual.ladder, Prior.of(daptomycin).etas(1000, seed=8))


def lost(table: Any, rungs: Any) -> float:
    best = table.max(axis=1)
    return regret_scores(table[np.arange(len(table)), rungs], best)["regret"].value


def test_in_the_model_that_made_them_integration_and_learners_give_away_at_most_two_per_cent(
    daptomycin: DrugModel, virtual: Virtual, judged: tuple[dict[str, Any], Any]
) -> None:
    covariates, table = judged
    doses = virtual.ladder.doses_mg(covariates)
    own = chance_table(daptomycin, covariates, virtual.target, virtual.ladder, Prior.of(daptomycin).etas(1000, seed=9))
    assert lost(table, np.argmax(own, axis=1)) < 0.01
    for fit in (EventClassifier.fit, ExposureRegressor.fit):
        assert lost(table, chosen(fit(virtual), covariates, doses)) < 0.02
    assert lost(table, chosen(DirectDose.fit(virtual), covariates, doses)) < 0.05
    tree, fixed = lost(table, chosen(DoseTree.fit(virtual), covariates, doses)), lost(table, np.full(150, 2))
    assert tree < 0.12 < fixed  # 6 mg/kg for everybody loses more than a tree of eight leaves


def test_learned_probabilities_are_close_to_those_of_the_integral(virtual: Virtual, judged: tuple[dict[str, Any], Any]) -> None:
    covariates, table = judged
    for fit in (EventClassifier.fit, ExposureRegressor.fit):
        found = fit(virtual).scores(covariates, virtual.ladder.doses_mg(covariates))
        assert np.abs(found - table).mean() < 0.05
        assert np.all((found >= 0) & (found <= 1))


def test_the_oracle_gives_each_virtual_patient_a_dose_that_serves_it_where_there_is_one(virtual: Virtual) -> None:
    served = virtual.success[np.arange(len(virtual)), oracle_rungs(virtual)]
    assert np.array_equal(served, virtual.success.max(axis=1))


def test_the_tree_is_a_table_whose_lines_choose_what_the_tree_chooses(virtual: Virtual) -> None:
    tree = DoseTree.fit(virtual)
    leaves = tree.leaves()
    assert 2 <= len(leaves) <= 8 and sum(leaf.patients for leaf in leaves) == len(virtual)
    picks = chosen(tree, virtual.covariates, virtual.doses_mg)
    for i in range(0, len(virtual), 97):
        values = {name: float(v[i]) for name, v in virtual.covariates.items()}
        fitting = [leaf for leaf in leaves if all(_holds(condition, values) for condition in leaf.conditions)]
        assert len(fitting) == 1 and fitting[0].rung == picks[i]


def _holds(condition: str, values: Mapping[str, float]) -> bool:
    name, sign, bound = condition.split()
    return values[name] <= float(bound) if sign == "<=" else values[name] > float(bound)


def test_the_same_seed_trains_the_same_learner(virtual: Virtual, judged: tuple[dict[str, Any], Any]) -> None:
    covariates, _ = judged
    doses = virtual.ladder.doses_mg(covariates)
    one, other = (ExposureRegressor.fit(virtual).scores(covariates, doses) for _ in range(2))
    assert np.array_equal(one, other)


def test_learners_refuse_a_model_whose_exposure_is_not_proportional_to_the_dose() -> None:
    model = read_model("phenytoin_yukawa_1990")
    with pytest.raises(OutOfDomain, match="proportional"):
        simulate_patients(model, RANGE, LADDER, covariates={"WT": np.full(3, 60.0)}, seed=1)


# --- nomograms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_nomograms())
def test_every_nomogram_says_where_it_is_from_and_for_whom(name: str) -> None:
    rule = read_nomogram(name)
    assert name.startswith(f"{rule.drug}_") and len(rule.source) > 20
    assert rule.verified != ("NOT VERIFIED" in rule.source)


@pytest.mark.parametrize(
    ("age", "mg_per_kg"), [(24.0, 20), (27.9, 20), (28.0, 25), (32.1, 25), (32.2, 30), (34.0, 30), (34.1, 35), (45.0, 35)]
)
def test_neonatal_bands_of_the_continuous_infusion(age: float, mg_per_kg: float) -> None:
    model = read_model("vancomycin_jacqzaigrain_2019")  # creatinine in mg/dL: 0.6 is 53 umol/L
    given = {"WT": 2.0, "PMA": age, "SCR": 0.6, "SCR_ASSAY": 0.0}
    ladder = read_nomogram("vancomycin_neonates_continuous").ladder(model, given)
    assert ladder.rungs[0] == Rung(amount=2.0 * mg_per_kg, every_h=24.0, duration_h=24.0)


def test_a_nomogram_abstains_outside_its_limits_and_keeps_every_cap() -> None:
    goti, neonatal = read_model("vancomycin_goti_2018"), read_model("vancomycin_jacqzaigrain_2019")
    adults = read_nomogram("vancomycin_adults_weight")
    heavy = {"WT": 180.0, "CRCL": 100.0, "DIAL": 0.0}
    assert adults.ladder(goti, heavy).rungs[0].amount == 2000
    assert adults.ladder(goti, heavy, [Caps(dose_mg=1500.0)]).rungs[0].amount == 1500
    assert adults.ladder(goti, heavy, [Caps(dose_mg=1500.0, daily_mg=2000.0)]).rungs[0].amount == 1000
    stretched = adults.ladder(goti, heavy, [Caps(rate_mg_h=900.0)]).rungs[0]
    assert (stretched.amount, stretched.duration_h) == (2000, 2.25)
    assert adults.ladder(goti, heavy, [Caps(dose_mg=5.0, per_kg=True)]).rungs[0].amount == 900
    with pytest.raises(OutOfDomain, match="CRCL is outside"):
        adults.ladder(goti, {**heavy, "CRCL": 20.0})
    with pytest.raises(OutOfDomain, match="does not use"):
        adults.ladder(neonatal, {"WT": 2.0, "PMA": 30.0, "SCR": 0.6, "SCR_ASSAY": 0.0})


def test_renal_function_lengthens_the_interval_of_daptomycin() -> None:
    rule = read_nomogram("daptomycin_label_bacteraemia")
    amounts, every = rule.doses({"WT": np.asarray([80.0, 80.0]), "CRCL": np.asarray([29.9, 30.0])})
    assert amounts.tolist() == [480.0, 480.0] and every.tolist() == [48.0, 24.0]


def test_a_nomogram_that_hides_its_doubt_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rule.toml"
    text = (Path(__file__).parents[2] / "src/auctor/dosing/nomograms/vancomycin_adults_weight.toml").read_text()
    path.write_text(text.replace("verified = false", "verified = true"))
    with pytest.raises(ModelError, match="verified"):
        read_nomogram(path)


# --- side by side ---------------------------------------------------------------------------------------------------------


PATIENT = {"WT": 80.0, "CRCL": 60.0, "TEMP": 38.0, "SEX": 0.0, "INFECTED": 1.0}


@pytest.fixture(scope="module")
def asked(daptomycin: DrugModel) -> Question:
    ladder = weight_ladder(*np.arange(4.0, 12.5, 1.0))
    return Question(model=daptomycin, covariates=PATIENT, target=joint(), ladder=ladder, draws=1000, patients=600)


def test_every_method_stands_beside_the_others_judged_by_one_probability(asked: Question) -> None:
    found = first_dose(asked)
    methods = [p.method for p in found.proposals]
    assert methods[0] == "popPK integration over the prior" and len(methods) == 2 + 4 + 4
    assert all(p.option is not None and p.chance is not None and p.chance.error > 0 for p in found.proposals)
    top = max(c.inside for _, c in found.rungs)
    first = found.proposals[0].chance
    assert first is not None and first.inside > top - 0.02
    assert all("NOT VERIFIED" in p.source for p in found.proposals if p.method.startswith("nomogram"))
    assert found.leaves and found.reasons


def test_outside_the_source_population_the_model_and_its_learners_abstain(asked: Question) -> None:
    found = first_dose(replace(asked, covariates={**PATIENT, "WT": 40.0}))
    assert [p.option is None for p in found.proposals[:2]] == [True, True]
    assert "outside the population" in found.proposals[0].abstained and not found.rungs
    assert all(p.chance is None for p in found.proposals)  # a rule still gives its dose, unjudged
    with pytest.raises(OutOfDomain, match="outside the population"):
        first_dose(replace(asked, covariates={**PATIENT, "WT": 40.0}, nomograms=()))


def test_a_missing_covariate_is_asked_for(asked: Question) -> None:
    with pytest.raises(CaseError, match="CRCL"):
        first_dose(replace(asked, covariates={n: v for n, v in PATIENT.items() if n != "CRCL"}))


# --- regret ---------------------------------------------------------------------------------------------------------------


def test_regret_is_what_the_chosen_dose_gives_away() -> None:
    table = np.asarray([[0.2, 0.6], [0.5, 0.4], [0.3, 0.3]])
    found = regret_scores(table[:, 1], table.max(axis=1))
    assert found["regret"].value == pytest.approx(0.1 / 3) and found["regret"].low >= 0
    assert found["P(target)"].value == pytest.approx(1.3 / 3)


def test_the_area_under_the_roc_curve_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    event, predicted = rng.integers(0, 2, 200).astype(float), np.round(rng.normal(size=200), 1)
    assert roc_auc(event, predicted) == pytest.approx(roc_auc_score(event, predicted), abs=1e-12)


# --- the command ----------------------------------------------------------------------------------------------------------


EXAMPLE = Path(__file__).parents[2] / "examples/first_dose/daptomycin.toml"
OPTIONS = ["--model", "vancomycin_goti_2018", "--covariate", "WT=82kg", "--covariate", "DIAL=no", "--draws", "400", "--no-learners"]


def _json(*words: str) -> tuple[int, Any]:
    found = CliRunner().invoke(app, ["first-dose", *words, "--json"])
    return found.exit_code, json.loads(found.stdout)


def test_the_example_answers_with_every_method() -> None:
    code, found = _json(str(EXAMPLE), "--draws", "500", "--no-learners")
    assert code == 0 and found["target"] == "AUC0-24/MIC above 666 and C0 below 24.3"
    assert found["proposals"][0]["probability"] > found["proposals"][2]["probability"]
    assert len(found["doses"]) == 17 and found["mic_mg_L"] == {"1.0": 1.0}


def test_a_drug_and_options_answer_within_the_dosing_table() -> None:
    code, found = _json("vancomycin", *OPTIONS, "--covariate", "CRCL=65 mL/min")
    assert code == 0 and found["target"] == "AUC0-24 400 to 600"
    assert all(d["dose_mg"] <= 2000 and 24 * d["dose_mg"] / d["every_h"] <= 4500 for d in found["doses"])


def test_doses_that_are_typed_stay_under_the_caps_of_the_drug() -> None:
    words = ("--doses", "1000-4000 mg", "--step", "500 mg", "--every", "12h", "--infusion", "2h", "--covariate", "CRCL=65 mL/min")
    _, found = _json("vancomycin", *OPTIONS, *words)
    assert [d["dose_mg"] for d in found["doses"]] == [1000, 1500, 2000]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((*OPTIONS,), 2, "CRCL"),
        ((*OPTIONS, "--covariate", "CRCL=900 mL/min"), 0, ""),
        ((*OPTIONS, "--covariate", "CRCL=65 mL/min", "--target", "AUC0-24"), 2, "not a target"),
        ((*OPTIONS, "--covariate", "CRCL=65 mL/min", "--target", "AUC0-24/MIC:>400 h"), 2, "MIC"),
        ((*OPTIONS, "--covariate", "CRCL=65 mL/min", "--doses", "1-2 mg"), 2, "step"),
        (("--covariate", "WT=80kg"), 2, "models of vancomycin"),
    ],
    ids=["covariate missing", "outside the domain", "target", "no MIC", "no step", "which model"],
)
def test_what_cannot_be_answered_is_refused_with_its_reason(words: tuple[str, ...], code: int, says: str) -> None:
    found_code, found = _json("vancomycin", *words)
    assert found_code == code
    if code:
        assert says in json.dumps(found["error"])
    else:
        assert found["proposals"][0]["abstained"] and not found["doses"]


def test_a_case_with_levels_is_sent_to_analyse() -> None:
    code, found = _json(str(EXAMPLE.parents[1] / "vancomycin_two_levels.toml"))
    assert code == 2 and "analyse" in found["error"]["remedy"]


def test_where_nothing_can_answer_the_command_abstains() -> None:
    words = [w for name, value in {"WT": 0.2, "PMA": 30, "SCR": 60}.items() for w in ("--covariate", f"{name}={value} {_UNIT[name]}")]
    code, found = _json("vancomycin", "--model", "vancomycin_dao_2020", *words, *_NEONATE)
    assert code == 4 and "outside the population" in found["error"]["what"]


_UNIT = {"WT": "kg", "PMA": "week", "SCR": "umol/L"}
_NEONATE = ("--doses", "20-40 mg/kg", "--step", "5 mg/kg", "--every", "24h", "--infusion", "24h", "--no-learners")
