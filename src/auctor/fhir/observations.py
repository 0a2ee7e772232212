"""Observation to samples and covariates: collected when, how much in which unit, below which limit. Labels never say when."""

from __future__ import annotations

from auctor.data.limits import ANY_CONCENTRATION, CONCENTRATIONS, COVARIATES
from auctor.data.measure import check_limit
from auctor.errors import Notice, RecordError, UnitError
from auctor.fhir.bundle import source_of
from auctor.fhir.codebook import Meaning
from auctor.fhir.found import Fact, LeftOut, Question
from auctor.fhir.genotypes import read_genotype
from auctor.fhir.node import Node
from auctor.fhir.reading import Reading, unusable, zone_notices
from auctor.fhir.values import Amount, in_unit, meanings, mentions, one_name, read_quantity, words
from auctor.fhir.when import When
from auctor.models.drug_file import loinc_digit_fits

SETTLED = ("final", "amended", "corrected")
_NOT_LEVELS = ("suscept", "resist", "mic ", "minimum inhibitory", "antibod", "antigen", "allerg", "screen", "dose", "urine")
_NOT_BLOOD = ("urine", "dialys", "effluent", "cerebrospinal", "csf", "bile", "pleural", "peritoneal", "ascit", "tissue", "saliva")
_APART_H = 1 / 60  # collection times of an observation and of its specimen may differ by rounding to the minute


def read_observation(node: Node, reading: Reading) -> Fact:
    """One sample or covariate value. LeftOut for other measurements and unsettled ones, a Question for what is missing or contradictory."""
    status = node.text("status")
    if status == "entered-in-error":
        raise LeftOut("entered-in-error", "entered in error")
    meaning = _meaning(node, reading)
    if status in ("registered", "preliminary", "cancelled"):
        raise LeftOut("not-final", "not final, or cancelled: read again when the laboratory has released it")
    if status not in SETTLED:
        raise Question("status", where=node.at("status"), what="does not say whether it is final", remedy="ask the laboratory")
    unusable(node)
    absent = node.node("dataAbsentReason")
    if absent is not None:
        raise LeftOut("no-value", "the laboratory says why there is no value")
    if meaning.kind == "genotype":
        return read_genotype(node, reading)
    return _sample(node, meaning, reading) if meaning.kind == "level" else _covariate(node, meaning, reading)


def _meaning(node: Node, reading: Reading) -> Meaning:
    """What was measured, where it is for this course."""
    code = node.node("code")
    if meanings(code, reading.book, "result"):
        raise LeftOut("own-result", "a result that auctor sent")
    found = meanings(code, reading.book, "level", "part", "covariate", "filtration", "genotype")
    if not found:
        raise _unknown(node, code, reading)
    if (
        len({m.kind for m in found}) > 1
        or len({m.name for m in found if m.kind == "covariate"}) > 1
        or len({m.label for m in found if m.label}) > 1
    ):
        raise Question("codes-disagree", where=node.at("code"), what="its codes contradict each other", remedy="ask the laboratory")
    if found[0].kind == "level":
        mine = [m for m in found if m.name == reading.drug.drug]
        if not mine:
            raise LeftOut("another-drug", "a level of another drug")
        return next((m for m in mine if m.label), mine[0])
    if found[0].kind == "part":
        raise LeftOut("part-of-level", "a free level or a ratio, which is not what the models describe")
    if found[0].kind == "filtration":
        raise LeftOut("computed-filtration", "computed by a formula that is not named; name one, and it is computed from creatinine")
    return found[0]


def _unknown(node: Node, code: Node | None, reading: Reading) -> Question | LeftOut:
    """Named like the drug and not known: somebody has to map it. Anything else is not for this course."""
    said = words(code)
    inside = [m for part in node.nodes("component") for m in meanings(part.node("code"), reading.book, "level")]
    if any(m.name == reading.drug.drug for m in inside):
        what, remedy = "a level inside a panel", "enter it by hand, or have the laboratory send it by itself"
        return Question("component", where=node.at("component"), what=what, remedy=remedy)
    if not mentions(said, reading.drug.drug, reading.drug.analyte):
        return LeftOut("not-used", "not a measurement that is read")
    if any(word in said for word in _NOT_LEVELS) or not node.has("valueQuantity", "valueString"):
        return LeftOut("other-measurement", "named like the drug, but not a level of it in blood")
    wrong = any(s == "http://loinc.org" and not loinc_digit_fits(c) for s, c in ((x.text("system"), x.text("code")) for x in _coded(code)))
    what = "its LOINC code has a wrong check digit" if wrong else "named like the drug, but no known code says so"
    return Question("unmapped-level", where=node.at("code"), what=what, remedy="map the laboratory's code in a file of site codes")


def _coded(code: Node | None) -> tuple[Node, ...]:
    return code.nodes("coding") if code is not None else ()


