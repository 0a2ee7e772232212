"""Models to NONMEM text and back through Pharmpy; pheno against NONMEM; mrgsolve and nlmixr2 text by another reader."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auctor.data.nonmem import read_table
from auctor.errors import ModelError
from auctor.estimate.table import estimate_table
from auctor.models.exchange.course import Course, course_of
from auctor.models.exchange.imported import Imported, import_stream
from auctor.models.exchange.mrgsolve import mrgsolve_program, mrgsolve_text
from auctor.models.exchange.nlmixr2 import nlmixr2_program, nlmixr2_text
from auctor.models.exchange.nonmem import nonmem_program, nonmem_text
from auctor.models.exchange.program import Program
from auctor.models.exchange.said import Said
from auctor.models.model import DrugModel
from auctor.models.reader import list_models, read_model
from oracle.other_code import run_mrgsolve, run_nlmixr2
from oracle.written_out import mapbayr_file

RTOL = 1e-10
POINTS = 5
MAPBAYR = [
    *(f"{k:03}" for k in range(1, 9)), "101", "102", *map(str, range(201, 209)), "301", "302", *map(str, range(401, 409)),
    *map(str, range(501, 507)), "511", "512", "513", "901", "911", "921", "931", "941", "951", "962",
]  # fmt: skip
# forms that neither the library nor the mapbayr runs have
FORMS = {
    "choices": """
[individual]
W1 = "(CL if WT > 70 else CL / 2) if SEX == 1 and (WT < 90 or OCC == 2) else min(CL, 3, WT / 20)"
W2 = "not (SEX == 1 or OCC > 1)"
W3 = "where(0 < WT < 80, log(WT) if WT > 1 else 0, abs(WT - 100)) + W2 + (SEX == 1) * 0.5"
W4 = "max(V, W1) + (SEX and OCC)"
[odes]
A1 = "-W1 / W4 * A1 - W3 * 0.01 * (A1 > 3) * A1 / (1 + A1)"
[outputs]
1 = "A1 / W4"
[residual]
concentration = { kind = "power", proportional = 0.2, additive = 0.1, power = 0.7, unit = "mg/L", source = "none" }
""",
    "names": """
[individual]
F = "CL * 2"
T = "V + 1"
ETA1 = "F + T"
a_name_longer_than_twenty_letters = "ETA1 + 1"
cl = "a_name_longer_than_twenty_letters - 3"
[odes]
A1 = "-F / T * A1 - cl * 1e-7 * A1"
A2 = "F / T * A1"
[outputs]
2 = "A2 / ETA1"
[doses]
F = { 1 = "0.5", 2 = "T / 100" }
rate = { 2 = "cl + 20" }
[residual]
concentration = { kind = "combined1", proportional = 0.2, additive = 0.1, unit = "mg/L", source = "none" }
""",
}
FORM_HEAD = """
schema = 1
drug = "form"
status = "draft"
population = "none"
reference = { cite = "none" }
units = { time = "h", dose = "mg", concentration = "ug/L" }
[structure]
[covariates]
WT = { unit = "kg", reference = 71 }
SEX = { unit = "1", reference = 1 }
OCC = { unit = "1", reference = 1 }
[parameters]
CL = { value = 3, unit = "L/h", iiv = 0.3, source = "none" }
V = { value = 30, unit = "L", iiv = 4, distribution = "normal", source = "none" }
[effects]
CL = [
  { typical = "CL * (WT / 70) ** -k", k = 0.75, source = "none" },
  { expr = "V ** k - 0.1", k = 0.02, source = "none" },
]
"""


# what has no counterpart yet: `tad` in the equations, and doses through a second door or a gamma density
NOT_YET = {
    "tad": [
        "isavuconazole_desai_2016_hepatic",
        "isavuconazole_desai_2016_secure",
        "mycophenolate_dewinter_2009",
        "mycophenolate_sherwin_2012",
        "rifampicin_svensson_2018",
    ],
    "door": ["cabozantinib_nguyen_2019", "rifampicin_wilkins_2008"],
}
EXPORTED = [name for name in list_models() if not any(name in names for names in NOT_YET.values())]


@pytest.fixture(scope="module")
def runs(oracles: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((oracles / "mapbayr_cptpsp2021" / "models.json").read_text())
    return found


def form(name: str, folder: Path) -> DrugModel:
    path = folder / f"{name}.toml"
    path.write_text(FORM_HEAD + FORMS[name])
    return read_model(path)


def said_for(model: DrugModel, names: Mapping[str, str]) -> Said:
    covariates = {names[n]: {"unit": c.unit or "1", "reference": c.reference} for n, c in model.covariates.items()}
    units = {"dose_unit": "mg", "conc_unit": model.units["concentration"], "time_unit": "h"}
    return Said(drug=model.drug, molar_mass=model.molar_mass, covariates=covariates, **units)


def back(model: DrugModel, folder: Path) -> tuple[Program, Imported]:
    """Exported to NONMEM text and imported from it."""
    program = nonmem_program(model)
    path = folder / "exported.mod"
    path.write_text(nonmem_text(model))
    return program, import_stream(path, said_for(model, program.names))


def draws(model: DrugModel, course: Course) -> Iterator[tuple[np.ndarray, dict[str, float], dict[str, float]]]:
    """Etas in the model's order (0 first), covariates around their references, and amounts with the time."""
    random = np.random.default_rng(20)
    for k in range(POINTS):
        eta = random.normal(size=len(model.eta_names)) * np.sqrt(np.diag(model.omega)) * (k > 0)
        covariates = {n: drawn(c, random) if k else c.reference for n, c in model.covariates.items()}
        state = {f"A{j + 1}": random.uniform(0.1, 100) for j in range(len(course.derivatives))} | {"t": random.uniform(5, 9)}
        yield eta, covariates, state


