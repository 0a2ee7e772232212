"""Logit-normal and Box-Cox parameters against NONMEM, 40 digits, and the same models written out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

from auctor.data.nonmem import read_table
from auctor.estimate.direct_map import direct_map
from auctor.estimate.free import Table, free_of
from auctor.estimate.objective import sample_terms
from auctor.estimate.observations import Observations, of_records, stack_observations
from auctor.estimate.patient import penalty
from auctor.estimate.refit import refit
from auctor.estimate.refit_file import model_file
from auctor.estimate.saem import saem
from auctor.estimate.sir import importance_resample
from auctor.estimate.table import estimate_table
from auctor.models.distributions import location, shift_of, varied
from auctor.models.model import DrugModel, Parameter
from auctor.models.reader import read_model
from auctor.pk.course import concentrations
from auctor.pk.direct import readings
from auctor.pk.timeline import Timeline, from_records, stack
from auctor.records import Records
from oracle.test_systems import etas_of, rows_of
from oracle.written_out import HEAD, inline, residual_lines

SHARE = """
schema = 1
drug = "oracle"
status = "draft"
population = "simulated patients"
reference = { cite = "mapbayr run 008" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "variance" }
[structure]
absorption = { kind = "first_order", rate = "KA" }
disposition = { kind = "one_compartment", CL = "CL", V1 = "VC" }
bioavailability = "F1"
[parameters]
CL = { value = 4, unit = "L/h", iiv = 0.2, source = "models.json" }
VC = { value = 70, unit = "L", iiv = 0.2, source = "models.json" }
KA = { value = 1, unit = "1/h", iiv = 0.2, source = "models.json" }
F1 = { value = 50, unit = "%", iiv = 0.2, distribution = "logitnormal", source = "models.json" }
[residual]
concentration = { proportional = 0.05, printed_as = "variance", source = "models.json" }
"""


def parameter(kind: str, **changes: Any) -> Parameter:
    return Parameter(name="P", value=0.7, printed=0.7, unit="1", source="x", omega=1.0, distribution=kind, **changes)


def exact(p: Parameter, typical: float, s: float) -> mpmath.mpf:
    """The definition with 40 digits."""
    with mpmath.workdps(40):
        t, x = mpmath.mpf(typical), mpmath.mpf(s)
        if p.distribution == "boxcox":
            return t * mpmath.exp((mpmath.exp(x) ** p.shape - 1) / p.shape)
        low, high = mpmath.mpf(p.low), mpmath.mpf(p.high)
        share = (t - low) / (high - low)
        return low + (high - low) / (1 + mpmath.exp(-(mpmath.log(share / (1 - share)) + x)))


FORMS = [
    parameter("logitnormal"),
    parameter("logitnormal", low=0.25, high=0.75),
    parameter("boxcox", shape=0.367),
    parameter("boxcox", shape=-0.8),
    parameter("boxcox", shape=1e-7),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda p: f"{p.distribution} {p.low:g} {p.high:g} {p.shape:g}")
def test_forty_digits_and_back(form: Parameter) -> None:
    for typical in (0.26, 0.5, 0.7):
        for s in (-3.0, -0.4, 0.0, 1e-9, 0.4, 2.5):
            value = varied(form, typical, s)
            assert float(value) == pytest.approx(float(exact(form, typical, s)), rel=1e-12)
            assert float(shift_of(form, typical, value)) == pytest.approx(s, abs=2e-6 if abs(s) > 2 else 1e-9)


def test_shape_zero_is_lognormal() -> None:
    s = np.linspace(-3, 3, 7)
    np.testing.assert_array_equal(varied(parameter("boxcox", shape=0.0), 0.7, s), varied(parameter("lognormal"), 0.7, s))
    np.testing.assert_allclose(varied(parameter("boxcox", shape=1e-9), 0.7, s), varied(parameter("lognormal"), 0.7, s), rtol=1e-7)


@pytest.mark.parametrize("form", FORMS, ids=lambda p: f"{p.distribution} {p.low:g} {p.high:g} {p.shape:g}")
def test_extreme_etas_stay_finite_with_their_derivatives(form: Parameter) -> None:
    import jax

    from auctor.pk.engine import jnp

    far = np.asarray([-1e300, -1e4, -50.0, -20.0, 20.0, 50.0, 1e4, 1e300])
    values = np.asarray(varied(form, 0.7, far))
    assert np.isfinite(values).all() and (np.diff(values) >= 0).all()
    for derivative in (jax.grad, lambda f: jax.grad(jax.grad(f))):
        slopes = jax.vmap(derivative(lambda s: varied(form, 0.7, s, jnp)))(jnp.asarray(far))
        assert np.isfinite(np.asarray(slopes)).all()
    if form.distribution == "logitnormal":
        assert form.low <= values.min() and values.max() <= form.high


def test_no_shift_gives_a_value_out_of_reach() -> None:
    assert np.isnan(shift_of(parameter("logitnormal"), 0.7, [1.0, 1.2, -0.1])).all()
    assert np.isnan(shift_of(parameter("boxcox", shape=0.5), 1.0, np.exp(-2.5)))
    assert float(location(parameter("logitnormal"), 0.5)) == 0.0


@pytest.fixture(scope="module")
def small(oracles: Path) -> Path:
    return oracles / "mapbayr_cptpsp2021" / "small"


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    path = tmp_path_factory.mktemp("distributions") / "share.toml"
    path.write_text(SHARE)
    return read_model(path)


def test_logitnormal_as_nonmem(small: Path, share: DrugModel) -> None:
    """Run 008, a bioavailability on the logit scale: PRED, IPRED, and etas or an objective no higher; OFV at NONMEM's etas."""
    subjects = read_table(small / "run008_data.csv", share)
    eta = etas_of(small / "run008_nonmem_eta.csv", share)
    batch = stack([from_records(share, r) for r in subjects])
    observed = np.concatenate([r.observed for r in subjects])
    printed = rows_of(small / "run008_nonmem_pred.csv")
    for name, at in (("PRED", np.zeros_like(eta)), ("IPRED", eta)):
        ours = np.concatenate([c[: len(r)] for c, r in zip(concentrations(share, batch, at), subjects, strict=True)])[observed]
        np.testing.assert_allclose(ours, [float(r[name]) for r in printed], rtol=1e-6)
    seen = stack_observations([of_records(share, r) for r in subjects], batch.arrays["wanted"].shape[1])
    at_theirs = sample_terms(share.residual, concentrations(share, batch, eta), seen).sum(axis=1) + penalty(share, eta)
    np.testing.assert_allclose(at_theirs, [float(r["MAP_OFV_authors"]) for r in rows_of(small / "run008_nonmem_eta.csv")], atol=2e-4)
    found = estimate_table(share, subjects)
    close = np.abs(np.stack([s.eta for s in found.subjects]) - eta).max(axis=1) < 1e-3
    no_worse = np.asarray([s.ofv for s in found.subjects]) <= at_theirs + 1e-4
    assert (close | no_worse).all() and close.mean() > 0.9


