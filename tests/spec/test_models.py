"""What a model file may say, what is refused, and that the library's numbers can be redone by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from auctor.case import Covariates
from auctor.errors import CaseError, ModelError
from auctor.models.distributions import refuse_out_of_range
from auctor.models.domain import domain_notices, encode
from auctor.models.equations import course_equations, parameter_equations
from auctor.models.expressions import parse
from auctor.models.mechanism import mechanism
from auctor.models.model import DrugModel
from auctor.models.reader import library_path, list_models, read_model
from auctor.models.show import as_dict, describe
from auctor.models.variability import lognormal_cv
from auctor.pk.checks import run_checks

RECORDS = Path(__file__).parents[3] / "shared" / "models"
PAGE = Path(__file__).parents[2] / "docs" / "model-file.md"

SMALL = """
schema = 1
drug = "examplin"
status = "draft"
population = "12 adults"
molar_mass = 500.0
reference = { cite = "Nobody 2020" }
units = { time = "h", dose = "mg", concentration = "ug/L" }
variability = { distribution = "lognormal", printed_as = "cv" }

[structure]
absorption = { kind = "first_order", rate = "KA", lag = "TLAG" }
disposition = { kind = "two_compartment", CL = "CL", V = "V1", Q = "Q", V2 = "V2" }
bioavailability = "F1"

[covariates]
WT = { unit = "kg", reference = 70, low = 40, high = 120 }
SEX = { levels = { male = 0, female = 1 }, reference = "male" }

[parameters]
CL = { value = 100, unit = "mL/min", iiv = 0.3, source = "T1" }
V1 = { value = 0.5, unit = "L/kg", iiv = 0.2, source = "T1" }
Q = { value = 3, unit = "L/h", source = "T1" }
V2 = { value = 20000, unit = "mL", source = "T1" }
KA = { value = 0.02, unit = "1/min", iiv = 0.04, printed_as = "variance", source = "T1" }
TLAG = { value = 30, unit = "min", iiv = 6, distribution = "normal", printed_as = "sd", source = "T1" }
F1 = { value = 80, unit = "%", source = "T1" }

[effects]
CL = { expr = "(WT / 70) ** 0.75 * sex_cl ** SEX", sex_cl = 0.8, source = "T1" }
V1 = { expr = "WT", source = "T1" }

[correlations]
"CL,V1" = 0.5

[residual]
concentration = { proportional = 0.0144, additive = 25, unit = "ug/L", printed_as = "variance", source = "T1" }

[[targets]]
metric = "AUC0-24"
low = 100
high = 200
unit = "umol*h/L"
source = "T2"

[dosing]
route = "oral"
step = 25
unit = "mg"
intervals_h = [12, 24]
max_dose = 100
max_daily = 200
source = "T3"

[[checks]]
patient = { WT = 70, SEX = "female" }
regimen = { dose = 60, every = 12, route = "oral", steady_state = true }
expect = { CL = 4.8, V1 = 35, AUC_tau = 10000 }
"""


@pytest.fixture
def small(tmp_path: Path) -> DrugModel:
    """The small example model, read from a file of the user's own."""
    return read(tmp_path, SMALL)


