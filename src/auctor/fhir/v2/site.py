"""What a hospital says about its own messages: time zone, whose numbers count, local codes, units and routes. A TOML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, ValidationError, field_validator, model_validator

from auctor.data.schema import Entry
from auctor.errors import CaseError

# HL7 table 0162 (route), and the administration methods of table 0165 that settle how long a dose took
ROUTES: dict[str, Literal["oral", "iv"]] = {"PO": "oral", "NG": "oral", "GTT": "oral", "IV": "iv", "IVPB": "iv", "IVP": "iv"}
PUSHES = ("IVP",)
# HL7 table 0396, coding systems, as the addresses that the codebook has
SYSTEMS = {"LN": "http://loinc.org", "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm", "ATC": "http://www.whocc.no/atc"}


class LocalCode(Entry):
    """One code of the site's: exactly one of `level`, `covariate` and `drug`."""

    system: str = Field("L", description="coding system as in OBX-3.3: L, LN, 99LAB")
    code: str = Field(min_length=1)
    level: str = Field("", description="the drug whose concentration it is")
    covariate: str = Field("", description="the covariate, by its name in model files: WT, SCR, HCT")
    drug: str = Field("", description="the drug that a dose of this code gives")
    matrix: str = ""
    label: str = Field("", description="trough or peak, as the laboratory calls it; never the source of a time")

    @model_validator(mode="after")
    def _one_meaning(self) -> LocalCode:
        if sum(map(bool, (self.level, self.covariate, self.drug))) != 1:
            raise ValueError("give exactly one of level, covariate and drug")
        return self


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a code stands for: `kind` level, covariate or drug; `about` its name here."""

    kind: str
    about: str
    matrix: str = ""
    label: str = ""


class Site(Entry):
    """The rules of one hospital's interface.

    >>> Site(time_zone="Europe/Paris", authorities=["HOSP"]).zone.key
    'Europe/Paris'
    """

    site_schema: Literal[1] = Field(1, alias="schema")
    name: str = "AUCTOR"
    time_zone: str = Field(description="IANA name, for times sent without an offset")
    authorities: list[str] = Field(min_length=1, description="assigning authorities (PID-3.4: namespace or OID), the preferred one first")
    charset: str = Field("", description="character set (HL7 table 0211) where MSH-18 is empty")
    processing: list[Literal["P", "T", "D"]] = Field(["P"], description="accepted processing identifiers (MSH-11)")
    push_when_no_length: bool = Field(False, description="this site charts a pushed dose with its stop equal to its start")
    units: dict[str, str] = Field({}, description="the site's spelling of a unit -> UCUM")
    routes: dict[str, Literal["oral", "iv"]] = Field({}, description="the site's codes of routes")
    codes: list[LocalCode] = Field([], description="the site's own codes, read before auctor's tables")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("write an IANA name such as Europe/Paris")
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The zone itself."""
        return ZoneInfo(self.time_zone)

    def meaning(self, system: str, code: str) -> Meaning | None:
        """What a code stands for, the site's own table before auctor's; None when it is of no concern."""
        for entry in self.codes:
            if entry.code == code and entry.system.casefold() == (system or "L").casefold():
                return _meaning(entry)
        return published(system, code)

    def unit(self, text: str) -> str:
        """A unit in a spelling that auctor reads: the site's own table before the codebook's."""
        from auctor.fhir.codebook import codebook

        return self.units.get(text) or codebook().ucum(text)

    def route(self, code: str) -> Literal["oral", "iv"] | None:
        """The route of a code; None when it is not known."""
        return self.routes.get(code) or ROUTES.get(code.upper())


def _meaning(entry: LocalCode) -> Meaning:
    kind = next(name for name in ("level", "covariate", "drug") if getattr(entry, name))
    return Meaning(kind=kind, about=getattr(entry, kind), matrix=entry.matrix, label=entry.label)


def published(system: str, code: str) -> Meaning | None:
    """What a LOINC, RxNorm or ATC code stands for by auctor's own tables (`auctor.fhir.codebook`).

    None when they lack it, and when several drugs share the code: a site then says in its own table which one is meant.

    >>> published("LN", "20578-1").about, published("LN", "2345-7")
    ('vancomycin', None)
    """
    from auctor.fhir.codebook import codebook

    found = [m for m in codebook().find(SYSTEMS.get(system.upper(), system), code) if m.kind in ("level", "covariate", "drug")]
    if len({(m.kind, m.name) for m in found}) != 1:
        return None
    return Meaning(kind=found[0].kind, about=found[0].name, matrix=found[0].matrix, label=found[0].label)


def read_site(path: Path | str) -> Site:
    """A site's TOML file; CaseError names the entry that cannot be used."""
    import tomllib

    file = Path(path)
    try:
        return Site.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as problem:
        raise CaseError(where=file.name, what="not TOML", remedy="see docs/hl7.md") from problem
    except ValidationError as problem:
        fault = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (file.name, *fault["loc"])))
        raise CaseError(where=where, what=fault["msg"].removeprefix("Value error, "), remedy="see docs/hl7.md") from problem


__all__ = ["LocalCode", "Meaning", "Site", "published", "read_site"]
