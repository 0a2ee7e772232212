"""A FHIR Bundle as an indexed record of one patient: one version of each resource, references resolved, nobody else's data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auctor.errors import RecordError
from auctor.fhir.found import Left, Open, Question, Source, question_of
from auctor.fhir.node import Node

MAX_ENTRIES = 50_000
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_SUBJECTS = ("subject", "patient")


@dataclass(frozen=True, kw_only=True)
class Record:
    """The resources of a Bundle in its order, by every name they go by, with what was left out and asked while reading it."""

    resources: tuple[Node, ...]
    names: Mapping[str, Node]
    left: tuple[Left, ...]
    questions: tuple[Open, ...]

    def of_type(self, kind: str) -> tuple[Node, ...]:
        """The resources of one type."""
        return tuple(node for node in self.resources if node.data["resourceType"] == kind)

    def resolve(self, reference: Node | None, holder: Node) -> Node | None:
        """The resource that a Reference names, in the Bundle or contained in its holder; None where it is not here."""
        text = reference.text("reference") if reference is not None else ""
        if text.startswith("#"):
            return next((node for node in holder.nodes("contained") if node.text("id") == text[1:]), None)
        return self.names.get(_unversioned(text))

    def patient(self) -> Node:
        """The one Patient. RecordError for none, for several, and for a resource that is about somebody else."""
        patients = self.of_type("Patient")
        if len(patients) != 1:
            what = "no Patient in it" if not patients else "several Patients in it"
            raise RecordError(where="Bundle", what=what, remedy="export the record of one patient, the Patient resource with it")
        for node in self.resources:
            for key in _SUBJECTS:
                subject = node.node(key) if not isinstance(node.data.get(key), list) else None
                if subject is not None and not self._is(patients[0], subject):
                    raise RecordError(
                        where=node.at(key), what="about somebody other than the Patient", remedy="export one patient's record"
                    )
        return patients[0]

    def about_nobody(self, node: Node) -> bool:
        """Whether a resource does not say who it is about."""
        return not any(isinstance(node.data.get(key), Mapping) and node.data[key] for key in _SUBJECTS)

    def _is(self, patient: Node, subject: Node) -> bool:
        text = subject.text("reference")
        if text:
            return self.names.get(_unversioned(text)) is patient
        wanted = subject.node("identifier")
        if wanted is None:
            return False
        pairs = [(i.text("system"), i.text("value")) for i in patient.nodes("identifier")]
        return (wanted.text("system"), wanted.text("value")) in pairs


def source_of(node: Node) -> Source:
    """Where a fact comes from."""
    meta = node.node("meta")
    version, updated = (meta.text("versionId"), meta.text("lastUpdated")) if meta else ("", "")
    return Source(reference=node.where, version=version[:64], updated=updated[:40], status=node.text("status")[:40])


def read_record(raw: Mapping[str, Any]) -> Record:
    """Index a Bundle of any type. RecordError where it is not one; a page that is not the last is a question, not a whole record."""
    top = Node.of(raw, "Bundle")
    if raw.get("resourceType") != "Bundle":
        raise RecordError(where="Bundle", what="not a FHIR Bundle", remedy="give the patient's resources in one Bundle")
    entries = top.nodes("entry")
    if len(entries) > MAX_ENTRIES:
        raise RecordError(where="Bundle.entry", what=f"more than {MAX_ENTRIES} entries", remedy="export fewer days")
    left: list[Left] = []
    found = [pair for k, entry in enumerate(entries) if (pair := _resource(entry, k, left)) is not None]
    nodes, questions = _one_version(found)
    names: dict[str, Node] = {}
    for node, url in nodes:
        names |= {name: node for name in (_unversioned(node.where), _unversioned(url)) if name}
        names |= {_tail(url): node} if _tail(url) else {}
    return Record(
        resources=tuple(node for node, _ in nodes), names=names, left=tuple(left), questions=(*questions, *_incomplete(top, len(entries)))
    )


def _resource(entry: Node, k: int, left: list[Left]) -> tuple[Node, str] | None:
    """A resource with its fullUrl, named by type and id, or by its place where it has no id that can be one."""
    node = entry.node("resource")
    if node is None:
        left.append(Left(source=f"entry[{k}]", code="no-resource", what="an entry without a resource"))
        return None
    kind, name = node.text("resourceType"), node.text("id")
    if not _TYPE.fullmatch(kind):
        left.append(Left(source=f"entry[{k}]", code="no-resource-type", what="a resource that does not say its type"))
        return None
    where = f"{kind}/{name}" if _ID.fullmatch(name) else f"{kind}(entry[{k}])"
    return Node(node.data, where), entry.text("fullUrl")


def _one_version(found: list[tuple[Node, str]]) -> tuple[list[tuple[Node, str]], list[Open]]:
    """The latest version of each resource; two that differ and do not say which is later are a question, and neither is used."""
    groups: dict[str, list[tuple[Node, str]]] = {}
    for node, url in found:
        groups.setdefault(node.where, []).append((node, url))
    kept, questions = [], []
    for where, several in groups.items():
        latest = _latest(several)
        if latest is not None:
            kept.append(latest)
            continue
        remedy = "export the latest version of each resource"
        error = Question("two-versions", where=where, what="there twice, and not the same", remedy=remedy)
        questions.append(question_of(error, "record"))
    return kept, questions


def _latest(several: list[tuple[Node, str]]) -> tuple[Node, str] | None:
    if all(node.data == several[0][0].data for node, _ in several):
        return several[0]
    versions = [source_of(node).version for node, _ in several]
    if not all(version.isdecimal() for version in versions) or len(set(versions)) < len(versions):
        return None
    return several[max(range(len(several)), key=lambda k: int(versions[k]))]


def _incomplete(top: Node, entries: int) -> list[Open]:
    """Signs that this is not the whole record: a link to a next page, a total beyond what is here."""
    pages = any(link.text("relation") == "next" for link in top.nodes("link"))
    total = top.number("total")
    if not pages and (total is None or total <= entries):
        return []
    error = Question("more-pages", where="Bundle", what="one page of a longer record", remedy="export all pages")
    return [question_of(error, "record")]


def _unversioned(reference: str) -> str:
    return reference.partition("/_history/")[0]


def _tail(url: str) -> str:
    """`Patient/7` of an absolute URL, so that relative references find it."""
    parts = _unversioned(url).rsplit("/", 2)
    return "/".join(parts[1:]) if url.startswith(("http://", "https://")) and len(parts) == 3 else ""