def drawn(covariate: Any, random: np.random.Generator) -> float:
    if covariate.levels:
        return float(random.choice(sorted(covariate.levels.values())))
    whole = covariate.unit == "1" and float(covariate.reference).is_integer() and abs(covariate.reference) < 5
    value = random.integers(1, 4) if whole else covariate.reference * random.uniform(0.7, 1.4)
    return float(value)


def values(model: DrugModel, eta: np.ndarray, covariates: Mapping[str, float], state: Mapping[str, float]) -> dict[str, float]:
    """Every derivative, output and input, by name."""
    course = course_of(model)
    names = {**covariates, **model.individual(covariates, eta), **state}
    found = {f"dA{k}": e for k, e in enumerate(course.derivatives, 1)}
    found |= {f"C{cmt}": e for cmt, e in course.outputs.items()}
    found |= {f"{key}{cmt}": e for key, table in course.inputs.items() for cmt, e in table.items()}
    return {name: float(e.evaluate(names)) for name, e in found.items()}


def check_round_trip(model: DrugModel, folder: Path) -> Imported:
    program, imported = back(model, folder)
    assert imported.model.eta_names == imported.etas
    np.testing.assert_allclose(imported.model.omega, model.omega[np.ix_(program.order, program.order)], rtol=1e-12)
    for eta, covariates, state in draws(model, program.course):
        ours = values(model, eta, covariates, state)
        theirs = values(imported.model, eta[list(program.order)], {program.names[n]: v for n, v in covariates.items()}, state)
        assert ours.keys() == theirs.keys()
        np.testing.assert_allclose([theirs[n] for n in ours], list(ours.values()), rtol=RTOL, atol=1e-300)
    check_errors(model, imported.model)
    return imported


def check_errors(model: DrugModel, other: DrugModel) -> None:
    for cmt in course_of(model).outputs:
        a, b = ((m.residuals.get(cmt) or m.residual) for m in (model, other))
        kinds = {a.kind, b.kind}
        assert kinds == {a.kind} or (kinds == {"combined", "combined1"} and 0 in (a.proportional, a.additive))
        np.testing.assert_allclose([b.proportional, b.additive, b.power], [a.proportional, a.additive, a.power], rtol=1e-7)


@pytest.mark.oracle
@pytest.mark.parametrize("run", MAPBAYR)
def test_mapbayr_run_to_nonmem_and_back(runs: dict[str, Any], tmp_path: Path, run: str) -> None:
    """Derivatives, outputs, F, lag and duration at random etas, covariates and amounts, to 1e-10."""
    check_round_trip(read_model(mapbayr_file(runs[run], tmp_path / f"run{run}.toml")), tmp_path)


@pytest.mark.oracle
def test_every_mapbayr_run_is_here(runs: dict[str, Any]) -> None:
    assert list(runs) == MAPBAYR


@pytest.mark.parametrize(("word", "name"), [(word, name) for word, names in NOT_YET.items() for name in names])
def test_what_has_no_counterpart_is_refused(word: str, name: str) -> None:
    for text in (nonmem_text, mrgsolve_text, nlmixr2_text):
        with pytest.raises(ModelError, match=word):
            text(read_model(name))


@pytest.mark.parametrize("name", EXPORTED)
def test_library_model_to_nonmem_and_back(name: str, tmp_path: Path) -> None:
    """The same, and typical values: the parts of a named structure come back as one where NONMEM has an ADVAN for it."""
    model = read_model(name)
    imported = check_round_trip(model, tmp_path)
    if "ADVAN13" not in (tmp_path / "exported.mod").read_text():
        assert imported.model.system is None
        assert imported.model.structure.disposition == model.structure.disposition


@pytest.mark.parametrize("name", FORMS)
def test_a_form_to_nonmem_and_back(name: str, tmp_path: Path) -> None:
    check_round_trip(form(name, tmp_path), tmp_path)


