"""The leakage guard of a plan: what `auctor train` holds the simulated material against before anything is fitted.

Nothing here trusts a declaration: features are computed again with everything changed that a clinician could not know, and for a few
patients alone; a feature that moves is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import LeakageError
from auctor.learn.features import matrix
from auctor.learn.labels import map_exposure
from auctor.learn.leakage import (
    PUSH,
    fingerprints,
    require_blind,
    require_declared_label,
    require_local,
    require_not_target,
    require_one_part,
    require_simulated,
    same,
)
from auctor.learn.observed import Observed
from auctor.learn.provenance import Provenance, Verdict, declared
from auctor.learn.scales import truth, unmodelled
from auctor.population.dosage import Taken
from auctor.population.virtual import Profiles, exposure_per_rate, parameters

if TYPE_CHECKING:
    from auctor.learn.train import Material

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Features = Callable[[Profiles], tuple[Observed, Array]]
# What a clinician can know of a virtual patient; every other number of a profile is hidden, also one that is added later.
VISIBLE = frozenset(
    {"covariates", "dose_mg", "loading_mg", "every_h", "infusion_h", "loading_infusion_h", "sample_h", "observed", "below", "model_index"}
)
PROBES = 64  # patients of each part whose features are computed again
LABELS = 24  # patients whose label is compared with their MAP estimate
CHECKS = (
    "provenance",
    "one part a patient",
    "distinct profiles",
    "training statistics",
    "blind to the target",
    "declared samples",
    "label",
)


def guard(made: Material, features: Features) -> Verdict:
    """Check a plan's material; `features` is what made them. Raises LeakageError at the first leak."""
    plan = made.profiles.plan
    provenance = declared(plan)
    parts = _parts(made)
    _people(made, parts)
    _statistics(made, features, parts)
    _samples(made, provenance)
    _label(made)
    return Verdict(checks=CHECKS, circular=plan.label == "map", provenance=provenance)


def _parts(made: Material) -> NDArray[np.str_]:
    """The part of each patient, (n,); refuses rows that are in two parts or twice in one."""
    found = np.full(len(made.y), "", dtype="U16")
    for part, rows in made.parts.items():
        taken = found[rows][found[rows] != ""]
        if len(taken) or len(np.unique(rows)) < len(rows):
            raise LeakageError(
                where=f"{made.profiles.plan.name}.split.{part}",
                what=f"shares patients with {taken[0] if len(taken) else part}",
                remedy="split by patient: every patient is in one part, once",
            )
        found[rows] = part
    return found


def _people(made: Material, parts: NDArray[np.str_]) -> None:
    """No patient twice: not the same profile, and not the same person (equal etas) sampled again."""
    profiles, used = made.profiles, parts != ""
    shown = [*profiles.covariates.values(), profiles.dose_mg, profiles.every_h, *profiles.sample_h.T, *profiles.observed.T]
    where = f"{profiles.plan.name}.split"
    if np.isfinite(profiles.observed).any():
        require_one_part(fingerprints([c[used] for c in shown]), parts[used], where=where, what="an identical profile")
    if profiles.plan.model.eta_names and np.any(profiles.eta):
        require_one_part(fingerprints(list(profiles.eta[used].T)), parts[used], where=where, what="the same virtual patient")


def _statistics(made: Material, features: Features, parts: NDArray[np.str_]) -> None:
    """Features of a few patients alone are those of everybody, and stay when all that is hidden changes."""
    plan = made.profiles.plan
    rows = np.concatenate([_few(np.flatnonzero(parts == part)) for part in made.parts])
    few = made.profiles.rows(rows)
    alone = features(few)[1]
    for j, name in enumerate(plan.learning.features):
        where = f"{plan.name}.learner.features.{name}"
        require_not_target(made.x[:, j], made.y, where=where)
        require_local(made.x[:, j], made.y, parts == "train", where=where)
        if not same(alone[:, j], made.x[rows, j]):
            raise LeakageError(
                where=where,
                what="depends on other patients: a statistic was fitted outside the training part",
                remedy="build it from one patient's own data; scalers and encoders belong into the estimator",
            )
    require_blind(alone, features(pushed(few))[1], plan.learning.features, where=f"{plan.name}.learner.features")


def _few(rows: Rows) -> Rows:
    """At most a third of them, or a statistic of everybody would come out the same."""
    return rows[: max(1, min(PROBES, len(rows) // 3))]


def pushed(profiles: Profiles) -> Profiles:
    """The same with every hidden number changed: etas, true levels, exposure, and whatever else is not `VISIBLE`."""
    hidden = {f.name: getattr(profiles, f.name) for f in fields(profiles) if f.name not in VISIBLE}
    changed: dict[str, Any] = {name: values * PUSH + 0.1 for name, values in hidden.items() if isinstance(values, np.ndarray)}
    adherence, taken = profiles.plan.adherence, profiles.taken
    if taken is not None and adherence is not None and adherence.reported != "true":
        return replace(profiles, **changed, taken=Taken(~taken.taken, taken.late_h * PUSH + 0.1))
    return replace(profiles, **changed)


def _samples(made: Material, provenance: Mapping[str, Provenance]) -> None:
    """A feature changes with a level only if it declares that sample."""
    plan, seen = made.profiles.plan, made.observed.rows(made.parts["train"][:PROBES])
    before = matrix(seen)
    for k, sample in enumerate(plan.sample_names):
        value = seen.value.copy()
        value[:, k] *= PUSH
        after = matrix(replace(seen, value=value))
        for j, (name, found) in enumerate(provenance.items()):
            if sample not in found.samples and not same(before[:, j], after[:, j]):
                raise LeakageError(
                    where=f"{plan.name}.learner.features.{name}",
                    what=f"changes with {sample}, which its provenance does not declare",
                    remedy="declare the samples it uses in auctor.learn.provenance",
                )


def _label(made: Material) -> None:
    """A label of F/CL is the truth, or not the MAP estimate of the plan's own model unless declared; any other is what was simulated."""
    profiles, plan = made.profiles, made.profiles.plan
    if plan.label == "map":
        return
    rows = made.parts["train"][:LABELS]
    label = unmodelled(plan, made.observed.rows(rows), made.y[rows])
    if not plan.target.proportional:
        require_simulated(label, truth(profiles)[rows], where=f"{plan.name}.target")
        return
    if not plan.sample_names:
        return
    if len(plan.models) == 1 and plan.iov is None and np.allclose(label, _truth(profiles, rows), rtol=1e-9):
        return
    require_declared_label(label, map_exposure(profiles, rows), where=f"{plan.name}.target.label", model=plan.model.name)


def _truth(profiles: Profiles, rows: Rows) -> Array:
    """F/CL from the simulated etas; a plan with more than one model, or with occasions, has another truth."""
    model = profiles.plan.model
    covariates = {name: values[rows] for name, values in profiles.covariates.items()}
    return exposure_per_rate(model, parameters(model, covariates, profiles.eta[rows, : len(model.eta_names)]))