def test_boxcox_as_nonmem(oracles: Path, small: Path, tmp_path: Path) -> None:
    """Run 962, whose eta of F1 is transformed by Box-Cox before the logit: odds of F1 = typical odds times a Box-Cox parameter of 1."""
    spec = json.loads((oracles / "mapbayr_cptpsp2021" / "models.json").read_text())["962"]
    lines = [HEAD.format(doi="none", cite="Liu 2014"), "[covariates]", 'WT = { unit = "1", reference = 70 }', "[parameters]"]
    lines += [f'{n} = {{ value = {v!r}, unit = "1", source = "x" }}' for n, v in spec["theta"].items()]
    for k in range(len(spec["omega"])):
        own = '1, distribution = "boxcox", shape = 0.367' if k == 5 else '0, distribution = "normal"'
        lines.append(f'ETA{k + 1} = {{ value = {own}, unit = "1", iiv = {spec["omega"][k][k]!r}, printed_as = "variance", source = "x" }}')
    formulas = [p.split("=", 1) for p in spec["params"] if not p.startswith(("ETATR", "F1"))]
    lines += ["[individual]", *(f'{name} = "{text}"' for name, text in formulas), 'F1 = "TVF1 * ETA6 / (1 - TVF1 + TVF1 * ETA6)"']
    lines += ["[odes]", *(f'A{k + 1} = "{text}"' for k, text in enumerate(spec["odes"])), "[outputs]", '2 = "A2/V2"', "[doses]"]
    lines += ['F = { 1 = "F1" }', *([f"lag = {{ {inline(spec['lag'])} }}"] if spec.get("lag") else [])]
    lines += ["[residual]", *residual_lines(spec["residual"], spec["outputs"])]
    path = tmp_path / "run962.toml"
    path.write_text("\n".join(lines))
    model = read_model(path)
    subjects = read_table(small / "run962_data.csv", model)[:8]
    eta = etas_of(small / "run962_nonmem_eta.csv", model)[:8]
    batch = stack([from_records(model, r) for r in subjects])
    ours = np.concatenate([c[: len(r)][r.observed] for c, r in zip(concentrations(model, batch, eta), subjects, strict=True)])
    known = {r.id for r in subjects}
    theirs = [float(r["IPRED"]) for r in rows_of(small / "run962_nonmem_pred.csv") if r["ID"] in known]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def minus_twice_log_likelihood(model: DrugModel, records: Sequence[Records]) -> float:
    """By importance sampling, up to a constant; in NumPy, for the number of draws differs by patient."""
    total = 0.0
    for record in records:
        timeline, own = from_records(model, record), of_records(model, record)

        def ofv(etas: np.ndarray, timeline: Timeline = timeline, own: Observations = own) -> np.ndarray:
            return np.asarray(sample_terms(model.residual, readings(model, timeline, etas)[0], own).sum(axis=1) + penalty(model, etas))

        (modes,) = direct_map(model, timeline, own).modes
        total += importance_resample(modes, ofv, n_draws=4000, seed=1).log_marginal
    return -2 * total


