"""Facts to a case document (docs/case-file.md), and an import as plain data. The document holds no identity, only the course's label."""

from __future__ import annotations

from typing import Any

from auctor.errors import Notice, RecordError
from auctor.fhir.found import Fact, Imported, Source
from auctor.fhir.reading import Wanted

SOURCE = "FHIR R4"


def case_document(found: Imported, wanted: Wanted) -> dict[str, Any]:
    """The case document of an import, as `auctor.data.document.check_document` takes it.

    RecordError while a question is open, and without a dose: a case that lacks what the record holds would be another patient's.
    """
    if found.questions:
        first, n = found.questions[0].notice, len(found.questions)
        what = f"{n} question{'s' if n > 1 else ''} open, the first at {first.where}: {first.what}"
        raise RecordError(where="import", what=what, remedy=first.remedy)
    if not found.of("dose"):
        raise RecordError(where="import", what="no dose of the drug in it", remedy="check the drug, or enter the case by hand")
    document: dict[str, Any] = {"schema": 1, "label": wanted.label, "drug": wanted.drug, "source": SOURCE}
    document |= {"model": wanted.models[0]} if len(wanted.models) == 1 else {}
    document |= {"time_zone": wanted.time_zone} if wanted.time_zone else {}
    document |= {"now_at": wanted.now} if wanted.now else {}
    document |= {"doses": [dict(fact.body) for fact in found.of("dose")], "samples": [dict(fact.body) for fact in found.of("sample")]}
    current = found.of("current")
    document |= {"current": dict(current[0].body)} if current else {}
    return document | {"covariates": _covariates(found.of("covariate"))}


def _covariates(facts: tuple[Fact, ...]) -> dict[str, Any]:
    """A value for all times, or a series in time."""
    series: dict[str, Any] = {}
    for fact in facts:
        name, point = str(fact.body["name"]), {key: value for key, value in fact.body.items() if key != "name"}
        if "at" not in point:
            series[name] = point["value"]
        else:
            series.setdefault(name, []).append(point)
    return series


def as_dict(found: Imported) -> dict[str, Any]:
    """Everything but the identity as plain data: facts with their sources, what was left out, what is asked, what is withdrawn."""
    return {
        "facts": [_fact(fact) for fact in found.facts],
        "left_out": [{"resource": left.source, "code": left.code, "why": left.what} for left in found.left],
        "questions": [{"kind": q.kind, **_notice(q.notice), "draft": dict(q.draft)} for q in found.questions],
        "withdrawn": list(found.withdrawn),
        "notices": [_notice(notice) for notice in found.notices],
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "kind": fact.kind,
        "body": dict(fact.body),
        "sources": [_source(source) for source in fact.sources],
        "label": fact.label,
        "assumed": fact.assumed,
        "issued": fact.issued,
        "notices": [_notice(notice) for notice in fact.notices],
    }


def _source(source: Source) -> dict[str, str]:
    return {"resource": source.reference, "version": source.version, "updated": source.updated, "status": source.status}


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "code": notice.code, "where": notice.where, "what": notice.what, "remedy": notice.remedy, "blocks_signing": notice.blocks_signing
    }  # fmt: skip
