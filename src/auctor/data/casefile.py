"""read_case: a JSON or TOML case file to a `Case` in engine units, time 0 at the first dose. Nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from auctor.case import Case, Covariates, Metric, MetricKind, Occasions, Regimen, Sample, Target
from auctor.data.clock import Clock, maybe_moment, occasion_starts, start_of
from auctor.data.covariates import read_covariates
from auctor.data.document import read_document
from auctor.data.doses import current_from, dose_notices, read_current, read_dose
from auctor.data.measure import measure
from auctor.data.plausible import MOVED, check_history, given, put_back, shifted, steady_before
from auctor.data.samples import read_sample
from auctor.errors import AuctorError, CaseError, Notice
from auctor.models.model import DrugModel
from auctor.models.table import suggestion

if TYPE_CHECKING:
    from auctor.data.schema import CaseFile, TargetEntry

_SLACK_H = 1e-6


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a case says before a model is known: who, which drug, which model it asks for ("" when it does not)."""

    label: str
    drug: str
    model: str


def read_header(path: Path | str) -> Header:
    """Label, drug and model of a case file, so that a model can be chosen before `read_case`. CaseError as there."""
    document = read_document(path)
    return Header(label=document.label, drug=document.drug, model=document.model or "")


def read_case(path: Path | str, model: DrugModel | None = None) -> Case:
    """Read a case file; with a model, check and convert its covariates, routes and matrices against it.

    Time 0 is the first dose. Doubts are carried in `notices` (docs/case-file.md lists the codes); anything missing,
    misspelt, contradictory or impossible raises CaseError, a missing or wrong unit UnitError, each naming the field.
    """
    return case_of(read_document(path), model)


def case_of(document: CaseFile, model: DrugModel | None = None) -> Case:
    """The same from a document that was read before (`auctor.data.document`)."""
    _check_drug(document, model)
    clock = Clock.of(document)
    doses = tuple(read_dose(entry, f"doses[{k}]", clock, model) for k, entry in enumerate(document.doses))
    read = [read_sample(e, f"samples[{k}]", clock, drug=document.drug, model=model) for k, e in enumerate(document.samples)]
    samples, notices = tuple(sample for sample, _ in read), tuple(notice for _, more in read for notice in more)
    covariates, more = read_covariates(document.covariates, clock, model)
    notices += more + _check_now(document, clock, doses=Regimen(doses=doses), samples=samples)
    notices += dose_notices(doses, covariates, model) if model else ()
    back, moved = steady_before(doses, samples)
    doses, samples = put_back(doses, back), tuple(replace(sample, time_h=sample.time_h + back) for sample in samples)
    history = Regimen(doses=tuple(sorted(doses, key=lambda dose: dose.time_h)))
    current, derived = (read_current(document.current, model), ()) if document.current else current_from(history)
    return Case(
        label=document.label,
        drug=document.drug.casefold(),
        history=history,
        samples=tuple(sorted(samples, key=lambda sample: sample.time_h)),
        covariates=shifted(covariates, back) if back else covariates,
        current=current,
        target=_target(document.target, model) if document.target else None,
        occasions=_occasions(document, clock, back),
        notices=(*notices, *moved, *check_history(Regimen(doses=doses), samples), *derived),
    )


def time_zero(document: CaseFile, case: Case) -> datetime | None:
    """The instant that the hours of `case`, read from this document, count from; None where the document's times are hours themselves."""
    start = start_of(document)
    moved = any(notice.code == MOVED for notice in case.notices)
    return (
        start
        if start is None or not moved
        else (start.astimezone(UTC) - timedelta(hours=case.history.doses[0].every_h)).astimezone(start.tzinfo)
    )


