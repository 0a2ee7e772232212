"""The nouns: what kind of slip, a finding with its likelihood ratio and question, a sample's place among what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

LARGEST = 690.0  # of a log likelihood ratio either way: exp of it is still a number


class Family(StrEnum):
    """Kinds that share a threshold, because one question to the ward settles them all."""

    TIMING = "timing"
    UNIT = "unit"
    MOLAR = "molar"
    HANDLING = "handling"
    IDENTITY = "identity"
    COVARIATE = "covariate"


class Kind(StrEnum):
    """What may have gone wrong with a record."""

    AFTER_DOSE = "after-dose"
    BEFORE_DOSE = "before-dose"
    EARLIER = "earlier"
    LATER = "later"
    SWAPPED_SAMPLES = "swapped-samples"
    DOSE_MISSED = "dose-missed"
    DOSE_LATE = "dose-late"
    DOSE_EARLY = "dose-early"
    LABEL = "label"
    UNIT_THOUSAND = "unit-thousand"
    UNIT_MOLAR = "unit-molar"
    DOSE_UNIT = "dose-unit"
    DILUTION = "dilution"
    LINE = "line"
    OTHER_PATIENT = "other-patient"
    COVARIATE_UNIT = "covariate-unit"

    @property
    def family(self) -> Family:
        """The family whose threshold applies.

        >>> Kind.DILUTION.family.value
        'handling'
        """
        return _FAMILIES.get(self, Family.TIMING)


_FAMILIES = {
    Kind.UNIT_THOUSAND: Family.UNIT,
    Kind.UNIT_MOLAR: Family.MOLAR,
    Kind.DOSE_UNIT: Family.UNIT,
    Kind.DILUTION: Family.HANDLING,
    Kind.LINE: Family.HANDLING,
    Kind.OTHER_PATIENT: Family.IDENTITY,
    Kind.COVARIATE_UNIT: Family.COVARIATE,
}


class Labelled(StrEnum):
    """What a sample may be labelled."""

    TROUGH = "trough"
    PEAK = "peak"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an explanation says, as values: the sentence is written by whoever shows it (`auctor.report.finding_words`).

    Hours count from time 0 of the case. `at_h` is when the record says that it was, `then_h` when it would have been, `dose_h` when
    the dose in question was recorded. `after_h` is the time from that dose (from the end of its infusion where `infusion`) to the
    sample. `other` is the field path of a second sample, `label` what a sample is labelled.
    `factor` is true over recorded number, `meant` and `written` the unit of the one and of the other, `every` whether all levels
    are meant and not one.
    """

    at_h: float | None = None
    then_h: float | None = None
    dose_h: float | None = None
    after_h: float | None = None
    infusion: bool = False
    label: Labelled | None = None
    other: str = ""
    factor: float | None = None
    meant: str = ""
    written: str = ""
    every: bool = False

    @property
    def by_h(self) -> float:
        """How much later it would have been than the record says, h; 0 where it is not about that."""
        return 0.0 if self.at_h is None or self.then_h is None else self.then_h - self.at_h

    def as_data(self) -> dict[str, Any]:
        """Those that say something, by name.

        >>> Facts(at_h=0.0, then_h=2.0).as_data()
        {'at_h': 0.0, 'then_h': 2.0}
        """
        return {name: value for name, value in asdict(self).items() if value not in (None, "") and value is not False}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One other explanation of the record, against "as recorded".

    `where` is a field path, `facts` what it says. `log_likelihood_ratio` (natural) compares the marginal
    likelihoods, etas integrated out; `prior_odds` is what such a slip is worth before looking. `auc_recorded` and `auc_if`
    are posterior means of AUC0-24 under the current regimen, mg*h/L, as recorded and under this explanation; None without a known regimen.
    """

    kind: Kind
    where: str
    facts: Facts
    log_likelihood_ratio: float
    prior_odds: float
    auc_recorded: float | None = None
    auc_if: float | None = None

    @property
    def family(self) -> Family:
        """The family of its kind."""
        return self.kind.family

    @property
    def likelihood_ratio(self) -> float:
        """How many times better than "as recorded" it explains the levels."""
        return math.exp(self.log_likelihood_ratio)

    @property
    def log_posterior_odds(self) -> float:
        """Natural logarithm of likelihood ratio times prior odds."""
        return self.log_likelihood_ratio + math.log(self.prior_odds)

    @property
    def change(self) -> float | None:
        """AUC under this explanation relative to that as recorded, minus 1."""
        return None if not self.auc_recorded or self.auc_if is None else self.auc_if / self.auc_recorded - 1


@dataclass(frozen=True, kw_only=True)
class SamplePlace:
    """Where one sample lies, 0-100 %, in what was expected before any sample and in what the other samples lead to expect.

    Each is a pair: equal for a measured level; for one outside the assay's limits the range of percentiles it can have.
    Residual error is included.
    """

    where: str
    time_h: float
    a_priori: tuple[float, float]
    leave_one_out: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Plausibility:
    """What was found about one case under one model.

    `findings` are what to ask about, the most probable first; `alternatives` everything that was weighed, the timing what-ifs among it.
    `log_factors` are the log Bayes factors of the families against "as recorded", `thresholds` the values at which they are flagged, and
    `calibrated` whether those come from simulation under this model (else from the bound P(factor >= 1/a) <= a).
    """

    model: str
    places: tuple[SamplePlace, ...]
    findings: tuple[Finding, ...]
    alternatives: tuple[Finding, ...]
    log_factors: Mapping[Family, float]
    thresholds: Mapping[Family, float]
    calibrated: bool
    auc_recorded: float | None
    ess: float
