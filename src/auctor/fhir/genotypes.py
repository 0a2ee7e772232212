"""CYP3A5 genotype Observations (LOINC 84413-4, as in HL7's genomics reporting guide) to the covariate expresser or nonexpresser."""

from __future__ import annotations

import re

from auctor.fhir.bundle import source_of
from auctor.fhir.found import Fact, LeftOut, Question
from auctor.fhir.node import Node
from auctor.fhir.reading import Reading
from auctor.fhir.values import meanings, mentions, words

GENE = "cyp3a5"
_ALLELES = re.compile(r"\*(\d+)(?:[a-z])?\s*/\s*\*(\d+)(?:[a-z])?")
_SILENT = frozenset({"3", "6", "7"})  # alleles without function: CPIC, Birdwell 2015, Clin Pharmacol Ther 98:19-24
EXPRESSER, NONEXPRESSER = "expresser", "nonexpresser"


def read_genotype(node: Node, reading: Reading) -> Fact:
    """The covariate CYP3A5 of a genotype such as *1/*3, which holds for all times. LeftOut for another gene."""
    value = node.node("valueCodeableConcept")
    said = f"{words(value)} {node.text('valueString').casefold()}"
    genes = [words(part.node("valueCodeableConcept")) for part in node.nodes("component") if _is_gene(part, reading)]
    named = " ".join([*genes, said, words(node.node("code"))])
    if not mentions(named, GENE):
        raise LeftOut("another-gene", "not the genotype of CYP3A5")
    body = {"name": "CYP3A5", "value": expression(said, where=node.at("value"))}
    return Fact(kind="covariate", body=body, sources=(source_of(node),), issued=node.text("issued")[:40])


def _is_gene(part: Node, reading: Reading) -> bool:
    return any(m.name == "gene" for m in meanings(part.node("code"), reading.book, "genotype"))


def expression(text: str, *, where: str) -> str:
    """Expresser for at least one *1, nonexpresser for two of *3, *6 and *7; a Question for other alleles.

    >>> expression("cyp3a5 *1/*3", where="Observation/1.value")
    'expresser'
    """
    found = set(_ALLELES.findall(text))
    pairs = {EXPRESSER if "1" in pair else NONEXPRESSER if set(pair) <= _SILENT else "" for pair in found}
    if len(pairs) != 1 or "" in pairs:
        what = "not a pair of the alleles *1, *3, *6, *7"
        raise Question("genotype", where=where, what=what, remedy="ask the laboratory whether the patient expresses CYP3A5")
    return pairs.pop()
