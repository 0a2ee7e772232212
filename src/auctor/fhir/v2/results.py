"""ORU^R01: each OBX that is a level of a drug or a covariate becomes one fact; everything else in the message is of no concern."""

from __future__ import annotations

from dataclasses import dataclass

from auctor.data.limits import COVARIATES
from auctor.errors import Notice
from auctor.fhir.v2.facts import Fact, Kind, Status, Version
from auctor.fhir.v2.message import Segment
from auctor.fhir.v2.site import Meaning, Site
from auctor.fhir.v2.values import TABLE, When, codings, number, unit, unreadable, when

# HL7 table 0085, observation result status; I, N and O say that there is no result yet
STATUS = {"P": Status.PRELIMINARY, "R": Status.PRELIMINARY, "S": Status.PRELIMINARY, "F": Status.FINAL, "U": Status.FINAL} | {
    "C": Status.CORRECTED, "D": Status.WITHDRAWN, "W": Status.WITHDRAWN, "X": Status.WITHDRAWN,
}  # fmt: skip
NOTHING_YET = ("I", "N", "O")
# HL7 table 0487, specimen type
SPECIMENS = {"BLD": "whole blood", "WB": "whole blood", "PLAS": "plasma", "PPP": "plasma", "SER": "serum"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the segments before an OBX say about it: the order (OBR), and how facts of this message are versioned and named."""

    obr: Segment
    place: str
    sender: str
    version: Version

    @property
    def number(self) -> str:
        """The filler's number of the order, or the placer's."""
        return "^".join(filter(None, (self.obr.text(3), self.obr.text(3, 2)))) or "^".join(
            filter(None, (self.obr.text(2), self.obr.text(2, 2)))
        )


def result(obx: Segment, where: str, order: Order, site: Site) -> Fact | None:
    """The fact of one OBX; None when its code is of no concern or it has no result yet. Unreadable when it cannot be used."""
    meaning = meaning_of(obx, site)
    if meaning is None or obx.text(11) in NOTHING_YET:
        return None
    status = STATUS.get(obx.text(11))
    if status is None:
        raise unreadable(f"{where}-11", "a result status that is not known", "send F, C, P, D, W or X", code=TABLE)
    key = _key(obx, order, where)
    kind = Kind.SAMPLE if meaning.kind == "level" else Kind.COVARIATE
    version = (order.version[0], int(status), *order.version[2:])
    blank = Fact(kind=kind, key=key, version=version, status=status, about=meaning.about, label=meaning.label)
    if status is Status.WITHDRAWN:
        return blank
    read = _level if kind is Kind.SAMPLE else _covariate
    body, notices = read(obx, where, meaning, _drawn(obx, where, order, site), site)
    return Fact(**{**vars(blank), "body": body, "notices": (*notices, *_unsettled(status, where))})


def meaning_of(obx: Segment, site: Site) -> Meaning | None:
    """What an OBX measures, None for what is of no concern."""
    found = (site.meaning(code.system, code.code) for code in codings(obx.raw(3), obx.delimiters))
    return next((meaning for meaning in found if meaning is not None and meaning.kind != "drug"), None)


def _key(obx: Segment, order: Order, where: str) -> str:
    if not order.number:
        raise unreadable(
            f"{order.place}-3", "no number of the order", "send OBR-3: without it a correction cannot be recognised", code="101"
        )
    code = codings(obx.raw(3), obx.delimiters)[0]
    return "|".join(("result", order.sender, order.number, code.system, code.code, obx.text(4)))


def _drawn(obx: Segment, where: str, order: Order, site: Site) -> When:
    """When the sample was drawn: OBX-14 where it is sent, else OBR-7. Two times in OBR-7 and OBR-8 are a period, which is refused."""
    if obx.raw(14):
        return when(obx, 14, where=f"{where}-14", site=site)
    if order.obr.raw(8) and order.obr.text(8) != order.obr.text(7):
        raise unreadable(f"{order.place}-8", "collected over a period", "send OBX-14: the middle of it is not assumed")
    return when(order.obr, 7, where=f"{order.place}-7", site=site)


def _level(obx: Segment, where: str, meaning: Meaning, drawn: When, site: Site) -> tuple[dict[str, object], tuple[Notice, ...]]:
    found = number(obx, 5, obx.text(2).upper(), where=f"{where}-5")
    written = unit(obx, 6, "mg/L", where=f"{where}-6", site=site)
    assay = "; ".join(filter(None, (obx.text(17, 2) or obx.text(17), obx.text(18))))
    if found.text.startswith("-") or float(found.text) == 0:
        raise unreadable(f"{where}-5", "a concentration that is not above zero", "below the limit send SN <^limit")
    value = f"{found.sign[:1]}{_plain(found.text)} {written}"
    said: dict[str, object] = {"value": value, "at": drawn.text, "assay": assay[:120], "matrix": meaning.matrix}
    return {name: word for name, word in said.items() if word}, (*drawn.notices, *found.notices)


def _covariate(obx: Segment, where: str, meaning: Meaning, drawn: When, site: Site) -> tuple[dict[str, object], tuple[Notice, ...]]:
    limit = COVARIATES.get(meaning.about)
    if limit is None:
        raise unreadable(f"{where}-3", "a covariate without a unit of its own here", "enter it by hand", code=TABLE)
    found = number(obx, 5, obx.text(2).upper(), where=f"{where}-5")
    if found.sign:
        raise unreadable(f"{where}-5", "a limit where a value is needed", "send the value")
    written = unit(obx, 6, limit.unit, where=f"{where}-6", site=site)
    body: dict[str, object] = {"value": f"{_plain(found.text)} {written}", "at": drawn.text}
    return body, (*drawn.notices, *found.notices)


def _plain(text: str) -> str:
    """The number as auctor reads it: no plus sign, digits on both sides of the point."""
    whole, point, rest = text.lstrip("+").partition(".")
    return f"{whole or '0'}{point and rest and '.'}{rest}"


def _unsettled(status: Status, where: str) -> tuple[Notice, ...]:
    if status is not Status.PRELIMINARY:
        return ()
    what, remedy = "a preliminary result", "sign when the final one has come"
    return (Notice(code="preliminary", where=f"{where}-11", what=what, remedy=remedy, blocks_signing=True),)
