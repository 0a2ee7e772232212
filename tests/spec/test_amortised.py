"""The amortised posterior: exact where there is a closed form, repaired by its weights where the network is poor, silent elsewhere."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from typer.testing import CliRunner

from auctor.case import Case, Covariates, Dose, Metric, Regimen, Route, Sample
from auctor.cli import app
from auctor.errors import AuctorError, ModelError, OutOfDomain, PlanError
from auctor.estimate.averaging import average_estimate
from auctor.estimate.patient import posterior_estimate
from auctor.learn.amortised import posterior as module
from auctor.learn.amortised.network import Shape, draw, log_density, start
from auctor.learn.amortised.normal import approximate
from auctor.learn.amortised.plan import AmortisedPlan, read_amortised_plan
from auctor.learn.amortised.shown import Shown
from auctor.learn.amortised.spline import forward, inverse, knots
from auctor.learn.amortised.store import PLANS, Amortised, amortised_for, shipped_amortised
from auctor.learn.amortised.train import train_amortised
from auctor.learn.amortised.wider import Wider, scaled
from auctor.learn.amortised.world import root, simulate_world, since_last_dose
from auctor.models.reader import read_model
from auctor.population.distributions import Distribution
from auctor.population.virtual import can_exist
from auctor.validate.study_file import FOLDER

QUICK = "tacrolimus_amortised_quick"
NOW = Regimen.steady(3.0, every_h=12, route=Route.ORAL)
AUC = Metric.parse("AUC0-12")
TWO = """
schema = 1
kind = "amortised"
name = "two"
title = "two vancomycin models, hardly trained"
models = ["vancomycin_buelga_2005", "vancomycin_thomson_2009"]
seed = 3
patients = 300
held = 0.1
margin = 0.02
[covariates]
CRCL = { kind = "uniform", low = 30, high = 130 }
WT = { kind = "uniform", low = 50, high = 100 }
[regimen]
steady = 0
doses = [1, 6]
dose = { kind = "choice", values = [500, 1000, 1500] }
every_h = { kind = "choice", values = [8, 12, 24] }
infusion_h = 1
[sampling]
count = [0, 3]
within = 2
lloq = { kind = "constant", value = 0.5 }
[network]
width = 8
bins = 4
epochs = 2
batch = 90
rate = 0.002
seed = 1
"""


def kidney(levels: dict[float, float], **covariates: float) -> Case:
    """A tacrolimus patient at steady state on 3 mg twice daily, levels in ng/mL by hour."""
    known = {"HCT": 32.3, "CYP3A5": 0.0, "FORM": 1.0} | covariates
    samples = tuple(Sample(time_h=t, value=v / 1000) for t, v in levels.items())
    return Case(label="t", drug="tacrolimus", history=NOW, samples=samples, covariates=Covariates.constant(known), current=NOW)


KNOWN = kidney({0.0: 6.8, 1.0: 18.5, 3.0: 14.2})


@pytest.fixture(scope="module")
def quick() -> Amortised:
    """The small tacrolimus posterior."""
    return amortised_for(QUICK)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Amortised:
    """Two models, a network of two epochs."""
    return train_amortised(read_amortised_plan("two.toml", text=TWO), tmp_path_factory.mktemp("two"))


def test_spline_and_its_inverse_undo_each_other() -> None:
    """With the derivative that finite differences give; zeros are the identity."""
    rng = np.random.default_rng(0)
    at = knots(rng.normal(0, 1.5, (200, 17)), 6, np)
    x = rng.uniform(-6, 6, 200)
    y, log_slope = forward(at, x, np)
    np.testing.assert_allclose(inverse(at, y, np), x, atol=1e-9)
    inside = np.abs(x) < 4.99
    slope = (forward(at, x + 1e-6, np)[0] - forward(at, x - 1e-6, np)[0]) / 2e-6
    np.testing.assert_allclose(np.exp(log_slope)[inside], slope[inside], rtol=1e-4)
    plain = knots(np.zeros((200, 17)), 6, np)
    np.testing.assert_allclose(forward(plain, x, np)[0], x, atol=1e-9)


def test_flow_density_is_that_of_its_draws() -> None:
    """For random weights: the density integrates to 1, and its mean is that of the draws."""
    shape, rng = Shape(samples=3, patient=2, etas=(2,), width=8, bins=5), np.random.default_rng(1)
    weights = {name: w + rng.normal(0, 0.2, w.shape) for name, w in start(shape, 0).items()}
    context, axis = rng.normal(size=8), np.linspace(-6, 6, 241)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(log_density(weights, shape, 0, (np.broadcast_to(context, (len(grid), 8)), grid), np)) * (axis[1] - axis[0]) ** 2
    drawn = draw(weights, shape, 0, (context, rng.standard_normal((40_000, 2))))
    assert density.sum() == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(density @ grid, drawn.mean(axis=0), atol=0.05)


def test_normal_approximation_is_exact_for_a_linear_model() -> None:
    """Log levels linear in eta with a proportional error: mean, precision and evidence are those of the linear-Gaussian posterior."""
    model = read_model("valganciclovir_vezina_2014")
    rng = np.random.default_rng(2)
    slope, at, level = np.array([0.5, -0.8, 0.3]), np.array([1.0, 0.2, -0.4]), rng.uniform(0.5, 4, (1, 3))
    flags = np.zeros((1, 3), bool)
    shown = Shown(level=level, used=~flags, below=flags, times=np.ones((1, 3)), since_dose=np.ones((1, 3)), covariates=np.ones((1, 1)))
    found = approximate(model, lambda z: np.exp(at + z * slope), shown)
    v, t = 0.327**2, np.log(level[0])
    precision = 1 + slope @ slope / v
    assert found.mean[0, 0] == pytest.approx(slope @ (t - at) / v / precision, rel=1e-6)
    assert found.root[0, 0, 0] ** 2 == pytest.approx(precision, rel=1e-6)
    marginal = multivariate_normal(at, v * np.eye(3) + np.outer(slope, slope)).logpdf(t)
    assert found.evidence[0] == pytest.approx(marginal + 1.5 * np.log(2 * np.pi) - t.sum(), rel=1e-6)


@pytest.mark.parametrize(
    "levels", [{}, {0.0: 6.8}, {0.0: 3.0, 1.0: 30.0, 3.0: 14.2}, {0.0: 6.8, 1.0: 18.5, 3.0: 14.2}, {4.0: 12.0, 11.9: 2.5}]
)
def test_corrected_posterior_is_that_of_importance_resampling(quick: Amortised, levels: dict[float, float]) -> None:
    """One model, a network hardly trained: mean and width of the exposure agree within Monte Carlo error."""
    case = kidney(levels)
    found, known = quick.estimate(case, 4000), posterior_estimate(read_model("tacrolimus_woillard_2011"), case, 4000)
    ours, theirs = found.exposure(NOW, AUC), known.exposure(NOW, AUC)
    assert found.corrected and found.ess > 1000
    assert abs(ours.point - theirs.point) < 0.1 * theirs.values.std()
    assert ours.values.std() == pytest.approx(theirs.values.std(), rel=0.1)


def test_probabilities_of_models_are_those_of_averaging(two: Amortised) -> None:
    """The weights repair the model index too: the marginal likelihoods of two models by another route."""
    doses = tuple(Dose(time_h=12.0 * k, amount_mg=1000, route=Route.IV, duration_h=1.0) for k in range(3))
    known = Covariates.constant({"CRCL": 80.0, "WT": 75.0})
    for values in ((38.0, 9.0), (20.0, 14.0)):
        samples = tuple(Sample(time_h=t, value=v) for t, v in zip((26.0, 35.5), values, strict=True))
        case = Case(label="t", drug="vancomycin", history=Regimen(doses=doses), samples=samples, covariates=known)
        found, other = two.estimate(case, 2000), average_estimate(two.plan.models, case, 2000)
        for name, weight in other.by_model.items():
            assert found.probabilities[name] == pytest.approx(weight, abs=0.03)
        auc = Metric.parse("AUC24-36")
        assert found.exposure(case.history, auc).point == pytest.approx(other.exposure(case.history, auc).point, rel=0.02)


@pytest.mark.parametrize("levels", [{0.0: 3.0, 1.0: 30.0, 3.0: 14.2}, {0.0: 6.8, 1.0: 18.5, 3.0: 14.2}])
def test_multiples_of_the_published_errors_are_averaged_over(quick: Amortised, levels: dict[float, float]) -> None:
    """As four models that differ in residual error and variances and weigh alike, by another route; the published one alone says else."""
    wider = Wider(residual_sd=choice(1, 3), iiv_variance=choice(1, 2))
    case, model = kidney(levels), read_model("tacrolimus_woillard_2011")
    each = [
        replace(model, name=f"{s}-{k}", sha256=f"{s}-{k}", residual=scaled(model.residual, s), omega=k * model.omega)
        for s in (1, 3)
        for k in (1, 2)
    ]
    found = replace(quick, plan=replace(quick.plan, wider=wider)).estimate(case, 4000)
    ours, theirs = found.exposure(NOW, AUC), average_estimate(tuple(each), case, 4000).exposure(NOW, AUC)
    plain = quick.estimate(case, 4000).exposure(NOW, AUC)
    assert found.corrected and abs(ours.point - theirs.point) < 0.1 * theirs.values.std()
    assert ours.values.std() == pytest.approx(theirs.values.std(), rel=0.1)
    assert theirs.values.std() > 1.15 * plain.values.std()


def choice(*values: float) -> Distribution:
    return Distribution.read({"kind": "choice", "values": list(values)})


def test_a_wider_prior_is_that_of_its_draws() -> None:
    """Integrates to 1, has the variance of the mixture, and that of the draws."""
    wider = Wider(iiv_variance=Distribution.read({"kind": "choice", "values": [1, 4], "weights": [3, 1]}))
    axis = np.linspace(-14, 14, 5601)
    density = np.exp(wider.log_prior(axis[:, None])) * (axis[1] - axis[0])
    assert density.sum() == pytest.approx(1.0, abs=1e-6)
    assert density @ axis**2 == pytest.approx(1.75, rel=1e-4)
    assert wider.drawn(np.random.default_rng(0), 200_000, 1).var() == pytest.approx(1.75, rel=0.02)


def test_a_level_under_its_limit_is_only_known_to_be(quick: Amortised) -> None:
    """As M3 has it in the posterior of importance resampling, and not as if the limit had been measured."""
    limit = Sample(time_h=0.0, value=0.004, lloq=0.004)
    known, measured = (replace(KNOWN, samples=(replace(limit, below_lloq=below), *KNOWN.samples[1:])) for below in (True, False))
    ours = quick.estimate(known, 4000).exposure(NOW, AUC)
    theirs, other = (
        posterior_estimate(read_model("tacrolimus_woillard_2011"), case, 4000).exposure(NOW, AUC) for case in (known, measured)
    )
    assert abs(ours.point - theirs.point) < 0.1 * theirs.values.std()
    assert abs(other.point - theirs.point) > 0.3 * theirs.values.std()


def test_same_plan_same_bytes(two: Amortised, tmp_path: Path) -> None:
    """Trained again, every file is the same."""
    again = train_amortised(two.plan, tmp_path)
    for file in ("arrays.npz", "card.json", "plan.toml", "manifest.json"):
        assert (again.folder / file).read_bytes() == (two.folder / file).read_bytes()


def test_artefact_is_checked_and_holds_no_pickle(two: Amortised, tmp_path: Path) -> None:
    """Arrays of plain numbers; a changed file is refused, a missing one too."""
    with zipfile.ZipFile(io.BytesIO((two.folder / "arrays.npz").read_bytes())) as file:
        assert all(np.load(io.BytesIO(file.read(name)), allow_pickle=False).dtype.kind == "f" for name in file.namelist())
    for name in ("arrays.npz", "plan.toml", "card.json", "manifest.json"):
        (tmp_path / name).write_bytes((two.folder / name).read_bytes())
    assert Amortised.load(tmp_path).card == two.card
    (tmp_path / "card.json").write_text((tmp_path / "card.json").read_text().replace("hardly", "fully"))
    with pytest.raises(ModelError, match="SHA-256"):
        Amortised.load(tmp_path)
    (tmp_path / "plan.toml").unlink()
    with pytest.raises(ModelError, match="complete"):
        Amortised.load(tmp_path)


ONE = KNOWN.samples[0]
OUTSIDE = {
    "drug": replace(KNOWN, drug="vancomycin"),
    "covariates.HCT": kidney({0.0: 6.8}, HCT=60.0),
    "covariates.CYP3A5": replace(KNOWN, covariates=Covariates.constant({"HCT": 32.0, "FORM": 1.0})),
    "doses[0].amount": replace(KNOWN, history=Regimen.steady(30.0, every_h=12, route=Route.ORAL)),
    "doses[0].route": replace(KNOWN, history=Regimen.steady(3.0, every_h=12, route=Route.IV)),
    "doses[0].every": replace(KNOWN, history=Regimen.steady(3.0, every_h=24, route=Route.ORAL)),
    "samples": kidney({0.0: 6.8, 1.0: 18.0, 2.0: 15.0, 3.0: 12.0, 4.0: 11.0}),
    "samples.time": replace(kidney({30.0: 1.0}), history=Regimen(doses=(replace(NOW.doses[0], additional=0),))),
    "doses": replace(KNOWN, history=Regimen(doses=())),
}


@pytest.mark.parametrize("where", sorted(OUTSIDE))
def test_abstains_outside_its_training(quick: Amortised, where: str) -> None:
    """With the field, a reason and a remedy, and no value of the patient."""
    with pytest.raises(OutOfDomain) as refused:
        quick.estimate(OUTSIDE[where])
    assert refused.value.where == where and refused.value.remedy


def test_abstains_where_levels_fit_no_model(quick: Amortised) -> None:
    """A peak a thousand times too high, a level above the range of the assay, or a covariate that changes: simulated for nobody."""
    over = replace(ONE, uloq=0.03, above_uloq=True)
    moving = Covariates(series=dict(KNOWN.covariates.series) | {"HCT": ((0.0, 32.0), (1.0, 40.0))})
    for case in (kidney({0.0: 0.01, 1.0: 9000.0}), replace(KNOWN, samples=(over,)), replace(KNOWN, covariates=moving)):
        with pytest.raises(OutOfDomain):
            quick.estimate(case)


def test_few_effective_draws_are_told_and_hopeless_weights_not_used(quick: Amortised, monkeypatch: pytest.MonkeyPatch) -> None:
    """First a notice, then the network's own draws with a doubt that blocks signing."""
    monkeypatch.setattr(module, "LOW_ESS", 1e9)
    told = quick.estimate(KNOWN, 500)
    assert told.corrected and "low-ess" in [n.code for n in told.notices]
    monkeypatch.setattr(module, "HOPELESS", 1e8)
    doubted = quick.estimate(KNOWN, 500)
    assert not doubted.corrected and "uncorrected" in doubted.name
    assert [n.blocks_signing for n in doubted.notices if n.code == "uncorrected"] == [True]
    own = quick.estimate(KNOWN, 500, correct=False)
    assert own.exposure(NOW, AUC).values.shape == doubted.exposure(NOW, AUC).values.shape == (500,)


