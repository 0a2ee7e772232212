"""`auctor models show --patient`: a reader with a calculator gets the numbers that are printed, for every model of the library."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.cli import app
from auctor.models.checks import read_checks
from auctor.models.expressions import parse
from auctor.models.hand import Step, exposure_steps, parameter_steps
from auctor.models.reader import list_models, read_model
from auctor.pk.exposure import curves


def calculator(step: Step) -> float:
    """The right-hand side as typed into a calculator that knows nothing of the model."""
    return float(parse(step.numbers.replace("×", "*").replace("^", "**"), where=step.name).evaluate({}, math))


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["models", "show", *words])


@pytest.mark.parametrize("name", list_models())
def test_every_line_gives_what_it_says_and_what_the_file_expects(name: str) -> None:
    model = read_model(name)
    for check in read_checks(model):
        steps = (*parameter_steps(model, check.patient), *exposure_steps(model, check.patient, check.dose))
        for step in (s for s in steps if s.numbers):
            assert calculator(step) == pytest.approx(step.value, rel=3e-5, abs=1e-12), step.text
        last = {step.name: step.engine[0] if step.engine else step.value for step in steps}  # a formula redefines its parameter
        wanted = {n: v for n, v in check.expect.items() if n in last}
        assert {n: last[n] for n in wanted} == pytest.approx(wanted, rel=max(check.rtol, 1e-9))
        missing = [n for n in check.parameters if n not in last]
        assert all(model.parameters[n].printed == 0 for n in missing)


@pytest.mark.parametrize("name", list_models())
def test_auc_is_that_of_the_check(name: str) -> None:
    model = read_model(name)
    for check in (c for c in read_checks(model) if "AUC_tau" in c.expect and c.dose is not None and c.output is None):
        found = {step.name: step.value for step in exposure_steps(model, check.patient, check.dose)}
        area = found.get(f"AUC over {check.dose.every_h:g} h")  # type: ignore[union-attr]
        assert area is None or area == pytest.approx(check.expect["AUC_tau"], rel=max(check.rtol, 1e-3))


@pytest.mark.parametrize("length", [0.0, 1.5])
@pytest.mark.parametrize("name", ["vancomycin_buelga_2005", "phenobarbital_grasela_1985", "theophylline_yano_1993"])
def test_peak_and_trough_of_one_compartment_are_those_of_the_engine(name: str, length: float) -> None:
    model = read_model(name)
    patient = {n: c.reference for n, c in model.covariates.items()}
    dose = Dose(time_h=0.0, amount_mg=100.0, route=Route.IV, duration_h=length, every_h=12.0, steady_state=True)
    found = {step.name: step.value for step in exposure_steps(model, patient, dose)}
    regimen = Regimen.steady(100.0, every_h=12.0, route=Route.IV, duration_h=length)
    times = np.asarray([length or 1e-9, 12.0 - 1e-9])  # just after a bolus, just before the next dose
    peak, trough = curves(model, regimen, times, Covariates.constant(patient), np.zeros((1, len(model.eta_names))))[0] * model.scale
    assert (found["peak"], found["trough"]) == pytest.approx((peak, trough), rel=1e-7)


def test_the_lines_of_the_brief() -> None:
    shown = run("vancomycin_goti_2018", "--patient", "WT=79,CRCL=90", "--dose", "1000", "--every", "12").stdout
    assert "CL = 4.5 × (CRCL / 120)^0.8 × 0.7^DIAL = 4.5 × (90 / 120)^0.8 × 0.7^0 = 3.5749 L/h" in shown
    assert "AUC over 12 h = F × dose / CL = 1000 / 3.57488 = 279.73 mg*h/L" in shown
    assert "CRCL = 90 mL/min" in shown and "1000 mg iv every 12 h, at steady state" in shown
    assert "DIAL = no (code 0), the model's reference: not given" in shown
    assert "Open question:" in shown


def test_units_are_converted_and_bare_numbers_are_in_the_models_unit() -> None:
    words = ("--dose", "1 g", "--every", "12h", "--json")
    bare, said = (
        json.loads(run("vancomycin_goti_2018", "--patient", p, *words).stdout) for p in ("WT=79,CRCL=90", "WT=79000 g,CRCL=5.4 L/h")
    )
    assert bare["patient"] == pytest.approx(said["patient"])
    assert [row["name"] for row in bare["exposure"]] == [row["name"] for row in said["exposure"]]
    assert bare["not_given"] == ["DIAL"]


def test_a_dose_per_kg_is_multiplied_by_the_weight() -> None:
    answer = json.loads(run("vancomycin_goti_2018", "--patient", "WT=50", "--dose", "20 mg/kg", "--every", "12", "--json").stdout)
    area = next(row for row in answer["exposure"] if row["name"] == "AUC over 12 h")
    assert area["numbers"] == "1000 / 4.5"


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--patient", "WT=79,WT=80"), "--patient"),
        (("--patient", "WEIGHT=79"), "--covariate WEIGHT"),
        (("--patient", "WT=70", "--dose", "0"), "--dose"),
        (("--patient", "DIAL=maybe"), "covariates.DIAL"),
    ],
)
def test_what_cannot_be_used_is_refused_where_it_stands(words: tuple[str, ...], where: str) -> None:
    refused = run("vancomycin_goti_2018", *words, "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stdout)["error"]["where"] == where


def test_outside_the_domain_is_a_warning() -> None:
    answer = json.loads(run("vancomycin_goti_2018", "--patient", "WT=12", "--json").stdout)
    assert [n["code"] for n in answer["notices"]] == ["outside-domain"]
