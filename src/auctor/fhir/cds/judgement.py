"""A drafted order in this patient: read as a regimen, forecast by the methods that answered, compared with the candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auctor.analysis.methods import answer, views
from auctor.analysis.result import MethodResult
from auctor.analysis.what_if import WhatIf
from auctor.case import Route
from auctor.dosing.candidates import Option, OptionKind
from auctor.dosing.concordance import Concordance, State, concordance
from auctor.dosing.recommend import Forecast, beyond_limit, forecast
from auctor.errors import CaseError, RecordError
from auctor.fhir.bundle import read_record
from auctor.fhir.node import Node
from auctor.fhir.orders import read_order
from auctor.fhir.reading import Reading, Wanted
from auctor.units import convert, parse

POPULATION = ("posterior", "map", "a_priori")  # methods that rest on the published model, the best first


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A drafted order as a regimen. `assumed_h` is the length of an infusion that the draft did not say, None where it did."""

    resource: Mapping[str, Any]
    option: Option
    assumed_h: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """Everything about a case that does not depend on the draft: the methods' answers, computed once and kept."""

    what_if: WhatIf
    methods: tuple[MethodResult, ...]
    agreement: Concordance

    @classmethod
    def of(cls, what_if: WhatIf) -> Ready:
        """Ask every method for its recommendation."""
        methods = tuple(answer(key, found, what_if.question) for key, found in what_if.methods.items())
        return cls(what_if=what_if, methods=methods, agreement=concordance(views(methods), options=what_if.question.options))

    @property
    def leading(self) -> MethodResult:
        """The population method that answers. Never machine learning. CaseError where none does."""
        found = {m.key: m for m in self.methods if m.recommendation is not None}
        for key in POPULATION:
            if key in found:
                return found[key]
        raise CaseError(where="course", what="no method answers for this patient", remedy="open the course in auctor")

    @property
    def current(self) -> Option | None:
        """The regimen that goes on now."""
        return next((o for o in self.what_if.question.options if o.kind is OptionKind.CURRENT), None)

    @property
    def settled(self) -> bool:
        """Whether a dose may be suggested at all: the methods do not contradict each other and nothing speaks against the leading one."""
        return self.agreement.state in (State.AGREE, State.ALONE) and not self.leading.doubt

    def proposed(self) -> Forecast | None:
        """The regimen that the leading method selects and that may be suggested: within caps and the change limit, a dose, not hold."""
        found = self.leading.recommendation
        best = found.best if found is not None else None
        given = best is not None and best.option.kind is not OptionKind.HOLD and not best.needs_confirmation
        return best if given and self.settled else None

    def ranked(self, most: int) -> tuple[Forecast, ...]:
        """The candidates that may be suggested, the likeliest to reach the target first, the proposed one at the head."""
        found, proposed = self.leading.recommendation, self.proposed()
        if found is None or proposed is None:
            return ()
        others = [f for f in found.forecasts if f.selectable and f.option.kind is OptionKind.OFFERED and f is not proposed]
        near = sorted(others, key=lambda f: (-round(f.inside, 2), abs(f.option.daily_mg - proposed.option.daily_mg)))
        return (proposed, *near[: most - 1])

    def forecast(self, draft: Draft) -> Forecast:
        """The leading method's forecast of the drafted regimen; one of the candidates' where it is one of them."""
        question = self.what_if.question
        return forecast(self.what_if.methods[self.leading.key], draft.option, self.current, question.target)

    def too_far(self, draft: Draft) -> bool:
        """Whether the draft changes the dose more than the limit."""
        return beyond_limit(draft.option, self.current)


def drugs_of(resource: Mapping[str, Any]) -> frozenset[str]:
    """The drugs of the library that the codes of a MedicationRequest, or of a Medication contained in it, stand for.

    >>> rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    >>> sorted(drugs_of({"medicationCodeableConcept": {"coding": [{"system": rxnorm, "code": "11124"}]}}))
    ['vancomycin']
    """
    from auctor.fhir.codebook import codebook

    node = Node.of(resource, "draft")
    concepts = [node.node("medicationCodeableConcept"), *(inner.node("code") for inner in node.nodes("contained"))]
    codings = [coding for concept in concepts if concept is not None for coding in concept.nodes("coding")]
    found = [m for coding in codings for m in codebook().find(coding.text("system"), coding.text("code"))]
    return frozenset(m.name for m in found if m.kind == "drug")


def read_draft(resource: Mapping[str, Any], what_if: WhatIf) -> Draft:
    """A draft of the course's drug as an option. RecordError where it is no amount at a plain interval.

    The length of an infusion that the draft does not say is that of the dosing table, and is said on the card.
    """
    model = what_if.question.model
    usual = model.dosing.infusion_h if model.dosing is not None else 0.0
    found = _order(resource, model.drug, f"{60 * usual:g} min" if usual else "bolus")
    said = _said_length(resource)
    hours = {key: _hours(found.regimen[key]) for key in ("every", "duration") if key in found.regimen}
    dose, route = parse(str(found.regimen["amount"]), where="dose"), Route(found.regimen["route"])
    mg, length = convert(dose.value, dose.unit, "mg", where="dose"), hours.get("duration", 0.0)
    option = Option(kind=OptionKind.OFFERED, dose_mg=mg, every_h=hours["every"], duration_h=length, route=route)
    _check_route(option, what_if)
    option = _capped(option, what_if)
    return Draft(resource=resource, option=option, assumed_h=length if route is Route.IV and not said else None)


def _order(resource: Mapping[str, Any], drug: str, length: str) -> Any:
    """A draft read as if it were in force already."""
    put = {**resource, "status": "active"}
    where = f"MedicationRequest/{resource.get('id', 'draft')}"
    record = read_record({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": put}]})
    return read_order(Node.of(put, where), Reading(wanted=Wanted(drug=drug, infusions={"*": length} if length else {}), record=record))


def _said_length(resource: Mapping[str, Any]) -> bool:
    line = Node.of(resource, "draft").nodes("dosageInstruction")[0]
    timing = line.node("timing")
    repeat = timing.node("repeat") if timing is not None else None
    return repeat is not None and repeat.has("duration")


def _hours(text: str) -> float:
    found = parse(text, where="timing")
    return convert(found.value, found.unit, "h", where="timing")


def _check_route(option: Option, what_if: WhatIf) -> None:
    dosing = what_if.question.model.dosing
    if dosing is not None and Route(dosing.route) is not option.route:
        raise RecordError(where="draft.route", what="not the route that the course's model describes", remedy="judge this order by hand")


def _capped(option: Option, what_if: WhatIf) -> Option:
    """The option, marked where it passes a cap of the dosing table."""
    try:
        what_if.option(dose_mg=option.dose_mg, every_h=option.every_h, duration_h=option.duration_h)
    except CaseError as refused:
        capped = refused.where in ("dose", "duration") and ("cap" in refused.what or "faster" in refused.what)
        if not capped:
            raise RecordError(where="draft", what=refused.what, remedy=refused.remedy) from refused
        return Option(**{**vars(option), "over_cap": True})
    return option
