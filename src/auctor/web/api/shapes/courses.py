"""Courses and their facts. The body of a fact is the entry of a case file, by the case file's own schema (docs/case-file.md)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from auctor.data.schema import CurrentEntry, DoseEntry, Entry, Point, SampleEntry
from auctor.web.api.shapes.base import Identifier, Line, Problem, Reason, Shape, Shown


class NewCourse(Shape):
    """A course of a drug; the model is chosen where the drug has only one."""

    drug: Line
    time_zone: str = Field(min_length=1, max_length=60, examples=["Europe/Paris"], description="IANA name: the clock of the ward")


class Choice(Shape):
    """The model and the target of a course."""

    model: Line
    target: str = Field("", max_length=200, examples=["AUC0-24:400-600 mg*h/L"], description="empty: the model's own")
    reason: str = Field("", max_length=500, description="needed to change a model that was chosen")


class Closing(Shape):
    """Why a course is closed, or opened again."""

    reason: Reason


class Target(Shown):
    """The therapeutic range of one exposure metric."""

    metric: str
    low: float
    high: float
    unit: str
    source: str


class ResultLine(Shown):
    """A result in a list."""

    id: Identifier
    status: Literal["draft", "signed", "reopened", "superseded"]
    made_at: datetime
    made_by: str
    model: str
    stale: bool = Field(description="the present facts would make another document than this result was computed from")


class Course(Shown):
    """A course as it stands. `revision`, also the ETag, changes with every fact, choice and result."""

    id: Identifier
    patient: Identifier
    drug: str
    model: str | None
    target: Target | None
    time_zone: str
    opened_at: datetime
    closed_at: datetime | None
    revision: str
    results: list[ResultLine]
    not_ready: Problem | None = Field(description="why the present facts cannot be analysed; null when they can")


class Settlement(Shown):
    """How a question was settled: answered by a revision of a fact, confirmed as it stands, dismissed, or gone with what it was about."""

    verdict: Literal["answered", "confirmed", "dismissed", "gone"]
    reason: str
    fact: Identifier | None
    fact_revision: int | None
    settled_by: str
    settled_at: datetime


class Question(Shown):
    """What somebody is asked about the record: by a feed that could not say something, or by the plausibility check of a fact."""

    id: Identifier
    source: str = Field(examples=["fhir", "hl7v2", "plausibility"])
    reference: str = Field(description="what the source calls it")
    kind: str
    code: str = Field(description="of a finding of the check, the kind of slip (docs/plausibility.md)")
    place: str
    what: str
    remedy: str
    fact: Identifier | None
    fact_revision: int | None
    finding: dict[str, Any] | None = Field(description="of a finding: its facts (hours from `start`), likelihood ratio, AUC implied, model")
    blocks_signing: bool
    open: bool
    raised_by: str
    raised_at: datetime
    settlement: Settlement | None


class CovariateEntry(Point):
    """The value of a covariate of the model, with its unit; with a time, or once without one."""

    name: str = Field(min_length=1, max_length=60)


class NoteEntry(Entry):
    """A note."""

    text: str = Field(min_length=1, max_length=2000)


class NewDose(Shape):
    """A dose that was given."""

    kind: Literal["dose"]
    body: DoseEntry


class NewSample(Shape):
    """A level that was measured."""

    kind: Literal["sample"]
    body: SampleEntry


class NewCovariate(Shape):
    """A value of a covariate."""

    kind: Literal["covariate"]
    body: CovariateEntry


class NewOrder(Shape):
    """The regimen as it would go on."""

    kind: Literal["order"]
    body: CurrentEntry


class NewNote(Shape):
    """A note."""

    kind: Literal["note"]
    body: NoteEntry


NewFact = Annotated[NewDose | NewSample | NewCovariate | NewOrder | NewNote, Field(discriminator="kind")]
Body = DoseEntry | SampleEntry | CovariateEntry | CurrentEntry | NoteEntry


class NewFacts(Shape):
    """Facts to add, all or none."""

    facts: list[NewFact] = Field(min_length=1, max_length=200)
    reference: str | None = Field(None, min_length=1, max_length=400, description="what the first fact is called where it comes from")


class Correction(Shape):
    """The new body of a fact, whole, and why."""

    fact: NewFact
    reason: Reason


class Withdrawal(Shape):
    """Why a fact should not have been entered."""

    reason: Reason


class Use(Shape):
    """Leave a sample out of the estimation, or take it in again."""

    used: StrictBool
    reason: Reason


class Fact(Shown):
    """One revision of a fact; nothing is ever changed, a correction is the next revision."""

    id: Identifier
    revision: int = Field(ge=1)
    course: Identifier
    kind: Literal["dose", "sample", "covariate", "order", "note"]
    body: dict[str, Any] = Field(description="the entry of a case file; every quantity with its unit")
    at: datetime | None
    source: str
    reference: str | None
    entered_by: str
    entered_at: datetime
    reason: str
    withdrawn: bool
