"""A filtration rate for each creatinine of the record, by the formula that was named, with weight or height of that time."""

from __future__ import annotations

from auctor.data.limits import COVARIATES
from auctor.errors import Notice
from auctor.fhir.filtration import FORMULAS, Person, filtration
from auctor.fhir.found import Fact, Identity, Question
from auctor.fhir.patient import age_years
from auctor.fhir.reading import Wanted
from auctor.fhir.when import When, read_when
from auctor.units import convert, parse

RATES = ("CRCL", "EGFR")


def filtration_facts(facts: list[Fact], identity: Identity, wanted: Wanted, names: set[str]) -> tuple[list[Fact], list[Question]]:
    """CRCL or EGFR from creatinine; a Question where a model wants one and nobody named a formula, or where the formula lacks something."""
    creatinine = [fact for fact in facts if fact.body.get("name") == "SCR"]
    if not creatinine or not names & set(RATES):
        return [], []
    if not wanted.formula:
        what, remedy = (
            "a model wants a filtration rate, and no formula is named",
            f"name one of {', '.join(FORMULAS)}, or give the rate by hand",
        )
        return [], [Question("formula", where="formula", what=what, remedy=remedy)]
    found: list[Fact] = []
    questions: list[Question] = []
    for fact in creatinine if FORMULAS[wanted.formula].covariate in names else []:
        answer = _computed(fact, facts, identity, wanted)
        (found if isinstance(answer, Fact) else questions).append(answer)  # type: ignore[arg-type]
    return found, questions


def _computed(creatinine: Fact, facts: list[Fact], identity: Identity, wanted: Wanted) -> Fact | Question:
    name, where = wanted.formula, creatinine.sources[0].reference
    formula = FORMULAS[name]
    at = read_when(str(creatinine.body["at"]), "", where=where)
    age = age_years(identity, at, wanted.time_zone)
    beside = {need: _latest(facts, {"weight": "WT", "height": "HT"}[need], at) for need in formula.needs}
    missing = [need for need, fact in beside.items() if fact is None]
    if age is None or identity.sex not in ("male", "female") or missing:
        lacking = "age or sex" if not missing else missing[0]
        return Question("formula", where=where, what=f"formula {name} needs {lacking}", remedy="give it, or the filtration rate by hand")
    if not formula.ages[0] <= age <= formula.ages[1]:
        return Question(
            "formula", where=where, what=f"{name} was not made for this age", remedy="name another formula, or give the rate by hand"
        )
    used = [fact for fact in beside.values() if fact is not None]
    person = Person(
        creatinine=_number(creatinine, "SCR"), age=age, male=identity.sex == "male",
        weight=next((_number(fact, "WT") for fact in used if fact.body["name"] == "WT"), None),
        height=next((_number(fact, "HT") for fact in used if fact.body["name"] == "HT"), None),
    )  # fmt: skip
    return _fact(name, filtration(name, person), creatinine, used)


def _fact(name: str, rate: float, creatinine: Fact, used: list[Fact]) -> Fact:
    formula, where = FORMULAS[name], creatinine.sources[0].reference
    remedy = "compare with the formula, caps and floors of the model before anybody signs"
    notice = Notice(
        code="filtration-computed", where=where, what=f"{formula.covariate} computed by {name}: {formula.source}", remedy=remedy
    )
    body = {"name": formula.covariate, "value": f"{rate:.6g} {formula.unit}", "at": creatinine.body["at"]}
    sources = (*creatinine.sources, *(source for fact in used for source in fact.sources))
    return Fact(kind="covariate", body=body, sources=sources, label=name, notices=(notice,))


def _latest(facts: list[Fact], name: str, at: When) -> Fact | None:
    """The last value up to a time, else the first one after it."""
    series = sorted((_when(fact), k, fact) for k, fact in enumerate(facts) if fact.body.get("name") == name)
    before = [fact for moment, _, fact in series if moment <= at.moment.timestamp()]
    return before[-1] if before else series[0][2] if series else None


def _when(fact: Fact) -> float:
    return read_when(str(fact.body["at"]), "", where=fact.sources[0].reference).moment.timestamp()


def _number(fact: Fact, name: str) -> float:
    limit, where = COVARIATES[name], fact.sources[0].reference
    value, unit = parse(str(fact.body["value"]), where=where)[:2]
    return convert(value, unit, limit.unit, where=where, molar_mass=limit.molar_mass)
