"""The linter of model files: each kind of defect is found under its code, and the library has none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from auctor.models.domain_grid import MOST_POINTS, covariate_grid, domain_findings
from auctor.models.findings import Finding
from auctor.models.plausible_ranges import RANGES, range_findings, terminal_half_life
from auctor.models.reader import list_models, read_model
from auctor.models.words import word_findings
from auctor.validate.model_file import check_file

PAGE = Path(__file__).parents[2] / "docs" / "model-checks.md"

GOOD = """
schema = 1
drug = "examplin"
status = "reviewed"
population = "12 adults"
reference = { cite = "Nobody 2020", doi = "10.1000/x", confidence = "high" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
structure.disposition = { kind = "one_compartment", CL = "CL", V1 = "V" }
[covariates]
WT = { unit = "kg", reference = 70, low = 40, high = 120, source = "T1" }
CRCL = { unit = "mL/min", reference = 90, low = 20, high = 150, source = "T1" }
[parameters]
CL = { value = 5, unit = "L/h", iiv = 0.3, source = "T1" }
V = { value = 30, unit = "L", iiv = 0.2, source = "T1" }
[effects]
CL = { expr = "(WT / 70) ** 0.75 * (1 + b * (CRCL - 90))", b = 0.01, source = "T1" }
[residual]
concentration = { proportional = 0.1, source = "T1" }
[[checks]]
patient = { WT = 70, CRCL = 90 }
expect = { CL = 5, V = 30 }
[[checks]]
patient = { WT = 70, CRCL = 100 }
regimen = { dose = 100, every = 12, steady_state = true }
invariant = "auc"
expect = { CL = 5.5, C_trough = 0.415368, rtol = 1e-4 }
"""


def judged(folder: Path, text: str) -> Mapping[str, tuple[Finding, ...]]:
    """name -> findings of a file and its variants."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return {report.name: report.findings for report in check_file(path)}


def test_a_good_file_has_no_finding(tmp_path: Path) -> None:
    assert judged(tmp_path, GOOD) == {"mine": ()}
    (report,) = check_file(tmp_path / "mine.toml")
    assert report.usable and report.checks == report.passed == 6


DEFECTS = [
    # what is replaced, by what, severity, code, where
    ('iiv = 0.3, source = "T1"', "iiv = 0.3", "error", "source", "CL.source"),
    ('iiv = 0.2, source = "T1"', 'source = " "', "error", "source", "parameters.V"),
    ('high = 120, source = "T1"', "high = 120", "warning", "source", "covariates.WT"),
    (', doi = "10.1000/x"', "", "warning", "reference", "reference.doi"),
    ("10.1000/x", "doi:10.1000/x", "warning", "reference", "reference.doi"),
    (', confidence = "high"', "", "error", "status", "status"),
    ('confidence = "high"', 'confidence = "low"', "error", "status", "status"),
    ('b = 0.01, source = "T1"', 'b = 0.01, source = "NOT VERIFIED: recalled"', "error", "status", "status"),
    ("(WT / 70)", "(WGT / 70)", "error", "undeclared", "effects.CL.WGT"),
    ("(WT / 70) ** 0.75 * ", "", "warning", "unused", "covariates"),
    ("[effects]", 'Q = { value = 5, unit = "L/h", source = "T1" }\n[effects]', "warning", "unused", "parameters.Q"),
    ("[effects]", '[correlations]\n"CL,V" = 0.9999999999999\n[effects]', "error", "omega", "omega"),
    ("CRCL - 90", "CRCL - V", "error", "dimension", "effects.CL"),
    ("b = 0.01", "b = 0.02", "error", "domain", "parameters.CL"),
    ("(1 + b * (CRCL - 90))", "(1 + b * (CRCL - 90)) / (WT - 40)", "error", "domain", "parameters.CL"),
    ('reference = 90, low = 20, high = 150', "reference = 90", "info", "domain-open", "covariates.CRCL"),
    ("value = 30", "value = 2500", "warning", "range", "parameters.V"),
    ("value = 5,", "value = 0.03,", "warning", "range", "structure"),
    ("iiv = 0.3", "iiv = 30", "warning", "range", "parameters.CL"),
    ("proportional = 0.1,", "proportional = 10,", "warning", "range", "residual.concentration"),
    ("CL = 5, V", "CL = 4, V", "error", "check-failed", "checks[0]"),
    ("C_trough = 0.415368", "C_trough = 0.42", "error", "check-failed", "checks[1]"),
    ("C_trough = 0.415368", "C_through = 0.42", "error", "check-malformed", "checks[1].expect.C_through"),
    ("steady_state = true }", 'steady_state = true, route = "oral" }', "error", "check-not-run", "checks[1]"),
    ('invariant = "auc"', "", "warning", "checks-missing", "checks"),
    ("patient = { WT = 70, CRCL = 90 }", "patient = { WT = 70, CRCL = 100 }", "warning", "checks-missing", "checks"),
    ("schema = 1", "schema = 9", "error", "unreadable", "mine.toml.schema"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "severity", "code", "where"), DEFECTS)
def test_a_defect_is_found_under_its_code(tmp_path: Path, old: str, new: str, severity: str, code: str, where: str) -> None:
    assert old in GOOD
    (found, *_) = [f for f in next(iter(judged(tmp_path, GOOD.replace(old, new, 1)).values())) if f.code == code]
    assert found.severity == severity and found.where.endswith(where)
    assert found.what and found.remedy


RESPONSE = """
[exempt]
invariant = "cells are made and lost for ever"
[structure]
[odes]
A1 = "CL * 20 - CL / V * A1"
[outputs]
1 = "A1 / V"
[residual]
"""


def test_a_file_that_takes_no_dose_says_why_it_has_no_invariant_and_no_other_may(tmp_path: Path) -> None:
    """The exemption is shown, never silent."""
    head, _, checks = GOOD.replace("structure.disposition", "# ").partition("[[checks]]")
    checks, _, _ = checks.partition("regimen = { dose")
    text = head.replace("[residual]\n", RESPONSE) + "[[checks]]" + checks + "expect = { CL = 5.5, C10 = 16.80, rtol = 1e-2 }\n"
    found = [(f.code, f.severity) for f in judged(tmp_path, text)["mine"] if f.code.startswith("check")]
    assert found == [("checks-exempt", "info")]
    silent = judged(tmp_path, text.replace('[exempt]\ninvariant = "cells are made and lost for ever"', ""))["mine"]
    assert [(f.code, f.severity) for f in silent if f.code.startswith("check")] == [("checks-missing", "warning")]
    dosed = judged(tmp_path, GOOD.replace("[effects]", '[exempt]\ninvariant = "we would rather not"\n[effects]'))["mine"]
    assert [(f.code, f.severity) for f in dosed] == [("checks-exempt", "error")]


def test_a_variant_is_judged_too_and_tells_only_what_is_new(tmp_path: Path) -> None:
    variant = '[variants.steep]\nabout = "the abstract prints 0.02"\nset = { "effects.CL.b" = 0.02 }\n'
    found = judged(tmp_path, GOOD.replace('high = 150, source = "T1"', "high = 150") + variant)
    assert [f.code for f in found["mine"]] == ["source"]
    assert {(f.code, f.severity) for f in found["mine@steep"]} == {("domain", "error"), ("check-of-file", "warning")}


def test_the_grid_covers_corners_levels_and_stays_small() -> None:
    grid = covariate_grid(read_model("tacrolimus_woillard_2011"))
    assert {name: sorted(set(values.tolist())) for name, values in grid.items()} == {
        "HCT": [20.9, 33.75, 35.0, 46.6], "CYP3A5": [0.0, 1.0], "FORM": [0.0, 1.0]
    }  # fmt: skip
    assert {len(values) for values in grid.values()} == {16}
    assert len(next(iter(covariate_grid(read_model("phenobarbital_pheno_nonmem")).values()))) <= MOST_POINTS
    assert domain_findings(read_model("vancomycin_goti_2018")) == ()


def test_the_half_life_is_that_of_the_slowest_mode(tmp_path: Path) -> None:
    """Two compartments by the quadratic formula (Gibaldi & Perrier 1982, eq. 2.53); the same from the equations written out."""
    model = read_model("vancomycin_goti_2018")
    cl, v1, q, v2 = 4.5, 58.4, 6.5, 38.4
    total, product = cl / v1 + q / v1 + q / v2, cl / v1 * q / v2
    beta = (total - (total**2 - 4 * product) ** 0.5) / 2
    assert terminal_half_life(model, {"CL": cl, "V1": v1, "Q": q, "V2": v2}, {}) == pytest.approx(np.log(2) / beta, rel=1e-12)
    head, _, _ = GOOD.partition("structure.")
    text = head + GOOD[GOOD.index("[covariates]") :].replace(
        "[residual]", '[odes]\nA1 = "-CL / V * A1"\n[outputs]\n1 = "A1 / V"\n[residual]'
    )
    (tmp_path / "odes.toml").write_text(text.replace("[covariates]", "[structure]\ncmt = { central = 1 }\n[covariates]", 1))
    written = read_model(tmp_path / "odes.toml")
    assert terminal_half_life(written, {"CL": 5.0, "V": 30.0}, {"WT": 70.0, "CRCL": 90.0}) == pytest.approx(6 * np.log(2))
    assert range_findings(written) == () and word_findings(written) == ()


def test_the_page_prints_the_ranges_as_they_are() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    printed = {tuple(row) for row in rows}
    words = {0: "any", 1: "1", 2: "2 or more"}
    assert [r for r in RANGES if (r.quantity, r.unit, r.group, words[r.compartments], f"{r.low:g}", f"{r.high:g}") not in printed] == []


def test_the_command_leaves_with_2_on_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("CL = 5, V", "CL = 4, V"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "auctor", "models", "check", str(path), "--json"], capture_output=True, text=True, timeout=300, check=False
    )
    (model,) = json.loads(done.stdout)["models"]
    assert done.returncode == 2 and not model["usable"] and (model["checks"], model["passed"]) == (6, 5)
    assert model["findings"][0]["code"] == "check-failed"


@pytest.mark.parametrize("name", list_models())
def test_the_library_has_no_error_and_every_kind_of_check(name: str) -> None:
    reports = check_file(name)
    grave = [f"{r.name}: {f}" for r in reports for f in r.findings if f.severity == "error" or f.code in ("checks-missing", "source")]
    assert [re.sub(r"\s+", " ", text) for text in grave] == []
