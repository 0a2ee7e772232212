"""Marginal likelihood ratios against integration on a grid, percentiles against Monte Carlo, and what theory says of clean cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest, norm

from auctor.case import Blq, Case, Covariates, Dose, Regimen, Route, Sample
from auctor.data.plausibility import Family, Finding, Kind, Plausibility, check
from auctor.data.plausibility.administered import administrations, history_of
from auctor.data.plausibility.dose_times import Otherwise, simulated, superposed
from auctor.data.plausibility.evidence import gather
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.exposure import curves
from auctor.report.finding_words import Telling
from auctor.validate.injected import DESIGNS, clean, corrupted
from auctor.validate.plausibility_study import Scored, scores

Array = NDArray[np.float64]

CL, V, IIV, PROPORTIONAL, ADDITIVE, DOSE = 4.0, 50.0, 0.35, 0.12, 0.3, 500.0
ONE_ETA = f"""
schema = 1
drug = "onedrug"
status = "draft"
molar_mass = 250.0
population = "an example"
reference = {{ cite = "none" }}
units = {{ time = "h", dose = "mg", concentration = "mg/L" }}
variability = {{ distribution = "lognormal", printed_as = "sd" }}
[structure]
disposition = {{ kind = "one_compartment", CL = "CL", V1 = "V" }}
[parameters]
CL = {{ value = {CL}, unit = "L/h", iiv = {IIV}, source = "example" }}
V = {{ value = {V}, unit = "L", source = "example" }}
[residual]
concentration = {{ proportional = {PROPORTIONAL}, additive = {ADDITIVE}, unit = "mg/L", source = "example" }}
"""
GIVEN = (0.0, 12.0, 24.0, 36.0)
TIMES = (12.0, 24.0, 30.0)
VALUES = (4.2, 9.0, 9.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    path = tmp_path_factory.mktemp("model") / "one.toml"
    path.write_text(ONE_ETA, encoding="utf-8")
    return read_model(path)


def case_of(values: tuple[float, ...] = VALUES, times: tuple[float, ...] = TIMES) -> Case:
    doses = tuple(Dose(time_h=t, amount_mg=DOSE, route=Route.IV) for t in GIVEN)
    samples = tuple(Sample(time_h=t, value=v) for t, v in zip(times, values, strict=True))
    return Case(label="A", drug="onedrug", history=Regimen(doses=doses), samples=samples)


# --- the same by integration on a grid ---------------------------------------------------------------------------------------

ETA = np.linspace(-8 * IIV, 8 * IIV, 8001)


def level(at: float, given: tuple[float, ...] = GIVEN, amount: float = DOSE) -> Array:
    k = CL * np.exp(ETA) / V
    return np.asarray(sum((amount / V * np.exp(-k * (at - t)) for t in given if t < at), start=np.zeros_like(ETA)))


def density(y: float, f: Array) -> Array:
    return np.asarray(norm.pdf(y, f, np.sqrt((PROPORTIONAL * f) ** 2 + ADDITIVE**2)))


def marginal(*parts: Array) -> float:
    return float(np.trapezoid(norm.pdf(ETA, 0, IIV) * np.prod(parts, axis=0), ETA))


RECORDED = [density(y, level(t)) for t, y in zip(TIMES, VALUES, strict=True)]


def others(k: int) -> list[Array]:
    return [part for j, part in enumerate(RECORDED) if j != k]


def ratio(*parts: Array) -> float:
    return math.log(marginal(*parts) / marginal(*RECORDED))


def at_times(given: tuple[float, ...], amount: float = DOSE) -> list[Array]:
    return [density(y, level(t, given, amount)) for t, y in zip(TIMES, VALUES, strict=True)]


def in_line(k: int) -> Array:
    f = level(TIMES[k])
    return np.where((1.5 * f <= VALUES[k]) & (VALUES[k] <= 100 * f), 1 / (VALUES[k] * math.log(100 / 1.5)), 0.0)


def anybody(k: int) -> Array:
    spread = math.hypot(0.5, PROPORTIONAL)
    each = [norm.pdf(math.log(VALUES[k]), np.log(level(t)), spread) / VALUES[k] for t in TIMES]
    return np.full_like(ETA, np.mean([marginal(one) for one in each]))


EXPECTED = {
    (Kind.AFTER_DOSE, "samples[1]", "30 min"): ratio(*others(1), density(VALUES[1], level(24.5))),
    (Kind.EARLIER, "samples[2]", "2 h"): ratio(*others(2), density(VALUES[2], level(28.0))),
    (Kind.LATER, "samples[0]", "2 h"): ratio(*others(0), density(VALUES[0], level(14.0))),
    (Kind.SWAPPED_SAMPLES, "samples[2]", "samples[1]"): ratio(
        RECORDED[0], density(VALUES[1], level(30.0)), density(VALUES[2], level(24.0))
    ),
    (Kind.DOSE_MISSED, "doses[1]", "12 h"): ratio(*at_times((0.0, 24.0, 36.0))),
    (Kind.DOSE_LATE, "doses[2]", "24 h"): ratio(*at_times((0.0, 12.0, 26.0, 36.0))),
    (Kind.DOSE_EARLY, "doses[1]", "12 h"): ratio(*at_times((0.0, 10.0, 24.0, 36.0))),
    (Kind.UNIT_THOUSAND, "samples[1]", "too large"): ratio(*others(1), density(VALUES[1] / 1000, level(24.0)) / 1000),
    (Kind.UNIT_MOLAR, "samples[1]", "amount of substance (umol/L) entered"): ratio(
        *others(1), density(VALUES[1] / 4, level(24.0)) / 4
    ),
    (Kind.UNIT_MOLAR, "samples", "masses (mg/L) entered"): ratio(
        *(4 * density(4 * y, level(t)) for t, y in zip(TIMES, VALUES, strict=True))
    ),
    (Kind.DOSE_UNIT, "doses", "larger"): ratio(*at_times(GIVEN, DOSE * 1000)),
    (Kind.DILUTION, "samples[0]", "too high"): ratio(*others(0), density(VALUES[0] / 10, level(12.0)) / 10),
    (Kind.LINE, "samples[1]", "line"): ratio(*others(1), in_line(1)),
    (Kind.OTHER_PATIENT, "samples[1]", "somebody else"): ratio(*others(1), anybody(1)),
}  # fmt: skip


def pick(found: Plausibility, key: tuple[Kind, str, str]) -> Finding:
    (one,) = [f for f in found.alternatives if (f.kind, f.where) == key[:2] and key[2] in Telling().what(f)]
    return one


@pytest.fixture(scope="module")
def found(model: DrugModel) -> Plausibility:
    return check(case_of(), model, n_draws=8000)


@pytest.mark.parametrize("key", EXPECTED, ids=lambda key: f"{key[0].value} {key[1]}")
def test_a_likelihood_ratio_is_that_of_the_integrals(found: Plausibility, key: tuple[Kind, str, str]) -> None:
    expected = EXPECTED[key]
    if expected < -10:  # hopeless: far from what the draws explain, and said to be
        assert pick(found, key).log_likelihood_ratio < 0.7 * expected
    else:
        assert pick(found, key).log_likelihood_ratio == pytest.approx(expected, abs=0.08 + 0.01 * abs(expected))


def test_the_draws_of_a_default_check_are_enough(model: DrugModel) -> None:
    usual = check(case_of(), model)
    for key, expected in EXPECTED.items():
        if expected > -10:
            assert pick(usual, key).log_likelihood_ratio == pytest.approx(expected, abs=0.3), key


def test_percentiles_are_those_of_a_direct_monte_carlo(model: DrugModel, found: Plausibility) -> None:
    rng = np.random.default_rng(5)
    eta = IIV * rng.standard_normal(200_000)
    f = np.stack([np.interp(eta, ETA, level(t)) for t in TIMES], axis=1)
    spread = np.sqrt((PROPORTIONAL * f) ** 2 + ADDITIVE**2)
    drawn = f + spread * rng.standard_normal(f.shape)
    like = norm.pdf(np.asarray(VALUES), f, spread)
    for k, place in enumerate(found.places):
        weight = np.prod(np.delete(like, k, axis=1), axis=1)
        below = drawn[:, k] <= VALUES[k]
        assert place.a_priori[0] == pytest.approx(100 * below.mean(), abs=1.0)
        assert place.leave_one_out[0] == pytest.approx(100 * np.average(below, weights=weight), abs=1.5)


def test_the_auc_that_a_finding_implies_is_the_posterior_mean_under_it(model: DrugModel) -> None:
    current = Regimen.steady(DOSE, every_h=12, route=Route.IV)
    found = check(replace(case_of(), current=current), model, n_draws=8000)
    auc = 2 * DOSE / (CL * np.exp(ETA))
    parts = [*others(1), density(VALUES[1], level(24.5))]
    key = (Kind.AFTER_DOSE, "samples[1]", "30 min")
    assert found.auc_recorded == pytest.approx(marginal(*RECORDED, auc) / marginal(*RECORDED), rel=0.01)
    assert pick(found, key).auc_if == pytest.approx(marginal(*parts, auc) / marginal(*parts), rel=0.01)


def test_a_censored_level_has_the_probability_of_its_limit(model: DrugModel) -> None:
    case = case_of()
    low = replace(case.samples[0], value=2.0, lloq=2.0, below_lloq=True)
    found = check(replace(case, samples=(low, *case.samples[1:])), model, n_draws=8000)
    f = level(TIMES[0])
    below = norm.cdf(2.0, f, np.sqrt((PROPORTIONAL * f) ** 2 + ADDITIVE**2))
    at_loo = 100 * marginal(*others(0), below) / marginal(*others(0))
    assert found.places[0].leave_one_out == (0.0, pytest.approx(at_loo, abs=0.5))
    later = level(TIMES[0] + 2)
    below_later = norm.cdf(2.0, later, np.sqrt((PROPORTIONAL * later) ** 2 + ADDITIVE**2))
    expected = math.log(marginal(*others(0), below_later) / marginal(*others(0), below))
    assert pick(found, (Kind.LATER, "samples[0]", "2 h")).log_likelihood_ratio == pytest.approx(expected, abs=0.15)


def test_a_left_out_sample_is_judged_and_is_no_evidence(model: DrugModel) -> None:
    case = case_of()
    out = replace(case.samples[1], used=False, reason="asked")
    found, alone = (check(replace(case, samples=s), model) for s in ((case.samples[0], out, case.samples[2]), case.samples))
    assert found.places[1].leave_one_out[0] == pytest.approx(alone.places[1].leave_one_out[0], abs=2.0)
    without = check(replace(case, samples=(case.samples[0], case.samples[2])), model)
    assert found.places[0].leave_one_out[0] == pytest.approx(without.places[0].leave_one_out[0], abs=2.0)
    wild = replace(out, value=1000 * out.value)  # nothing is flagged because of it, and nothing else hidden behind it
    samples = case.samples[0], wild, case.samples[2]
    flagged = check(replace(case, samples=samples), model)
    assert flagged.findings == found.findings and {"samples[1]"} <= {f.where for f in flagged.alternatives}
    assert "samples[1]" in {
        f.where for f in check(replace(case, samples=(*samples[:1], replace(wild, used=True), samples[2])), model).findings
    }
    assert check(replace(case, samples=(replace(case.samples[0], below_lloq=True, lloq=4.2), case.samples[2]), blq=Blq.M1), model).places


# --- the engine's own second way ----------------------------------------------------------------------------------------------


def test_a_history_taken_apart_gives_the_same_levels() -> None:
    model = read_model("tacrolimus_woillard_2011")
    known = Covariates.constant({"HCT": 33.0, "CYP3A5": 0.0, "FORM": 1.0})
    history = Regimen(doses=(Dose(time_h=0.0, amount_mg=3, route=Route.ORAL, every_h=12, additional=6, steady_state=True),))
    case = Case(label="A", drug="tacrolimus", history=history, samples=(Sample(time_h=0.0, value=0.006),), covariates=known)
    times = np.asarray([0.0, 1.0, 3.0, 12.0, 25.0, 71.0])
    eta = np.random.default_rng(1).normal(0, 0.3, (20, 5))
    apart = history_of(administrations(case))
    assert len(apart.doses) > 7
    np.testing.assert_allclose(curves(model, apart, times, known, eta), curves(model, history, times, known, eta), rtol=1e-9)


def test_what_is_superposed_is_what_the_other_history_gives() -> None:
    design = next(d for d in DESIGNS if d.name.startswith("vancomycin, adults with"))
    model = design.read()
    evidence = gather(clean(design, model, np.random.default_rng(2)), model, n_draws=64)
    given = administrations(evidence.case)
    asked = [Otherwise(Kind.DOSE_MISSED, 1, None), Otherwise(Kind.DOSE_LATE, 3, 2.0), Otherwise(Kind.DOSE_EARLY, 2, -2.0)]
    for fast, slow in zip(superposed(evidence, given, asked), simulated(evidence, given, asked), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-8, atol=1e-9)


# --- clean and corrupted cases -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean_cases() -> list[Scored]:
    design = next(d for d in DESIGNS if d.name.startswith("amikacin"))
    return scores(design, [""] * 120, seed=11)


def test_leave_one_out_percentiles_of_clean_cases_are_uniform(clean_cases: list[Scored]) -> None:
    # one a case: those of one case are not independent of each other
    one = [case.percentiles[k % len(case.percentiles)] / 100 for k, case in enumerate(clean_cases)]
    assert kstest(one, "uniform").pvalue > 0.01


def test_a_family_is_rarely_much_likelier_than_a_clean_record(clean_cases: list[Scored]) -> None:
    """Markov: the factor has mean 1, so P(factor >= c) <= 1 / c for every family."""
    for family in Family:
        factors = np.exp([case.families.get(family, -700.0) for case in clean_cases])
        for c in (5.0, 20.0):
            at_most = len(factors) / c
            assert (factors >= c).sum() <= at_most + 3 * math.sqrt(at_most)


def test_slips_that_the_levels_can_show_are_found() -> None:
    design = next(d for d in DESIGNS if d.name.startswith("amikacin"))
    model, rng = design.read(), np.random.default_rng(4)
    for kind in ("30 min after the dose", "unit x1000", "dose unit", "line"):
        found = [check(corrupted(design, model, kind, rng), model) for _ in range(8)]
        assert sum(bool(f.findings) for f in found) >= 7, kind
