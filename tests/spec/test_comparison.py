"""A drug's models side by side: who applies, weights that are those of averaging, refusals that stay listed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.analysis.comparison import Comparison, compare
from auctor.analysis.typical_patient import FOLDER, typical_patient, typical_patients
from auctor.case import Case, Covariates, Regimen, Route, Sample
from auctor.cli import app
from auctor.data.casefile import for_each
from auctor.data.document import check_document
from auctor.errors import AuctorError, CaseError, EstimationError
from auctor.estimate.averaging import average_estimate, joined
from auctor.estimate.patient import posterior_estimate
from auctor.models.checks import at_eta_zero
from auctor.models.model import DrugModel
from auctor.models.reader import list_models, read_model
from auctor.pk.direct import readings
from auctor.pk.exposure import curves
from auctor.pk.timeline import build

CASE = {
    "schema": 1,
    "label": "A",
    "drug": "phenobarbital",
    "doses": [{"amount": "20 mg", "route": "iv", "bolus": True, "time_h": 0}],
    "current": {"amount": "3.5 mg", "every": "12 h", "route": "iv", "bolus": True},
    "samples": [{"value": "17 mg/L", "time_h": 2.0, "matrix": "serum"}, {"value": "31 mg/L", "time_h": 112.5, "matrix": "serum"}],
    "covariates": {"WT": "1.4 kg", "APGR": "7 1"},
}


def models_of(drug: str) -> list[DrugModel]:
    return [model for model in map(read_model, list_models()) if model.drug == drug]


def found_for(drug: str, document: dict[str, Any], **options: Any) -> Comparison:
    models = models_of(drug)
    return compare(models, for_each(check_document(document), models), n_draws=500, **options)


def case(model: DrugModel, **covariates: float) -> Case:
    samples = (Sample(time_h=11.5, value=14.0), Sample(time_h=26.0, value=30.0))
    doses = Regimen(doses=tuple(d for d in Regimen.steady(1000, every_h=12, route=Route.IV, duration_h=1, horizon_h=36).doses))
    return Case(label="A", drug=model.drug, history=doses, current=doses, samples=samples, covariates=Covariates.constant(covariates))


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["models", "compare", *words])


# --- numbers ------------------------------------------------------------------------------------------------------------


def test_weights_and_exposures_are_those_of_averaging_over_the_same_case() -> None:
    document = check_document(CASE)
    models = models_of("phenobarbital")
    read = for_each(document, models)
    one = read[models[0].name]
    assert isinstance(one, Case)
    found = compare(models, read, n_draws=500)
    oracle = average_estimate(models, one, 500, 0)
    assert [row.weight for row in found.rows] == pytest.approx(oracle.weights.tolist(), rel=1e-9)
    assert [row.log_marginal for row in found.rows] == pytest.approx(oracle.log_marginals.tolist(), rel=1e-9)
    assert found.average is not None
    assert found.average.auc.point == pytest.approx(oracle.exposure(found.regimen, found.auc).point, rel=1e-9)
    assert sum(row.weight or 0 for row in found.rows) == pytest.approx(1)


def test_before_samples_the_point_is_f_dose_over_cl_and_the_models_weigh_alike() -> None:
    models = models_of("vancomycin")
    patient = typical_patient("vancomycin")
    cases = patient.cases(models)
    found = compare(models, cases, n_draws=200)
    assert not found.sampled
    for row in found.rows:
        one = cases[row.model.name]
        assert isinstance(one, Case) and row.prior is not None
        clearance = at_eta_zero(row.model, one.covariates.at(0.0))["CL"]
        assert row.prior.auc.point == pytest.approx(2000 / clearance, rel=1e-9)
    part = [row for row in found.rows if row.weight is not None]
    assert [row.weight for row in part] == pytest.approx([1 / len(part)] * len(part))
    assert found.average is not None and found.average.auc.point == pytest.approx(np.mean([r.prior.auc.point for r in part if r.prior]))


def test_estimates_of_other_samples_are_not_joined() -> None:
    model = read_model("vancomycin_thomson_2009")
    whole = case(model, CRCL=80.0, WT=75.0)
    one = posterior_estimate(model, whole, 100)
    assert joined([one, one]).weights.tolist() == [0.5, 0.5]
    fewer = posterior_estimate(model, replace(whole, samples=whole.samples[:1]), 100)
    with pytest.raises(EstimationError, match="not the same samples"):
        joined([one, fewer])


# --- who applies --------------------------------------------------------------------------------------------------------


def test_newborn_models_do_not_apply_to_an_adult_nor_adult_models_to_a_newborn() -> None:
    models = models_of("vancomycin")
    applied = {}
    for word in ("", "neonate"):
        found = compare(models, typical_patient("vancomycin", word).cases(models), n_draws=100)
        applied[word] = {row.model.name.removeprefix("vancomycin_") for row in found.rows if row.applicable}
        assert {row.model.name.removeprefix("vancomycin_") for row in found.rows if row.weight} == applied[word]
    assert {"goti_2018", "thomson_2009", "buelga_2005"} <= applied[""]
    assert {"frymoyer_2014", "dao_2020", "grimsley_1999", "jacqzaigrain_2019"} <= applied["neonate"]
    assert applied[""] & applied["neonate"] == set()


def test_the_state_of_every_covariate() -> None:
    models = models_of("vancomycin")
    found = compare(models, typical_patient("vancomycin").cases(models), n_draws=100)
    states = {row.model.name: {f.name: f.state for f in row.fits} for row in found.rows}
    assert states["vancomycin_goti_2018"] == {"CRCL": "inside", "WT": "inside", "DIAL": "inside"}
    assert states["vancomycin_adane_2015"]["WT"] == "outside"
    assert states["vancomycin_capparelli_2001"] == {"WT": "far", "SCR": "unlimited", "PNA": "missing", "GA": "missing"}


def test_the_average_takes_models_out_of_their_domain_only_when_asked() -> None:
    document = {**CASE, "covariates": {"WT": "9 kg", "APGR": "7 1"}}
    alone, asked = (found_for("phenobarbital", document, every_model=every) for every in (False, True))
    assert alone.average is None and all(row.weight is None and row.posterior is not None for row in alone.rows)
    assert asked.average is not None and sum(row.weight or 0 for row in asked.rows) == pytest.approx(1)


def test_a_model_that_cannot_take_the_case_stays_with_the_reason() -> None:
    document = {
        **{"schema": 1, "label": "A", "drug": "gentamicin", "covariates": {"WT": "70 kg", "CRCL": "80 mL/min"}},
        "doses": [{"amount": "240 mg", "route": "iv", "bolus": True, "time_h": 0, "every": "24 h", "steady_state": True}],
        "current": {"amount": "240 mg", "every": "24 h", "route": "iv", "bolus": True},
    }
    models = models_of("gentamicin")
    read: dict[str, Case | AuctorError] = dict(for_each(check_document(document), models))
    read["gentamicin_fuchs_2014"] = CaseError(where="here", what="no", remedy="none")
    found = compare(models, read, n_draws=100)
    assert next(row.refused for row in found.rows) == "here: no"
    assert len(found.rows) == 3
    with pytest.raises(CaseError, match="here"):
        compare(models, dict.fromkeys((m.name for m in models), read["gentamicin_fuchs_2014"]), n_draws=100)


def test_a_covariate_of_another_model_is_no_refusal_and_an_unknown_one_is() -> None:
    models = models_of("tacrolimus")
    doses = [{"amount": "3 mg", "route": "oral", "time_h": 0, "every": "12 h", "steady_state": True}]
    document = {"schema": 1, "label": "A", "drug": "tacrolimus", "doses": doses, "covariates": {"LBW": "59 kg", "HCT": "33 %"}}
    assert all(isinstance(one, Case) for one in for_each(check_document(document), models).values())
    unknown = {**document, "covariates": {"SHOE": "43 1"}}
    assert all(isinstance(one, CaseError) for one in for_each(check_document(unknown), models).values())


def test_no_finite_answer_is_a_refusal() -> None:
    document = {
        **{"schema": 1, "label": "A", "drug": "mycophenolate"},
        "doses": [{"amount": "1000 mg", "route": "oral", "time_h": 0, "every": "12 h", "steady_state": True}],
        "covariates": {"CRCL": "48 mL/min", "ALB": "30 g/L", "SEX": "male", "CSADOSE": "0 mg/d"},
    }
    found = found_for("mycophenolate", document, compiled=False)
    refused = {row.model.name: row.refused for row in found.rows}["mycophenolate_vanhest_2005"]
    assert refused.endswith("the equations could not be solved for 100 % of the parameter sets")


def test_written_out_models_take_the_doses_they_have_a_place_for() -> None:
    models = [m for m in models_of("busulfan") if m.system is not None]
    read = typical_patient("busulfan").cases(models)
    assert [type(one) for one in read.values()] == [Case, Case]
    oral = typical_patient("busulfan").document.model_copy(update={"current": None})
    doses = [d.model_copy(update={"route": "oral", "duration": None}) for d in oral.doses]
    refused = for_each(oral.model_copy(update={"doses": doses}), models)
    assert all(isinstance(one, CaseError) and one.where == "doses[0].route" for one in refused.values())


# --- typical patients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_a_typical_patient_says_why_and_can_be_read_by_a_model_of_the_drug(path: Path) -> None:
    drug, _, word = path.stem.partition("_")
    patient = typical_patient(drug, word)
    assert patient.document.drug == drug and patient.title and len(patient.why) > 40
    assert not patient.document.samples and patient.document.current is not None
    read = patient.cases(models_of(drug))
    taken = [one for one in read.values() if isinstance(one, Case)]
    assert taken
    assert [n for one in taken for n in one.notices if n.code == "implausible"] == []


def test_every_drug_with_several_models_has_one() -> None:
    drugs = [read_model(name).drug for name in list_models()]
    assert [drug for drug in set(drugs) if drugs.count(drug) > 1 and not typical_patients(drug)] == []


# --- the engine under them ----------------------------------------------------------------------------------------------


def test_a_model_without_etas_has_a_curve() -> None:
    model = read_model("iohexol_asberg_2020")
    regimen = Regimen.steady(100.0, every_h=24, route=Route.IV)
    values = curves(model, regimen, np.asarray([1.0, 2.0]), Covariates.constant({"WT": 85.0}), np.zeros((3, 0)))
    assert values.shape == (3, 2) and (values[:, 0] > values[:, 1]).all()


def test_transit_absorption_of_many_draws_is_that_of_each() -> None:
    model = read_model("rifampicin_wilkins_2008")
    timeline = build(
        model, Regimen.steady(600.0, every_h=24, route=Route.ORAL), Covariates.constant({"FORM": 0.0}), np.asarray([2.0, 12.0])
    )
    etas = 0.3 * np.random.default_rng(0).standard_normal((3, len(model.eta_names)))
    together = readings(model, timeline, etas)[0]
    alone = np.concatenate([readings(model, timeline, etas[k : k + 1])[0] for k in range(3)])
    assert together == pytest.approx(alone, rel=1e-12)


# --- the command --------------------------------------------------------------------------------------------------------


def test_the_command_lists_every_model_of_the_typical_patient() -> None:
    answer = json.loads(run("ganciclovir", "--draws", "200", "--json").stdout)
    assert [row["name"] for row in answer["models"]] == [m.name for m in models_of("ganciclovir")]
    assert answer["target"]["metric"] == "AUC0-24" and answer["units"] == {"auc": "mg*h/L", "trough": "mg/L"}
    assert {c["state"] for row in answer["models"] for c in row["covariates"]} <= set(answer["states"])
    table = run("ganciclovir", "--draws", "200").stdout
    assert "perrottet_2009" in table and "EGFR far" in table and "average" in table


def test_the_command_with_a_case_weighs_the_models(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(CASE))
    once, again = (run("phenobarbital", "--case", str(path), "--draws", "300", "--json").stdout for _ in range(2))
    assert once == again
    answer = json.loads(once)
    assert answer["sampled"] and sum(row["weight"] for row in answer["models"]) == pytest.approx(1)
    low, high = answer["models"][0]["posterior"]["auc"]["interval90"]
    assert low < answer["models"][0]["mode"]["auc"]["point"] < high
    shown = run("phenobarbital", "--case", str(path), "--draws", "300").stdout
    assert "(MAP" in shown and "weight" in shown


@pytest.mark.parametrize(
    ("words", "where"),
    [(("nosuchdrug",), "drug"), (("amikacin",), "--case"), (("vancomycin", "--patient", "giant"), "--patient")],
)
def test_what_cannot_be_compared_is_refused(words: tuple[str, ...], where: str) -> None:
    refused = run(*words, "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["error"]["where"] == where
