"""Typed errors and carried warnings: each says where, what and the remedy, and carries no patient value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A warning that is carried to the report instead of being lost.

    `code` is a stable machine name (`outside-domain`), `where` a field path (`samples[0].value`),
    `what` the finding, `remedy` what the user can do. `blocks_signing` marks what a clinician must resolve.

    >>> str(Notice(code="default-used", where="covariates.HCT", what="not given", remedy="measure it"))
    'covariates.HCT: not given; measure it'
    """

    code: str
    where: str
    what: str
    remedy: str
    blocks_signing: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


class AuctorError(Exception):
    """Base of every refusal. `where` names the field or file, `what` the problem, `remedy` the way out.

    >>> str(CaseError(where="samples[0].unit", what="no unit", remedy="write for example 'ng/mL'"))
    "samples[0].unit: no unit; write for example 'ng/mL'"
    """

    exit_code = 2

    def __init__(self, *, where: str, what: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}; {remedy}")
        self.where, self.what, self.remedy = where, what, remedy

    def __reduce__(self) -> tuple[Callable[..., AuctorError], tuple[object, ...]]:
        """As itself from another process."""
        return _again, (type(self), self.args, dict(self.__dict__))


def _again(kind: type[AuctorError], args: tuple[object, ...], fields: dict[str, object]) -> AuctorError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class CaseError(AuctorError):
    """A case (patient file) that cannot be used as it stands."""


class TableError(AuctorError):
    """A NONMEM-style table that cannot be used as it stands."""


class UnitError(AuctorError):
    """A unit that is missing, unknown or of the wrong dimension."""


class RecordError(AuctorError):
    """A record of the hospital (a FHIR resource, an HL7 message) that cannot be used as it stands."""


class ModelError(AuctorError):
    """A model file that cannot be read, or used for this purpose."""


class PlanError(AuctorError):
    """A training or simulation plan that cannot be used."""


class LeakageError(AuctorError):
    """A learner was about to see what it must predict, or patients it will be judged on."""


class EstimationError(AuctorError):
    """An estimation that did not reach a usable result."""

    exit_code = 3


class OutOfDomain(AuctorError):
    """A method abstains: this patient or regimen lies outside what it was built for."""

    exit_code = 4