def for_each(document: CaseFile, models: Iterable[DrugModel]) -> dict[str, Case | AuctorError]:
    """One case for each of several models of a drug, by name, or why that model cannot take it.

    A covariate that another of the models declares and this one does not is left out for it without a word; the samples and doses are
    read in this model's units.
    """
    several = list(models)
    declared = {name for model in several for name in model.covariates}
    return {model.name: _attempt(document, model, declared - model.covariates.keys()) for model in several}


def with_others(document: CaseFile, model: DrugModel, others: Iterable[DrugModel]) -> tuple[Case, Covariates]:
    """The case as `model` reads it, and the covariates given that only `others` declare, in the units of the first of them to do so."""
    foreign: dict[str, DrugModel] = {}
    for other in others:
        foreign |= {name: other for name in other.covariates if name not in model.covariates and name not in foreign}
    kept = {name: value for name, value in document.covariates.items() if name not in foreign}
    case, clock = case_of(document.model_copy(update={"covariates": kept}), model), Clock.of(document)
    asked = {name: value for name, value in document.covariates.items() if name in foreign}
    series = {name: read_covariates({name: value}, clock, foreign[name])[0].series[name] for name, value in asked.items()}
    return case, Covariates(series=series)


def _attempt(document: CaseFile, model: DrugModel, foreign: Set[str]) -> Case | AuctorError:
    kept = {name: value for name, value in document.covariates.items() if name not in foreign}
    try:
        return case_of(document.model_copy(update={"covariates": kept}), model)
    except AuctorError as refused:
        return refused


def _check_drug(document: CaseFile, model: DrugModel | None) -> None:
    if model is not None and document.drug.casefold() != model.drug.casefold():
        what = f"not the drug of {model.name}"
        raise CaseError(where="drug", what=what, remedy=f"{suggestion(document.drug, [model.drug])}; or choose another model")


def _check_now(document: CaseFile, clock: Clock, *, doses: Regimen, samples: tuple[Sample, ...]) -> tuple[Notice, ...]:
    """A sample after the declared `now` is refused; a dose after it is planned, and carried as such."""
    declared = maybe_moment(document, "", "now")
    if declared is None:
        return ()
    now = clock.hours(declared)
    for k, sample in enumerate(samples):
        if sample.time_h > now + _SLACK_H:
            raise CaseError(where=f"samples[{k}]", what="drawn after now", remedy="correct its time, or now")
    if all(start <= now + _SLACK_H for start, _, _ in given(doses)):
        return ()
    remedy = "check the times; leave planned doses out unless they will be given"
    return (Notice(code="dose-after-now", where="doses", what="doses after now are taken as given", remedy=remedy, blocks_signing=True),)


def _occasions(document: CaseFile, clock: Clock, back: float) -> Occasions | None:
    """The table of occasions: a kind, or the times at which each starts, counted from the first dose."""
    entry = document.occasions
    if entry is None:
        return None
    said = [name for name in ("by", "starts_h", "starts_at") if getattr(entry, name) is not None]
    if len(said) != 1:
        what = "nothing said" if not said else f"{' and '.join(said)} together"
        raise CaseError(where="occasions", what=what, remedy='give exactly one of by = "visit", starts_h and starts_at')
    if entry.by is not None:
        return Occasions.read(entry.by)
    return Occasions.windows([clock.hours(start) + back for start in occasion_starts(document)], where=f"occasions.{said[0]}")


def _target(entry: TargetEntry, model: DrugModel | None) -> Target:
    try:
        metric = Metric.parse(entry.metric)
    except CaseError as problem:
        raise CaseError(where="target.metric", what="not an exposure metric", remedy=problem.remedy) from problem
    unit = "mg*h/L" if metric.kind is MetricKind.AUC else "mg/L"
    molar = model.molar_mass if model else None
    low, high = (measure(v, unit, where="target.unit", beside=entry.unit or "", molar_mass=molar) for v in (entry.low, entry.high))
    if not low < high:
        raise CaseError(where="target.high", what="not above target.low", remedy="give the range from low to high")
    return Target(metric=metric, low=low, high=high, source=entry.source)
