"""What every file of the library must have, that its files speak one language, and the traps its sources set."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import pytest

from auctor.case import Dose, Route
from auctor.models.checks import at_eta_zero, entering, read_checks, takes_dose
from auctor.models.model import Covariate, DrugModel
from auctor.models.reader import list_models, read_every_variant, read_model
from auctor.models.words import word_findings

LINKS = {"doi": r"10\.\d{4,9}/\S+", "pmid": r"\d{7,8}( .*)?", "url": r"https?://\S+"}
NOT_FOUND = re.compile(r"names no DOI, PMID or address")


def models() -> Iterator[DrugModel]:
    """Every library model as its file stands."""
    return map(read_model, list_models())


@pytest.mark.parametrize("name", list_models())
def test_every_number_has_a_source_and_every_file_an_open_question(name: str) -> None:
    for model in read_every_variant(name):
        codes = ("source", "status") if model.variant else ("source", "status", "unused")  # a variant may leave a covariate without effect
        assert [str(f) for f in word_findings(model) if f.code in codes] == []
        # strengths and caps stand only where there is a source for them
        assert model.dosing is None or len(model.dosing.source) > 20
        assert model.questions and all(question.strip() for question in model.questions)


@pytest.mark.parametrize("name", list_models())
def test_the_publication_can_be_found_or_the_file_says_that_it_could_not(name: str) -> None:
    model = read_model(name)
    links = {key: model.reference[key] for key in LINKS if key in model.reference}
    assert [link for key, link in links.items() if not re.fullmatch(LINKS[key], link)] == []
    assert re.search(r"\b(19|20)\d\d\b", model.reference["cite"]) and model.reference["confidence"] in ("high", "medium", "low")
    assert bool(links) != any(NOT_FOUND.search(question) for question in model.questions)


@pytest.mark.parametrize("name", list_models())
def test_every_file_and_variant_has_checks_of_the_three_kinds(name: str) -> None:
    """Parameters at two covariate sets, a simulated figure and an invariant; only what takes no dose may say why it has no invariant."""
    for model in read_every_variant(name):
        checks = read_checks(model)
        assert len({tuple(check.patient.values()) for check in checks if check.parameters}) >= (2 if model.covariates else 1)
        assert any(check.figures for check in checks) and all(check.how for check in checks)
        assert any(check.invariant for check in checks) != bool(model.exempt) and takes_dose(model) != bool(model.exempt)


# one name, one unit: a table column means the same to every model
UNITS = {
    "AGE": "year", "ALB": "g/L", "BMI": "kg/m2", "BSA": "m2", "CRCL": "mL/min", "EGFR": "mL/min/1.73m2", "FFM": "kg", "GA": "week",
    "HCT": "%", "HT": "cm", "PMA": "week", "PNA": "day", "POD": "day", "TEMP": "degC", "WT": "kg",
}  # fmt: skip
UNITS_THAT_DIFFER = {"SCR": ({"mg/dL", "umol/L"}, "as each source prints it: its reference value and exponents are read in that unit")}
CODES = {"SEX": {"male": 0, "female": 1}, "CYP3A5": {"nonexpresser": 0, "expresser": 1}, "DIAL": {"no": 0, "yes": 1}}
CODES_THAT_DIFFER = {
    "FORM": "the formulations of one drug; those of another drug are other ones",
    "DISEASE": "the categories of each source; the word says which",
}


def test_a_covariate_has_one_unit_in_the_whole_library() -> None:
    found: dict[str, set[str]] = {}
    for covariate in (c for model in models() for c in model.covariates.values() if c.levels is None):
        found.setdefault(covariate.name, set()).add(covariate.unit)
    assert {name: units for name, units in found.items() if len(units) > 1} == {n: units for n, (units, _) in UNITS_THAT_DIFFER.items()}
    assert {name: found[name] for name in UNITS} == {name: {unit} for name, unit in UNITS.items()}


def _codes(covariate: Covariate) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((covariate.levels or {}).items()))


def test_a_covariate_has_one_coding_in_the_whole_library() -> None:
    """A table of codes must mean the same to every model: SEX 1 cannot be a man in one and a woman in the next."""
    found: dict[str, set[tuple[tuple[str, float], ...]]] = {}
    for covariate in (c for model in models() for c in model.covariates.values()):
        found.setdefault(covariate.name, set()).add(_codes(covariate))
    assert {name for name, codings in found.items() if len(codings) > 1} == set(CODES_THAT_DIFFER)
    assert {name: found[name] for name in CODES} == {name: {tuple(sorted(codes.items()))} for name, codes in CODES.items()}
    told = [codes for codings in found.values() for codes in map(dict, codings) if {"no", "yes"} & set(codes)]
    assert all(codes["no"] == 0 and codes.get("yes", 1) == 1 for codes in told) and len(told) > 20


def test_what_may_be_coded_otherwise_is_coded_alike_for_one_drug() -> None:
    found: dict[tuple[str, str], set[tuple[tuple[str, float], ...]]] = {}
    for model in models():
        for covariate in (c for c in model.covariates.values() if c.name in CODES_THAT_DIFFER):
            found.setdefault((covariate.name, model.drug), set()).add(_codes(covariate))
    assert [key for key, codings in found.items() if len(codings) > 1] == []
    assert found["FORM", "ganciclovir"] == {(("ganciclovir", 1.0), ("valganciclovir", 0.0))}


# --- traps --------------------------------------------------------------------------------------------------------------------------


def test_colin_2019_has_the_clearance_of_the_abstract_and_not_that_of_pkpdsim() -> None:
    """35 y, 70 kg, 0.83 mg/dL: 4.10 L/h (abstract); PKPDsim's file gives 5.32, 30 % too much."""
    years = 1866.2 / 52.1775
    expected = math.exp(-1.228 + 0.672 * math.log10(years) + 6.27 * math.exp(-3.11 * years))
    by_hand = 5.31 * math.exp(-0.649 * (0.83 - expected)) / (1 + (46.4 / 1866.2) ** 2.89) / (1 + (years / 61.6) ** 2.24)
    for model in read_every_variant("vancomycin_colin_2019"):
        found = at_eta_zero(model, {"PMA": 1866.2, "WT": 70.0, "SCR": 0.83, "HAEM": 0.0})
        assert found["CL"] == pytest.approx(by_hand, rel=1e-12) and round(found["CL"], 2) == 4.10
        assert (found["V1"], found["V2"], found["Q"]) == pytest.approx((42.9, 41.7, 3.22), rel=1e-12)
        assert found["CL"] < 0.8 * 5.32


