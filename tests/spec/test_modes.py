"""Several parameter sets fit the samples: each with its posterior mass and what it would mean for the dose."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from auctor.analysis.modes import mode_notices
from auctor.data.casefile import read_case
from auctor.dosing.candidates import candidate_regimens
from auctor.dosing.current import current_regimen
from auctor.dosing.recommend import recommend
from auctor.estimate.patient import Estimate, laplace_estimate
from auctor.models.reader import read_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "vancomycin_two_levels.toml"


@pytest.fixture(scope="module")
def estimate() -> Estimate:
    model = read_model("vancomycin_goti_2018")
    return laplace_estimate(model, read_case(EXAMPLE, model), 500)


def asked(estimate: Estimate) -> tuple[str, ...]:
    model, case = estimate.model, estimate.case
    assert model.dosing is not None
    current, _ = current_regimen(case, intervals_h=model.dosing.intervals_h)
    options = candidate_regimens(model.dosing, current=current, weight_kg=None)
    found = recommend(estimate, target=model.targets[0], candidates=options, method="MAP")
    return tuple(n.what for n in mode_notices(estimate, found, target=model.targets[0], options=options, seed=1))


def test_a_single_mode_needs_no_word(estimate: Estimate) -> None:
    assert len(estimate.modes) == 1 and asked(estimate) == ()


def test_a_second_mode_tells_its_mass_exposure_and_dose(estimate: Estimate) -> None:
    """A second mode of a quarter of the mass and half the clearance: a fifth of the posterior, twice the AUC, a lower dose."""
    first = estimate.modes[0]
    other = first.eta.copy()
    other[0] -= math.log(2)  # the first eta is that of clearance, AUC = dose / CL
    second = replace(first, eta=other, log_mass=first.log_mass - math.log(4))
    (what,) = asked(replace(estimate, modes=(first, second)))
    assert what.startswith("posterior mass 20 %: exposure under the current regimen 2.00 of the reported one; it would select ")
    (heavier,) = asked(replace(estimate, modes=(first, replace(second, log_mass=first.log_mass))))
    assert heavier.startswith("posterior mass 50 %")