def test_hours_since_the_last_dose() -> None:
    """A sample at the time of a dose is its trough; before a steady-state dose the whole interval has passed."""
    repeated = Regimen(doses=(Dose(time_h=0.0, amount_mg=1, route=Route.ORAL, every_h=12.0, additional=2),))
    assert since_last_dose(repeated, np.array([1.0, 12.0, 13.0, 40.0])).tolist() == [1.0, 12.0, 1.0, 16.0]
    assert since_last_dose(NOW, np.array([0.0, 3.0, 12.0])).tolist() == [12.0, 3.0, 12.0]


def text_of(name: str) -> str:
    return (PLANS / f"{name}.toml").read_text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("held = 0.1", "held = 0.1\nhold = 3"),
        ("epochs = 12", "epochs = 0"),
        ("count = [0, 4]", "count = [4, 1]"),
        ('kind = "amortised"', 'kind = "learner"'),
        ("steady = 0.7", 'steady = 0.7\nper = "WT"'),
        ("tacrolimus_woillard_2011", "no_such_model"),
        ("margin = 0.02", 'margin = 0.02\n[same]\nHCT = "EGFR"'),
        ("[0.0005, 0.001, 0.002]", "[0, 0.001]"),
        ("margin = 0.02", 'margin = 0.02\n[wider]\niiv_variance = { kind = "choice", values = [0, 1] }'),
        ("margin = 0.02", 'margin = 0.02\n[wider]\nresidual_sd = { kind = "uniform", low = 1, high = 2 }'),
    ],
)
def test_a_plan_that_says_something_else_is_refused(old: str, new: str) -> None:
    """With the key and the remedy."""
    text = text_of(QUICK)
    assert old in text
    with pytest.raises(PlanError) as refused:
        read_amortised_plan("edited.toml", text=text.replace(old, new))
    assert refused.value.remedy


