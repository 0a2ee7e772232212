"""The one verb: case and model in, findings out. Pure; the same input and seed give the same numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from auctor.case import Case
from auctor.data.plausibility.covariate_slips import covariate_slips
from auctor.data.plausibility.dose_times import misgiven
from auctor.data.plausibility.evidence import N_DRAWS, Evidence, gather
from auctor.data.plausibility.finding import Family, Finding, Kind, Plausibility
from auctor.data.plausibility.foreign import of_another_patient, through_the_line
from auctor.data.plausibility.hypothesis import Hypothesis, weighed
from auctor.data.plausibility.percentiles import places
from auctor.data.plausibility.thresholds import log_factors, log_thresholds
from auctor.data.plausibility.timing import exchanged, mistimed
from auctor.data.plausibility.units import diluted, wrong_units
from auctor.models.model import DrugModel

NONE: Mapping[int, str] = MappingProxyType({})
WORTH = 0.1  # explanations of a flagged case that are at least this share of its best one are told


def check(case: Case, model: DrugModel, *, labels: Mapping[int, str] = NONE, n_draws: int = N_DRAWS, seed: int = 0) -> Plausibility:
    """Percentiles of every sample and what else would explain the record; `labels` say `trough` or `peak` of samples by place.

    Likelihood ratios integrate over etas with `n_draws` importance draws. Thresholds are those of the model's calibration. A sample that
    is left out is placed and weighed, and nothing is flagged because of it.
    Raises ModelError or CaseError where the model cannot take the case, EstimationError where no draw has a finite likelihood.
    """
    evidence = gather(case, model, n_draws=n_draws, seed=seed)
    recorded = evidence.auc(evidence.total)
    weighty = tuple(weighed(evidence, h, auc_recorded=recorded) for h in hypotheses(evidence, labels))
    left_out = {f"samples[{k}]" for k, sample in enumerate(case.samples) if not sample.used}
    asked = tuple(f for f in weighty if f.where not in left_out)  # of what was left out it is decided
    factors = log_factors((f.kind, f.log_likelihood_ratio) for f in asked)
    limits, calibrated = log_thresholds(model.name)
    return Plausibility(
        model=model.name,
        places=places(evidence),
        findings=_told(asked, factors, limits),
        alternatives=weighty,
        log_factors=factors,
        thresholds=limits,
        calibrated=calibrated,
        auc_recorded=recorded,
        ess=evidence.ess(evidence.total),
    )


def hypotheses(evidence: Evidence, labels: Mapping[int, str] = NONE) -> Iterator[Hypothesis]:
    """Everything that is weighed against the record."""
    if evidence.case.samples and evidence.case.history.doses:
        yield from mistimed(evidence, labels)
        yield from exchanged(evidence)
        yield from misgiven(evidence)
        yield from wrong_units(evidence)
        yield from diluted(evidence)
        yield from through_the_line(evidence)
        yield from of_another_patient(evidence)
    yield from covariate_slips(evidence)


def _told(findings: Iterable[Finding], factors: Mapping[Family, float], limits: Mapping[Family, float]) -> tuple[Finding, ...]:
    """Of each flagged family the explanations worth asking about, and every contradicted label; the most probable first."""
    several = tuple(findings)
    told = [f for f in several if f.kind is Kind.LABEL]
    for family in (f for f, factor in factors.items() if factor >= limits[f]):
        members = sorted((f for f in several if f.family is family and f.kind is not Kind.LABEL), key=_odds)
        told += [f for f in members if f.log_posterior_odds >= members[-1].log_posterior_odds + _LOG_WORTH]
    return tuple(sorted(told, key=_odds, reverse=True))


def _odds(finding: Finding) -> float:
    return finding.log_posterior_odds


_LOG_WORTH = math.log(WORTH)
