"""Models of the library: list, show."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from auctor.models.domain import domain_text
from auctor.models.model import Covariate, DrugModel
from auctor.report.shown import exposure
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.api.answers import refusals
from auctor.web.api.paging import Paged
from auctor.web.api.shapes import models
from auctor.web.api.shapes.base import Measured, Page
from auctor.web.api.shapes.courses import Target
from auctor.web.service.models import Offer, drugs, offers
from auctor.web.store import NotFound

router = APIRouter(prefix="/models")
Reader = Annotated[Actor, may(Verb.READ)]


@router.get("", responses=refusals())
def list_models(actor: Reader, paging: Paged, drug: Annotated[str | None, Query(max_length=100)] = None) -> Page[models.ModelLine]:
    """Models of a drug, or of every drug: complete ones first, then by status."""
    wanted = [one for one in drugs() if drug is None or one.casefold() == drug.casefold()]
    return paging.page([models.ModelLine(**_line(offer)) for one in wanted for offer in offers(one)])


def _line(offer: Offer) -> dict[str, Any]:
    names = ("name", "drug", "title", "status", "sha256")
    return {name: getattr(offer.model, name) for name in names} | {"usable": offer.usable}


@router.get("/{name}", responses=refusals(404))
def get_model(actor: Reader, name: Annotated[str, Path(pattern=r"^[a-z0-9_]{1,100}$")]) -> models.Model:
    """One model."""
    found = next((offer for drug in drugs() for offer in offers(drug) if offer.model.name == name), None)
    if found is None:
        raise NotFound(where="model", what="not in the library", remedy="list the models")
    names = ("population", "reference", "units", "matrix", "warnings", "questions")
    return models.Model(
        **_line(found),
        **{name: getattr(found.model, name) for name in names},
        covariates=[_covariate(c) for c in found.model.covariates.values()],
        parameters=_parameters(found.model),
        targets=_targets(found.model),
    )


def _covariate(one: Covariate) -> models.Covariate:
    reference = Measured(value=one.reference, unit=one.unit)
    levels = list(one.levels or ())
    return models.Covariate(name=one.name, label=one.label, unit=one.unit, levels=levels, reference=reference, population=domain_text(one))


def _parameters(model: DrugModel) -> list[models.Parameter]:
    names = ("name", "unit", "source", "distribution", "omega", "iov")
    return [models.Parameter(**{n: getattr(p, n) for n in names}, value=p.printed) for p in model.parameters.values()]


def _targets(model: DrugModel) -> list[Target]:
    found = [(goal, exposure(model, goal.metric)) for goal in model.targets]
    return [
        Target(metric=goal.metric.name, low=s.value(goal.low), high=s.value(goal.high), unit=s.unit, source=goal.source)
        for goal, s in found
    ]
