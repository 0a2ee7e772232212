"""Parts of every shape: strict tables without NaN, quantities, identifiers, pages of a list, problems."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
ID = r"^[0-9a-f]{32}$"
TEXT = r"^[^\u0000-\u001f\u007f]*$"  # what can be printed on one line

Identifier = Annotated[str, Field(pattern=ID, description="32 hexadecimal digits")]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
Reason = Annotated[str, Field(min_length=1, max_length=500, description="why; it stands in the audit trail")]
Written = Annotated[str, Field(min_length=1, max_length=60, description="a number with its unit, such as '1250 mg'", examples=["1250 mg"])]


class Shape(BaseModel):
    """Base of what comes in: nothing unknown, no NaN, no text for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Shown(BaseModel):
    """Base of what goes out."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Measured(Shown):
    """A number and its unit."""

    value: float
    unit: str


class Page(Shown, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = Field(description="address of the next page; null on the last one")


class Made(Shown):
    """What a request made or changed, and where to read it."""

    id: Identifier
    href: str


class Problem(Shown):
    """A refusal (RFC 9457): nothing was done."""

    type: str = Field(description="urn:auctor:problem: and the kind of refusal")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    where: str = Field(description="the field or object")
    what: str = Field(description="what is wrong with it; never a patient's value")
    remedy: str = Field(description="what to do")


class Ward(Shown):
    """A ward that the caller sees."""

    id: str
    name: str


Sex = Literal["female", "male", "other", "unknown"]
