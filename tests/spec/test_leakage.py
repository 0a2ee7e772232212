"""The leakage guard: every leak that is injected makes it raise, and what auctor ships passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler, TargetEncoder

from auctor.case import Target
from auctor.dosing.candidates import current_option
from auctor.errors import LeakageError
from auctor.learn import train as training
from auctor.learn.guard import VISIBLE, guard
from auctor.learn.labels import map_exposure
from auctor.learn.leakage import guarded
from auctor.learn.learner import Learner
from auctor.learn.observed import Observed
from auctor.learn.provenance import LABELS, Provenance, TableSpec, declared
from auctor.learn.store import open_plan, shipped_plans
from auctor.learn.train import Material, prepare, shown, train
from auctor.population.plan import Plan, Split, read_plan
from auctor.population.virtual import Profiles, simulate
from plans import STEADY, plan_of

Array = np.ndarray[Any, Any]


def small(name: str = "tacrolimus_quick", *, label: str = "truth") -> Plan:
    plan = open_plan(name)
    target = replace(plan.target, label=label)
    return replace(plan, target=target, split=Split(train=50, calibration=20, test=20), learning=replace(plan.learning, configurations=1))


# what auctor ships


@pytest.mark.parametrize("name", shipped_plans())
def test_shipped_plans_pass(name: str) -> None:
    made = prepare(small(name))
    verdict = guard(made, shown)
    assert not verdict.circular and set(verdict.provenance) == set(made.profiles.plan.learning.features)


@pytest.mark.parametrize("name", shipped_plans())
def test_levels_times_and_population_predictions_are_told_apart(name: str) -> None:
    for feature, found in declared(open_plan(name)).items():
        kinds = {s.value for s in found.sources}
        assert ("population" in kinds) == feature.startswith(("log_typical", "slope_", "log_ratio", "noise")), feature
        assert bool(found.samples) != feature.startswith(("dt:", "after:", "log_since", "slope_", "log_typical", "cov:", "dose_mg")), (
            feature
        )


# mutations: code that leaks, put in where it would really be written


def _exposed(profiles: Profiles) -> tuple[Observed, Array]:
    observed, x = shown(profiles)
    x[:, 0] += 0.1 * np.log(profiles.exposure)
    return observed, x


def _future(profiles: Profiles) -> tuple[Observed, Array]:
    observed, x = shown(profiles)
    x[:, 3] = profiles.true[:, 2] - profiles.observed[:, 0]
    return observed, x


def _scaled(observed: Observed) -> Array:
    x = matrix(observed)
    x[:, :3] = (x[:, :3] - x[:, :3].mean(axis=0)) / x[:, :3].std(axis=0)
    return x


def _centred_by_a_share(observed: Observed) -> Array:
    x = matrix(observed)
    return x - 0.3 * np.median(x, axis=0)


def _copied(plan: Plan, progress: object = None) -> Profiles:
    found = simulate(plan)
    rows = training.split(plan)
    for values in (*found.covariates.values(), found.dose_mg, found.every_h, found.sample_h, found.observed, found.exposure):
        values[rows["test"][3]] = values[rows["train"][5]]
    return found


def _sampled_again(plan: Plan, progress: object = None) -> Profiles:
    found = simulate(plan)
    rows = training.split(plan)
    found.eta[rows["calibration"][0]] = found.eta[rows["train"][0]]
    return found


def _overlapping(plan: Plan, n: int | None = None) -> dict[str, Array]:
    found = training_split(plan, n)
    return found | {"test": np.append(found["test"][1:], found["train"][0])}


def _encoded(plan: Plan, progress: object = None) -> Material:
    made = prepare(plan)
    x, column = made.x.copy(), plan.learning.features.index("cov:CYP3A5")
    for code in np.unique(x[:, column]):
        x[made.x[:, column] == code, column] = made.y[made.x[:, column] == code].mean()
    return replace(made, x=x)


def _mapped(profiles: Profiles) -> Array:
    found, rows = profiles.exposure.copy(), training.split(profiles.plan)["train"][:24]
    found[rows] = map_exposure(profiles, rows)
    return found


matrix, training_split = training.matrix, training.split
MUTANTS: dict[str, tuple[str, Callable[..., Any], str]] = {
    "a feature that has seen the exposure": ("shown", _exposed, "made from what it is to predict"),
    "a feature that has seen the level without noise": ("shown", _future, "made from what it is to predict"),
    "a scaler fitted on everybody": ("matrix", _scaled, "statistic"),
    "a median of everybody": ("matrix", _centred_by_a_share, "statistic"),
    "a target encoding over everybody": ("prepare", _encoded, "statistic"),
    "the same profile in two parts": ("simulate", _copied, "identical profile"),
    "the same person sampled again": ("simulate", _sampled_again, "same virtual patient"),
    "a split that overlaps": ("split", _overlapping, "shares patients"),
    "an undeclared MAP label": ("label", _mapped, "MAP estimate"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_leak_put_into_the_code_stops_the_training(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    where, mutant, words = MUTANTS[name]
    monkeypatch.setattr(training, where, mutant)
    with pytest.raises(LeakageError, match=words) as caught:
        train(small(), tmp_path / "learner")
    assert caught.value.where.startswith("tacrolimus_quick.") and caught.value.remedy
    assert not (tmp_path / "learner").exists(), "nothing was stored"


@pytest.mark.parametrize("target", [{"scale": "per_dose", "metric": "Cmin0-12"}, {"scale": "log", "metric": "C0"}])
def test_a_label_that_is_not_the_simulated_metric_stops_the_training(
    target: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the target is no F/CL there is no estimate that may stand for it: it is what was simulated, also without a level."""
    original = training.label

    def shrunken(profiles: Profiles) -> Array:
        found = original(profiles)
        return np.asarray(np.sqrt(found * np.median(found)))

    monkeypatch.setattr(training, "label", shrunken)
    for parts in ({}, {"sampling": None, "learner": STEADY["learner"] | {"features": ["dose_mg", "cov:HCT"]}}):
        with pytest.raises(LeakageError, match="not the simulated target"):
            train(plan_of(STEADY, target=target, **parts), tmp_path / "learner")
    assert not (tmp_path / "learner").exists(), "nothing was stored"


