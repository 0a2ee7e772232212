"""Doses that arrive by a gamma density, against the confluent hypergeometric function to 50 digits: whatever the number of transits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.models.reader import read_model
from auctor.pk.density import MANY, Pulses, held
from auctor.pk.exposure import curves

SHAPES = (0.3, 1.0, 2.5, 8.13, MANY, np.nextafter(MANY, 99), 40.0, 86.0, 124.3, 264.0, 643.0, 3500.0)
REACHED = (0.01, 0.3, 0.8, 0.97, 1.0, 1.03, 1.2, 2.0, 5.0, 30.0, 300.0)  # time over the mean time of arrival
MODES = (0.0, 0.001, 0.05, 0.5, 0.9, 0.99, 1.0, 1.01, 1.5, 4.0)  # rate of the mode over that of the chain
LEAST = 1e-250  # below it a share is nothing


def share(a: float, alpha: float, beta: float) -> mpmath.mpf:
    """J = alpha^a / Gamma(a+1) e^-alpha 1F1(1; a+1; alpha - beta), or by the regularised gamma function where that is the shorter way."""
    with mpmath.workdps(50):
        shape, start, end = mpmath.mpf(a), mpmath.mpf(alpha), mpmath.mpf(beta)
        x = start - end
        if x < 50:
            return mpmath.exp(shape * mpmath.log(start) - mpmath.loggamma(shape + 1) - start) * mpmath.hyp1f1(1, shape + 1, x)
        return mpmath.exp(shape * mpmath.log(start / x) - end) * mpmath.gammainc(shape, 0, x, regularized=True)


def grid(a: float) -> tuple[np.ndarray, np.ndarray]:
    """alpha and beta of every case of a shape."""
    reached, modes = np.meshgrid(REACHED, MODES)
    return (a * reached).ravel(), (a * reached * modes).ravel()


@pytest.mark.parametrize("a", SHAPES)
def test_any_number_of_transits_at_any_time(a: float) -> None:
    """Until November 2026 a shape above some 65 lost digits and one above some 100 gave no number."""
    alpha, beta = grid(a)
    expected = [share(a, *pair) for pair in zip(alpha, beta, strict=True)]
    found = held(Pulses(np.zeros(len(alpha)), np.ones(len(alpha)), np.full(len(alpha), a), alpha), beta, np.ones(len(alpha)), np)
    for value, true in zip(found, expected, strict=True):
        assert float(abs(value - true)) <= 2e-11 * float(true) + LEAST


def test_compiled_with_its_slopes() -> None:
    """The same under JAX; derivatives in shape and rates by differences of the exact function."""
    from auctor.pk.engine import jax, jnp

    def one(a: float, alpha: float, beta: float) -> float:
        pulse = Pulses(jnp.zeros(1), jnp.ones(1), jnp.reshape(a, (1,)), jnp.reshape(alpha, (1,)))
        return held(pulse, jnp.reshape(beta, (1,)), jnp.ones(1), jnp)[0]

    slopes = jax.jit(jax.value_and_grad(one, argnums=(0, 1, 2)))
    for a in (8.13, 40.0, 264.0):
        for reached, mode in ((0.8, 0.05), (1.03, 0.5), (1.2, 0.0), (2.0, 0.01), (1.03, 1.5)):
            at = (a, a * reached, a * reached * mode)
            value, gradient = slopes(*at)
            true = share(*at)
            assert float(value) == pytest.approx(float(true), rel=2e-11)
            with mpmath.workdps(50):
                for k, slope in enumerate(gradient):
                    if at[k] == 0:
                        continue
                    step = mpmath.mpf(at[k]) * mpmath.mpf("1e-12")
                    ends = [share(*(v + s * step if j == k else v for j, v in enumerate(map(mpmath.mpf, at)))) for s in (1, -1)]
                    assert float(slope) * at[k] == pytest.approx(
                        float((ends[0] - ends[1]) / (2 * step)) * at[k], rel=1e-8, abs=1e-9 * float(true)
                    )


def test_a_patient_far_out_in_the_number_of_transits_has_a_curve() -> None:
    """Rifampicin of Wilkins 2008: the variance of NN, 2.44, gives one patient in twenty more than a hundred transits."""
    model = read_model("rifampicin_wilkins_2008")
    week = Regimen(doses=tuple(Dose(time_h=24.0 * day, amount_mg=600, route=Route.ORAL) for day in range(7)))
    etas = np.zeros((5, len(model.eta_names)))
    etas[:, model.eta_names.index("NN")] = (0.0, 2.0, 2.8, 4.5, 6.2)
    known = Covariates.constant({name: c.reference for name, c in model.covariates.items()})
    found = curves(model, week, np.asarray([0.1, 2.0, 146.0, 148.0]), known, etas)
    assert np.isfinite(found).all() and (found[:, 1:] > 0).all()
    assert found[3:, 2] == pytest.approx(found[2, 2], rel=1e-3)  # from there on all of a dose arrives at once, MTT after it