@pytest.mark.parametrize("name", shipped_amortised())
def test_every_shipped_plan_reads_and_says_where_it_comes_from(name: str) -> None:
    """Under its file's name, with a source beside what is not of a model."""
    plan = read_amortised_plan(PLANS / f"{name}.toml")
    assert plan.name == name and (plan.sources or plan.role == "test")


def test_one_covariate_may_stand_for_another() -> None:
    """EGFR takes the value of CRCL where the case does not give it, and keeps its own where it does."""
    plan: AmortisedPlan = read_amortised_plan(PLANS / "valganciclovir_amortised.toml")
    case = Case(label="t", drug="ganciclovir", history=NOW, covariates=Covariates.constant({"CRCL": 50.0}))
    assert plan.filled(case).covariates.at(0.0)["EGFR"] == 50.0
    both = replace(case, covariates=Covariates.constant({"CRCL": 50.0, "EGFR": 40.0}))
    assert plan.filled(both).covariates.at(0.0)["EGFR"] == 40.0


def test_command_prints_the_card_and_refuses_what_is_no_plan(quick: Amortised) -> None:
    """From the cache, since it is trained."""
    done = CliRunner().invoke(app, ["amortise", QUICK])
    assert done.exit_code == 0 and "tacrolimus_woillard_2011" in done.stdout and "held-out" in done.stdout
    assert CliRunner().invoke(app, ["amortise", "no_such_plan"]).exit_code == 2
    assert issubclass(OutOfDomain, AuctorError) and quick.plan.name == QUICK


