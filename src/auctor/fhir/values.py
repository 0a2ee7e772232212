"""FHIR Quantities and CodeableConcepts in auctor's words: numbers with UCUM units checked by `auctor.units`, codes by the codebook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from auctor.errors import RecordError, UnitError
from auctor.fhir.codebook import UCUM, Codebook, Meaning
from auctor.fhir.found import Question
from auctor.fhir.node import Node
from auctor.units import convert, factor

COMPARATORS = {"<": "<", "<=": "<", ">": ">", ">=": ">"}


class Amount(NamedTuple):
    """A number with its UCUM unit; `sign` is "<", ">" or ""."""

    value: float
    unit: str
    sign: str = ""

    @property
    def text(self) -> str:
        """As a case file writes it.

        >>> Amount(12.0, "ug/mL", "<").text
        '<12 ug/mL'
        """
        return f"{self.sign}{shown(self.value)} {self.unit}"


def shown(value: float) -> str:
    """The shortest text that reads back as the number.

    >>> shown(12.0), shown(0.1)
    ('12', '0.1')
    """
    return repr(float(value)).removesuffix(".0")


def read_quantity(node: Node, book: Codebook) -> Amount:
    """A Quantity as it was sent, its unit in UCUM. RecordError without a value or a unit, or where unit and code say different things."""
    value, sign = node.number("value"), node.text("comparator")
    if value is None:
        raise RecordError(where=node.at("value"), what="no value", remedy="find out the number")
    if sign and sign not in COMPARATORS:
        raise RecordError(where=node.at("comparator"), what="not <, <=, > or >=", remedy="correct it at its source")
    return Amount(value, _unit(node, book), COMPARATORS.get(sign, ""))


def _unit(node: Node, book: Codebook) -> str:
    system, code, said = node.text("system"), node.text("code"), node.text("unit")
    coded = book.ucum(code) if code and system in (UCUM, "") else ""
    spelt = book.ucum(said) if said else ""
    if coded and spelt and coded != spelt and _differ(coded, spelt):
        raise Question("units-disagree", where=node.where, what="unit and code say different units", remedy="find out which was meant")
    if not (coded or spelt):
        raise UnitError(where=node.where, what="no unit", remedy="find out the unit")
    return coded or spelt


def _differ(one: str, other: str) -> bool:
    """Whether two readable units are not the same; a display that is no unit (`micrograms per millilitre`) says nothing."""
    try:
        return factor(one, other, where="unit") != 1
    except UnitError as problem:
        return not problem.what.startswith("unknown unit")


def in_unit(amount: Amount, to: str, *, where: str, molar_mass: float | None = None) -> float:
    """The number in another unit, exact; UnitError as `auctor.units.convert`."""
    return convert(amount.value, amount.unit, to, where=where, molar_mass=molar_mass)


def codings(concept: Node | None) -> Iterator[tuple[str, str]]:
    """(system, code) of each coding."""
    for coding in concept.nodes("coding") if concept is not None else ():
        yield coding.text("system"), coding.text("code")


def words(concept: Node | None) -> str:
    """Text and displays of a concept, in small letters."""
    if concept is None:
        return ""
    return " ".join([concept.text("text"), *(coding.text("display") for coding in concept.nodes("coding"))]).casefold()


def mentions(text: str, *names: str) -> bool:
    """Whether one of the names stands in the text as a word.

    >>> mentions("vancomycin trough", "vancomycin"), mentions("norvancomycine", "vancomycin")
    (True, False)
    """
    return any(re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", text) for name in names if name)


def meanings(concept: Node | None, book: Codebook, *kinds: str) -> tuple[Meaning, ...]:
    """What the known codes of a concept mean, of these kinds, in the order of the codings."""
    return tuple(m for system, code in codings(concept) for m in book.find(system, code) if m.kind in kinds)


def one_name(concept: Node | None, book: Codebook, kind: str) -> str:
    """The one word that the known codes of a concept agree on, "" for none; a Question where they contradict each other."""
    names = {m.name for m in meanings(concept, book, kind)}
    if len(names) > 1:
        where = concept.where if concept is not None else kind
        raise Question("codes-disagree", where=where, what="its codes contradict each other", remedy="find out which is right")
    return next(iter(names), "")
