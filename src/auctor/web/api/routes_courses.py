"""Courses: look, choose the model and target, close; their facts; analyse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.api import shown
from auctor.web.api.answers import leads_to, refusals
from auctor.web.api.once import AtOnce, Once
from auctor.web.api.paging import Paged
from auctor.web.api.revisions import etag
from auctor.web.api.shapes.base import ID, Made, Page
from auctor.web.api.shapes.courses import Choice, Closing, Course, Fact, NewFact, NewFacts, Question, ResultLine
from auctor.web.pages.visits import AtClinic
from auctor.web.service import analyses, courses, entering
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import look
from auctor.web.service.entering import Entered

router = APIRouter(prefix="/courses/{course_id}")
Reader = Annotated[Actor, may(Verb.READ)]
Author = Annotated[Actor, may(Verb.ENTER)]
Corrector = Annotated[Actor, may(Verb.CORRECT)]
Registrar = Annotated[Actor, may(Verb.REGISTER)]
Analyst = Annotated[Actor, may(Verb.ANALYSE)]
CourseId = Annotated[str, Path(pattern=ID)]


@router.get("", responses=refusals(404))
def get_course(response: Response, clinic: AtClinic, actor: Reader, course_id: CourseId) -> Course:
    """A course as it stands, with its results. The view is audited."""
    file = look(clinic, actor, course_id, audited=True)
    response.headers["etag"] = etag(file.revision)
    return shown.course(file)


@router.put("/model", responses=refusals(404, 409, 422))
def choose_model(clinic: AtClinic, actor: Corrector, course_id: CourseId, choice: Choice) -> Course:
    """Take a model and a target for the course."""
    courses.choose(clinic, actor, course_id, model=choice.model, target=choice.target, reason=choice.reason)
    return shown.course(look(clinic, actor, course_id))


@router.post("/closing", responses=refusals(404, 409, 422))
def close_course(actor: Registrar, once: AtOnce, course_id: CourseId, closing: Closing) -> Made:
    """Close the course: it stays readable and takes no more facts."""
    return _ended(once, course_id, lambda clinic: courses.close_course(clinic, actor, course_id, reason=closing.reason))


@router.post("/reopening", responses=refusals(404, 409, 422))
def reopen_course(actor: Registrar, once: AtOnce, course_id: CourseId, reopening: Closing) -> Made:
    """Open a closed course again."""
    return _ended(once, course_id, lambda clinic: courses.reopen_course(clinic, actor, course_id, reason=reopening.reason))


def _ended(once: Once, course_id: str, verb: Callable[[Clinic], None]) -> Made:
    def ended(clinic: Clinic) -> str:
        verb(clinic)
        return course_id

    once.do(ended)
    return Made(id=course_id, href=f"{shown.START}/courses/{course_id}")


@router.get("/case", responses=refusals(404))
def get_case(clinic: AtClinic, actor: Reader, course_id: CourseId) -> dict[str, Any]:
    """The case file that the present facts make: pseudonymous, as `auctor analyse` reads it (docs/case-file.md)."""
    return look(clinic, actor, course_id, audited=True).document


@router.get("/facts", responses=refusals(404))
def list_facts(
    clinic: AtClinic,
    actor: Reader,
    paging: Paged,
    course_id: CourseId,
    kind: Literal["dose", "sample", "covariate", "order", "note"] | None = None,
) -> Page[Fact]:
    """The facts that stand, in clinical order: of each the last revision."""
    file = look(clinic, actor, course_id, audited=True)
    return paging.page([shown.fact(row) for row in file.facts if kind in (None, row.kind)])


@router.post("/facts", status_code=201, responses=refusals(404, 409, 422))
def add_facts(actor: Author, once: AtOnce, course_id: CourseId, new: NewFacts) -> list[Made]:
    """Add facts, all or none."""
    entries = [entered(fact, reference=None if k else new.reference) for k, fact in enumerate(new.facts)]
    made = once.do(lambda clinic: entering.enter(clinic, actor, course_id, entries))
    return [Made(id=one, href=f"{shown.START}/facts/{one}") for one in made]


def entered(fact: NewFact, *, reference: str | None = None) -> Entered:
    """A fact as the service takes it."""
    return Entered(kind=fact.kind, body=body_of(fact), source="api", reference=reference)


def body_of(fact: NewFact) -> dict[str, Any]:
    """The entry of a case file: what was sent, and nothing else."""
    return fact.body.model_dump(mode="json", exclude_unset=True)


@router.get("/questions", responses=refusals(404))
def list_questions(clinic: AtClinic, actor: Reader, paging: Paged, course_id: CourseId, unsettled: bool = True) -> Page[Question]:
    """What is asked about the record of a course, the oldest first: the open questions, or all that ever were."""
    file = look(clinic, actor, course_id, audited=True)
    every = [shown.question(file, kept) for kept in file.asked]
    return paging.page([row for row in every if row.open or not unsettled])


@router.get("/results", responses=refusals(404))
def list_results(clinic: AtClinic, actor: Reader, paging: Paged, course_id: CourseId) -> Page[ResultLine]:
    """The results of a course, newest first."""
    file = look(clinic, actor, course_id)
    return paging.page([ResultLine(**shown.result_line(file, row)) for row in file.results])


@router.post(
    "/results",
    status_code=201,
    responses=refusals(404, 409, 422) | {201: leads_to(get_result="result_id", try_regimen="result_id", get_report="result_id")},
)
def analyse(response: Response, actor: Analyst, once: AtOnce, course_id: CourseId) -> Made:
    """Analyse the course as it stands and keep the result; the same inputs are not kept twice."""
    (made,) = once.do(lambda clinic: analyses.analyse(clinic, actor, course_id))
    href = f"{shown.START}/results/{made}"
    response.headers["location"] = href
    return Made(id=made, href=href)
