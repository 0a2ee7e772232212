"""Verify: whether anybody edited, deleted, inserted, reordered or cut the audit trail, or touched a row that is written once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import select

from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.store.audit import START, link
from auctor.web.store.checkpoint import Mark
from auctor.web.store.errors import StoreError
from auctor.web.store.store import Store
from auctor.web.store.tables import Audit, Table
from auctor.web.store.work import Reading

AUDITOR = Actor.system("verify", wards=frozenset({EVERY_WARD}))
_CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is not as it was written."""

    where: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was looked at, and what was found; without findings the trail is whole."""

    entries: int
    rows: int
    checkpoints: int
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(store: Store) -> Verdict:
    """Check every audit entry against its hash and the one before it, every checkpoint against the trail, every row against its entry.

    A trail that somebody rewrote from end to end, hashes and all, no longer fits the checkpoints: their HMAC needs the secret.
    """
    marks, broken = _marks(store)
    with store.read(AUDITOR) as reading:
        entries = list(reading.session.scalars(select(Audit).order_by(Audit.sequence)))
        rows, strange = _rows(reading, entries)
    findings = (*chain(entries), *checkpoints(entries, marks), *broken, *strange)
    return Verdict(entries=len(entries), rows=rows, checkpoints=len(marks), findings=findings)


def chain(entries: Iterable[Audit]) -> Iterator[Finding]:
    """What is wrong within the trail: numbers that are missing or twice, entries that are not as hashed, links that do not hold."""
    expected, previous = 1, START
    for entry in entries:
        where = f"audit {entry.sequence}"
        if entry.sequence != expected:
            yield Finding(where=where, what=f"follows entry {expected - 1}: entries are missing, repeated or out of order")
        if entry.previous != previous:
            yield Finding(where=where, what="does not follow from the entry before it")
        if link(entry) != entry.hash:
            yield Finding(where=where, what="is not as it was written")
        expected, previous = entry.sequence + 1, entry.hash


def checkpoints(entries: Iterable[Audit], marks: Iterable[Mark]) -> Iterator[Finding]:
    """Checkpoints that the trail does not reach (its tail was cut) or does not match (it was rewritten)."""
    hashes = {entry.sequence: entry.hash for entry in entries}
    for mark in marks:
        if mark.sequence not in hashes:
            yield Finding(where=f"audit {mark.sequence}", what="stands in the checkpoints and not in the trail: it was cut")
        elif hashes[mark.sequence] != mark.hash:
            yield Finding(where=f"audit {mark.sequence}", what="is another entry than the checkpoint's: the trail was rewritten")


def _marks(store: Store) -> tuple[list[Mark], list[Finding]]:
    marks: list[Mark] = []
    try:
        marks.extend(store.checkpoints.read())
    except StoreError as problem:
        return marks, [Finding(where=problem.where, what=problem.what)]
    return marks, []


def _rows(reading: Reading, entries: Iterable[Audit]) -> tuple[int, list[Finding]]:
    """Every row of the tables that are written once, against the digest in the entry that wrote it."""
    told = {(table, key): digest for entry in entries for table, key, digest in entry.rows}
    seen, findings = 0, []
    for where, digest in _written_once(reading):
        seen += 1
        said = told.pop(where, None)
        if said != digest:
            what = "is not as it was written" if said else "was written past the audit trail"
            findings.append(Finding(where="/".join(where), what=what))
    return seen, [*findings, *(Finding(where="/".join(where), what="was deleted") for where in told)]


def _written_once(reading: Reading) -> Iterator[tuple[tuple[str, str], str]]:
    for mapper in Table.registry.mappers:
        table: type[Table] = mapper.class_
        if table.append_only and table is not Audit:
            for row in reading.session.scalars(select(table).execution_options(yield_per=_CHUNK)):
                yield (table.__tablename__, row.row_key()), row.row_digest()
