"""Codebook: what the codes of a hospital mean to auctor, each with its source and whether it was read there.

Codes of drugs and their levels are those of the drug files (`auctor.models.drug_file`); the rest is in `codes/*.toml`. A site adds its own
local codes with a file of the same form. A label such as trough or peak is carried as a word and never moves a sample.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from auctor.errors import ModelError
from auctor.models.drug_file import Code, Drug, list_drugs, loinc_digit_fits, proof, read_drug
from auctor.models.table import Table, suggestion

SCHEMA = 1
CODES = Path(__file__).parent / "codes"
LOINC, ATC, RXNORM = "http://loinc.org", "http://www.whocc.no/atc", "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"
SYSTEMS = {"LOINC": LOINC, "ATC": ATC, "RxNorm": RXNORM}
KINDS = ("level", "drug", "covariate", "filtration", "genotype", "route", "specimen", "procedure", "result")
_NAMES = {"route": ("oral", "iv", "other"), "specimen": ("serum", "plasma", "whole blood"), "genotype": ("genotype", "gene")}
_ROW = ("code", "name", "meaning", "verified", "source")


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What one code says.

    `kind` is one of KINDS, or `part` for a free level or a ratio, which no total level is; `name` the drug, covariate, route or matrix;
    `label` trough or peak; `matrix` what the code itself says was measured in ("" where it does not).
    """

    system: str
    code: str
    kind: str
    name: str
    meaning: str
    verified: bool
    source: str
    label: str = ""
    matrix: str = ""


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """All codes by (system, code), and the spellings of units that UCUM does not have."""

    meanings: Mapping[tuple[str, str], tuple[Meaning, ...]]
    units: Mapping[str, str]

    def find(self, system: str, code: str) -> tuple[Meaning, ...]:
        """Every meaning of a code: several where drugs share it (ganciclovir and valganciclovir share a level), none for an unknown one."""
        return self.meanings.get((system, code), ())

    def accepted(self, kind: str, name: str) -> tuple[Meaning, ...]:
        """Every code with that meaning, the drug files' first.

        >>> [m.code for m in codebook().accepted("level", "vancomycin")]
        ['20578-1', '4092-3', '4090-7']
        """
        return tuple(m for found in self.meanings.values() for m in found if (m.kind, m.name) == (kind, name))

    def emitted(self, drug: str) -> Meaning | None:
        """The one LOINC code that auctor writes for a level of a drug: the first verified one without a label. None where there is none.

        >>> codebook().emitted("gentamicin").code, codebook().emitted("daptomycin")
        ('35668-3', None)
        """
        return next((m for m in self.accepted("level", drug) if m.system == LOINC and m.verified and not m.label), None)

    def ucum(self, spelling: str) -> str:
        """The UCUM code of a hospital's spelling; the spelling itself where the table does not have it.

        >>> codebook().ucum("MCG/ML"), codebook().ucum("ng/mL")
        ('ug/mL', 'ng/mL')
        """
        return self.units.get(spelling.strip(), spelling.strip())

    def result(self, code: str) -> Meaning:
        """One of auctor's own codes; KeyError for another."""
        return next(m for found in self.meanings.values() for m in found if (m.kind, m.code) == ("result", code))


@lru_cache(maxsize=8)
def codebook(site: Path | None = None) -> Codebook:
    """The codes of the library, with those of a site's own file.

    Raises ModelError for a file that cannot be used: an unknown key, a LOINC code whose check digit is wrong, a doubt without a word.
    """
    found = [*_of_drugs(), *(m for path in sorted(CODES.glob("*.toml")) if path.name != "units.toml" for m in _of_file(path))]
    units = {str(key): str(value) for key, value in _toml(CODES / "units.toml")["ucum"].items()}
    if site is not None:
        found += _of_file(site)
        units |= _toml(site).get("ucum", {})
    index: dict[tuple[str, str], tuple[Meaning, ...]] = {}
    for meaning in found:
        key = (meaning.system, meaning.code)
        index[key] = (*index.get(key, ()), meaning)
    return Codebook(meanings=index, units=units)


def label_of(meaning: str) -> str:
    """Trough or peak, where the meaning of a code begins with the word.

    >>> label_of("peak; 20579-9 is not a peak"), label_of("level")
    ('peak', '')
    """
    first = meaning.split(";")[0].split(",")[0].strip()
    return first if first in ("trough", "peak") else ""


def _of_drugs() -> Iterator[Meaning]:
    for name in list_drugs():
        drug = read_drug(name)
        yield from (_of_drug(drug, name, code) for code in drug.codes)


def _of_drug(drug: Drug, name: str, code: Code) -> Meaning:
    level = code.system == "LOINC"
    part = level and not drug.matrix.endswith("free drug") and code.meaning.startswith("free")
    return Meaning(
        system=SYSTEMS[code.system], code=code.code, kind="part" if part else "level" if level else "drug", name=name,
        meaning=code.meaning, verified=code.verified, source=code.source,
        label=label_of(code.meaning), matrix="whole blood" if "in blood" in code.meaning else "",
    )  # fmt: skip


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(where=path.name, what="cannot be read as TOML in UTF-8", remedy="check the path and the syntax") from error


def _of_file(path: Path) -> list[Meaning]:
    top = Table.of(_toml(path), path.name, required=("schema",), optional=("kind", "system", "codes", "ucum"))
    if top.get("schema") != SCHEMA:
        raise top.fault("schema", f"not schema {SCHEMA}", f"write schema = {SCHEMA} at the top")
    return [_row(row, top) for row in top.rows("codes")]


def _row(row: Table, top: Table) -> Meaning:
    """One code; `system` and `kind` stand in the row, or once at the top of the file."""
    table = row.only(required=_ROW, optional=("system", "kind"))
    both = {key: (table if key in table.data else top).text(key) for key in ("system", "kind")}
    verified, source = proof(table)
    words = {key: table.text(key) for key in _ROW[:3]}
    found = Meaning(**both, **words, verified=verified, source=source, label=label_of(words["meaning"]))
    known = list_drugs() if found.kind in ("level", "drug") else _NAMES.get(found.kind, (found.name,))
    if found.kind not in KINDS:
        raise top.fault("kind", f"{found.kind[:20]!r} is not a kind of code", suggestion(found.kind, KINDS))
    if found.name not in known:
        raise table.fault("name", f"{found.name[:30]!r} is not known", suggestion(found.name, known))
    if found.system == LOINC and not loinc_digit_fits(found.code):
        raise table.fault("code", "its check digit is wrong", "copy the code again from its source")
    return found
