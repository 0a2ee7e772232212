"""Code tables: every code has a source that says whether it was read there, LOINC its check digit, units both sides equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from auctor.errors import ModelError, UnitError
from auctor.fhir.codebook import CODES, LOINC, RXNORM, codebook
from auctor.models.drug_file import DOUBT, list_drugs, loinc_digit_fits, read_drug
from auctor.units import factor

SITE = """
schema = 1
system = "urn:lab"
kind = "level"

[[codes]]
code = "DAPTO"
name = "daptomycin"
meaning = "trough, local code"
verified = true
source = "the laboratory's catalogue"

[ucum]
"mcg per mL" = "ug/mL"
"""


def test_every_code_says_whether_it_was_read_in_its_source() -> None:
    rows = [m for found in codebook().meanings.values() for m in found]
    assert len(rows) > 100
    assert [m.code for m in rows if m.verified == (DOUBT in m.source) or not m.source.strip()] == []
    assert [m.code for m in rows if m.system == LOINC and not loinc_digit_fits(m.code)] == []


def test_codes_of_drugs_are_those_of_the_drug_files_and_stand_nowhere_else() -> None:
    of_drugs = {c.code for name in list_drugs() for c in read_drug(name).codes}
    elsewhere = {m.code for key, found in codebook().meanings.items() for m in found if m.kind not in ("level", "part", "drug")}
    assert {m.code for found in codebook().meanings.values() for m in found if m.kind in ("level", "part", "drug")} >= of_drugs
    assert not of_drugs & elsewhere
    assert not any(code in path.read_text() for path in CODES.glob("*.toml") for code in of_drugs if len(code) > 5)


def test_trough_and_peak_are_labels_and_discouraged_confusions_are_not_made() -> None:
    (trough,), (peak,), (plain,) = (codebook().find(LOINC, code) for code in ("4092-3", "4090-7", "20578-1"))
    assert (trough.label, peak.label, plain.label) == ("trough", "peak", "")
    assert {m.name for m in (trough, peak, plain)} == {"vancomycin"}
    assert codebook().find(LOINC, "20579-9") == codebook().find(LOINC, "4023-8") == ()  # met in public code under these drugs' names
    assert codebook().emitted("vancomycin") == plain


def test_one_level_code_of_two_drugs_and_parts_of_a_level() -> None:
    assert {m.name for m in codebook().find(LOINC, "15367-6")} == {"ganciclovir", "valganciclovir"}
    assert {codebook().find(LOINC, code)[0].kind for code in ("3969-3", "10548-6")} == {"part"}
    assert codebook().find(RXNORM, "1807507")[0].name == "vancomycin"


def test_each_spelling_of_a_unit_equals_its_ucum_code_or_is_not_readable_by_itself() -> None:
    for spelling, ucum in codebook().units.items():
        assert factor(ucum, ucum, where="unit") == 1
        try:
            same = factor(spelling, ucum, where="unit")
        except UnitError:
            continue
        assert same == 1, spelling


def test_a_sites_own_codes(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(SITE, encoding="utf-8")
    book = codebook(path)
    (found,) = book.find("urn:lab", "DAPTO")
    assert (found.name, found.label, book.ucum("mcg per mL")) == ("daptomycin", "trough", "ug/mL")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('"daptomycin"', '"daptomycine"', "name"),
        ('kind = "level"', 'kind = "levle"', "kind"),
        ("schema = 1", "schema = 2", "schema"),
        ('system = "urn:lab"', f'system = "{LOINC}"', "code"),
        ("verified = true", "verified = false", "source"),
        ("meaning", "meening", "meening"),
        ("schema = 1", "schema = = 1", "site.toml"),
    ],
)
def test_a_wrong_site_file_is_refused_with_its_place(tmp_path: Path, old: str, new: str, where: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(SITE.replace(old, new), encoding="utf-8")
    with pytest.raises(ModelError) as refused:
        codebook(path)
    assert where in refused.value.where