def test_a_feature_that_uses_another_level_than_it_declares_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from auctor.learn import features

    def sly(o: Observed, m: object) -> Array:
        return np.asarray(o.dose_mg + 1e-3 * o.value[:, 1])

    changed = tuple((p, sly if p == "dose_mg" else f) for p, f in features._REGISTRY)
    monkeypatch.setattr(features, "_REGISTRY", changed)
    with pytest.raises(LeakageError, match="C1, which its provenance does not declare"):
        train(small(), tmp_path)


def test_a_feature_without_provenance_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from auctor.learn import features

    plan = small()
    plan = replace(plan, learning=replace(plan.learning, features=("C0/dose", "ebe~CL")))
    monkeypatch.setattr(features, "_REGISTRY", (("ebe~CL", lambda o, m: o.dose_mg), *features._REGISTRY))
    with pytest.raises(LeakageError, match="no declared provenance"):
        train(plan, tmp_path)


def test_whatever_a_profile_may_hold_one_day_is_hidden_unless_it_is_named() -> None:
    assert {"eta", "kappa", "true", "drawn_h", "exposure", "target"}.isdisjoint(VISIBLE)


# a declared circular label


@pytest.fixture(scope="module")
def circular(tmp_path_factory: pytest.TempPathFactory) -> Learner:
    text = open_plan("tacrolimus_quick").text
    sizes = {
        "profiles = 600": "profiles = 100",
        "train = 300": "train = 60",
        "calibration = 150": "calibration = 20",
        "test = 150": "test = 20",
    }
    for old, new in (sizes | {'scale = "dose_rate"': 'scale = "dose_rate"\nlabel = "map"'}).items():
        assert old in text
        text = text.replace(old, new)
    return train(read_plan("circular.toml", text=text), tmp_path_factory.mktemp("circular"))


def test_a_declared_map_label_is_trained_and_marked(circular: Learner) -> None:
    card = circular.card
    assert circular.circular and card["leakage_guard"]["label"] == "circular label" and "circular label" in card["target"]["label"]
    assert any("copies MAP" in line for line in card["limits"])
    copied, true = (card["metrics"][part]["rRMSE"]["value"] for part in ("label_test", "test"))
    assert copied < true, "the error against its own kind flatters: that is why it is marked"


@pytest.fixture(scope="module")
def made(circular: Learner) -> Material:
    return prepare(circular.plan)


