"""Every way to choose a first dose, side by side for one patient, each judged by the same probability over the prior."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from auctor.dosing.candidates import Option
from auctor.dosing.concordance import AGREE_RATIO, CAUTION_RATIO, State
from auctor.dosing.first_dose.goals import JointTarget
from auctor.dosing.first_dose.ladder import Ladder
from auctor.dosing.first_dose.learned import LEARNERS, DoseTree, Leaf, chosen
from auctor.dosing.first_dose.nomograms import list_nomograms, read_nomogram
from auctor.dosing.first_dose.prior import DRAWS, Chance, best_rung, chances, useful_rung
from auctor.dosing.first_dose.training import PATIENTS, Virtual, require_inside, training_patients
from auctor.errors import CaseError, OutOfDomain
from auctor.models.domain import domain_notices
from auctor.models.model import DrugModel
from auctor.population.people import People

INTEGRATION, UTILITY = "popPK integration over the prior", "popPK integration, expected utility"
REFERENCE = "the population model itself"
RULE = "nomogram: "


@dataclass(frozen=True, kw_only=True)
class Question:
    """One patient without levels: covariates in the model's units, what is to be reached, and the doses to choose from.

    `people`: whom the learners are trained on, of a plan; without them the model's source population.
    """

    model: DrugModel
    covariates: Mapping[str, float]
    target: JointTarget
    ladder: Ladder
    draws: int = DRAWS
    patients: int = PATIENTS
    seed: int = 0
    learners: tuple[str, ...] = tuple(LEARNERS)
    nomograms: tuple[str, ...] | None = None
    people: People | None = None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One method's dose with P(target) over the prior at that dose, and its own estimate where it makes one; or why it abstains."""

    method: str
    option: Option | None = None
    chance: Chance | None = None
    own: float | None = None
    source: str = ""
    abstained: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what does not apply is null."""
        option, chance = self.option, self.chance
        return {
            "method": self.method,
            "dose_mg": option.dose_mg if option else None,
            "every_h": option.every_h if option else None,
            "infusion_h": option.duration_h if option else None,
            "probability": chance.inside if chance else None,
            "monte_carlo_error": chance.error if chance else None,
            "probability_above": chance.above if chance else None,
            "utility": chance.utility if chance else None,
            "own_estimate": self.own,
            "source": self.source or None,
            "abstained": self.abstained or None,
        }


@dataclass(frozen=True, kw_only=True)
class FirstDose:
    """The answer: proposals by method, P(target) of every rung, how far the methods agree, the tree as a rule, and warnings."""

    question: Question
    proposals: tuple[Proposal, ...]
    rungs: tuple[tuple[Option, Chance], ...]
    state: State
    reasons: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    notices: tuple[str, ...]


def first_dose(question: Question, progress: Callable[[str, float], None] = lambda _stage, _share: None) -> FirstDose:
    """Ask every method. The truth behind each probability is the population model itself, with its IIV (and IOV).

    A covariate that the model needs and the question lacks is a CaseError. Outside the model's source population its methods abstain;
    OutOfDomain where then nothing is left.
    """
    _require_covariates(question)
    progress("integrating", 0.1)
    inside = _refusal(question)
    found = () if inside else _integrated(question)
    progress("learning", 0.4)
    learned, leaves = ((), ()) if inside else _learned(question, found)
    progress("nomograms", 0.9)
    ruled = tuple(_ruled(question, name, judged=not inside) for name in _nomograms(question))
    proposals = (*_by_integration(question, found, inside), *learned, *ruled)
    if all(p.option is None for p in proposals):
        raise OutOfDomain(where="covariates", what=inside or proposals[0].abstained, remedy="use a model built in such patients")
    state, reasons = agreement(proposals)
    options = question.ladder.all_options(question.covariates)
    rungs = tuple((o, c) for o, c in zip(options, found, strict=False) if o is not None and c is not None)
    return FirstDose(
        question=question,
        proposals=proposals,
        rungs=rungs,
        state=state,
        reasons=reasons,
        leaves=leaves,
        notices=_notices(question, proposals),
    )


def _require_covariates(question: Question) -> None:
    missing = [name for name in question.model.covariates if name not in question.covariates]
    if missing:
        where = f"covariates.{missing[0]}"
        what = f"not given; {question.model.name} needs {', '.join(question.model.covariates)}"
        raise CaseError(where=where, what=what, remedy="give every covariate: without levels there is nothing else to go by")


def _refusal(question: Question) -> str:
    notices = domain_notices(question.model, question.covariates)
    return "; ".join(notice.what for notice in notices)


def _integrated(question: Question) -> tuple[Chance | None, ...]:
    q = question
    return chances(q.model, q.covariates, q.target, q.ladder, draws=q.draws, seed=q.seed)


def _by_integration(question: Question, found: tuple[Chance | None, ...], refusal: str) -> tuple[Proposal, ...]:
    if refusal:
        return tuple(Proposal(method=name, abstained=refusal, source=REFERENCE) for name in (INTEGRATION, UTILITY))
    picks = ((INTEGRATION, best_rung(found)), (UTILITY, useful_rung(found)))
    return tuple(_at(question, name, rung, found, own=None, source=REFERENCE) for name, rung in picks)


def _at(question: Question, method: str, rung: int, found: tuple[Chance | None, ...], *, own: float | None, source: str) -> Proposal:
    option = question.ladder.all_options(question.covariates)[rung]
    return Proposal(method=method, option=option, chance=found[rung], own=own, source=source)


def _learned(question: Question, found: tuple[Chance | None, ...]) -> tuple[tuple[Proposal, ...], tuple[Leaf, ...]]:
    q = question
    try:
        virtual = training_patients(q.model, q.target, q.ladder, n=q.patients, seed=q.seed, people=q.people)
        require_inside(virtual, q.covariates)
    except OutOfDomain as refused:
        return (Proposal(method="learners trained by simulation", abstained=refused.what),), ()
    fitted = [LEARNERS[name](virtual) for name in q.learners]
    proposals = tuple(_by(question, chooser, virtual, found) for chooser in fitted)
    leaves = next((chooser.leaves() for chooser in fitted if isinstance(chooser, DoseTree)), ())
    return proposals, leaves


def _by(question: Question, chooser: Any, virtual: Virtual, found: tuple[Chance | None, ...]) -> Proposal:
    one = {name: np.asarray([question.covariates[name]]) for name in virtual.covariates}
    doses = question.ladder.doses_mg({name: np.asarray([value]) for name, value in question.covariates.items()})
    rung = int(chosen(chooser, one, doses)[0])
    own = float(chooser.scores(one, doses)[0, rung]) if chooser.gives_probability else None
    whose = f", population of {question.people.where}" if question.people else ""
    return _at(question, chooser.name, rung, found, own=own, source=f"{len(virtual)} virtual patients of {question.model.name}{whose}")


def _nomograms(question: Question) -> tuple[str, ...]:
    return list_nomograms(question.model.drug) if question.nomograms is None else question.nomograms


def _ruled(question: Question, name: str, *, judged: bool) -> Proposal:
    q, rule = question, read_nomogram(name)
    method = RULE + rule.title
    try:
        if rule.drug != q.model.drug:
            raise OutOfDomain(where=name, what=f"a rule for {rule.drug}", remedy="name one of this drug")
        ladder = rule.ladder(q.model, q.covariates, q.ladder.caps)
    except OutOfDomain as refused:
        return Proposal(method=method, abstained=refused.what, source=rule.source)
    option = ladder.options(q.covariates)[0]
    chance = chances(q.model, q.covariates, q.target, ladder, draws=q.draws, seed=q.seed)[0] if judged else None
    return Proposal(method=method, option=option, chance=chance, source=rule.source)


def agreement(proposals: tuple[Proposal, ...]) -> tuple[State, tuple[str, ...]]:
    """How far the daily doses of integration and learners lie apart, with the cut-offs of `concordance`, and what that is worth.

    >>> agreement(())[0]
    <State.ALONE: 'alone'>
    """
    answered = [p for p in proposals if p.option is not None]
    ruled = [p for p in answered if p.method.startswith(RULE)]
    given = [p for p in answered if p not in ruled]
    if len(given) < 2:
        given = answered
    if len(given) < 2:
        return State.ALONE, ("only one method answered",)
    one, other = max(combinations(given, 2), key=lambda pair: _apart(*pair))
    ratio = math.exp(_apart(one, other))
    state = State.AGREE if ratio <= AGREE_RATIO else State.CAUTION if ratio <= CAUTION_RATIO else State.DISAGREE
    reasons = [f"daily doses differ by up to {100 * (ratio - 1):.0f} % ({one.method}; {other.method})"]
    for words, group in (("probability of the target", given), ("with the nomograms", ruled)):
        judged = [p.chance.inside for p in group if p.chance is not None]
        reasons += [f"{words} {min(judged):.2f} to {max(judged):.2f}"] if judged else []
    return state, tuple(reasons)


def _apart(one: Proposal, other: Proposal) -> float:
    assert one.option is not None and other.option is not None
    return abs(math.log(one.option.daily_mg / other.option.daily_mg))


def _notices(question: Question, proposals: tuple[Proposal, ...]) -> tuple[str, ...]:
    found = ["methods that share the population model are not independent evidence: all probabilities are under " + question.model.name]
    if all(math.isinf(cap.dose_mg) for cap in question.ladder.caps):
        found.append("no cap on the dose is known for this drug: the highest dose to choose from is the cap")
    top = max(question.ladder.rungs, key=lambda rung: 24.0 * rung.amount / rung.every_h)
    best = proposals[0].option
    highest = question.ladder.all_options(question.covariates)[question.ladder.rungs.index(top)]
    if best is not None and highest is not None and math.isclose(best.daily_mg, highest.daily_mg):
        found.append("the best dose is the highest one offered: a higher one might do better, or the cap holds it back")
    if proposals[0].chance is not None and proposals[0].chance.inside < 0.5:
        found.append("even the best dose misses the target more often than not: measure early")
    return tuple(found)
