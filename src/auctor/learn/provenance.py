"""Where every feature comes from, declared: what the leakage guard holds against the data (`auctor.learn.leakage`).

A feature is measured before the prediction (dose, covariate, level), computed from the population model alone (typical value, PRED),
fitted on the training part (scaler, encoder), or an individual estimate (EBE, IPRED) together with the samples it used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import LeakageError
from auctor.learn.circular import CIRCULAR
from auctor.learn.features import LOG
from auctor.population.plan import Plan

Array = NDArray[np.float64]
Frame = Mapping[str, Any]  # column name -> (n,); a pandas DataFrame will do
Recompute = Callable[[Frame], Array]
LABELS = ("truth", "measured", "map")


class Source(StrEnum):
    """What a feature is made of."""

    MEASURED = "measured"
    POPULATION = "population"
    FITTED = "fitted"
    INDIVIDUAL = "individual"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The `sources` of one feature and the `samples` whose values enter it.

    >>> Provenance.of("individual", samples=("C0", "C1")).samples
    ('C0', 'C1')
    """

    sources: tuple[Source, ...]
    samples: tuple[str, ...] = ()

    @classmethod
    def of(cls, *sources: str, samples: tuple[str, ...] = ()) -> Provenance:
        """From words: `Provenance.of("measured", "population", samples=("L1",))`. ValueError for another word."""
        return cls(sources=tuple(Source(word) for word in sources), samples=samples)

    def as_dict(self) -> dict[str, list[str]]:
        """For a card."""
        return {"sources": [s.value for s in self.sources], "samples": list(self.samples)}


M, P = Source.MEASURED, Source.POPULATION
# Pattern of a feature's name -> sources, and whether the values of the samples it names enter (a time or a slope knows no level).
DECLARED: tuple[tuple[str, tuple[Source, ...], bool], ...] = (
    (r"log_typical", (P,), False),
    (r"slope_(CL|V):\w+", (P,), False),
    (r"(dt|after|log_since):\w+", (M,), False),
    (r"(dose_mg|every_h|planned_mg|planned_every_h|dose_rate|cov:\w+)", (M,), False),
    (r"(log_ratio|noise):\w+", (M, P), True),
    (r"trapezoid/dose", (M,), True),
    (r"\(?\w+(-\w+)?\)?(/\w+)?", (M,), True),
)


def declared(plan: Plan) -> dict[str, Provenance]:
    """The declared provenance of every feature of a plan. Raises LeakageError for a feature without one."""
    return {name: _declared(plan, name) for name in plan.learning.features}


def _declared(plan: Plan, name: str) -> Provenance:
    bare = name.removeprefix(LOG)  # a logarithm comes from where its argument does
    for pattern, sources, levels in DECLARED:
        if re.fullmatch(pattern, bare):
            named = tuple(s for s in plan.sample_names if re.search(rf"(?<!\w){re.escape(s)}(?!\w)", bare))
            everything = plan.sample_names if bare.startswith("trapezoid") else named
            return Provenance(sources=sources, samples=everything if levels else ())
    raise undeclared(f"{plan.name}.learner.features.{name}")


def undeclared(where: str) -> LeakageError:
    """The refusal of a feature that does not say where it comes from."""
    return LeakageError(
        where=where,
        what="has no declared provenance",
        remedy="say whether it is measured, population, fitted or individual, and which samples it uses",
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class TableSpec:
    """How a table from outside is to be read: which columns are what, and how its features and label can be computed again.

    `patient`, `part` (its training rows say `train`) and `target` name columns. `target_columns` hold what the target was measured as or
    computed from (the level to be predicted, the AUC). `recompute` gives a feature again from the frame: needed for every individual
    estimate. `steps` are fitted scikit-learn transformers with the columns they take. `label` is `measured`, `truth` (simulated) or `map`
    (computed from individual estimates of `label_model`); `map_label` computes the model's own MAP label, to see whether the target is it.
    `coincidences` says why two patients may have the same row; without it they are one patient.
    """

    name: str
    patient: str
    part: str
    target: str
    features: Mapping[str, Provenance]
    target_columns: tuple[str, ...] = ()
    label: str = "measured"
    label_model: str = ""
    map_label: Recompute | None = None
    recompute: Mapping[str, Recompute] = field(default_factory=dict)
    steps: Mapping[str, tuple[Any, tuple[str, ...]]] = field(default_factory=dict)
    coincidences: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was checked and passed. `circular`: the label is an individual estimate of the same kind of model, and says so."""

    checks: tuple[str, ...]
    circular: bool
    provenance: Mapping[str, Provenance]

    def as_dict(self) -> dict[str, Any]:
        """For a card."""
        features = {name: p.as_dict() for name, p in self.provenance.items()}
        return {"checks": list(self.checks), "label": CIRCULAR if self.circular else "independent", "features": features}
