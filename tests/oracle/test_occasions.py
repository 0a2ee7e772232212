"""Inter-occasion variability against NONMEM's occasions, a closed form, and the same model written out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auctor.case import Case, Covariates, Dose, Metric, Occasions, Regimen, Route, Sample
from auctor.data.nonmem import read_table
from auctor.estimate.focei import Objective
from auctor.estimate.free import Table, free_of
from auctor.estimate.objective import sample_terms
from auctor.estimate.observations import of_records, stack_observations
from auctor.estimate.occasions import Prepared, prepared, prepared_records
from auctor.estimate.patient import fit, laplace_estimate, penalty, posterior_estimate
from auctor.estimate.table import estimate_table
from auctor.models.model import OCCASION, DrugModel
from auctor.models.occasions import with_occasions
from auctor.models.reader import read_model
from auctor.pk.course import concentrations
from auctor.pk.exposure import curves
from auctor.pk.timeline import from_records, stack
from auctor.records import Records
from oracle.test_systems import etas_of, rows_of
from oracle.written_out import HEAD, WORDS, inline, mapbayr_file, residual_lines

METHOTREXATE = """
schema = 1
drug = "methotrexate"
status = "draft"
population = "simulated patients"
reference = { cite = "Faltaos 2006, as restated in mapbayr run 951" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
[structure]
disposition = { kind = "two_compartment", CL = "CL", V1 = "VC", Q = "Q", V2 = "VP" }
[covariates]
AGE = { unit = "1", reference = 62, low = 18, high = 90 }
SCR = { unit = "1", reference = 67, low = 20, high = 400 }
[parameters]
CL = { value = 7.1, unit = "L/h", iov = 0.027225, printed_as = "variance", source = "models.json" }
VC = { value = 25.1, unit = "L", source = "models.json" }
Q = { value = 0.15, unit = "L/h", source = "models.json" }
VP = { value = 2.7, unit = "L", source = "models.json" }
[effects]
CL = { expr = "(SCR / 67) ** -0.43 * (AGE / 62) ** -0.22", source = "models.json" }
[omega]
names = ["CL", "VC", "Q", "VP"]
block = [[0.266256, 0.002401, 0, 0], [0.002401, 0.233289, 0, 0], [0, 0, 0.430336, 0.084164], [0, 0, 0.084164, 0.4096]]
[residual]
concentration = { proportional = 0.2116, additive = 46.4876, unit = "mg/L", printed_as = "variance", source = "models.json" }
"""
# levels of run 951 are in umol/L with 2.2 per mg/L: additive variance 225 / 2.2^2, and DV / 2.2


@pytest.fixture(scope="module")
def small(oracles: Path) -> Path:
    return oracles / "mapbayr_cptpsp2021" / "small"


@pytest.fixture(scope="module")
def runs(oracles: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((oracles / "mapbayr_cptpsp2021" / "models.json").read_text())
    return found


@pytest.fixture(scope="module")
def methotrexate(small: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DrugModel, tuple[Records, ...]]:
    """Run 951 as a named structure with `iov`, its cycles as occasions, levels in mg/L."""
    path = tmp_path_factory.mktemp("occasions") / "methotrexate.toml"
    path.write_text(METHOTREXATE.replace("46.4876", repr(225.0 / 2.2**2)))
    model = read_model(path)
    records = [replace(r, dv=r.dv / 2.2) for r in read_table(small / "run951_data.csv", model, occasion="CYCLE")]
    # the control stream says CYCLE.NE.1 for its second occasion
    two = [replace(r, covariates={**r.covariates, OCCASION: np.where(r.covariates[OCCASION] == 1, 1.0, 2.0)}) for r in records]
    found, numbered, codes = prepared_records(model, two)
    assert codes == (1.0, 2.0)
    return found, numbered


def test_named_as_nonmem_orders_them(methotrexate: tuple[DrugModel, tuple[Records, ...]], runs: dict[str, dict[str, Any]]) -> None:
    model, _ = methotrexate
    assert model.eta_names == ("CL", "VC", "Q", "VP", "CL@1", "CL@2")
    np.testing.assert_allclose(model.omega, runs["951"]["omega"], rtol=1e-12)


def test_ipred_at_nonmem_etas(small: Path, methotrexate: tuple[DrugModel, tuple[Records, ...]]) -> None:
    """Kappas of the record's cycle, resets included: NONMEM's PRED and IPRED within 1e-6."""
    model, subjects = methotrexate
    eta = etas_of(small / "run951_nonmem_eta.csv", model)
    batch = stack([from_records(model, r) for r in subjects])
    seen = np.concatenate([r.observed for r in subjects])
    printed = rows_of(small / "run951_nonmem_pred.csv")
    for name, at in (("PRED", np.zeros_like(eta)), ("IPRED", eta)):
        ours = np.concatenate([c[: len(r)] for c, r in zip(concentrations(model, batch, at), subjects, strict=True)])[seen]
        np.testing.assert_allclose(2.2 * ours, [float(r[name]) for r in printed], rtol=1e-6, atol=1e-9)


def test_map_is_nonmem_or_better(small: Path, methotrexate: tuple[DrugModel, tuple[Records, ...]]) -> None:
    """Etas within 0.1 % of NONMEM's parameters, or an objective that is no higher; the OFV at NONMEM's etas is the authors'."""
    model, subjects = methotrexate
    printed = rows_of(small / "run951_nonmem_eta.csv")
    theirs = etas_of(small / "run951_nonmem_eta.csv", model)
    batch = stack([from_records(model, r) for r in subjects])
    seen = stack_observations([of_records(model, r) for r in subjects], batch.arrays["wanted"].shape[1])
    f = concentrations(model, batch, theirs)
    at_theirs = sample_terms(model.residual, f, seen).sum(axis=1) + penalty(model, theirs)
    shift = [2 * np.log(2.2) * r.observed.sum() for r in subjects]  # log variance in (umol/L)^2
    np.testing.assert_allclose(at_theirs + shift, [float(r["MAP_OFV_authors"]) for r in printed], atol=2e-4)
    found = estimate_table(model, subjects)
    close = np.abs(np.expm1(np.stack([s.eta for s in found.subjects]) - theirs)).max(axis=1) < 1e-3
    no_worse = np.asarray([s.ofv for s in found.subjects]) <= at_theirs + 1e-4
    assert (close | no_worse).all()
    assert close.mean() > 0.9


def test_focei_contributions(small: Path, methotrexate: tuple[DrugModel, tuple[Records, ...]]) -> None:
    """NONMEM's FOCE-I objective of every subject, whose kappas are etas like any other; their variances stay fixed in a refit."""
    model, subjects = methotrexate
    free = free_of(model)
    assert not [name for name in free.names if "@" in name] and "omega.CL" in free.names
    table = Table(free, subjects)
    values, _ = Objective(table).at(free.vector(free.start))
    shift = [2 * np.log(2.2) * r.observed.sum() for r in subjects]
    printed = [float(r["OBJ_i"]) for r in rows_of(small / "run951_nonmem_eta.csv")]
    off = np.abs(values + shift - printed)
    assert np.median(off) < 2e-4 and (values + shift <= printed + np.maximum(2e-4, 1e-5 * np.abs(printed))).mean() > 0.95


def test_same_as_the_written_out_model(
    small: Path, runs: dict[str, dict[str, Any]], methotrexate: tuple[DrugModel, tuple[Records, ...]], tmp_path: Path
) -> None:
    """The same predictions as `[odes]` with ETA5 * (CYCLE == 1) + ETA6 * (CYCLE != 1)."""
    model, subjects = methotrexate
    written = read_model(mapbayr_file(runs["951"], tmp_path / "run951.toml"))
    plain = read_table(small / "run951_data.csv", written)
    eta = 0.4 * np.random.default_rng(1).standard_normal((len(subjects), 6))
    ours = concentrations(model, stack([from_records(model, r) for r in subjects]), eta)
    theirs = concentrations(written, stack([from_records(written, r) for r in plain]), eta)
    for mine, other, r in zip(ours, theirs, subjects, strict=True):
        np.testing.assert_allclose(2.2 * mine[: len(r)][r.observed], other[: len(r)][r.observed], rtol=1e-6, atol=1e-9)


LINEAR = """
schema = 1
drug = "linear"
status = "draft"
population = "a level that is linear in eta and kappa"
reference = { cite = "none" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "normal", printed_as = "sd" }
[structure]
cmt = { central = 1 }
[parameters]
B = { value = 10, unit = "mg/L", iiv = 2.0, iov = 1.5, source = "example" }
[odes]
A1 = "0 * A1"
[outputs]
1 = "B + 0 * A1"
[residual]
concentration = { additive = 0.8, unit = "mg/L", source = "example" }
"""


def linear_case(tmp_path: Path) -> tuple[Prepared, np.ndarray, np.ndarray]:
    """y = 10 + eta + kappa of the occasion + error: two occasions of three and two levels; design matrix and levels."""
    path = tmp_path / "linear.toml"
    path.write_text(LINEAR)
    doses = tuple(Dose(time_h=t, amount_mg=1.0, route=Route.IV) for t in (0.0, 100.0))
    times, y = (1.0, 2.0, 3.0, 101.0, 102.0), np.asarray([13.1, 12.2, 14.0, 8.3, 9.9])
    samples = tuple(Sample(time_h=t, value=v) for t, v in zip(times, y, strict=True))
    case = Case(label="A", drug="linear", history=Regimen(doses=doses), samples=samples)
    found = prepared(read_model(path), case)
    first = np.asarray([t < 50 for t in times])
    design = np.column_stack([np.ones(5), first, ~first, np.zeros(5)]).astype(float)
    return found, design, y - 10.0


def test_linear_gaussian_posterior(tmp_path: Path) -> None:
    """Mode, covariance, marginal likelihood and draws are those of the linear model, (X'X/s2 + Omega^-1)^-1."""
    found, design, y = linear_case(tmp_path)
    assert found.model.eta_names == ("B", "B@1", "B@2", "B@3")
    omega = np.diag([4.0, *[2.25] * 3])
    np.testing.assert_allclose(found.model.omega, omega)
    covariance = np.linalg.inv(design.T @ design / 0.64 + np.linalg.inv(omega))
    mean = covariance @ design.T @ y / 0.64
    mode = fit(found.model, found.case).modes[0][0]
    np.testing.assert_allclose(mode.eta, mean, atol=1e-7)
    np.testing.assert_allclose(mode.covariance, covariance, atol=1e-6)
    drawn = posterior_estimate(found.model, found.case, n_draws=4000, seed=3)
    np.testing.assert_allclose(drawn.etas.mean(axis=0), mean, atol=0.12)
    np.testing.assert_allclose(drawn.etas.std(axis=0), np.sqrt(np.diag(covariance)), rtol=0.06)
    assert np.array_equal(drawn.eta_point[3:], [0.0])
    marginal = np.linalg.slogdet(design @ omega @ design.T + 0.64 * np.eye(5))[1] + y @ np.linalg.solve(
        design @ omega @ design.T + 0.64 * np.eye(5), y
    )
    assert drawn.log_marginal == pytest.approx(-0.5 * marginal, abs=0.03)


def test_without_iov_the_occasions_pool(tmp_path: Path) -> None:
    """The misfit that IOV is for: without kappas the same levels give one narrower answer, and the report is told."""
    found, _, _ = linear_case(tmp_path)
    pooled = prepared(read_model(tmp_path / "linear.toml"), replace(found.case, covariates=Covariates()), occasions=Occasions.read("none"))
    apart, together = (laplace_estimate(p.model, p.case) for p in (found, pooled))
    assert together.sd is not None and apart.sd is not None and together.sd[0] < 0.5 * apart.sd[0]
    assert [n.code for n in together.notices] == ["iov-unused"]
    assert apart.notices == ()


def tacrolimus(times: tuple[float, ...], levels: tuple[float, ...], *, immediate: float = 1.0) -> Case:
    course = Dose(time_h=0.0, amount_mg=3.0, route=Route.ORAL, every_h=12.0, additional=29, steady_state=True)
    samples = tuple(Sample(time_h=t, value=v) for t, v in zip(times, levels, strict=True))
    known = Covariates.constant({"HCT": 35.0, "CYP3A5": 0.0, "FORM": immediate})
    return Case(label="A", drug="tacrolimus", history=Regimen(doses=(course,)), samples=samples, covariates=known)


TWO_PROFILES = tacrolimus((0.0, 1.0, 3.0, 168.0, 169.0, 171.0), (0.0072, 0.0188, 0.0151, 0.0052, 0.0101, 0.0117))


def test_mode_and_draws_agree_on_two_profiles() -> None:
    """The posterior's density at its draws is the objective that the search minimised, idle kappas are draws of their prior."""
    found = prepared(read_model("tacrolimus_woillard2011"), TWO_PROFILES)
    modes = fit(found.model, found.case)
    drawn = posterior_estimate(found.model, found.case, n_draws=1000, seed=1, found=modes)
    assert drawn.ofv is not None and drawn.ess is not None and drawn.ess > 400
    spare = [k for k, name in enumerate(found.model.eta_names) if name.endswith("@3")]
    np.testing.assert_allclose(drawn.etas[:, spare].std(axis=0), [0.33, 0.31, 0.75], rtol=0.1)
    kappa = dict(zip(found.model.eta_names, modes.eta[0], strict=True))
    assert kappa["CL@1"] < 0 < kappa["CL@2"]  # lower levels under the same dose at the second visit
    assert all(kappa[f"{name}@3"] == pytest.approx(0.0, abs=1e-9) for name in ("KTR", "CL", "V1"))


def test_prefix_of_a_profile_is_the_record_table(tmp_path: Path) -> None:
    """A case and the same patient as a table with a column of occasions predict the same levels."""
    model = with_occasions(read_model("tacrolimus_woillard2011"), 3)
    found = prepared(read_model("tacrolimus_woillard2011"), TWO_PROFILES)
    eta = 0.3 * np.random.default_rng(5).standard_normal((3, len(model.eta_names)))
    times = np.asarray([s.time_h for s in found.case.samples])
    ours = curves(found.model, found.case.history, times, found.case.covariates, eta)
    rows = [(0.0, 1, 1), (0.0, 0, 1), (1.0, 0, 1), (3.0, 0, 1), *((12.0 * k, 1, 1 if k == 1 else 2) for k in range(1, 14))]
    rows += [(168.0, 0, 2), (168.0, 1, 2), (169.0, 0, 2), (171.0, 0, 2)]
    columns = {name: [float(value)] * len(rows) for name, value in (("HCT", 35), ("CYP3A5", 0), ("FORM", 1))}
    table = Records.make(
        "A",
        time_h=[t for t, _, _ in rows],
        evid=[e for _, e, _ in rows],
        amt=[3.0 * e for _, e, _ in rows],
        ss=[int(k == 0) for k in range(len(rows))],
        ii=[12.0 * (k == 0) for k in range(len(rows))],
        cmt=[1] * len(rows),
        mdv=[e for _, e, _ in rows],
        covariates=columns | {OCCASION: [float(o) for _, _, o in rows]},
    )
    bare = replace(table, covariates={name: v for name, v in table.covariates.items() if name != OCCASION})
    _, (laid_out,), _ = prepared_records(read_model("tacrolimus_woillard2011"), [bare])
    assert laid_out.covariates[OCCASION].tolist() == table.covariates[OCCASION].tolist()
    theirs = np.stack([concentrations(model, stack([from_records(model, table)]), e[None])[0, : len(table)] for e in eta])
    np.testing.assert_allclose(ours[:, 1:], theirs[:, table.observed][:, 1:], rtol=1e-6)


def test_forecast_draws_the_next_occasion() -> None:
    """Point and draws of a future regimen: AUC = dose / CL, CL without a kappa for the point, with the next one's for the draws."""
    model = read_model("tacrolimus_woillard2011")
    regimen, metric = Regimen.steady(3.0, every_h=12, route=Route.ORAL), Metric.parse("AUC0-12")
    drawn = prepared(model, TWO_PROFILES)
    found = posterior_estimate(drawn.model, drawn.case, n_draws=1000, seed=1)
    answer = found.exposure(regimen, metric)
    at = {name: k for k, name in enumerate(found.model.eta_names)}
    still = 3.0 / (21.2 * np.exp(found.etas[:, at["CL"]]))
    np.testing.assert_allclose(answer.values, still / np.exp(found.etas[:, at["CL@3"]]), rtol=1e-9)
    assert answer.point == pytest.approx(float(still.mean()), rel=1e-9)


def written(spec: dict[str, Any], path: Path, parameters: list[str], omega: list[str], formulas: list[str]) -> DrugModel:
    """A run with its structure as restated, and parameters with `iov` instead of an eta an occasion."""
    lines = [HEAD.format(doi="none", cite="mapbayr"), "[covariates]"]
    lines += [f'{name} = {{ unit = "1", reference = 1 }}' for name in spec["covariates"] if name != "CYCLE"]
    lines += ["[parameters]", *parameters]
    known = " ".join(parameters)
    lines += [f'{n} = {{ value = {v!r}, unit = "1", source = "x" }}' for n, v in spec["theta"].items() if f"{n} = " not in known]
    lines += [*omega, "[individual]", *formulas]
    lines += ["[odes]", *(f'A{k + 1} = "{text}"' for k, text in enumerate(spec["odes"])), "[outputs]"]
    lines += [f'{cmt} = "{text}"' for cmt, text in spec["outputs"].items()]
    lines += ["[doses]", *(f"{word} = {{ {inline(spec[key])} }}" for key, word in WORDS.items() if spec.get(key))]
    lines += ["[residual]", *residual_lines(spec["residual"], spec["outputs"])]
    path.write_text("\n".join(lines))
    return read_model(path)


def ipred_as_nonmem(model: DrugModel, small: Path, run: str, order: list[str], *, n: int) -> None:
    """IPRED of the first `n` subjects at NONMEM's etas, whose columns are our etas in that order."""
    records = read_table(small / f"run{run}_data.csv", model, occasion="CYCLE")[:n]
    found, subjects, codes = prepared_records(model, records)
    theirs = rows_of(small / f"run{run}_nonmem_eta.csv")[:n]
    eta = np.zeros((n, len(found.eta_names)))
    for column, name in enumerate(order, 1):
        if name in found.eta_names:
            eta[:, found.eta_names.index(name)] = [float(r[f"ETA{column}"]) for r in theirs]
    assert set(found.eta_names) <= set(order) and len(codes) >= 1
    ours = concentrations(found, stack([from_records(found, r) for r in subjects]), eta)
    printed = [float(r["IPRED"]) for r in rows_of(small / f"run{run}_nonmem_pred.csv") if r["ID"] in {s.id for s in subjects}]
    np.testing.assert_allclose(np.concatenate([c[: len(r)][r.observed] for c, r in zip(ours, subjects, strict=True)]), printed, rtol=1e-6)


def test_share_absorbed_varies_by_cycle(small: Path, runs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Run 921: the occasions of a bioavailability that two parallel absorptions share, one of them lagged, over two cycles."""
    spec = runs["921"]
    own = [f'{n} = {{ value = {spec["theta"][t]!r}, unit = "1", iiv = {v!r}, printed_as = "variance", source = "x" }}'
           for n, t, v in (("CL", "TVCL", 0.095481), ("KAF", "TVKAF", 1.96), ("V4", "TVV4", 0.964324))]  # fmt: skip
    own.append('TVF = { value = 1, unit = "1", iiv = 0.126736, iov = 0.555025, printed_as = "variance", source = "x" }')
    formulas = [f'{n} = "{t}"' for n, t in (p.split("=", 1) for p in spec["params"][4:6])]
    formulas += ['F1 = "TVFD * TVFT * TVF * FR"', 'F3 = "TVFD * TVFT * TVF * (1 - FR)"']
    model = written(spec, tmp_path / "run921.toml", own, [], formulas)
    ipred_as_nonmem(model, small, "921", ["CL", "KAF", "V4", "TVF", "TVF@1", "TVF@2"], n=12)


def test_two_clearances_vary_by_cycle(small: Path, runs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Run 911: parent and metabolite, steady state with a lag and a modelled duration, one cycle of the two in the data."""
    spec = runs["911"]
    names = {"V3": "TV3", "V2": "TV2", "CLD": "TCLD", "CLI": "TCLI", "K14": "TK14", "CLMET": "TCLMET", "ALAG1": "TALAG1", "D1": "TD1"}
    iov = {"CLI": "iov = 0.197216, ", "CLD": "iov = 0.0637684, "}
    own = [f'{n} = {{ value = {spec["theta"][t]!r}, unit = "1", {iov.get(n, "")}printed_as = "variance", source = "x" }}'
           for n, t in names.items()]  # fmt: skip
    block = [row[:8] for row in spec["omega"][:8]]
    omega = ["[omega]", f"names = {json.dumps(list(names))}", f"block = {json.dumps(block)}"]
    model = written(spec, tmp_path / "run911.toml", own, omega, ['V4 = "V2"', 'V5 = "V3"'])
    ipred_as_nonmem(model, small, "911", [*names, "CLI@1", "CLI@2", "CLD@1", "CLD@2"], n=8)


def test_exposure_at_a_sampled_occasion() -> None:
    """AUC = dose / (CL exp(eta + kappa)) for the draws and their mean: the fitted kappas stay in the point."""
    model = read_model("tacrolimus_woillard2011")
    ready = prepared(model, TWO_PROFILES)
    found = posterior_estimate(ready.model, ready.case, n_draws=1000, seed=1).during(2)
    answer = found.exposure(Regimen.steady(3.0, every_h=12, route=Route.ORAL), Metric.parse("AUC0-12"))
    at = {name: k for k, name in enumerate(found.model.eta_names)}
    np.testing.assert_allclose(answer.values, 3.0 / (21.2 * np.exp(found.etas[:, at["CL"]] + found.etas[:, at["CL@2"]])), rtol=1e-9)
    assert answer.point == pytest.approx(float(answer.values.mean()), rel=1e-9)
