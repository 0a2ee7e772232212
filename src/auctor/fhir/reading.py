"""What every reader of one resource type needs: the course that is wanted, its drug, the codebook, the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from auctor.errors import Notice, RecordError
from auctor.fhir.bundle import Record
from auctor.fhir.codebook import Codebook, codebook
from auctor.fhir.filtration import FORMULAS
from auctor.fhir.found import Question
from auctor.fhir.node import Node
from auctor.fhir.when import When, read_when
from auctor.models.drug_file import Drug, read_drug
from auctor.models.table import suggestion

ANY = "*"
BOLUS = "bolus"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a record is read for, with the answers that it does not hold itself.

    `time_zone`: the site's, for times sent without an offset (refused without it). `now`: where the data end, a FHIR dateTime; a series
    that was only ordered runs up to it. `infusions`: length ("60 min") or "bolus" of intravenous doses whose record does not say, by
    resource reference, or "*" for all. `formula`: by which creatinine becomes a filtration rate (`filtration.FORMULAS`), none when "".
    `models`: those whose covariates are wanted; all of the drug's where empty. `site_codes`: the hospital's own codes. `leave`: resources
    that somebody decided to leave out.
    """

    drug: str
    label: str = "imported"
    models: tuple[str, ...] = ()
    time_zone: str = ""
    now: str = ""
    infusions: Mapping[str, str] = field(default_factory=dict)
    formula: str = ""
    site_codes: Path | None = None
    leave: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.formula and self.formula not in FORMULAS:
            raise RecordError(where="formula", what="not a formula that auctor knows", remedy=suggestion(self.formula, FORMULAS))
        if self.time_zone:
            _check_zone(self.time_zone)


def _check_zone(name: str) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise RecordError(where="time_zone", what="no such time zone", remedy="write an IANA name such as Europe/Paris") from problem


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One record being read for one course."""

    wanted: Wanted
    record: Record

    @cached_property
    def drug(self) -> Drug:
        """The drug file; ModelError for a drug without one."""
        return read_drug(self.wanted.drug)

    @cached_property
    def book(self) -> Codebook:
        """The codes, with those of the site."""
        return codebook(self.wanted.site_codes)

    @property
    def molar_mass(self) -> float | None:
        """g/mol of the analyte, None where the drug file does not say."""
        return self.drug.molar_mass.value if self.drug.molar_mass else None

    def when(self, node: Node, key: str) -> When:
        """The moment below a key."""
        return read_when(node.text(key), self.wanted.time_zone, where=node.at(key))

    def now(self) -> When | None:
        """Where the data end."""
        return read_when(self.wanted.now, self.wanted.time_zone, where="now") if self.wanted.now else None

    def infusion(self, reference: str) -> str:
        """What was answered for a dose: a length, "bolus", or "" for nothing."""
        return self.wanted.infusions.get(reference, self.wanted.infusions.get(ANY, ""))


def zone_notices(*moments: When | None, where: str) -> tuple[Notice, ...]:
    """One notice where an offset was put there that the record does not have."""
    if not any(moment is not None and moment.assumed for moment in moments):
        return ()
    remedy = "have the hospital's system send offsets"
    return (Notice(code="zone-assumed", where=where, what="sent without an offset; the site's time zone is used", remedy=remedy),)


def unusable(node: Node) -> None:
    """A Question for what FHIR forbids to read on: modifier extensions and implicit rules that auctor does not know."""
    for key in ("modifierExtension", "implicitRules"):
        if node.data.get(key):
            what = "changes the meaning of the resource in a way that auctor does not know"
            raise Question("modifier", where=node.at(key), what=what, remedy="read it by hand")
