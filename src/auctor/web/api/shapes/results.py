"""Results: metadata, the content of result.json, what-if, signatures."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from auctor.web.api.shapes.base import Identifier, Line, Measured, Shape, Shown, Written
from auctor.web.api.shapes.courses import ResultLine, Target


class Open(BaseModel):
    """A table of result.json: the fields named here are always there; docs/result.md has the others."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class Option(Open):
    """A regimen."""

    label: str
    kind: str
    dose: Measured
    every: Measured
    duration: Measured
    daily: Measured
    over_cap: bool


class Exposure(Open):
    """The target's metric under a regimen."""

    unit: str
    point: float
    median: float
    interval90: list[float] = Field(min_length=2, max_length=2)


class Share(Open):
    """The probabilities of lying below, in and above the target."""

    below: float = Field(ge=0, le=1)
    inside: float = Field(alias="in", ge=0, le=1)
    above: float = Field(ge=0, le=1)
    unit: Literal["1"]


class Forecast(Open):
    """One regimen judged by one method; without exposure, `abstained` says why."""

    option: Option
    exposure: Exposure | None = None
    share: Share | None = None


class Method(Open):
    """The answer of one method, or the reason why it abstains."""

    title: str
    abstained: str
    doubt: str
    candidates: list[Forecast]


class Notice(Open):
    """A warning."""

    code: str
    where: str
    what: str
    remedy: str
    blocks_signing: bool


class Content(Open):
    """result.json, schema 1."""

    schema_: int = Field(alias="schema")
    target: Target
    methods: dict[str, Method]
    preferred: str
    preselected: str | None
    notices: list[Notice]
    signing_blocked: bool
    concordance: dict[str, Any]
    curve: dict[str, Any]


class Signature(Shown):
    """Who took responsibility for which regimen, and the text that was signed."""

    id: Identifier
    signer: str
    signed_at: datetime
    regimen: str
    meaning: str
    reason: str
    text: str
    text_sha256: str


class Result(ResultLine):
    """A result as it was made, with what it was computed from and with."""

    course: Identifier
    patient: Identifier
    document_sha256: str
    model_sha256: str
    result_sha256: str
    engine: str
    seed: int
    document: dict[str, Any] = Field(description="the case file that it was computed from")
    content: Content
    signature: Signature | None


class Regimen(Shape):
    """A regimen typed by hand, each number with its unit."""

    dose: Written
    every: Written
    duration: Written | None = Field(None, description="length of an infusion; none: swallowed or pushed")


class Tried(Shown):
    """The forecast of each method; nothing was kept."""

    methods: dict[str, Forecast]


class Signing(Shape):
    """One of the candidates by its label, or a typed regimen; the meaning; reasons for what blocks signing; the password again."""

    candidate: Line | None = None
    regimen: Regimen | None = None
    meaning: Literal["recommended", "reviewed"]
    reasons: dict[str, str] = Field({}, description="by `code@where` of a notice that blocks signing, and `change`")
    password: str = Field(min_length=1, max_length=1000)