def test_every_table_that_shows_it_says_so(circular: Learner, made: Material, capsys: pytest.CaptureFixture[str]) -> None:
    from auctor.analysis.methods import answer
    from auctor.cli.train import _print_card

    _print_card(circular)
    assert "(circular label)" in capsys.readouterr().out
    case = next(c for i in range(20) if (c := made.profiles.case(i)) and _inside(circular, c))
    predictor = circular.predictor(case, circular.plan.model)
    assert "circular-label" in [n.code for n in predictor.notices]
    options = (current_option(case.current),)
    target = Target(metric=circular.plan.metric, low=0.05, high=0.1, source="here")
    question: Any = SimpleNamespace(target=target, options=options, ready=SimpleNamespace(spans=()))
    assert answer("ml", predictor, question).title == "Machine learning (circular label)"


def _inside(learner: Learner, case: Any) -> bool:
    from auctor.errors import OutOfDomain

    try:
        learner.predictor(case, learner.plan.model)
    except OutOfDomain:
        return False
    return True


def test_the_guard_lets_a_declared_label_pass(made: Material) -> None:
    assert LABELS == ("truth", "measured", "map")
    assert guard(made, shown).circular


# tables from outside


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return prepare(small()).profiles.rows(np.arange(21))


@pytest.fixture
def table(profiles: Profiles) -> dict[str, Any]:
    """Predict the level at 3 h from the two before it, as a data manager would send it."""
    c0, c1, c3 = profiles.observed.T
    parts = np.where(np.arange(len(profiles)) % 3 == 0, "test", "train")
    return {"ID": np.arange(len(profiles)), "part": parts, "C0": c0, "C1": c1, "C3": c3, "HCT": profiles.covariates["HCT"]}


SPEC = TableSpec(
    name="next_level",
    patient="ID",
    part="part",
    target="C3",
    features={
        "C0": Provenance.of("measured", samples=("C0",)),
        "C1": Provenance.of("measured", samples=("C1",)),
        "HCT": Provenance.of("measured"),
    },
)


def individual(profiles: Profiles, samples: tuple[str, ...]) -> Callable[[Any], Array]:
    """F/CL by MAP from these levels of the table."""
    at = [k for k, name in enumerate(("C0", "C1", "C3")) if name in samples]

    def again(frame: Any) -> Array:
        times = np.full_like(profiles.sample_h, np.nan)
        times[:, at] = profiles.sample_h[:, at]
        levels = np.column_stack([frame["C0"], frame["C1"], frame["C3"]])
        return map_exposure(replace(profiles, sample_h=times, observed=levels), np.arange(len(profiles)))

    return again


def with_feature(column: str, *sources: str, samples: tuple[str, ...] = (), **more: Any) -> TableSpec:
    return replace(SPEC, features={**SPEC.features, column: Provenance.of(*sources, samples=samples)}, **more)


def test_a_clean_table_passes(table: dict[str, Any]) -> None:
    import pandas as pd

    assert not guarded(SPEC, table).circular
    assert guarded(SPEC, pd.DataFrame(table)).as_dict()["label"] == "independent"


def test_a_hybrid_whose_estimate_used_earlier_levels_alone_passes(table: dict[str, Any], profiles: Profiles) -> None:
    again = individual(profiles, ("C0", "C1"))
    spec = with_feature("EBE", "individual", samples=("C0", "C1"), recompute={"EBE": again})
    assert guarded(spec, {**table, "EBE": again(table)}).provenance["EBE"].samples == ("C0", "C1")


def test_a_hybrid_whose_estimate_used_the_same_observation_is_refused(table: dict[str, Any], profiles: Profiles) -> None:
    """The design of Wang 2024, Front Pharmacol 15:1389271: the individual prediction of a fit that includes the level to be predicted."""
    again = individual(profiles, ("C0", "C1", "C3"))
    held = {**table, "IPRED": again(table)}
    honest = with_feature("IPRED", "individual", samples=("C0", "C1", "C3"), recompute={"IPRED": again})
    lying = with_feature("IPRED", "individual", samples=("C0", "C1"), recompute={"IPRED": again})
    silent = with_feature("IPRED", "individual", samples=("C0", "C1"))
    other = with_feature("IPRED", "individual", samples=("C0", "C1"), recompute={"IPRED": individual(profiles, ("C0", "C1"))})
    for spec, words in (
        (honest, "to predict"),
        (lying, "to predict"),
        (silent, "cannot be computed again"),
        (other, "its own computation"),
    ):
        with pytest.raises(LeakageError, match=words) as caught:
            guarded(spec, held)
        assert caught.value.where == "next_level.IPRED"


def test_a_feature_that_is_the_target_in_another_unit_is_refused(table: dict[str, Any]) -> None:
    spec = with_feature("C3_ng", "measured")
    with pytest.raises(LeakageError, match="function of the target"):
        guarded(spec, {**table, "C3_ng": np.log(1000 * table["C3"])})


