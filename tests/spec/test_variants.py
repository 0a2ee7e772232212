"""Variants of a model file: an alternative the source leaves open has a name, and is never picked silently."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from auctor.errors import ModelError
from auctor.models.checks import read_checks
from auctor.models.mechanism import mechanism
from auctor.models.reader import library_path, list_models, read_every_variant, read_model
from auctor.models.show import as_dict, describe
from auctor.pk.checks import run_checks

REFERENCE = ("vancomycin_goti_2018", "tacrolimus_woillard_2011", "phenobarbital_grasela_1985")
FILE = """
schema = 1
drug = "examplin"
status = "draft"
population = "12 adults"
reference = { cite = "Nobody 2020" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
structure.disposition = { kind = "one_compartment", CL = "CL", V1 = "V" }

[covariates]
WT = { unit = "kg", reference = 70 }

[parameters]
CL = { value = 5, unit = "L/h", iiv = 0.3, source = "T1" }
V = { value = 30, unit = "L", iiv = 0.2, source = "T1" }

[effects]
CL = [{ expr = "(WT / 70) ** b", b = 0.75, source = "T1" }]

[residual]
concentration = { proportional = 0.1, source = "T1" }

[[targets]]
metric = "C0"
low = 1
high = 2
unit = "mg/L"
source = "T2"

[variants.variance]
about = "Table 1 does not say whether 0.3 and 0.2 are SDs or variances; another engine reads variances"
set = { "variability.printed_as" = "variance" }

[variants.second]
about = "the abstract prints 4 L/h and an exponent of 1"
set = { "parameters.CL.value" = 4, "effects.CL.0.b" = 1.0, "targets.0.high" = 3 }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A user's own file with two variants."""
    path = tmp_path / "examplin_x_2020.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_variant_is_the_file_with_its_own_values(path: Path) -> None:
    base, variance, second = read_every_variant(path)
    np.testing.assert_allclose(np.diag(base.omega), [0.09, 0.04], rtol=1e-15)
    np.testing.assert_allclose(np.diag(variance.omega), [0.3, 0.2], rtol=1e-15)
    assert (second.parameters["CL"].value, second.typical({"WT": 140.0})["CL"]) == (4.0, 8.0)
    assert (second.targets[0].high, base.targets[0].high) == (3.0, 2.0)
    assert read_model(f"{path}@second") == second


def test_name_and_identity_tell_the_variants_apart(path: Path) -> None:
    models = read_every_variant(path)
    assert [m.name for m in models] == ["examplin_x_2020", "examplin_x_2020@variance", "examplin_x_2020@second"]
    assert [m.variant for m in models] == ["", "variance", "second"]
    content = path.read_bytes()
    assert models[0].sha256 == hashlib.sha256(content).hexdigest()
    assert models[1].sha256 == hashlib.sha256(content + b"@variance").hexdigest()
    assert len(set(models)) == 3
    assert mechanism(models[0]) == mechanism(models[1]) != mechanism(models[2])


def test_a_page_lists_the_variants_and_which_one_it_shows(path: Path) -> None:
    model = read_model(f"{path}@variance")
    page = " ".join(describe(model).split())
    assert page.startswith("examplin_x_2020@variance")
    assert "examplin_x_2020@variance (shown here): Table 1 does not say" in page
    assert "examplin_x_2020@second: the abstract prints" in page and "effects.CL.0.b = 1.0" in page
    shown = json.loads(json.dumps(as_dict(model)))
    assert shown["variant"] == "variance" and list(shown["variants"]) == ["variance", "second"]


@pytest.mark.parametrize(
    ("asked", "old", "new", "word"),
    [
        ("@varience", "", "", "did you mean 'variance'"),
        ("@x", "", "", "known here: second, variance"),
        ("", '"parameters.CL.value"', '"parameters.CLX.value"', "did you mean 'CL'"),
        ("", '"parameters.CL.value"', '"parameters.CL.iov"', "the file has no 'iov' there"),
        ("", '"effects.CL.0.b"', '"effects.CL.1.b"', "the file has no '1' there"),
        ("", '"parameters.CL.value"', '"parameters.CL.value.x"', "the file has no 'x' there"),
        ("", '{ "parameters.CL.value" = 4', "{ parameters.CL.value = 4", "write the path in quotes"),
        ("", '{ "variability.printed_as" = "variance" }', "{}", "says nothing"),
        ("", '"variability.printed_as" = "variance"', '"variability.printed_as" = "sd"', "leaves everything as it is"),
        ("", "[variants.second]\nabout", "[variants.second]\nabuot", "did you mean 'about'"),
        ("", "[variants.second]", '[variants."2nd one"]', "not usable"),
        ("@second", '"parameters.CL.value" = 4', '"parameters.CL.value" = "4"', "not a finite number"),
        ("@second", '"parameters.CL.value" = 4', '"parameters.CL.unit" = "L"', "cannot play"),
    ],
)
def test_what_cannot_be_a_variant_is_refused(path: Path, asked: str, old: str, new: str, word: str) -> None:
    assert old in FILE
    path.write_text(FILE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError, match=re.escape(word)) as refusal:
        read_model(f"{path}{asked}")
    assert refusal.value.where.startswith("examplin_x_2020.toml") and refusal.value.remedy


def test_a_variant_is_checked_by_its_own_checks_or_else_by_the_files(path: Path) -> None:
    checks = """
[[checks]]
patient = { WT = 70 }
expect = { CL = 5 }
[[checks]]
variant = "second"
patient = { WT = 140 }
expect = { CL = 8 }
"""
    path.write_text(FILE.replace("[variants.variance]", checks + "[variants.variance]"), encoding="utf-8")
    assert [[(c.where[-9:], c.expect) for c in read_checks(m)] for m in read_every_variant(path)] == [
        [("checks[0]", {"CL": 5.0})],
        [("checks[0]", {"CL": 5.0})],
        [("checks[1]", {"CL": 8.0})],
    ]
    assert all(result.passed for m in read_every_variant(path) for result in run_checks(m))
    path.write_text(path.read_text().replace('variant = "second"', 'variant = "sceond"'), encoding="utf-8")
    with pytest.raises(ModelError, match="did you mean 'second'"):
        read_checks(read_model(path))


def test_an_error_of_a_variant_names_the_variant(path: Path) -> None:
    path.write_text(FILE.replace('"parameters.CL.value" = 4', '"parameters.CL.value" = -4'), encoding="utf-8")
    assert read_model(path).name == "examplin_x_2020"
    with pytest.raises(ModelError, match=r"examplin_x_2020\.toml@second\.parameters\.CL: not above zero"):
        read_model(f"{path}@second")


def test_an_at_sign_in_a_folder_is_no_variant(tmp_path: Path) -> None:
    folder = tmp_path / "me@home"
    folder.mkdir()
    (folder / "x.toml").write_text(FILE, encoding="utf-8")
    assert read_model(folder / "x.toml").variant == ""
    assert read_model(f"{folder}/x.toml@second").name == "x@second"


def test_the_spelling_of_the_records_still_finds_the_file() -> None:
    assert read_model("tacrolimus_woillard2011").name == "tacrolimus_woillard_2011"
    assert library_path("vancomycin_goti2018") == library_path("vancomycin_goti_2018")
    with pytest.raises(ModelError, match="did you mean 'tacrolimus_woillard_2011'"):
        read_model("tacrolimus_woilard2011")


def test_every_library_file_is_named_by_drug_author_and_year() -> None:
    named = re.compile(r"[a-z]+_[a-z]+_\d{4}(_[a-z0-9]+)*")
    assert [n for n in list_models() if not named.fullmatch(n)] == ["phenobarbital_pheno_nonmem"]


@pytest.mark.parametrize("name", list_models())
def test_every_variant_of_the_library_can_be_read(name: str) -> None:
    base, *variants = read_every_variant(name)
    assert [v.variant for v in variants] == list(base.variants)
    assert len({base, *variants}) == 1 + len(variants)


def test_the_open_alternatives_of_the_three_reference_models_have_names() -> None:
    """omega^2 is log(1 + CV^2) in posologyr and CV^2 in Tucuxi; the residual error is PKPDsim's, the steps are PharmaNODE's."""
    models = {m.name: m for n in REFERENCE for m in read_every_variant(n)}
    spread = {name: np.diag(m.omega).round(6).tolist() for name, m in models.items() if m.drug != "tacrolimus"}
    assert spread["vancomycin_goti_2018"] == [0.147043, 0.510339, 0.282198]
    assert spread["vancomycin_goti_2018@cv_as_sd"] == [0.158404, 0.665856, 0.326041]
    assert spread["phenobarbital_grasela_1985@cv_is_sd"] == [0.0361, 0.0256]
    residual = models["vancomycin_goti_2018@pkpdsim_residual"].residual
    assert (residual.proportional, residual.additive) == (0.197, 1.42)
    assert models["vancomycin_goti_2018@v2_scaled_by_weight"].typical({"CRCL": 120.0, "WT": 35.0, "DIAL": 0.0})["V2"] == 19.2
    assert [models[f"tacrolimus_woillard_2011{v}"].structure.stages for v in ("", "@four_steps")] == [3, 4]
