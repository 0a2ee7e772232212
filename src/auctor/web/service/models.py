"""Which models there are for a drug, and why one is proposed: the reader decides, auctor says what speaks for each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from threading import Lock

from auctor.errors import CaseError
from auctor.models.domain import domain_text
from auctor.models.model import DrugModel
from auctor.models.reader import list_models
from auctor.web.service.engine import read

_READING = Lock()
RANK = {"validated": 0, "reviewed": 1, "draft": 2}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A model of a drug as it is offered."""

    model: DrugModel

    @property
    def covariates(self) -> list[tuple[str, str, str]]:
        """(name, label, source population) of each covariate."""
        return [(c.name, c.label, domain_text(c)) for c in self.model.covariates.values()]

    @property
    def usable(self) -> bool:
        """Whether candidate regimens and a target come with it."""
        return self.model.dosing is not None and bool(self.model.targets)


def _every() -> tuple[DrugModel, ...]:
    with _READING:  # `cache` alone would let everybody who asks meanwhile read the library too
        return _library()


@cache
def _library() -> tuple[DrugModel, ...]:
    return tuple(read(name) for name in list_models())


@cache
def drugs() -> tuple[str, ...]:
    """Drugs of the library, in alphabetical order.

    >>> "tacrolimus" in drugs()
    True
    """
    return tuple(sorted({model.drug for model in _every()}))


def offers(drug: str) -> list[Offer]:
    """The models of a drug: complete ones first, then by status, then newest. CaseError for a drug that the library lacks."""
    found = [Offer(model=model) for model in _every() if model.drug.casefold() == drug.casefold()]
    if not found:
        raise CaseError(where="drug", what="no model of it in the library", remedy="choose a drug of the list")
    return sorted(found, key=lambda offer: (not offer.usable, RANK.get(offer.model.status, 3), -_year(offer.model), offer.model.name))


def _year(model: DrugModel) -> int:
    return next((int(part) for part in model.name.split("_") if part.isdecimal() and len(part) == 4), 0)