def collected(node: Node, reading: Reading) -> When:
    """When the sample was taken: effectiveDateTime or effectiveInstant, and what its Specimen says, which must agree.

    A period is refused: its middle is nobody's collection time. The time of release is never used.
    """
    said = list(node.choices("effective"))
    remedy = "find out when the sample was taken"
    if len(said) != 1:
        raise Question("no-time", where=node.at("effective"), what="no collection time" if not said else "two times", remedy=remedy)
    if said[0] not in ("effectiveDateTime", "effectiveInstant"):
        raise Question("period", where=node.at(said[0]), what="a period where the time of collection is needed", remedy=remedy)
    moment, other = reading.when(node, said[0]), _specimen_time(node, reading)
    if other is not None and abs(other.hours_after(moment)) > _APART_H:
        what = "not the collection time of its specimen"
        raise Question("two-times", where=node.at(said[0]), what=what, remedy=remedy)
    return moment


def _specimen(node: Node, reading: Reading) -> Node | None:
    return reading.record.resolve(node.node("specimen"), node)


def _specimen_time(node: Node, reading: Reading) -> When | None:
    specimen = _specimen(node, reading)
    collection = specimen.node("collection") if specimen is not None else None
    if collection is None or not collection.has("collectedDateTime"):
        return None
    return reading.when(collection, "collectedDateTime")


def _value(node: Node, reading: Reading) -> Amount:
    """The measured quantity; a Question for a value of another kind or none."""
    quantity = node.node("valueQuantity")
    if quantity is None or len(list(node.choices("value"))) != 1:
        what = "not one number with a unit"
        raise Question("no-number", where=node.at("value"), what=what, remedy="ask the laboratory to send a Quantity, or enter it by hand")
    return read_quantity(quantity, reading.book)


def _sample(node: Node, meaning: Meaning, reading: Reading) -> Fact:
    amount, moment = _value(node, reading), collected(node, reading)
    if amount.value <= 0:
        remedy = "ask for the assay's limit, and enter '<limit'"
        raise Question("implausible", where=node.at("valueQuantity"), what="a level of zero or less", remedy=remedy)
    amount, notices = _as_mass(amount, node, reading)
    limit = CONCENTRATIONS.get(reading.drug.drug, ANY_CONCENTRATION)
    check_limit(in_unit(amount, limit.unit, where=node.at("valueQuantity")), limit, where=node.at("valueQuantity"))
    body = {"value": amount.text, "at": moment.text}
    matrix = _matrix(node, meaning, reading)
    body |= {"matrix": matrix} if matrix else {}
    method = node.node("method")
    assay = method.text("text") or words(method).strip() if method is not None else ""
    body |= {"assay": assay[:120]} if assay else {}
    notices += zone_notices(moment, where=node.where)
    return Fact(kind="sample", body=body, sources=(source_of(node),), label=meaning.label, issued=node.text("issued")[:40], notices=notices)


def _as_mass(amount: Amount, node: Node, reading: Reading) -> tuple[Amount, tuple[Notice, ...]]:
    """A level as it was sent; one in moles as mg/L by the molar mass of the drug file, with a notice."""
    where = node.at("valueQuantity")
    try:
        in_unit(amount, "mg/L", where=where)
    except UnitError:
        value = in_unit(amount, "mg/L", where=where, molar_mass=reading.molar_mass)
        what = "sent in moles; turned into mg/L by the molar mass of the drug file"
        notice = Notice(code="molar-converted", where=where, what=what, remedy="see `auctor models drug`")
        return Amount(float(f"{value:.9g}"), "mg/L", amount.sign), (notice,)
    return amount, ()


def _matrix(node: Node, meaning: Meaning, reading: Reading) -> str:
    """What was measured in: as the specimen says, else as the code says; a Question where they contradict each other."""
    specimen = _specimen(node, reading)
    kind = specimen.node("type") if specimen is not None else None
    said = one_name(kind, reading.book, "specimen")
    if any(word in words(kind) for word in _NOT_BLOOD):
        raise Question("matrix", where=node.at("specimen"), what="not blood, plasma or serum", remedy="leave it out, or ask the laboratory")
    if said and meaning.matrix and said != meaning.matrix:
        raise Question("matrix", where=node.at("specimen"), what="not the matrix that its code says", remedy="ask the laboratory")
    return said or meaning.matrix


def _covariate(node: Node, meaning: Meaning, reading: Reading) -> Fact:
    amount, moment = _value(node, reading), collected(node, reading)
    if amount.sign or amount.value <= 0:
        raise Question("implausible", where=node.at("valueQuantity"), what="not a number above zero", remedy="find out the value")
    limit, where = COVARIATES.get(meaning.name), node.at("valueQuantity")
    if limit is None:
        remedy = "use a name that auctor has limits for"
        raise RecordError(where=node.at("code"), what="a covariate of the site's codes that auctor does not know", remedy=remedy)
    check_limit(in_unit(amount, limit.unit, where=where, molar_mass=limit.molar_mass), limit, where=where)
    body = {"name": meaning.name, "value": amount.text, "at": moment.text}
    return Fact(
        kind="covariate",
        body=body,
        sources=(source_of(node),),
        issued=node.text("issued")[:40],
        notices=zone_notices(moment, where=node.where),
    )
