"""What a model file says about itself: sources, reference, status and confidence, what is declared and never used, which checks it has."""

from __future__ import annotations

from collections.abc import Iterator

from auctor.errors import AuctorError
from auctor.models.checks import Check, read_checks, takes_dose
from auctor.models.findings import Finding
from auctor.models.model import DrugModel

CONFIDENCE = ("high", "medium", "low")
_INVARIANT = "an invariant"
_EMPTY = ("", "?", "-", "todo", "tbd", "none")


def word_findings(model: DrugModel) -> tuple[Finding, ...]:
    """Findings on sources, reference, status, unused names and the kinds of checks, in that order.

    >>> from auctor.models.reader import read_model
    >>> [f.code for f in word_findings(read_model("tacrolimus_woillard_2011")) if f.severity == "error"]
    []
    """
    return (*_sources(model), *_reference(model), *_status(model), *_unused(model), *_kinds(model))


def _sourced(model: DrugModel) -> Iterator[tuple[str, str, str]]:
    yield from (("error", f"parameters.{name}", p.source) for name, p in model.parameters.items())
    yield from (("error", f"effects.{e.parameter}", e.source) for e in model.effects)
    yield from (("error", f"residual.{key or 'concentration'}", r.source) for key, r in model.residuals.items())
    yield from (("error", f"targets[{k}]", t.source) for k, t in enumerate(model.targets))
    yield from (("warning", f"covariates.{name}", c.note) for name, c in model.covariates.items())
    if model.dosing is not None:
        yield "error", "dosing", model.dosing.source


def _sources(model: DrugModel) -> Iterator[Finding]:
    for severity, where, source in _sourced(model):
        if source.strip().lower() in _EMPTY:
            yield Finding(
                code="source", severity=severity, where=where, what="no source", remedy="say where the numbers stand: a table, a page"
            )


def _reference(model: DrugModel) -> Iterator[Finding]:
    found = {key: model.reference.get(key, "") for key in ("doi", "pmid", "url")}
    if not any(found.values()):
        yield Finding(code="reference", severity="warning", where="reference.doi", what="missing", remedy="give the doi, or a pmid or url")
    elif found["doi"] and not found["doi"].startswith("10."):
        yield Finding(code="reference", severity="warning", where="reference.doi", what="not a doi", remedy="write it as 10.1234/abcd")


def _status(model: DrugModel) -> Iterator[Finding]:
    """A draft may be of any confidence; reviewed wants medium or high and no unverified words; validated wants high and a reference."""
    confidence = model.reference.get("confidence", "")
    if confidence not in CONFIDENCE:
        what = "missing" if not confidence else f"{confidence!r} is not one of {', '.join(CONFIDENCE)}"
        yield Finding(code="status", severity="warning", where="reference.confidence", what=what, remedy="say high, medium or low")
    allowed = {"draft": (*CONFIDENCE, ""), "reviewed": ("high", "medium"), "validated": ("high",)}[model.status]
    if confidence not in allowed:
        what = f"{model.status} with confidence {confidence or 'not given'}"
        yield Finding(code="status", severity="error", where="status", what=what, remedy="set the status back, or settle what is open")
    doubtful = [where for _, where, source in _sourced(model) if "NOT VERIFIED" in source]
    if model.status != "draft" and doubtful:
        what = f"{model.status} although NOT VERIFIED stands at {doubtful[0]}"
        yield Finding(code="status", severity="error", where="status", what=what, remedy="verify it, or set the status back to draft")


def _unused(model: DrugModel) -> Iterator[Finding]:
    for text in model.warnings:
        yield Finding(code="unused", severity="warning", where="covariates", what=text, remedy="take it out, or add the effect")
    system = model.system
    formulas = [*(e.expr for e in model.effects), *model.formulas.values()]
    if system is not None:
        formulas += [*system.derivatives, *system.outputs.values(), *(f for table in system.inputs.values() for f in table.values())]
    read = {name for formula in formulas for name in formula.names}
    s = model.structure
    parts = {value for value in vars(s).values() if isinstance(value, str)} | set(getattr(s, "parts", {}).values())
    for name in model.parameters:
        if name not in read and name not in parts:
            what = "neither a part of the structure nor read by a formula"
            yield Finding(code="unused", severity="warning", where=f"parameters.{name}", what=what, remedy="take it out, or use it")


def _kinds(model: DrugModel) -> Iterator[Finding]:
    """A file needs parameters at two covariate sets, a simulated figure and an invariant.

    A model that takes no dose may do without an invariant, if it says why under `[exempt]`.
    """
    try:
        checks = read_checks(model)
    except AuctorError as error:
        yield Finding(code="check-malformed", severity="error", where=error.where, what=error.what, remedy=error.remedy)
        return
    excused = "" if takes_dose(model) else model.exempt.get("invariant", "").strip()
    for missing in _missing(checks, covariates=bool(model.covariates)):
        if excused and missing == _INVARIANT:
            what = f"no check of {missing}: {excused}"
            yield Finding(code="checks-exempt", severity="info", where="exempt.invariant", what=what, remedy="nothing to do")
            continue
        remedy = "add it under [[checks]], see docs/model-file.md"
        yield Finding(code="checks-missing", severity="warning", where="checks", what=f"no check of {missing}", remedy=remedy)
    if model.exempt and not excused:
        what, remedy = "a model that takes doses has an invariant", "take [exempt] out, and add the invariant under [[checks]]"
        yield Finding(code="checks-exempt", severity="error", where="exempt.invariant", what=what, remedy=remedy)


def _missing(checks: tuple[Check, ...], *, covariates: bool) -> Iterator[str]:
    patients = {tuple(sorted(check.patient.items())) for check in checks if check.parameters}
    if len(patients) < (2 if covariates else 1):
        yield "parameters at two covariate sets"
    if not any(check.figures for check in checks):
        yield "a simulated figure"
    if not any(check.invariant for check in checks):
        yield _INVARIANT
