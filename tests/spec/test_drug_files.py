"""Drug files: every fact has a source that says whether it was read there, codes have their check digit, and errors name the key."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from auctor.errors import ModelError
from auctor.models.drug_file import DOUBT, describe_drug, list_drugs, loinc_digit_fits, read_drug, target_range
from auctor.models.reader import list_models, read_model

CLINICAL = Path(__file__).parents[3] / "shared" / "clinical.md"

FILE = """
schema = 1
drug = "examplin"
analyte = "examplin"
matrix = "serum"

[molar_mass]
value = 500
unit = "g/mol"
verified = false
source = "NOT VERIFIED: recalled"

[[codes]]
system = "LOINC"
code = "20578-1"
meaning = "level"
verified = true
source = "the laboratory's list"

[[targets]]
metric = "C0"
high = 20
unit = "mg/L"
verified = true
source = "Guideline 2020"

[[forms]]
route = "oral"
form = "tablet"
strengths = [0.1, 0.5]
unit = "g"
intervals_h = [12, 24]
max_dose = 1
max_daily = 2
verified = true
source = "label"
"""


def test_a_users_own_file_is_read_in_mg(tmp_path: Path) -> None:
    path = tmp_path / "examplin.toml"
    path.write_text(FILE, encoding="utf-8")
    drug = read_drug(path)
    (form,) = drug.forms
    assert (form.strengths_mg, form.max_dose_mg, form.max_daily_mg, form.step_mg) == ((100.0, 500.0), 1000.0, 2000.0, None)
    assert target_range(drug.targets[0]) == "C0 below 20 mg/L"
    page = describe_drug(drug, ("examplin_x_2020",))
    assert all(word in page for word in ("LOINC 20578-1", "Guideline 2020", "100, 500 mg, every 12, 24 h", "examplin_x_2020", "500 g/mol"))


@pytest.mark.parametrize(
    ("old", "new", "where", "word"),
    [
        ("schema = 1", "schema = 2", "schema", "schema 1"),
        ('matrix = "serum"', "", "matrix", "missing"),
        ('matrix = "serum"', 'matrix = "serum"\nanalite = "x"', "analite", "did you mean 'analyte'"),
        ('unit = "g/mol"', 'unit = "kg/mol"', "molar_mass.unit", "not g/mol"),
        ('"NOT VERIFIED: recalled"', '"recalled"', "molar_mass.source", "does not go with verified"),
        ('"Guideline 2020"', '"NOT VERIFIED: Guideline"', "targets[0].source", "does not go"),
        ('source = "label"', 'source = " "', "forms[0].source", "does not go"),
        ('"LOINC"', '"LOINK"', "codes[0].system", "did you mean 'LOINC'"),
        ("20578-1", "20578-2", "codes[0].code", "is not a LOINC code"),
        ("20578-1", "20578", "codes[0].code", "is not a LOINC code"),
        ("high = 20", "low = 30\nhigh = 20", "targets[0].high", "not a range"),
        ("high = 20\n", "", "targets[0].high", "not a range"),
        ('route = "oral"', 'route = "im"', "forms[0].route", "not one of"),
        ("strengths = [0.1, 0.5]", "strengths = [0.1, 0]", "forms[0].strengths", "zero or less"),
        ('unit = "g"', 'unit = "mL"', "forms[0].unit", "not a unit of"),
        ("max_dose = 1", "max_dose = -1", "forms[0].max_dose", "not above zero"),
        ("schema = 1", "schema = ", "examplin.toml", "cannot be read"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused(tmp_path: Path, old: str, new: str, where: str, word: str) -> None:
    assert old in FILE
    path = tmp_path / "examplin.toml"
    path.write_text(FILE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError, match=re.escape(word)) as refusal:
        read_drug(path)
    assert refusal.value.where.endswith(where) and refusal.value.remedy


def test_an_unknown_drug_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ModelError, match="did you mean 'vancomycin'"):
        read_drug("vancomicin")


def test_every_drug_of_the_library_has_a_file_and_the_same_molar_mass() -> None:
    for model in map(read_model, list_models()):
        drug = read_drug(model.drug)
        if model.molar_mass is not None and drug.molar_mass is not None:
            assert model.molar_mass == pytest.approx(drug.molar_mass.value, rel=1e-3), model.name


@pytest.mark.parametrize("name", list_drugs())
def test_every_fact_says_whether_it_was_verified(name: str) -> None:
    drug = read_drug(name)
    assert drug.drug == name
    facts = [*drug.codes, *drug.targets, *drug.forms, *([drug.molar_mass] if drug.molar_mass else [])]
    assert all(fact.verified != (DOUBT in fact.source) for fact in facts)
    assert all(not code.verified for code in drug.codes if code.system != "LOINC")


def test_codes_are_those_of_the_clinical_notes() -> None:
    """A code in bold type was read in a source there; every other one is recalled."""
    if not CLINICAL.exists():
        pytest.skip("needs ../shared/clinical.md, which only the developers' machines have")
    notes = CLINICAL.read_text(encoding="utf-8")
    section = notes[notes.index("### 2.4") : notes.index("### 2.5")]
    bold = {code for text in re.findall(r"\*\*([^*]+)\*\*", section) for code in re.findall(r"\d{3,5}-\d", text)}
    for code in (code for name in list_drugs() for code in read_drug(name).codes):
        # LOINC of ratios and of trough and peak may stand beside the bold ones in a cell
        assert code.code in section or code.code[3:] in section, code.code
        assert not code.verified or code.code in bold or code.code == "10548-6", code.code


def test_the_check_digit_catches_a_slip_of_one_digit() -> None:
    assert all(loinc_digit_fits(code) for code in ("11253-2", "4092-3", "3520-4", "14334-7"))
    assert not any(loinc_digit_fits(code) for code in ("11253-3", "4029-3", "3520-5", "14343-7"))


def test_the_command_prints_a_drug(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "auctor", "models", "drug", "tacrolimus"]
    shown = json.loads(subprocess.run([*run, "--json"], capture_output=True, text=True, timeout=60, check=True).stdout)
    assert shown["drug"] == "tacrolimus" and "tacrolimus_woillard_2011" in shown["models"]
    assert "LOINC 11253-2" in subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout
