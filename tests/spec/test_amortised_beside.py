"""The amortised posterior beside the other methods: a column of `auctor analyse`, a row of a study."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.case import Metric
from auctor.cli import app
from auctor.data.casefile import with_others
from auctor.data.document import read_document
from auctor.errors import CaseError, PlanError
from auctor.estimate.patient import posterior_estimate
from auctor.learn.amortised.store import Amortised, amortised_for, amortised_plan_of
from auctor.learn.store import open_plan
from auctor.models.reader import read_model
from auctor.population.plan import Split
from auctor.population.virtual import Profiles, simulate
from auctor.validate.comparators import Estimates
from auctor.validate.study_amortised import amortised_row
from plans import STEADY, plan_of

RUNNER = CliRunner()
EXAMPLE = Path(__file__).parents[2] / "examples" / "tacrolimus_kidney.toml"
WORDS = ["analyse", str(EXAMPLE), "--no-ml", "--occasions", "none", "--json"]
GANCICLOVIR = """
schema = 1
label = "t"
drug = "valganciclovir"
[[doses]]
amount = "900 mg"
route = "oral"
time_h = 0
every = "24 h"
steady_state = true
[[samples]]
value = "5.1 mg/L"
time_h = 3
[covariates]
CRCL = "80 mL/min"
WT = "70 kg"
FORM = "valganciclovir"
"""


@pytest.fixture(scope="module")
def quick() -> Amortised:
    """The small tacrolimus posterior."""
    return amortised_for("tacrolimus_amortised_quick")


def _now(method: dict[str, Any]) -> dict[str, Any]:
    """Exposure of the current regimen."""
    found: dict[str, Any] = next(c["exposure"] for c in method["candidates"] if c["option"]["kind"] == "current")
    return found


# --- auctor analyse ------------------------------------------------------------------------------------------------------


def test_a_column_of_its_own_where_it_is_asked_for(quick: Amortised) -> None:
    """One model without occasions: it then says what the posterior says, within the Monte Carlo error of both."""
    result = RUNNER.invoke(app, [*WORDS, "--amortised"])
    found = json.loads(result.stdout)
    now = {key: _now(method) for key, method in found["methods"].items() if method["candidates"]}
    assert result.exit_code == 0
    assert found["amortised"] == {"plan": "tacrolimus_amortised_quick", "sha256": quick.plan.sha256}
    assert now["amortised"]["point"] == pytest.approx(now["posterior"]["point"], rel=0.03)
    assert now["amortised"]["interval90"] == pytest.approx(now["posterior"]["interval90"], rel=0.06)
    assert found["methods"]["amortised"]["effective_draws"] > 1000
    assert "plan-role" in [n["code"] for n in found["notices"]], "this plan is for tests"
    plain = json.loads(RUNNER.invoke(app, WORDS).stdout)
    assert "amortised" not in plain and "amortised" not in plain["methods"]
    same = {key: found["methods"][key] for key in plain["methods"]}
    assert same == plain["methods"], "the other columns are as without it"


def test_it_abstains_with_a_reason_and_leaves_with_4(tmp_path: Path, quick: Amortised) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert '"32.3 %"' in text
    case = tmp_path / "case.toml"
    case.write_text(text.replace('"32.3 %"', '"52 %"'), encoding="utf-8")
    result = RUNNER.invoke(app, ["analyse", str(case), *WORDS[2:], "--amortised"])
    assert result.exit_code == 4
    first = json.loads(result.stdout.partition("\n}\n")[0] + "\n}")
    assert "HCT" in first["methods"]["amortised"]["abstained"]
    assert first["methods"]["posterior"]["candidates"]


def test_a_model_without_a_plan_is_refused_before_anything_is_computed() -> None:
    words = ["analyse", str(EXAMPLE.with_name("phenobarbital_neonate.toml")), "--no-ml", "--amortised", "--json"]
    result = RUNNER.invoke(app, words)
    assert result.exit_code == 2 and json.loads(result.stdout)["error"]["where"] == "--amortised"


def test_an_analysis_that_does_not_ask_loads_nothing_of_it() -> None:
    code = f"""