def test_a_patient_in_two_parts_is_refused(table: dict[str, Any]) -> None:
    ids = table["ID"].copy()
    ids[3] = ids[4]  # test and train
    with pytest.raises(LeakageError, match="a patient is in the parts test and train"):
        guarded(SPEC, {**table, "ID": ids})


def test_a_copied_profile_under_another_identifier_is_refused_unless_rows_coincide_by_nature(table: dict[str, Any]) -> None:
    copied = {name: np.array(values) for name, values in table.items()}
    for name in ("C0", "C1", "C3", "HCT"):
        copied[name][3] = copied[name][4]
    with pytest.raises(LeakageError, match="identical profile"):
        guarded(SPEC, copied)
    assert "distinct profiles" not in guarded(replace(SPEC, coincidences="rounded covariates, no levels"), copied).checks


def _standard(v: Array) -> Array:
    return np.asarray((v - v.mean()) / v.std())


def _unit(v: Array) -> Array:
    return np.asarray((v - v.min()) / (v.max() - v.min()))


def _filled(v: Array) -> Array:
    missing = np.arange(len(v)) % 7 == 0
    return np.where(missing, v[~missing].mean(), v)


@pytest.mark.parametrize("leak", [_standard, _unit, _filled])
def test_a_statistic_of_everybody_is_seen_in_the_column_itself(leak: Callable[[Array], Array], table: dict[str, Any]) -> None:
    order = np.argsort(table["HCT"])
    parts = np.full(len(order), "train", dtype="U5")
    parts[order[:6]], parts[order[-6:]] = "test", "test"
    held = {**table, "part": parts, "HCT": leak(table["HCT"])}
    with pytest.raises(LeakageError, match="held-out ones included") as caught:
        guarded(SPEC, held)
    assert caught.value.where == "next_level.HCT"


def test_a_target_encoding_of_everybody_is_seen_in_the_column_itself(table: dict[str, Any]) -> None:
    centre = np.arange(len(table["C3"])) % 5
    means = np.asarray([table["C3"][centre == c].mean() for c in range(5)])
    with pytest.raises(LeakageError, match="mean target"):
        guarded(with_feature("centre", "fitted"), {**table, "centre": means[centre]})
    train_means = np.asarray([table["C3"][(centre == c) & (table["part"] == "train")].mean() for c in range(5)])
    guarded(with_feature("centre", "fitted"), {**table, "centre": train_means[centre]})


def _random(table: dict[str, Any], holes: bool = False) -> Array:
    x = np.random.default_rng(3).normal(size=(len(table["C3"]), 12))
    x[::5, 2] = np.nan if holes else x[::5, 2]
    return x


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (StandardScaler(), ""),
        (SimpleImputer(), "holes"),
        (SelectKBest(f_regression, k=2), ""),
        (TargetEncoder(target_type="continuous"), "codes"),
    ],
)
def test_a_fitted_step_is_compared_with_a_refit_on_the_training_part(step: Any, kind: str, table: dict[str, Any]) -> None:
    x, y, training_rows = _random(table, kind == "holes"), table["C3"], table["part"] == "train"
    x = np.round(x) if kind == "codes" else x
    names = tuple(f"z{k}" for k in range(x.shape[1]))
    held = {**table, **dict(zip(names, x.T, strict=True))}
    leaked, clean = type(step)(**step.get_params()).fit(x, y), type(step)(**step.get_params()).fit(x[training_rows], y[training_rows])
    guarded(replace(SPEC, steps={"step": (clean, names)}), held)
    with pytest.raises(LeakageError, match="was not fitted on the training part alone"):
        guarded(replace(SPEC, steps={"step": (leaked, names)}), held)


def test_a_map_label_must_be_declared(table: dict[str, Any], profiles: Profiles) -> None:
    again = individual(profiles, ("C0", "C1", "C3"))
    held = {**table, "AUC": again(table)}
    spec = replace(SPEC, target="AUC", map_label=again, label_model="tacrolimus_woillard_2011")
    with pytest.raises(LeakageError, match="without saying so"):
        guarded(spec, held)
    assert guarded(replace(spec, label="map"), held).circular
    truth = {**table, "AUC": profiles.exposure}
    assert not guarded(spec, truth).circular
    with pytest.raises(LeakageError, match="so is the label"):
        guarded(
            replace(spec, label="map", features={**SPEC.features, "EBE": Provenance.of("individual", samples=("C0",))}),
            {**held, "EBE": held["AUC"]},
        )
