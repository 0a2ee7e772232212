"""The common patient and regimen of a drug on which its models are compared: a small data file with its reasoning.

`patients/DRUG.toml`, and `patients/DRUG_WORD.toml` for a second kind of patient. Each holds `title`, `why`, and a `[case]` in the form of a
case file without samples, whose covariates cover all models of the drug. The patient is made up; nobody is described.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auctor.case import Case
from auctor.data.casefile import for_each
from auctor.data.document import check_document
from auctor.errors import AuctorError, CaseError
from auctor.models.model import DrugModel

if TYPE_CHECKING:
    from auctor.data.schema import CaseFile

FOLDER = Path(__file__).parent / "patients"


@dataclass(frozen=True, kw_only=True)
class TypicalPatient:
    """`word` tells several patients of a drug apart ("" for the first); `why` is the reasoning; `document` the case."""

    word: str
    title: str
    why: str
    document: CaseFile

    def cases(self, models: Sequence[DrugModel]) -> dict[str, Case | AuctorError]:
        """The patient as each model reads it, or its refusal."""
        return for_each(self.document, models)


def typical_patients(drug: str) -> tuple[TypicalPatient, ...]:
    """The patients of a drug, the first one first; none when the drug has no file.

    >>> [patient.word for patient in typical_patients("vancomycin")]
    ['', 'neonate']
    """
    stem = drug.casefold()
    paths = [path for path in sorted(FOLDER.glob(f"{stem}*.toml")) if path.stem == stem or path.stem.startswith(f"{stem}_")]
    return tuple(_read(path, path.stem.removeprefix(stem).removeprefix("_")) for path in paths)


def typical_patient(drug: str, word: str = "") -> TypicalPatient:
    """One of them; CaseError where the drug has no such patient.

    >>> typical_patient("tacrolimus").document.drug
    'tacrolimus'
    """
    known = typical_patients(drug)
    found = next((patient for patient in known if patient.word == word), None)
    if found is None:
        words = ", ".join(p.word or "the one without a word" for p in known)
        what = f"{drug} has no typical patient" + (f" {word!r}" if word else "")
        raise CaseError(where="--patient" if word else "--case", what=what, remedy=f"known: {words}" if words else "give --case")
    return found


def _read(path: Path, word: str) -> TypicalPatient:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return TypicalPatient(word=word, title=raw["title"], why=raw["why"], document=check_document(raw["case"]))