import sys
from auctor.cli import app
from typer.testing import CliRunner
assert CliRunner().invoke(app, {WORDS!r}).exit_code == 0
print([name for name in sys.modules if "amortised" in name or name in ("jax", "optax")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_covariates_of_the_other_models_are_read_with_theirs_and_never_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text(GANCICLOVIR, encoding="utf-8")
    model, other = read_model("valganciclovir_vezina_2014"), read_model("ganciclovir_lalagkas_2023")
    case, more = with_others(read_document(path), model, [model, other])
    assert set(case.covariates.series) == set(model.covariates)
    assert more.series == {"FORM": ((0.0, other.covariates["FORM"].levels["valganciclovir"]),)}  # type: ignore[index]
    assert "EGFR" in other.covariates and "EGFR" not in more.series, "not given"
    path.write_text(GANCICLOVIR.replace("FORM", "FROM"), encoding="utf-8")
    with pytest.raises(CaseError, match="FROM"):
        with_others(read_document(path), model, [model, other])


def test_the_plan_of_a_model_is_one_for_the_clinic_first() -> None:
    assert amortised_plan_of("ganciclovir_lalagkas_2023") == "valganciclovir_amortised"
    assert amortised_plan_of("tacrolimus_woillard_2011") == "tacrolimus_amortised_quick"
    assert amortised_plan_of("phenobarbital_grasela_1985") is None


# --- a row of a study ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    plan = open_plan("tacrolimus_quick")
    return simulate(replace(plan, split=Split(train=0, calibration=0, test=8)))


def test_the_row_is_the_posterior_of_each_patient(quick: Amortised, profiles: Profiles) -> None:
    rows = np.arange(8)
    found = amortised_row(quick, profiles, rows, draws=1000)
    assert found.kept.all()
    model, metric = read_model("tacrolimus_woillard_2011"), Metric.parse("AUC0-12")
    exact = [posterior_estimate(model, profiles.case(i), 1000).exposure(profiles.steady(i), metric) for i in rows]
    theirs = np.asarray([one.point for one in exact]) / profiles.dose_mg
    spread = np.asarray([one.values.std() for one in exact]) / profiles.dose_mg
    assert np.all(np.abs(found.found.point - theirs) < 0.15 * spread)
    assert np.all((found.found.low < found.found.point) & (found.found.point < found.found.high))
    limit = Estimates(point=theirs, low=theirs, high=theirs)
    assert found.ratio(limit, profiles.exposure, seed=1).value == pytest.approx(1.0, abs=0.2)


FIRST_DAYS: dict[str, Any] = {
    "noise": "full",
    "profiles": 30,
    "split": {"train": 10, "calibration": 10, "test": 10},
    "learner": None,
    "regimen": {
        "history": "start",
        "dose": {"kind": "grid", "from": 2, "to": 6, "step": 0.5},
        "every_h": {"kind": "choice", "values": [12]},
    },
    "sampling": {"irregular": {"count": [2], "from_h": 0, "to_h": 48, "after_dose_h": 1}},
}


def test_a_window_from_the_first_dose_is_read_off_each_history(quick: Amortised) -> None:
    metric = {"metric": "AUC24-48", "at": "first_dose"}
    profiles = simulate(plan_of(STEADY, **FIRST_DAYS, target=metric | {"scale": "log"}))
    rows = np.arange(6)
    found = amortised_row(quick, profiles, rows, draws=1000)
    assert found.kept.all()
    asked = Metric.parse("AUC24-48")
    exact = [posterior_estimate(profiles.plan.model, profiles.case(i), 1000).exposure(profiles.regimen(i), asked) for i in rows]
    for i in rows:
        assert abs(found.found.point[i] - exact[i].point) < 0.15 * exact[i].values.std()
    steady = replace(profiles.plan.target, at="steady")
    with pytest.raises(PlanError, match="neither F/CL nor a metric in hours from the first dose"):
        amortised_row(quick, replace(profiles, plan=replace(profiles.plan, target=steady)), rows, draws=100)


def test_patients_outside_its_training_are_left_out_of_the_row(quick: Amortised, profiles: Profiles) -> None:
    dose = profiles.dose_mg.copy()
    dose[3] = 40.0
    found = amortised_row(quick, replace(profiles, dose_mg=dose), np.arange(8), draws=100)
    assert found.kept.tolist() == [i != 3 for i in range(8)]
    assert len(found.found.point) == 7
    assert np.all(found.least.point < found.found.point)
    for scores in found.scores(profiles.exposure, seed=1).values():
        assert np.isfinite(scores["rRMSE"].value) and 0 <= scores["coverage"].value <= 1
    with pytest.raises(PlanError, match="none of the patients"):
        amortised_row(quick, replace(profiles, dose_mg=np.full(8, 40.0)), np.arange(8), draws=100)