def with_share(model: DrugModel, value: float) -> DrugModel:
    parameters = {**model.parameters, "F1": replace(model.parameters["F1"], value=value)}
    return replace(model, parameters=parameters, sha256=f"{model.sha256} F1 {value}")


def test_refit_keeps_a_share_within_its_range(small: Path, share: DrugModel, tmp_path: Path) -> None:
    """F alone, from 0.93: SAEM ends at the maximum of the likelihood, FOCEI within its standard error of it; the file is in per cent."""
    records = list(read_table(small / "run008_data.csv", share))[:15]
    held = [n for n in free_of(share).names if n != "F1"]
    at = np.asarray([0.40, 0.46, 0.52])
    fitted = np.polyfit(at, [minus_twice_log_likelihood(with_share(share, v), records) for v in at], 2)
    best = -fitted[1] / (2 * fitted[0])
    path, data, again = tmp_path / "share.toml", tmp_path / "data.csv", tmp_path / "again.toml"
    path.write_text(SHARE.replace("value = 50", "value = 93"))
    data.write_text("ID\n1\n")
    start = read_model(path)
    found = refit(start, records, fixed=held)
    assert found.converged and found.ofv < found.ofv_before
    assert found["F1"].se is not None and found["F1"].after == pytest.approx(best, abs=found["F1"].se)
    free = free_of(start, held)
    assert free.population(free.vector(free.start)).theta == pytest.approx([0.93])
    assert free.population(np.asarray([200.0])).theta[0] <= 1.0
    drawn = saem(Table(free, tuple(records)), seed=1, explore=80, smooth=120)
    assert drawn.population.theta[0] == pytest.approx(best, abs=0.04)
    again.write_text(model_file(found, path, data))
    assert read_model(again).parameters["F1"].printed == pytest.approx(100 * found["F1"].after, rel=1e-9)
