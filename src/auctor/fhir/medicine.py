"""Which drug a MedicationAdministration or MedicationRequest is about, in which strength, by which route."""

from __future__ import annotations

from typing import NamedTuple

from auctor.fhir.codebook import Meaning
from auctor.fhir.found import LeftOut, Question
from auctor.fhir.node import Node
from auctor.fhir.reading import Reading
from auctor.fhir.values import in_unit, meanings, mentions, one_name, read_quantity, words


class Medicine(NamedTuple):
    """The course's drug as it was given: what its code said, and mg in one mL of the product (None where not said)."""

    meaning: Meaning
    strength_mg_ml: float | None


def read_medicine(node: Node, reading: Reading) -> Medicine:
    """The drug of a resource. LeftOut for another drug; a Question where it could be this one and no known code says so."""
    concept = node.node("medicationCodeableConcept")
    reference = node.node("medicationReference")
    product = reading.record.resolve(reference, node) if reference is not None else None
    parts = product.nodes("ingredient") if product is not None else ()
    concepts = [c for c in (concept, product.node("code") if product is not None else None) if c is not None]
    concepts += [c for part in parts if (c := part.node("itemCodeableConcept")) is not None]
    found = [m for c in concepts for m in meanings(c, reading.book, "drug")]
    if any(m.name == reading.drug.drug for m in found):
        _agree(concepts, reading)
        mine = next(m for m in found if m.name == reading.drug.drug)
        return Medicine(mine, _strength(parts, reading))
    said = " ".join([*(words(c) for c in concepts), reference.text("display").casefold() if reference is not None else ""])
    if mentions(said, reading.drug.drug, reading.drug.analyte):
        remedy = "map the hospital's code in a file of site codes"
        raise Question("unmapped-medication", where=node.where, what="named like the drug, but no known code says so", remedy=remedy)
    if reference is not None and product is None and not said.strip():
        remedy = "export the Medication resources with it"
        raise Question(
            "unresolved-medication", where=node.at("medicationReference"), what="names a product that is not here", remedy=remedy
        )
    raise LeftOut("another-drug", "not the drug of this course")


def _agree(concepts: list[Node], reading: Reading) -> None:
    """The known codes of one concept must not name two drugs."""
    for concept in concepts:
        one_name(concept, reading.book, "drug")


def _strength(parts: tuple[Node, ...], reading: Reading) -> float | None:
    """mg per mL of the ingredient that is the drug, where its strength is a mass in a volume."""
    for part in parts:
        ratio = part.node("strength")
        item = part.node("itemCodeableConcept")
        if ratio is None or not any(m.name == reading.drug.drug for m in meanings(item, reading.book, "drug")):
            continue
        mass, volume = (ratio.node(key) for key in ("numerator", "denominator"))
        if mass is None or volume is None:
            continue
        ml = in_unit(read_quantity(volume, reading.book), "mL", where=volume.where)
        if ml <= 0:
            raise Question("strength", where=volume.where, what="a volume of zero or less", remedy="find out the strength")
        return in_unit(read_quantity(mass, reading.book), "mg", where=mass.where, molar_mass=reading.molar_mass) / ml
    return None


def read_route(dosage: Node, reading: Reading) -> str:
    """`oral` or `iv`; a Question for none, for an unknown one and for one that no model describes."""
    concept = dosage.node("route")
    found = one_name(concept, reading.book, "route")
    if found in ("oral", "iv"):
        return found
    what = "a route that no model describes" if found else "a route that no known code says" if concept else "no route"
    raise Question("route", where=dosage.at("route"), what=what, remedy="find out how it was given, and enter the dose by hand")


def mass_mg(quantity: Node, reading: Reading, strength: float | None) -> float:
    """An amount in mg; a volume through the strength of the product. UnitError or a Question where it cannot be."""
    amount = read_quantity(quantity, reading.book)
    if amount.sign:
        raise Question("amount", where=quantity.where, what="less or more than a number, not an amount", remedy="find out the amount")
    if amount.unit in ("mL", "L", "ml", "l", "dL"):
        if strength is None:
            remedy = "find out mg per mL, or enter the dose by hand"
            raise Question("no-strength", where=quantity.where, what="a volume, and the strength is not here", remedy=remedy)
        return strength * in_unit(amount, "mL", where=quantity.where)
    return in_unit(amount, "mg", where=quantity.where)
