"""The hospital's systems that auctor talks to, from one TOML file: CDS Hooks clients, SMART and FHIR servers, names of authorities.

Nothing outside these lists is ever fetched, trusted or launched from.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from auctor.data.schema import Entry
from auctor.errors import RecordError
from auctor.web.emr.addresses import check_address

EVERY = ["*"]
SCOPES = (
    "launch openid fhirUser patient/Patient.rs patient/Observation.rs patient/MedicationAdministration.rs "
    "patient/MedicationRequest.rs patient/Encounter.rs patient/Condition.rs"
)


class CdsClient(Entry):
    """A CDS Hooks client: who signs its calls, with which keys, for the patients of which FHIR servers and wards."""

    issuer: str = Field(min_length=1)
    jwks_url: str = Field("", description="where its keys are; the only `jku` that is believed")
    jwks_file: str = Field("", description="its keys in a file, beside this one")
    fhir_servers: list[str] = Field(min_length=1)
    wards: list[str] = Field(EVERY, description="wards whose patients its users may be told about")

    @model_validator(mode="after")
    def _one_source(self) -> CdsClient:
        if bool(self.jwks_url) == bool(self.jwks_file):
            raise ValueError("give jwks_url or jwks_file")
        if self.jwks_url:
            check_address(self.jwks_url, where="jwks_url")
        return self


class SmartServer(Entry):
    """A FHIR server that auctor is launched from: its base address, and the client that auctor is there."""

    iss: str
    client_id: str = Field(min_length=1)
    algorithm: Literal["RS384", "ES384"] = "ES384"
    scopes: str = SCOPES
    wards: list[str] = Field(EVERY, description="wards whose patients may be opened from it")

    @field_validator("iss")
    @classmethod
    def _an_address(cls, text: str) -> str:
        check_address(text, where="iss")
        return text.rstrip("/")


class FhirServer(Entry):
    """A hospital's FHIR server that records are read from and results sent to (docs/fhir.md)."""

    name: str = Field(min_length=1, max_length=80, description="what the pages call it")
    base_url: str
    wards: list[str] = Field(EVERY, description="wards whose patients it knows; the first server of a ward is used")
    client_id: str = Field("", description="for SMART backend services; without it no token is asked for")
    private_key_file: str = Field("", description="its key (PEM or JWK), beside this file")
    key_id: str = ""
    algorithm: Literal["RS384", "ES384"] = "ES384"
    token_url: str = ""
    scope: str = "system/*.rs"
    formula: str = Field("", description="by which creatinine becomes a filtration rate")
    site_codes: str = Field("", description="the hospital's own codes in a file, beside this one")
    send_when_signed: bool = Field(False, description="a signed result is sent by itself")
    follow: bool = Field(False, description="a record that was read is subscribed to, and read again when it changes")
    report_language: Literal["en", "fr"] | None = Field(None, description="of what is sent to it; else the installation's")
    timeout_s: float = Field(10.0, gt=0, le=120)
    deadline_s: float = Field(30.0, gt=0, le=600)

    @model_validator(mode="after")
    def _an_address(self) -> FhirServer:
        check_address(self.base_url, where="base_url")
        if self.client_id and not self.private_key_file:
            raise ValueError("give private_key_file beside client_id")
        return self

    @property
    def base(self) -> str:
        """Its address without a last slash: what the store and the outbox call it."""
        return self.base_url.rstrip("/")


class Authority(Entry):
    """One assigning authority by its name here and its FHIR identifier system."""

    authority: str
    system: str


class Partners(Entry):
    """All of them.

    >>> Partners.model_validate({}).smart
    []
    """

    partners_schema: Literal[1] = Field(1, alias="schema")
    cds_clients: list[CdsClient] = Field([], description="who may call the CDS services")
    smart: list[SmartServer] = Field([], description="who may launch auctor")
    fhir: list[FhirServer] = Field([], description="whose records are read, and where results go")
    authorities: list[Authority] = Field([], description="identifier systems of FHIR and the authorities of the store")

    def client(self, issuer: str) -> CdsClient | None:
        """The CDS client of an issuer."""
        return next((client for client in self.cds_clients if client.issuer == issuer), None)

    def server(self, iss: str) -> SmartServer | None:
        """The SMART server of exactly this base address."""
        return next((server for server in self.smart if server.iss == iss.rstrip("/")), None)

    def record_of(self, ward: str) -> FhirServer | None:
        """The FHIR server that knows the patients of a ward."""
        return next((server for server in self.fhir if ward in server.wards or "*" in server.wards), None)

    @property
    def systems(self) -> dict[str, str]:
        """The name that each FHIR identifier system has in the store."""
        return {entry.system: entry.authority for entry in self.authorities}

    def names(self, fhir_server: str, patient: str, resource: Any = None) -> tuple[tuple[str, str], ...]:
        """The (authority, identifier) pairs by which the store may know a patient: the server's own id, and the resource's identifiers."""
        known = self.systems
        found = resource.get("identifier") if isinstance(resource, dict) and resource.get("id") == patient else None
        pairs = [(i.get("system"), i.get("value")) for i in found if isinstance(i, dict)] if isinstance(found, list) else []
        texts = [(s, v) for s, v in pairs if isinstance(s, str) and isinstance(v, str) and s and v]
        return ((fhir_server, patient), *((known.get(system, system), value) for system, value in texts))


@lru_cache(maxsize=4)
def read_partners(path: Path | None) -> Partners:
    """The file's partners; none without a file. RecordError names the entry that cannot be used."""
    import tomllib

    if path is None:
        return Partners.model_validate({})
    try:
        return Partners.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise RecordError(where=path.name, what="cannot be read as TOML", remedy="see docs/cds-hooks.md") from problem
    except ValidationError as problem:
        fault = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (path.name, *fault["loc"])))
        raise RecordError(where=where, what=fault["msg"].removeprefix("Value error, "), remedy="see docs/cds-hooks.md") from problem


def keys_of_file(client: CdsClient, beside: Path) -> dict[str, Any]:
    """The key set of a client's file."""
    found = json.loads((beside.parent / client.jwks_file).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise RecordError(where=client.jwks_file, what="not a key set", remedy="give a JSON object with keys")
    return found
