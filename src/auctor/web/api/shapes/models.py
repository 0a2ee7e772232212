"""Models of the library."""

from __future__ import annotations

from pydantic import Field

from auctor.web.api.shapes.base import Measured, Shown
from auctor.web.api.shapes.courses import Target


class ModelLine(Shown):
    """A model in a list."""

    name: str
    drug: str
    title: str
    status: str
    sha256: str
    usable: bool = Field(description="whether candidate regimens and a target come with it")


class Parameter(Shown):
    """A fixed effect as printed in its source, with the SD of its eta on the scale of `distribution`."""

    name: str
    value: float
    unit: str
    source: str
    distribution: str
    omega: float | None
    iov: float | None


class Covariate(Shown):
    """A covariate, with the reference value and the population that the model was built in."""

    name: str
    label: str
    unit: str
    levels: list[str]
    reference: Measured
    population: str


class Model(ModelLine):
    """A published model: who it was built in, and what it takes."""

    population: str
    reference: dict[str, str]
    units: dict[str, str]
    matrix: str
    covariates: list[Covariate]
    parameters: list[Parameter]
    targets: list[Target]
    warnings: list[str]
    questions: list[str]