def read(folder: Path, text: str) -> DrugModel:
    """Write the text as a user's model file and read it."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return read_model(path)


def test_a_users_own_file_is_converted_to_engine_units(small: DrugModel) -> None:
    values = {name: p.value for name, p in small.parameters.items()}
    assert values == pytest.approx({"CL": 6.0, "V1": 0.5, "Q": 3.0, "V2": 20.0, "KA": 1.2, "TLAG": 0.5, "F1": 0.8}, rel=1e-14)
    assert small.parameters["CL"].printed == 100
    assert small.scale == 1000.0
    assert (small.residual.proportional, small.residual.additive) == pytest.approx((0.12, 0.005))
    assert (small.targets[0].low, small.targets[0].high) == pytest.approx((50.0, 100.0))


def test_printed_variability_becomes_the_sd_of_eta(small: DrugModel) -> None:
    assert small.eta_names == ("CL", "V1", "KA", "TLAG")
    sd = [math.sqrt(math.log(1.09)), math.sqrt(math.log(1.04)), 0.2, 0.1]
    np.testing.assert_allclose(np.sqrt(np.diag(small.omega)), sd, rtol=1e-14)
    assert small.omega[0, 1] == pytest.approx(0.5 * sd[0] * sd[1])
    assert small.omega[1, 0] == small.omega[0, 1]
    assert np.count_nonzero(small.omega) == 6
    assert lognormal_cv(sd[0]) == pytest.approx(0.3)


def test_the_structure_names_its_parameters_and_nonmem_compartments(small: DrugModel) -> None:
    s = small.structure
    assert (s.absorption, s.stages, s.rate, s.lag, s.bioavailability) == ("first_order", 1, "KA", "TLAG", "F1")
    assert (s.clearance, s.central, s.distribution, s.peripheral) == ("CL", "V1", "Q", "V2")
    assert s.cmt == {"depot": 1, "central": 2}
    assert read_model("tacrolimus_woillard_2011").structure.cmt == {"depot": 1, "central": 4}
    assert read_model("vancomycin_goti_2018").structure.cmt == {"central": 1}


def test_individual_parameters_follow_the_scale_of_each_eta(small: DrugModel) -> None:
    covariates = {"WT": np.array([70.0, 35.0]), "SEX": np.array([0.0, 1.0])}
    found = small.individual(covariates, np.array([[0.1, 0.0, 0.0, 0.25], [0.0, -0.2, 0.0, 0.0]]))
    np.testing.assert_allclose(found["CL"], [6 * math.exp(0.1), 6 * 0.5**0.75 * 0.8])
    np.testing.assert_allclose(found["V1"], [35.0, 17.5 * math.exp(-0.2)])
    np.testing.assert_allclose(found["TLAG"], [0.75, 0.5])


def test_a_step_is_every_multiple_up_to_the_cap_and_strengths_stay_as_listed(small: DrugModel) -> None:
    assert small.dosing is not None
    assert small.dosing.strengths_mg == (25.0, 50.0, 75.0, 100.0)
    tacrolimus = read_model("tacrolimus_woillard_2011").dosing
    assert tacrolimus is not None
    assert tacrolimus.strengths_mg == (0.5, 1.0, 5.0)


def test_an_omega_block_replaces_iiv(tmp_path: Path) -> None:
    text = SMALL.replace(', iiv = 0.3, source = "T1"', ', source = "T1"').replace(', iiv = 0.2, source = "T1"', ', source = "T1"')
    block = '[omega]\nnames = ["CL", "V1"]\nblock = [[0.09, 0.03], [0.03, 0.04]]'
    model = read(tmp_path, text.replace('[correlations]\n"CL,V1" = 0.5', block))
    assert model.eta_names == ("CL", "V1", "KA", "TLAG")
    np.testing.assert_allclose(model.omega[:2, :2], [[0.09, 0.03], [0.03, 0.04]], rtol=1e-14)
    assert model.parameters["CL"].omega == pytest.approx(0.3)


def test_a_typical_formula_replaces_the_value(tmp_path: Path) -> None:
    text = SMALL.replace('Q = { value = 3, unit = "L/h", source = "T1" }', 'Q = { unit = "L/h", iiv = 0.1, source = "T1" }')
    model = read(tmp_path, text.replace("[effects]", '[effects]\nQ = { typical = "0.04 * WT + q_sex * SEX", q_sex = 0.5, source = "T1" }'))
    assert model.parameters["Q"].value == pytest.approx(2.8)
    assert model.typical({"WT": 50.0, "SEX": 1.0})["Q"] == pytest.approx(2.5)
    assert "Q = (0.04 × WT + 0.5 × SEX) × exp(eta_Q)" in describe(model)


def test_effects_may_be_a_list_applied_in_order(tmp_path: Path) -> None:
    one = 'CL = { expr = "(WT / 70) ** 0.75 * sex_cl ** SEX", sex_cl = 0.8, source = "T1" }'
    two = 'CL = [{ expr = "(WT / 70) ** 0.75", source = "T1" }, { expr = "sex_cl ** SEX", sex_cl = 0.8, source = "T1" }]'
    patient = {"WT": 50.0, "SEX": 1.0}
    values = [read(tmp_path, text).typical(patient)["CL"] for text in (SMALL, SMALL.replace(one, two))]
    assert values[0] == pytest.approx(values[1], rel=1e-15)


def test_the_hash_is_that_of_the_bytes_and_is_the_identity_of_the_model(tmp_path: Path, small: DrugModel) -> None:
    other = read(tmp_path, SMALL + "\n# a comment\n")
    assert other != small
    assert read(tmp_path, SMALL) == small
    assert len(small.sha256) == 64


def test_an_unused_covariate_is_a_carried_warning(tmp_path: Path) -> None:
    model = read(tmp_path, SMALL.replace("[parameters]", 'AGE = { unit = "y", reference = 40 }\n[parameters]'))
    assert model.warnings == ("covariate AGE is declared and no effect uses it",)
    assert model.warnings[0] in describe(model)


def test_a_plain_eta_is_shown_without_a_cv(tmp_path: Path) -> None:
    eta = 'ETA_CL = { value = 0, unit = "1", iiv = 0.3, distribution = "normal", printed_as = "sd", source = "T1" }'
    model = read(tmp_path, SMALL.replace("[effects]", f"{eta}\n[effects]"))
    assert [p["iiv_cv_percent"] for p in as_dict(model)["parameters"] if p["name"] == "ETA_CL"] == [None]
    assert "ETA_CL" in describe(model)


def test_a_long_note_is_folded_between_words_and_never_at_a_hyphen(tmp_path: Path) -> None:
    note = "off-diagonal " * 30
    page = describe(read(tmp_path, SMALL.replace('status = "draft"', f'status = "draft"\nnotes = ["{note.strip()}"]')))
    assert note.strip() in " ".join(page.split())


def test_a_zero_order_model_without_any_eta_is_read(tmp_path: Path) -> None:
    text = re.sub(r"iiv = [\d.]+, ", "", SMALL).replace('[correlations]\n"CL,V1" = 0.5', "")
    text = text.replace('kind = "first_order", rate = "KA", lag = "TLAG"', 'kind = "zero_order", duration = "TLAG"')
    model = read(tmp_path, text)
    assert model.eta_names == ()
    assert model.omega.shape == (0, 0)
    assert (model.structure.stages, model.structure.duration, model.structure.cmt) == (0, "TLAG", {"central": 1})


MALFORMED: list[tuple[str, str, str, str]] = [
    # what is replaced, by what, the place named, a word of the message
    ("schema = 1", "schema = 2", "mine.toml.schema", "schema 1"),
    ("schema = 1", "", "mine.toml.schema", "schema 1"),
    ('drug = "examplin"', "", "mine.toml.drug", "missing"),
    ('drug = "examplin"', "drug = 3", "mine.toml.drug", "quotes"),
    ('drug = "examplin"', 'drug = "examplin', "mine.toml", "not TOML"),
    ('drug = "examplin"', 'drug = "examplin"\ndrugs = 2', "mine.toml.drugs", "did you mean 'drug'"),
    ('status = "draft"', 'status = "drafft"', "mine.toml.status", "did you mean 'draft'"),
    ("molar_mass = 500.0", "molar_mass = 0", "mine.toml.molar_mass", "not above zero"),
    ("molar_mass = 500.0", "", "mine.toml.targets[0].unit", "molar_mass"),
    ('concentration = "ug/L"', 'concentration = "mg"', "units.concentration", "not a unit of"),
    ('time = "h"', 'time = "fortnight"', "units.time", "not known"),
    ('printed_as = "cv"', 'printed_as = "cv%"', "variability.printed_as", "did you mean 'cv'"),
    ('"two_compartment"', '"two_compartments"', "disposition.kind", "did you mean 'two_compartment'"),
    ('Q = "Q", V2', "V2", "disposition.Q", "missing"),
    ('CL = "CL", V ', 'CL = "CLR", V ', "disposition.CL", "did you mean 'CL'"),
    ('V = "V1"', 'V = "CL"', "disposition.V1", "cannot play"),
    ('V = "V1"', 'V = "V1", V1 = "V1"', "disposition.V", "once"),
    ('rate = "KA"', 'rate = "KA", stages = 2', "absorption.stages", "unknown key"),
    ('"first_order", rate = "KA"', '"erlang", stages = 2.5, rate = "KA"', "absorption.stages", "whole number"),
    ('bioavailability = "F1"', 'bioavailability = "F1"\ncmt = { gut = 1 }', "structure.cmt.gut", "unknown key"),
    ("CL = { value = 100,", "CL = { valeu = 100,", "parameters.CL.valeu", "did you mean 'value'"),
    ("CL = { value = 100, ", "CL = { ", "parameters.CL.value", "missing"),
    ("CL = { value = 100,", 'CL = { value = "100",', "parameters.CL.value", "finite number"),
    ("CL = { value = 100,", "CL = { value = nan,", "parameters.CL.value", "finite number"),
    ("CL = { value = 100,", "CL = { value = -100,", "parameters.CL", "not above zero"),
    ('unit = "mL/min"', 'unit = "mL/minute"', "parameters.CL.unit", "not known"),
    ('unit = "mL/min"', 'unit = "mL"', "disposition.CL", "cannot play"),
    (', unit = "mL/min"', "", "parameters.CL.unit", "missing"),
    ('iiv = 0.3, source = "T1"', "iiv = 0.3", "parameters.CL.source", "missing"),
    ("iiv = 0.3", "iiv = -0.3", "parameters.CL.iiv", "not above zero"),
    ("iiv = 0.3", "iiv = 0", "parameters.CL.iiv", "leave the key out"),
    ("Q = { value", '"Q-1" = { value', "parameters.Q-1", "usable name"),
    ("iiv = 0.3", 'iiv = 0.3, distribution = "logitnormal"', "parameters.CL.iiv", "a CV, which a logitnormal"),
    ("iiv = 0.3", 'iov = 0.3, distribution = "boxcox", shape = 1', "parameters.CL.iov", "a CV, which a boxcox"),
    ("iiv = 0.3", 'iiv = 0.3, distribution = "boxcox", printed_as = "sd"', "parameters.CL.shape", "missing"),
    ("iiv = 0.3", "iiv = 0.3, shape = 0.5", "parameters.CL.shape", "not part of a lognormal"),
    ("iiv = 0.3", 'iiv = 0.3, distribution = "boxcox", printed_as = "sd", shape = 1, low = 0', "parameters.CL.low", "not part of a boxcox"),
    (
        "iiv = 0.3",
        'iiv = 0.3, distribution = "logitnormal", low = 200, high = 100, printed_as = "sd"',
        "parameters.CL.high",
        "not above low",
    ),
    ("iiv = 0.3", 'iiv = 0.3, distribution = "logitnormal", printed_as = "sd"', "parameters.CL", "not between 0 and 1"),
    ("iiv = 0.3", 'iiv = 0.3, iov_when = "SEX == 1"', "parameters.CL.iov_when", "without iov"),
    ("iiv = 0.3", 'iiv = 0.3, iov = 0.2, iov_when = "SEXE == 1"', "parameters.CL.iov_when", "did you mean 'SEX'"),
    ("iiv = 0.3", 'iiv = 0.3, iov = 0.2, iov_when = "Q > 1"', "parameters.CL.iov_when", "not a covariate"),
    ('"(WT / 70) ** 0.75 * sex_cl ** SEX"', '"(WGT / 70) ** 0.75 * sex_cl ** SEX"', "effects.CL.WGT", "did you mean 'WT'"),
    ('"(WT / 70) ** 0.75 * sex_cl ** SEX"', '"(WT / 70) ** 0.75"', "effects.CL.sex_cl", "not used"),
    ('"(WT / 70) ** 0.75 * sex_cl ** SEX"', '"open(WT) * sex_cl ** SEX"', "effects.CL.expr", "not a known function"),
    ("sex_cl ** SEX", "WT ** SEX", "effects.CL.sex_cl", "not used"),
    ("sex_cl = 0.8", "Q = 0.8", "effects.CL.Q", "already the name"),
    ("CL = { expr", "CLX = { expr", "effects.CLX", "did you mean 'CL'"),
    ('V1 = { expr = "WT", source = "T1" }', "", "parameters.V1", "without an effect of body size"),
    ('V1 = { expr = "WT",', 'V1 = { expr = "WT * V2",', "effects.V1", "works on V2 in mL"),
    ('V1 = { expr = "WT",', 'V1 = { expr = "WT", typical = "WT",', "effects.V1.expr", "exactly one"),
    ('V1 = { expr = "WT",', 'V1 = { expr = "1 / (WT - 70)",', "1 / (WT - 70)", "no finite real result"),
    ('"CL,V1" = 0.5', '"CL,V1" = 1.5', "correlations.CL,V1", "outside (-1, 1)"),
    ('"CL,V1" = 0.5', '"CL,Q" = 0.5', "correlations.CL,Q", "'Q' is not a parameter that can stand here"),
    ('"CL,V1" = 0.5', '"CL" = 0.5', "correlations.CL", "not a pair"),
    ('"CL,V1" = 0.5', '"CL,V1" = 0.9\n"CL,KA" = 0.9\n"V1,KA" = -0.9', "mine.toml.omega", "not positive definite"),
    ('"CL,V1" = 0.5', '[omega]\nnames = ["CL"]\nblock = [[0.1]]', "omega.names", "variance once"),
    ('"CL,V1" = 0.5', '[omega]\nnames = ["Q"]\nblock = [0.1]', "omega.block", "square"),
    ('"CL,V1" = 0.5', '[omega]\nnames = ["Q", "V2"]\nblock = [[0.1, 0.2], [0.0, 0.1]]', "omega.block", "symmetric"),
    ("proportional = 0.0144", "proportional = -0.0144", "residual.concentration.proportional", "below 0"),
    ('additive = 25, unit = "ug/L"', "additive = 25", "residual.concentration.unit", "missing"),
    ("proportional = 0.0144, additive = 25", "additive = 0", "residual.concentration.proportional", "no usable"),
    ('WT = { unit = "kg",', "WT = {", "covariates.WT.unit", "missing"),
    ("reference = 70, low", 'reference = "heavy", low', "covariates.WT.reference", "finite number"),
    ('reference = "male"', 'reference = "man"', "covariates.SEX.reference", "not one of"),
    ("male = 0, female = 1", "male = 1, female = 1", "covariates.SEX.levels", "different codes"),
    ("low = 40, high = 120", "low = 120, high = 40", "covariates.WT.high", "not above low"),
    ("low = 40, high", 'distribution = { kind = "gauss", mean = 1 }, high', "WT.distribution.kind", "not one of"),
    ("low = 40, high", 'distribution = { kind = "normal", mean = 1 }, high', "WT.distribution.sd", "missing"),
    ("low = 40, high", 'distribution = { kind = "normal", mean = 1, sd = -1 }, high', "WT.distribution.sd", "not above zero"),
    ("low = 40, high", 'distribution = { kind = "lognormal", median = 1 }, high', "WT.distribution.sd_log", "exactly one"),
    ('metric = "AUC0-24"', 'metric = "AUC"', "targets[0].metric", "not an exposure metric"),
    ('metric = "AUC0-24"', 'metric = "C0"', "targets[0].unit", "not a unit of"),
    ("low = 100", "low = 300", "targets[0].high", "not above low"),
    ('route = "oral"', 'route = "iM"', "dosing.route", "not one of"),
    ("intervals_h = [12, 24]", "intervals_h = [0]", "dosing.intervals_h", "zero"),
    ("step = 25", "strengths = [25, -1]", "dosing.strengths", "zero or less"),
    ("step = 25", "step = 25\nstrengths = [25]", "dosing.strengths", "exactly one"),
    ("max_dose = 100\n", "", "dosing.max_dose", "missing"),
    ("[[checks]]", "[checks]", "mine.toml.checks", "[[checks]]"),
    ("\npatient = ", "\npatent = ", "checks[0].patent", "did you mean 'patient'"),
]


@pytest.mark.parametrize(("old", "new", "where", "word"), MALFORMED)
def test_a_malformed_file_is_refused_by_file_key_and_remedy(tmp_path: Path, old: str, new: str, where: str, word: str) -> None:
    assert old in SMALL
    with pytest.raises(ModelError) as refusal:
        read(tmp_path, SMALL.replace(old, new, 1))
    assert refusal.value.where.endswith(where)
    assert where == "1 / (WT - 70)" or refusal.value.where.startswith("mine.toml")
    assert word in str(refusal.value)
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('SEX = "female"', 'SEX = "woman"', "not one of the levels"),
        (', SEX = "female"', "", "missing"),
        ("CL = 4.8", "CLR = 4.8", "did you mean 'CL'"),
        ("steady_state = true", "steady_state = false", "not true"),
        ("dose = 60", "dose = -60", "not above zero"),
    ],
)
def test_a_check_that_cannot_be_run_says_so(tmp_path: Path, old: str, new: str, word: str) -> None:
    with pytest.raises((ModelError, CaseError), match=re.escape(word)):
        run_checks(read(tmp_path, SMALL.replace(old, new, 1)))


def test_a_wrong_expectation_fails(tmp_path: Path, small: DrugModel) -> None:
    areas = [("AUC_tau as F * dose / CL", True), ("AUC_tau", True)]
    assert [(r.quantity, r.passed) for r in run_checks(small)] == [("CL", True), ("V1", True), *areas]
    wrong = run_checks(read(tmp_path, SMALL.replace("CL = 4.8", "CL = 4.81")))
    assert [(r.quantity, r.passed) for r in wrong] == [("CL", False), ("V1", True), *areas]


def test_an_unknown_name_or_path_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'vancomycin_goti_2018'"):
        read_model("vancomycin_goti2108")
    with pytest.raises(ModelError, match="cannot be read"):
        read_model(tmp_path / "absent.toml")
    with pytest.raises(ModelError, match="no library model"):
        library_path("../reader")


def test_the_library_holds_the_three_drugs() -> None:
    assert set(list_models()) >= {
        "tacrolimus_woillard_2011",
        "vancomycin_goti_2018",
        "phenobarbital_grasela_1985",
        "phenobarbital_pheno_nonmem",
    }


def test_woillard_2011_by_hand() -> None:
    model = read_model("tacrolimus_woillard_2011")
    adult = model.typical({"HCT": 32.3, "CYP3A5": 0.0, "FORM": 1.0}, math)
    assert adult["CL"] == pytest.approx(21.2 * (32.3 / 35) ** -1.14, rel=1e-14)
    assert round(adult["CL"], 2) == 23.23
    assert model.typical({"HCT": 32.3, "CYP3A5": 1.0, "FORM": 0.0})["CL"] == pytest.approx(2 * adult["CL"])
    assert adult["KTR"] == pytest.approx(3.34 * 1.53)
    assert adult["V1"] == pytest.approx(486 * 0.29)
    assert (model.parameters["CL"].iov, model.parameters["V1"].iov, model.parameters["Q"].iov) == (0.31, 0.75, None)


def test_the_pheno_refit_switches_the_volume_at_an_apgar_score_of_5() -> None:
    model = read_model("phenobarbital_pheno_nonmem")
    found = model.typical({"WT": 1.4, "APGR": np.array([4.0, 5.0])})
    np.testing.assert_allclose(found["V"], [0.984258 * 1.4 * 1.15892, 0.984258 * 1.4], rtol=1e-15)
    np.testing.assert_allclose(np.diag(model.omega), [0.0293508, 0.027906], rtol=1e-14)
    assert model.residual.proportional**2 == pytest.approx(0.013241)


@pytest.mark.parametrize("name", ["tacrolimus_woillard_2011", "vancomycin_goti_2018", "phenobarbital_grasela_1985"])
def test_the_library_agrees_with_the_fact_record(name: str) -> None:
    path = RECORDS / f"{re.sub(r'_(?=[0-9]{4})', '', name)}.yaml"
    if not path.exists():
        pytest.skip("the fact records lie beside the repository, not in it")
    block = re.search(r"\nfixed_effects:\n(.*?)\n\S", path.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    recorded = sorted(float(value) for value in re.findall(r"value: (\S+)", block[1]))
    model = read_model(name)
    ours = [p.printed for p in model.parameters.values()] + [v for e in model.effects for v in e.constants.values()]
    assert sorted(ours) == recorded


def test_outside_the_source_population_is_noticed_without_the_patients_value() -> None:
    model = read_model("tacrolimus_woillard_2011")
    inside = Covariates.constant({"HCT": 46.6, "CYP3A5": 1, "FORM": 0, "OTHER": 9}).at(0.0)
    assert domain_notices(model, inside) == ()
    (notice,) = domain_notices(model, {"HCT": 51.5, "CYP3A5": 1.0})
    assert (notice.code, notice.where) == ("outside-domain", "covariates.HCT")
    assert "20.9 to 46.6 %" in notice.what
    assert "51.5" not in str(notice)
    assert [n.where for n in domain_notices(model, {"CYP3A5": 0.5})] == ["covariates.CYP3A5"]


def test_words_of_a_categorical_covariate_become_codes() -> None:
    covariates = read_model("vancomycin_goti_2018").covariates
    assert [encode(covariates["DIAL"], value) for value in ("no", "yes", 1)] == [0.0, 1.0, 1.0]
    assert encode(covariates["WT"], 79) == 79.0
    with pytest.raises(CaseError, match="not one of the levels"):
        encode(covariates["DIAL"], "perhaps")
    with pytest.raises(CaseError, match="not one of the levels"):
        encode(covariates["DIAL"], 2)
    with pytest.raises(CaseError, match="a word where a number is needed"):
        encode(covariates["WT"], "heavy")


@pytest.mark.parametrize("name", list_models())
def test_the_page_of_a_model_shows_all_a_reader_needs(name: str) -> None:
    model = read_model(name)
    page = " ".join(describe(model).split())
    wanted = [*model.parameters, *model.covariates, *(t.metric.name for t in model.targets), *model.questions, *model.notes]
    wanted += [
        model.population,
        model.status,
        model.sha256,
        model.reference["cite"],
        model.residual.source,
        *([model.dosing.source] if model.dosing else []),
    ]
    assert [text for text in wanted if " ".join(text.split()) not in page] == []
    assert "\\frac" in describe(model, latex=True)


@pytest.mark.parametrize("name", list_models())
def test_the_dictionary_of_a_model_survives_json(name: str) -> None:
    model = read_model(name)
    shown = as_dict(model)
    assert json.loads(json.dumps(shown, allow_nan=False))["name"] == name
    assert [p["name"] for p in shown["parameters"]] == list(model.parameters)
    assert shown["omega"]["etas"] == list(model.eta_names)


def test_equations_carry_the_numbers_and_the_course(small: DrugModel) -> None:
    equations = parameter_equations(small)
    assert equations["CL"].text == "CL = 100 × (WT / 70)^0.75 × 0.8^SEX × exp(eta_CL)"
    assert "mL/min (x 0.06 in h, mg, L)" in describe(small)
    assert (equations["CL"].unit, equations["V1"].unit) == ("mL/min", "L")
    assert equations["TLAG"].text == "TLAG = 30 + eta_TLAG"
    assert [e.text for e in course_equations(small)] == [
        "d(depot)/dt = F1 × dose - KA × depot",
        "d(central)/dt = KA × depot - CL / V1 × central - Q / V1 × central + Q / V2 × peripheral",
        "d(peripheral)/dt = Q / V1 × central - Q / V2 × peripheral",
        "C = 1000 × central / V1",
    ]


@pytest.mark.parametrize(
    ("extra", "eta", "sd", "text"),
    [
        ('distribution = "logitnormal", iiv = 0.5, printed_as = "sd"', 0.7, 0.5, "F1 = 100 / (1 + (100 - 80) / 80 × exp(-eta_F1))"),
        (
            'distribution = "logitnormal", low = 20, high = 95, iiv = 0.25, printed_as = "variance"',
            -0.7,
            0.5,
            "F1 = 20 + 75 / (1 + (95 - 80) / (80 - 20) × exp(-eta_F1))",
        ),
        ('distribution = "boxcox", shape = 0.5, iiv = 0.5, printed_as = "sd"', 0.7, 0.5, "F1 = 80 × exp((exp(eta_F1)^0.5 - 1) / 0.5)"),
        ('distribution = "boxcox", shape = 0, iiv = 0.5, printed_as = "sd"', 0.7, 0.5, "F1 = 80 × exp(eta_F1)"),
    ],
)
def test_the_equation_of_a_distribution_is_what_is_computed(tmp_path: Path, extra: str, eta: float, sd: float, text: str) -> None:
    """The printed line, worked out by hand in the printed unit (here per cent), is the individual value."""
    model = read(tmp_path, SMALL.replace('unit = "%", source', f'unit = "%", {extra}, source'))
    equation = parameter_equations(model)["F1"]
    assert equation.text == text
    by_hand = parse(text.partition(" = ")[2].replace("×", "*").replace("^", "**"), where="test").evaluate({"eta_F1": eta}, math)
    etas = np.where(np.asarray(model.eta_names) == "F1", eta, 0.0)
    assert model.individual({"WT": 70.0, "SEX": 0.0}, etas)["F1"] == pytest.approx(by_hand / 100, rel=1e-12)
    assert model.parameters["F1"].omega == pytest.approx(sd)
    shown = json.loads(json.dumps(as_dict(model), allow_nan=False))
    (own,) = (p for p in shown["parameters"] if p["name"] == "F1")
    assert own["iiv_cv_percent"] is None and own["distribution"] in " ".join(describe(model).split())
    assert "\\exp" in equation.latex


def test_iov_stands_in_the_equation_and_on_the_page(tmp_path: Path) -> None:
    text = SMALL.replace("iiv = 0.3", 'iiv = 0.3, iov = 0.2, iov_when = "SEX == 1"').replace(
        'unit = "L/h", source', 'unit = "L/h", iov = 0.1, source'
    )
    model = read(tmp_path, text)
    equations = parameter_equations(model)
    assert equations["CL"].text.endswith("exp(eta_CL + kappa_CL × (SEX == 1))")
    assert equations["Q"].text == "Q = 3 × exp(kappa_Q)"
    assert "lognormal, IOV when SEX == 1" in " ".join(describe(model).split())
    assert "Q" not in model.eta_names
    assert model.warnings == ()


def test_a_covariate_cannot_be_called_as_occasions_are(tmp_path: Path) -> None:
    text = SMALL.replace("[parameters]", 'OCC = { unit = "1", reference = 1 }\n[parameters]').replace("iiv = 0.3", "iiv = 0.3, iov = 0.2")
    with pytest.raises(ModelError, match="the name that occasions have"):
        read(tmp_path, text)


def test_covariates_that_push_a_share_out_of_its_range_are_refused(tmp_path: Path) -> None:
    text = SMALL.replace('unit = "%", source', 'unit = "%", distribution = "logitnormal", iiv = 0.5, printed_as = "sd", source')
    model = read(tmp_path, text.replace("[effects]", '[effects]\nF1 = { expr = "WT / 70", source = "T1" }'))
    refuse_out_of_range(model, [{"WT": 80.0, "SEX": 0.0}])
    with pytest.raises(ModelError, match="outside 0 to 1") as refusal:
        refuse_out_of_range(model, [{"WT": 80.0, "SEX": 0.0}, {"WT": 90.0, "SEX": 0.0}])
    assert "90" not in str(refusal.value)


def test_the_form_of_a_distribution_is_part_of_the_mechanism(tmp_path: Path) -> None:
    forms = ['distribution = "boxcox", shape = 0.5', 'distribution = "boxcox", shape = 0.6', 'distribution = "lognormal"']
    forms += [f'distribution = "logitnormal", high = {high}' for high in (95, 100)]
    rest = 'iiv = 0.5, printed_as = "sd", source'
    models = [read(tmp_path, SMALL.replace('unit = "%", source', f'unit = "%", {form}, {rest}')) for form in forms]
    assert len({mechanism(model) for model in models}) == len(forms)


def test_the_documented_file_can_be_read(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    model = read(tmp_path, example[1])
    assert model.eta_names == ("KTR", "CL", "V1", "Q", "V2")
    assert all(result.passed for result in run_checks(model))


def test_a_power_error_is_converted_with_its_unit(tmp_path: Path) -> None:
    """SD = 0.5 f^0.5 in ng/mL is 0.5 * 0.001^0.5 f^0.5 in mg/L."""
    text = library_path("tacrolimus_woillard_2011").read_text()
    head, _, tail = text.partition("[residual]\n")
    rest = tail[tail.index("\n[") :] if "\n[" in tail else ""
    path = tmp_path / "power.toml"
    path.write_text(head + '[residual]\nconcentration = { proportional = 0.5, kind = "power", power = 0.5, source = "test" }\n' + rest)
    assert read_model(path).residual.proportional == pytest.approx(0.5 * 0.001**0.5)
