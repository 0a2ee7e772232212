"""One fact: its last revision, all of them, its correction, its withdrawal, its use. If-Match says which revision was seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Path, Response

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.api import shown
from auctor.web.api.answers import refusals
from auctor.web.api.paging import Paged
from auctor.web.api.problems import PreconditionFailed
from auctor.web.api.revisions import Seen, etag
from auctor.web.api.routes_courses import body_of
from auctor.web.api.shapes.base import ID, Page
from auctor.web.api.shapes.courses import Correction, Fact, Use, Withdrawal
from auctor.web.pages.visits import AtClinic
from auctor.web.service import entering
from auctor.web.service.clinic import Clinic
from auctor.web.store import NotFound, StaleError, tables

router = APIRouter(prefix="/facts/{fact_id}")
Reader = Annotated[Actor, may(Verb.READ)]
Corrector = Annotated[Actor, may(Verb.CORRECT)]
FactId = Annotated[str, Path(pattern=ID)]
CHANGE = refusals(404, 409, 412, 422, 428)


@router.get("", responses=refusals(404))
def get_fact(response: Response, clinic: AtClinic, actor: Reader, fact_id: FactId) -> Fact:
    """The last revision of a fact; its ETag is what a change of it sends as If-Match."""
    return _shown(response, _revisions(clinic, actor, fact_id)[-1])


def _shown(response: Response, row: tables.Fact) -> Fact:
    response.headers["etag"] = etag(row.revision)
    return shown.fact(row)


def _revisions(clinic: Clinic, actor: Actor, fact_id: str) -> list[tables.Fact]:
    found = entering.fact_history(clinic, actor, fact_id)
    if not found:
        raise NotFound(where="fact", what="no such object among those you may see", remedy="list the facts of the course")
    return found


@router.get("/revisions", responses=refusals(404))
def list_revisions(clinic: AtClinic, actor: Reader, paging: Paged, fact_id: FactId) -> Page[Fact]:
    """Every revision of a fact, the first one first."""
    return paging.page([shown.fact(row) for row in _revisions(clinic, actor, fact_id)])


@router.put("", responses=CHANGE)
def correct_fact(response: Response, clinic: AtClinic, actor: Corrector, seen: Seen, fact_id: FactId, correction: Correction) -> Fact:
    """The next revision: the whole body, and why."""
    if _revisions(clinic, actor, fact_id)[-1].kind != correction.fact.kind:
        raise CaseError(where="kind", what="not that of the fact", remedy="withdraw the fact and add another one")
    with _seen_last():
        entering.correct(clinic, actor, fact_id, made_from=seen, body=body_of(correction.fact), reason=correction.reason)
    return _shown(response, _revisions(clinic, actor, fact_id)[-1])


@router.post("/withdrawal", responses=CHANGE)
def withdraw_fact(response: Response, clinic: AtClinic, actor: Corrector, seen: Seen, fact_id: FactId, withdrawal: Withdrawal) -> Fact:
    """Take a fact out as entered in error; it stays readable."""
    _revisions(clinic, actor, fact_id)
    with _seen_last():
        entering.withdraw(clinic, actor, fact_id, made_from=seen, reason=withdrawal.reason)
    return _shown(response, _revisions(clinic, actor, fact_id)[-1])


@router.post("/use", responses=CHANGE)
def use_sample(response: Response, clinic: AtClinic, actor: Corrector, seen: Seen, fact_id: FactId, use: Use) -> Fact:
    """Leave a sample out of the estimation, or take it in again."""
    _revisions(clinic, actor, fact_id)
    with _seen_last():
        entering.use(clinic, actor, fact_id, made_from=seen, used=use.used, reason=use.reason)
    return _shown(response, _revisions(clinic, actor, fact_id)[-1])


@contextmanager
def _seen_last() -> Iterator[None]:
    """A later revision than the one that was seen is a failed precondition."""
    try:
        yield
    except StaleError as stale:
        if stale.where != "fact":
            raise
        raise PreconditionFailed(where="If-Match", what=stale.what, remedy=stale.remedy) from None