def _light(tmp_path: Path) -> AmortisedPlan:
    """Light patients of both readings of Dvorchik 2004, hardly trained: as coded, a good part of them has a negative Q."""
    text = (FOLDER / "amortised" / "e4_daptomycin.toml").read_text(encoding="utf-8")
    for was, now in (
        ("patients = 10000", "patients = 300"),
        ("low = 48, high = 153", "low = 48, high = 56"),
        ("epochs = 25", "epochs = 2"),
    ):
        text = text.replace(was, now)
    return read_amortised_plan(tmp_path / "light.toml", text=text)


def test_nobody_whose_clearance_or_volume_is_not_above_zero_trains_or_answers(tmp_path: Path) -> None:
    plan = _light(tmp_path)
    coded, n = plan.models[0], len(plan.models[0].eta_names)
    known = {"CRCL": np.full(1, 80.0), "TEMP": np.full(1, 37.0), "WT": np.full(1, 50.0), "SEX": np.zeros(1), "INFECTED": np.ones(1)}
    free = np.random.default_rng(0).standard_normal((2000, n)) @ root(coded).T
    assert 0.02 < np.mean(~can_exist(coded, known, free)) < 0.5, "the prior has such patients"
    world = simulate_world(plan)
    for m, model in enumerate(plan.models):
        rows = np.flatnonzero(world.model_index == m)
        here = {name: values[rows] for name, values in world.covariates.items()}
        assert can_exist(model, here, world.z[rows] @ root(model).T).all()
    train_amortised(plan, tmp_path / "light")
    case = Case(
        label="l",
        drug="daptomycin",
        history=Regimen.steady(400.0, every_h=24, route=Route.IV, duration_h=0.5),
        covariates=Covariates.constant({name: float(value[0]) for name, value in known.items()}),
        samples=(Sample(time_h=1.0, value=80.0),),
    )
    found = Amortised.load(tmp_path / "light").estimate(case, 500)
    for estimate in found.estimates:
        assert can_exist(estimate.model, known, estimate.etas).all()


def test_a_plan_of_whom_nobody_can_exist_is_refused(tmp_path: Path) -> None:
    plan = _light(tmp_path)
    lightest = replace(plan, covariates={**plan.covariates, "WT": Distribution.read({"kind": "constant", "value": 1.0})})
    with pytest.raises(PlanError, match="narrow the covariates"):
        simulate_world(lightest)  # Q and V2 of Dvorchik 2004 are straight lines in weight