def test_dvorchik_2004_varies_the_whole_of_q_and_v2_and_not_the_weight_term_alone() -> None:
    """`q + w * (WT - 75.1) * exp(eta)` binds eta to the second term: so runs the published code, by precedence of the product."""
    eta, heavier = 0.4, 20.0
    patient = {"CRCL": 91.2, "TEMP": 37.2, "WT": 75.1 + heavier, "SEX": 0.0, "INFECTED": 1.0}
    whole, slip = (_with_eta(f"daptomycin_dvorchik_2004{v}", patient, eta) for v in ("", "@woillard_code"))
    grown = math.exp(eta)
    assert (whole["Q"], whole["V2"]) == pytest.approx(((3.46 + 0.0593 * heavier) * grown, (3.13 + 0.0458 * heavier) * 1.93 * grown))
    assert (slip["Q"], slip["V2"]) == pytest.approx((3.46 + 0.0593 * heavier * grown, 3.13 + 0.0458 * heavier * grown))


def _with_eta(name: str, patient: dict[str, float], eta: float) -> dict[str, float]:
    model = read_model(name)
    return {key: float(value) for key, value in model.individual(patient, np.full(len(model.eta_names), eta)).items()}


@pytest.mark.parametrize("name", [n for n in list_models() if n.startswith("ganciclovir")])
def test_valganciclovir_is_turned_into_ganciclovir_once(name: str) -> None:
    """900 mg of valganciclovir are 648 mg of ganciclovir, whichever of the two the source's F refers to."""
    for model in read_every_variant(name):
        reference = {c.name: c.reference for c in model.covariates.values()}
        given = [
            entering(model, Dose(time_h=0, amount_mg=mg, route=Route.ORAL), at_eta_zero(model, patient), patient)
            for mg, patient in ((900.0, {**reference, "FORM": 0.0}), (648.0, {**reference, "FORM": 1.0}))
        ]
        assert given[0] == pytest.approx(given[1], rel=1e-12) and 0.3 * 900 < given[0] < 0.72 * 900
        intravenous = Dose(time_h=0, amount_mg=100.0, route=Route.IV)
        assert {entering(model, intravenous, at_eta_zero(model, p), p) for p in ({**reference, "FORM": f} for f in (0.0, 1.0))} == {100.0}


@pytest.mark.parametrize("name", [n for n in list_models() if n.startswith("valganciclovir")])
def test_apparent_parameters_of_valganciclovir_hold_the_ratio_already(name: str) -> None:
    """Their doses are mg of valganciclovir; a second 0.72 would take a quarter of the exposure away. Vezina's is a named variant."""
    for model in read_every_variant(name):
        reference = {c.name: c.reference for c in model.covariates.values()}
        given = entering(model, Dose(time_h=0, amount_mg=900.0, route=Route.ORAL), at_eta_zero(model, reference), reference)
        assert given == pytest.approx(648.0 if model.variant == "ganciclovir_dose" else 900.0)
        assert any("mg of valganciclovir" in note for note in model.notes)


def test_mofetil_is_turned_into_the_acid_once() -> None:
    """1000 mg of mycophenolate mofetil are 739 mg of mycophenolic acid, 320.34 / 433.5."""
    model = read_model("mycophenolate_sherwin_2012")
    assert entering(model, Dose(time_h=0, amount_mg=1000.0, route=Route.ORAL), at_eta_zero(model, {}), {}) == pytest.approx(739.0)
    assert pytest.approx(0.739, abs=5e-4) == 320.34 / 433.5


def test_the_correlations_of_sunitinib_are_an_open_alternative() -> None:
    """The mapbayr codes have r * variance * variance as the covariance; with r = 0.48, 0.45, 0.53 it is r * SD * SD."""
    coded, printed = (read_model(f"sunitinib_yu_2015{v}").omega for v in ("", "@printed_correlations"))
    r, variance = np.asarray([0.48, 0.45, 0.53]), np.diag(coded)
    np.testing.assert_allclose(np.diag(coded, 1), r * variance[:-1] * variance[1:], rtol=1e-4)
    np.testing.assert_allclose(np.diag(printed, 1), r * np.sqrt(variance[:-1] * variance[1:]), rtol=1e-5)
