"""First-dose studies again: each runs with one command, its own ceiling is a theorem, and no test patient leaks into a fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.cli import app
from auctor.errors import TableError
from auctor.models.reader import read_model
from auctor.validate.iwpc import Prepared, averaged, elastic_net, find_data, iwpc_study, least_absolute, leave_site_out
from auctor.validate.iwpc_data import PUBLISHED, Iwpc, read_iwpc
from auctor.validate.neonatal_first_dose import auc_per_mg, best_daily, ceiling, neonates


def _reproduced(*words: str) -> Any:
    found = CliRunner().invoke(app, ["reproduce", *words, "--quick", "--json"])
    assert found.exit_code == 0, found.stderr
    return json.loads(found.stdout)


def test_e5_shows_the_published_design_its_ceiling_and_the_regret_of_every_dose() -> None:
    found = _reproduced("E5")
    own, other = found["studies"]
    assert "corrected" in own["truth"] and "another simulator" in other["truth"]
    regret = {name: scores["regret"]["value"] for name, scores in own["methods"].items()}
    assert regret["best possible of these doses"] == 0
    assert regret["popPK integration over the prior"] < 0.02
    assert regret["classifier, 8 courses a patient"] < 0.02
    assert regret["6 mg/kg"] > 0.1
    areas = {name: score["value"] for name, score in own["roc_auc"].items()}
    assert areas["published design, test"] < areas["ceiling: the generator's own probability, test"] + 0.01
    assert "0.761" in found["published"]


def test_e8_says_what_no_dose_can_exceed() -> None:
    found = _reproduced("E8")
    for study, least in zip(found["studies"], (0.02, 0.2), strict=True):
        assert study["methods"]["best possible dose"]["regret"]["value"] == 0
        assert study["methods"]["popPK integration over the prior"]["regret"]["value"] < least
    own = found["studies"][0]["methods"]
    assert (
        own["500 x standard / AUC by XGBoost (published design)"]["P(target)"]["value"]
        > own["standard regimen by postmenstrual age"]["P(target)"]["high"]
    )


def test_the_ceiling_is_what_the_best_dose_reaches() -> None:
    model, who = read_model("vancomycin_dao_2020"), neonates(40, seed=3)
    typical = 1 / auc_per_mg(model, who, 0, seed=0, name="")[:, 0]
    reached = best_daily(auc_per_mg(model, who, 20_000, seed=1, name="test"), 500 * typical)[1]
    assert reached == pytest.approx(np.full(40, ceiling(0.226)), abs=0.015)


def test_virtual_neonates_stay_in_the_published_ranges_and_grow_with_age() -> None:
    who = neonates(2000, seed=1)
    for name, low, high in (("PMA", 24, 45), ("WT", 0.5, 5), ("SCR", 40, 145)):
        assert low <= who[name].min() and who[name].max() <= high
    near = np.abs(who["PMA"] - 32) < 1
    assert np.median(who["WT"][near]) == pytest.approx(1.35, rel=0.08)
    assert np.corrcoef(who["PMA"], np.log(who["WT"]))[0, 1] > 0.9


@pytest.fixture(scope="module")
def iwpc(open_data: Path) -> Iwpc:
    return read_iwpc(open_data / "warfarin_iwpc_dose" / "data.csv")


def test_the_published_algorithms_have_the_errors_recomputed_beside_the_data(iwpc: Iwpc) -> None:
    rows = iwpc.complete
    errors = {name: float(np.mean(np.abs(values - iwpc.dose)[rows])) for name, values in iwpc.algorithms.items()}
    assert int(rows.sum()) == 4386 and len(iwpc.dose) == 5528
    assert [round(errors[name], 2) for name in iwpc.algorithms] == [8.36, 9.98, 13.26]


def test_iwpc_quick_judges_learners_beside_the_published_algorithm(open_data: Path) -> None:
    found = _reproduced("IWPC", "--data", str(open_data / "warfarin_iwpc_dose" / "data.csv"))["studies"][0]
    errors = {name: scores["MAE"]["value"] for name, scores in found["methods"].items()}
    assert found["patients"] == 4386 and found["sites"] == 17
    assert (
        errors["median regression, all covariates"] < errors["published pharmacogenetic"] < errors["elastic net, the published covariates"]
    )
    assert errors["median regression, all covariates"] < 8.36 < errors["published clinical"]


def test_the_doses_of_a_site_do_not_reach_its_own_predictions(iwpc: Iwpc) -> None:
    left_out = 20
    spoilt = replace(iwpc, dose=np.where(iwpc.site == left_out, 999.0, iwpc.dose))
    before, after = (leave_site_out(data, least_absolute, every=True, progress=lambda _: None) for data in (iwpc, spoilt))
    held = (iwpc.site == left_out) & iwpc.complete
    assert np.array_equal(before[held], after[held])
    assert not np.array_equal(before[~held & iwpc.complete], after[~held & iwpc.complete])  # the change does reach the others' training


def test_imputation_and_scaling_do_not_look_at_the_site_left_out(iwpc: Iwpc) -> None:
    x = iwpc.x.copy()
    train = iwpc.site != 1
    x[~train] *= 7.0
    one, other = (Prepared.fit(values[train], iwpc.names) for values in (iwpc.x, x))
    assert np.array_equal(one.mean, other.mean) and np.array_equal(one.sd, other.sd) and np.array_equal(one.median, other.median)
    assert np.isfinite(one(iwpc.x)).all()


def test_nothing_known_only_after_dosing_is_a_feature(iwpc: Iwpc) -> None:
    assert not any(
        "INR" in name or "dose" in name.casefold() or "stable" in name.casefold() or "site" in name.casefold() for name in iwpc.names
    )
    assert set(PUBLISHED) < set(iwpc.names)


def test_learners_recover_a_line_they_were_given() -> None:
    rng = np.random.default_rng(3)
    z = rng.normal(size=(400, 3))
    y = 6 + z @ np.asarray([1.0, -0.5, 0.0]) + 0.05 * rng.standard_t(3, size=400)
    site = np.arange(400) % 8
    for learner in (elastic_net, least_absolute, averaged):
        fitted = learner(z, y, site)(z)
        assert float(np.mean(np.abs(fitted - y))) < 0.15


def test_iwpc_without_its_data_says_that_it_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="skipped"):
        find_data(tmp_path / "data.csv")
    other = tmp_path / "other.csv"
    other.write_text("PharmGKB Subject ID,Age\nPA1,40\n")
    with pytest.raises(TableError, match="not the IWPC data"):
        iwpc_study(other)
    found = CliRunner().invoke(app, ["reproduce", "IWPC", "--quick", "--data", str(tmp_path / "none.csv")])
    assert found.exit_code == 2 and "skipped" in found.stderr
