"""A cohort: virtual patients of one model under one regimen, read at the same times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Regimen
from auctor.errors import PlanError
from auctor.models.model import DrugModel
from auctor.population.distributions import Distribution
from auctor.population.virtual import draw_covariates, draw_etas, parameters, source_population, stream, with_residual

Array = NDArray[np.float64]
CHUNK = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """n patients at k times: covariates and individual parameters name -> (n,), `eta` (n, n_eta), `concentration` (n, k) mg/L.

    `measured` (n, k) mg/L is the concentration with residual error, or None when it was not asked for.
    """

    times_h: Array
    covariates: Mapping[str, Array]
    eta: Array
    parameters: Mapping[str, Array]
    concentration: Array
    measured: Array | None

    def __len__(self) -> int:
        return len(self.eta)

    def quantiles(self, levels: tuple[float, ...] = (0.05, 0.5, 0.95)) -> Array:
        """Quantiles over the patients at each time, shape (n_levels, k), mg/L; of the measured ones where there are any."""
        values = self.concentration if self.measured is None else self.measured
        return np.asarray(np.quantile(values, levels, axis=0), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to simulate: `regimen` (per unit of covariate `per` when that is set), `times_h` h, `n` patients from `seed`.

    `fixed` holds covariates at a value in the model's unit; the others are drawn from the model's source population.
    """

    regimen: Regimen
    times_h: Array
    n: int = 1000
    seed: int = 0
    fixed: Mapping[str, float]
    per: str = ""
    residual: bool = False


def simulate_cohort(model: DrugModel, question: Question, progress: Callable[[str, float], None] | None = None) -> Cohort:
    """Draw the patients and compute their concentrations; same question, same bytes.

    Raises PlanError for a covariate that is neither fixed nor has a distribution, or when `per` is no covariate of the model.

    >>> from auctor.case import Route
    >>> from auctor.models.reader import read_model
    >>> regimen = Regimen.steady(1000, every_h=12, route=Route.IV, duration_h=1)
    >>> asked = Question(regimen=regimen, times_h=np.array([0.0, 1.0]), n=3, fixed={"WT": 70.0})
    >>> simulate_cohort(read_model("vancomycin_goti_2018"), asked).concentration.shape
    (3, 2)
    """
    held = {name: Distribution(kind="constant", values=(value,), low=value, high=value) for name, value in question.fixed.items()}
    covariates = draw_covariates(source_population(model, held), question.n, seed=question.seed)
    if question.per and question.per not in covariates:
        raise PlanError(where="dose", what=f"{model.name} has no covariate {question.per}", remedy="give the dose in mg")
    eta = draw_etas(model, question.n, rng=stream(question.seed, "eta"))
    found = _concentrations(model, question, covariates, eta, progress)
    noise = stream(question.seed, "residual")
    # Before the first dose there is nothing to measure: an assay would report "none found", not the additive error.
    measured = np.where(found > 0, with_residual(model.residual, found, rng=noise), 0.0) if question.residual else None
    return Cohort(
        times_h=question.times_h,
        covariates=covariates,
        eta=eta,
        parameters=parameters(model, covariates, eta),
        concentration=found,
        measured=measured,
    )


def _concentrations(
    model: DrugModel, question: Question, covariates: Mapping[str, Array], eta: Array, progress: Callable[[str, float], None] | None
) -> Array:
    from auctor.pk.course import concentrations
    from auctor.pk.timeline import build, stack

    found = np.empty((question.n, len(question.times_h)))
    for start in range(0, question.n, CHUNK):
        rows = range(start, min(start + CHUNK, question.n))
        people = [Covariates.constant({name: float(values[i]) for name, values in covariates.items()}) for i in rows]
        lines = [build(model, _given(question, one), one, question.times_h) for one in people]
        found[start : rows.stop] = concentrations(model, stack(lines), eta[start : rows.stop])[:, : len(question.times_h)]
        if progress:
            progress("simulating", rows.stop / question.n)
    return found


def _given(question: Question, one: Covariates) -> Regimen:
    if not question.per:
        return question.regimen
    size = one.at(0.0)[question.per]
    return replace(question.regimen, doses=tuple(replace(d, amount_mg=d.amount_mg * size) for d in question.regimen.doses))