# --- pheno --------------------------------------------------------------------------------------------------------------

PHENO = Said(
    drug="phenobarbital", dose_unit="mg", conc_unit="mg/L", time_unit="h",
    covariates={"WGT": {"unit": "kg", "reference": 1.3}, "APGR": {"unit": "1", "reference": 7}},
)  # fmt: skip


@pytest.fixture(scope="module")
def pheno(open_data: Path) -> Imported:
    """The control stream of pheno_real with NONMEM's final estimates."""
    folder = open_data / "phenobarbital_neonates_tdm"
    return import_stream(folder / "oracle_nonmem_pheno_real.mod", PHENO, folder / "oracle_nonmem_pheno_real.ext")


@pytest.mark.oracle
def test_pheno_has_the_library_s_numbers(pheno: Imported) -> None:
    ours, theirs = read_model("phenobarbital_pheno_nonmem"), pheno.model
    for name in ("CL", "V"):
        assert theirs.parameters[name].value == ours.parameters[name].value
        assert theirs.parameters[name].omega == pytest.approx(ours.parameters[name].omega, rel=1e-12)
        assert "oracle_nonmem_pheno_real.mod THETA(" in theirs.parameters[name].source
    assert theirs.residual.proportional == pytest.approx(ours.residual.proportional, rel=1e-11)
    for weight, apgar in ((1.4, 7.0), (2.0, 3.0)):
        expected = ours.typical({"WT": weight, "APGR": apgar})
        assert theirs.typical({"WGT": weight, "APGR": apgar}) == pytest.approx(expected, rel=1e-12)


@pytest.mark.oracle
def test_pheno_etas_are_nonmem_s(oracles: Path, pheno: Imported) -> None:
    """Conditional etas (printed to six digits) within 1e-5, through auctor's own search."""
    found = estimate_table(pheno.model, read_table(oracles / "pharmpy_nonmem" / "pheno_data.csv", pheno.model))
    printed = csv.DictReader((oracles / "pharmpy_nonmem" / "pheno_real_phi.csv").read_text().splitlines())
    theirs = [[float(row["ETA1"]), float(row["ETA2"])] for row in printed]
    np.testing.assert_allclose(np.stack([s.eta for s in found.subjects]), theirs, atol=1e-5)


# --- mrgsolve and nlmixr2 -----------------------------------------------------------------------------------------------


def check_text(model: DrugModel, program: Program, run: Any) -> None:
    """What another reader computes from the text is what the model says."""
    for eta, covariates, state in draws(model, program.course):
        named = {program.names[n]: v for n, v in covariates.items()}
        found = run(named, eta[list(program.order)], state)
        ours = values(model, eta, covariates, state)
        np.testing.assert_allclose([found[n] for n in ours], list(ours.values()), rtol=RTOL)
        for cmt, sd in expected_sd(model, ours).items():
            assert found[f"W{cmt}"] == pytest.approx(sd, rel=RTOL)
    np.testing.assert_allclose(run.omega, model.omega[np.ix_(program.order, program.order)], rtol=1e-15)


def expected_sd(model: DrugModel, found: Mapping[str, float]) -> dict[int, float]:
    """SD of an observation in the model's unit, from the residual's definition in docs/model-file.md."""
    out = {}
    for cmt in course_of(model).outputs:
        r, f = model.residuals.get(cmt) or model.residual, found[f"C{cmt}"] / model.scale
        sd = {
            "log": r.proportional * model.scale,
            "combined": float(np.hypot(r.proportional * f, r.additive)) * model.scale,
            "combined1": (r.proportional * f + r.additive) * model.scale,
            "power": (r.proportional * f**r.power + r.additive) * model.scale,
        }[r.kind]
        out[cmt] = sd / model.scale if r.kind == "log" else sd
    return out


SAMPLE = ["003", "006", "301", "401", "407", "911", "921", "931", "962"]


@pytest.mark.oracle
@pytest.mark.parametrize("number", SAMPLE)
@pytest.mark.parametrize("language", ["mrgsolve", "nlmixr2"])
def test_mapbayr_run_as_other_text(runs: dict[str, Any], tmp_path: Path, number: str, language: str) -> None:
    check_language(read_model(mapbayr_file(runs[number], tmp_path / "run.toml")), language)


@pytest.mark.parametrize("language", ["mrgsolve", "nlmixr2"])
@pytest.mark.parametrize("name", [*EXPORTED, *FORMS])
def test_model_as_other_text(name: str, language: str, tmp_path: Path) -> None:
    check_language(form(name, tmp_path) if name in FORMS else read_model(name), language)


def check_language(model: DrugModel, language: str) -> None:
    if language == "mrgsolve":
        check_text(model, mrgsolve_program(model), run_mrgsolve(mrgsolve_text(model)))
    else:
        check_text(model, nlmixr2_program(model), run_nlmixr2(nlmixr2_text(model)))
