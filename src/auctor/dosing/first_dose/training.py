"""What the first-dose learners are trained on: virtual patients of the source population, and what every rung would do to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auctor.dosing.first_dose.exposure import Unit, outcomes, require_linear, unit_exposures
from auctor.dosing.first_dose.goals import JointTarget
from auctor.dosing.first_dose.ladder import Ladder
from auctor.dosing.first_dose.prior import Prior
from auctor.errors import OutOfDomain, PlanError
from auctor.models.domain import domain_text
from auctor.models.model import DrugModel
from auctor.population.distributions import Distribution
from auctor.population.people import People
from auctor.population.virtual import draw_covariates, source_population

Array = NDArray[np.float64]
PATIENTS = 3000
COURSES = 24  # simulated courses of one virtual patient: the event's frequency is a steadier label than one event


@dataclass(frozen=True, kw_only=True, eq=False)
class Virtual:
    """n virtual patients: covariates name -> (n,), doses (n, rungs) mg, exposure per mg, and what each rung does.

    `success` (n, rungs) is the probability over the MIC that the joint target holds in that patient's own course, `chance` its mean
    over several courses of such a patient, `margin` how far inside the own course is, in log units; all -infinity above a cap.
    `log_unit` is the mean log exposure per mg over those courses. Covariates that do not vary are `held`, no features. `left_out`
    counts patients that could not exist.
    """

    model: DrugModel
    target: JointTarget
    ladder: Ladder
    covariates: Mapping[str, Array]
    doses_mg: Array
    unit: Unit
    success: Array
    chance: Array
    margin: Array
    log_unit: Mapping[tuple[str, float, float], Array]
    held: Mapping[str, float] = field(default_factory=dict)
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.doses_mg)

    @property
    def x(self) -> Array:
        """Features (n, covariates) in the order of the covariates."""
        return np.column_stack(list(self.covariates.values()))


def population_of(model: DrugModel, drawn: Mapping[str, Distribution] | None = None) -> dict[str, Distribution]:
    """The distributions to draw from: those given, else the model's source population. OutOfDomain where one is not recorded."""
    try:
        return source_population(model, drawn or {})
    except PlanError as missing:
        what = f"the source population is not recorded ({missing.where})"
        raise OutOfDomain(
            where=model.name, what=what, remedy="use the popPK integration, or a model with covariate distributions"
        ) from missing


def simulate_patients(
    model: DrugModel, target: JointTarget, ladder: Ladder, *, covariates: Mapping[str, Array], seed: int, courses: int = 1
) -> Virtual:
    """What every rung does to patients with these covariates (n,); those that cannot exist (`possible`) are left out.

    `chance` is the mean over `courses` etas a patient, the first of which is the patient's own. OutOfDomain for a nonlinear model.
    """
    require_linear(model)
    prior = Prior.of(model)
    n = len(next(iter(covariates.values())))
    known, doses = prior.covariates(covariates), ladder.doses_mg(covariates)
    units = [
        unit_exposures(prior.model, known, prior.etas(n, seed=seed, name=f"first-dose patients:{k}"), target, ladder)
        for k in range(courses)
    ]
    found = outcomes(units[0], target, ladder, doses)
    shares = [np.stack([target.share(values) for values in outcomes(unit, target, ladder, doses)], axis=1) for unit in units]
    usable = np.isfinite(doses)
    real = np.all([np.isfinite(values) for unit in units for values in unit.columns.values()], axis=0)
    with np.errstate(invalid="ignore"):  # the patients left out below
        margin = np.stack([target.margin(values) for values in found], axis=1)
    varying = [name for name, values in covariates.items() if np.ptp(values) > 0] or list(covariates)
    return Virtual(
        model=model,
        target=target,
        ladder=ladder,
        covariates={name: covariates[name][real] for name in varying},
        held={name: float(values[0]) for name, values in covariates.items() if name not in varying},
        doses_mg=doses[real],
        unit=Unit(columns={key: values[real] for key, values in units[0].columns.items()}),
        success=np.where(usable, shares[0], -np.inf)[real],
        chance=np.where(usable, np.mean(shares, axis=0), -np.inf)[real],
        margin=np.where(usable, margin, -np.inf)[real],
        log_unit={key: np.mean([np.log(unit.columns[key][real]) for unit in units], axis=0) for key in units[0].columns},
        left_out=int(n - real.sum()),
    )


def training_patients(
    model: DrugModel,
    target: JointTarget,
    ladder: Ladder,
    *,
    n: int = PATIENTS,
    courses: int = COURSES,
    seed: int = 0,
    people: People | None = None,
) -> Virtual:
    """Virtual patients of the model's source population, or `people` of a plan; same input, same bytes.

    The source population is drawn covariate by covariate; a plan's may hang together. OutOfDomain where it lacks one of the model's.
    """
    covariates = draw_covariates(population_of(model), n, seed=seed) if people is None else _drawn(model, people, n, seed)
    return simulate_patients(model, target, ladder, covariates=covariates, seed=seed, courses=courses)


def _drawn(model: DrugModel, people: People, n: int, seed: int) -> dict[str, Array]:
    missing = [name for name in model.covariates if name not in people.names]
    if missing:
        what, remedy = f"has no {missing[0]}, which {model.name} needs", "name a plan with this model among its models"
        raise OutOfDomain(where=people.where, what=what, remedy=remedy)
    found = people.draw(n, seed=seed)
    return {name: found[name] for name in model.covariates}


def require_inside(virtual: Virtual, covariates: Mapping[str, float]) -> None:
    """OutOfDomain for a covariate outside what the training patients had; the text names it, never the value."""
    for name, values in virtual.covariates.items():
        known = virtual.model.covariates.get(name)
        levels = known is not None and known.levels is not None
        inside = covariates[name] in values if levels else values.min() <= covariates[name] <= values.max()
        if not inside:
            span = domain_text(known) if known is not None and levels else f"{values.min():.4g} to {values.max():.4g}"
            what = f"{name} is outside the training range ({span})"
            raise OutOfDomain(where=f"covariates.{name}", what=what, remedy="use the popPK integration: learners do not extrapolate")
