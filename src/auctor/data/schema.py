"""The case file as a pydantic schema: what may be written, and nothing else. Published as docs/case.schema.json.

Strict: no text for a number, no unknown key. A quantity is a number with its unit (`"1000 mg"`); a time is either hours on
one clock of the case (`time_h`, `stop_h`, ...) or a date and time with its offset (`at`, `stop_at`, ...).
"""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from auctor.data.limits import MAX_ADDITIONAL

Clock = Annotated[
    datetime | str | date,
    Field(description="ISO 8601 date and time, with an offset (2026-03-01T08:00:00+01:00) or in the case's time_zone"),
]
Hours = Annotated[float, Field(description="hours on the case's own clock; time 0 is put at the first dose")]


def _whole(value: object) -> object:
    """434.0 is a whole number, as JSON has it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=0, le=MAX_ADDITIONAL), BeforeValidator(_whole)]


class Entry(BaseModel):
    """Base of every table of a case file: strict types, no unknown key, no change after reading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Measured(Entry):
    """A number and its UCUM unit, spelt out as a table instead of `"1000 mg"`."""

    value: float
    unit: str


Quantity = Annotated[str | float | Measured, Field(description="a number with its unit, '1000 mg'; a bare number needs a unit beside it")]


class DoseEntry(Entry):
    """One administration, or a series of equal ones."""

    amount: Quantity
    unit: str | None = Field(None, description="unit of `amount`, when that is a bare number")
    route: Literal["oral", "iv"]
    at: Clock | None = None
    time_h: Hours | None = None
    duration: Quantity | None = Field(None, description="length of an infusion, '1 h'")
    stop_at: Clock | None = None
    stop_h: Hours | None = None
    bolus: bool = Field(False, description="true for an intravenous dose that was pushed: an infusion's length is never assumed")
    every: Quantity | None = Field(None, description="interval of a series, '12 h'")
    additional: Count | None = Field(None, description="doses that follow the first one")
    until_at: Clock | None = None
    until_h: Hours | None = None
    steady_state: bool = Field(False, description="the same dose every `every` was given long enough before this one")
    note: str = ""


class SampleEntry(Entry):
    """One measured concentration; a sample at the time of a dose was drawn before it."""

    value: Quantity | None = Field(None, description="'6.8 ng/mL'; '<2.0 ng/mL' below the assay's limit, '>40 ng/mL' above it")
    unit: str | None = Field(None, description="unit of `value`, `lloq` and `uloq`, when they are bare numbers")
    at: Clock | None = None
    time_h: Hours | None = None
    received_at: Clock | None = Field(
        None, description="when the laboratory received it; not before it was drawn, and used for nothing else"
    )
    matrix: str | None = Field(None, description="whole blood, plasma, serum")
    assay: str = ""
    lloq: Quantity | None = Field(None, description="lower limit of quantification of the assay")
    below_lloq: bool = False
    uloq: Quantity | None = Field(None, description="upper limit of quantification of the assay")
    above_uloq: bool = False
    used: bool = Field(True, description="false leaves the sample out of the estimation; say why in `reason`")
    weight: float = Field(1.0, ge=0, description="multiplies the sample's part of the objective; say why in `reason` where it is not 1")
    reason: str = ""


class Point(Entry):
    """The value of a covariate from a time on."""

    value: str | float
    unit: str | None = None
    at: Clock | None = None
    time_h: Hours | None = None


Series = Annotated[str | float | Measured | list[Point], Field(description="'70 kg', a word of a category, or values over time")]


class CurrentEntry(Entry):
    """The regimen as it would go on; a change is judged against it."""

    amount: Quantity
    unit: str | None = None
    every: Quantity
    route: Literal["oral", "iv"]
    duration: Quantity | None = None
    bolus: bool = False


class TargetEntry(Entry):
    """A therapeutic range of one exposure metric, with where it comes from."""

    metric: str = Field(description="AUC0-24, Cavg0-24, Cmin0-12, Cmax0-12 or C0")
    low: float = Field(ge=0)
    high: float = Field(gt=0)
    unit: str | None = None
    source: str = "given in the case file"


class OccasionsEntry(Entry):
    """How the history divides into occasions, for models with inter-occasion variability: `by`, or the hours at which each starts."""

    by: Literal["visit", "interval", "none"] | None = Field(None, description="sampling visit (the default), dosing interval, or no IOV")
    starts_h: list[Hours] | None = Field(None, min_length=1)
    starts_at: list[Clock] | None = Field(None, min_length=1)


class CaseFile(Entry):
    """One pseudonymous patient: doses, levels, covariates. No name, no identifier beyond `label`."""

    model_config = ConfigDict(title="auctor case file, schema 1")

    case_schema: Literal[1] = Field(1, alias="schema", description="version of this format")
    label: str = Field(min_length=1, max_length=120)
    drug: str = Field(min_length=1)
    model: str | None = Field(None, description="a library model, or the path of a model file")
    note: str = ""
    source: str = ""
    time_zone: str | None = Field(None, description="IANA name such as Europe/Paris, for times written without an offset")
    now_at: Clock | None = Field(None, description="the data end here; a later sample is refused")
    now_h: Hours | None = None
    doses: list[DoseEntry] = Field(min_length=1)
    samples: list[SampleEntry] = []
    covariates: dict[str, Series] = {}
    current: CurrentEntry | None = None
    target: TargetEntry | None = None
    occasions: OccasionsEntry | None = None


def json_schema() -> str:
    """The JSON Schema (draft 2020-12) of a case file, as text that ends in a newline.

    >>> '"doses"' in json_schema()
    True
    """
    import json

    schema = CaseFile.model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json_schema(), encoding="utf-8")
