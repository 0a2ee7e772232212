"""Covariates that hang together: from tables, copulas and growth charts, and worked out by formulas; nobody who cannot exist."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auctor.errors import PlanError
from auctor.population.copula import LEVELS, Copula, fit, fit_table, normal_scores, read_copula, shipped_text
from auctor.population.distributions import stream
from auctor.population.files import File, read_table
from auctor.population.growth import CODES, lms
from auctor.population.virtual import simulate
from plans import STEADY, plan_of

CHARTS = ("weight_for_age.csv", "height_for_age.csv")
PERCENTILES = {"P3": 0.03, "P5": 0.05, "P10": 0.1, "P25": 0.25, "P50": 0.5, "P75": 0.75, "P90": 0.9, "P95": 0.95, "P97": 0.97}
ADULTS = {"AGE": "Age", "WT": "Weight", "HT": "Height", "SEX": "Gender"}
FORM = STEADY["covariates"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def people(covariates: dict[str, Any], n: int = 3000, folder: Path | str = ".") -> dict[str, np.ndarray]:
    """`n` virtual patients of the plan with these covariates; what is drawn is read by `possible`, so that nothing is unused."""
    return plan_of(STEADY, folder, covariates=FORM | covariates).people.draw(n, seed=5)


def ks(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The largest distance of two distribution functions (b weighted)."""
    w = np.full(len(b), 1 / len(b)) if weights is None else weights / weights.sum()
    points, order = np.unique(np.concatenate([a, b])), np.argsort(b)
    sums = np.concatenate([[0], np.cumsum(w[order])])
    below = sums[np.searchsorted(b[order], points, side="right")]
    return float(np.max(np.abs(np.searchsorted(np.sort(a), points, side="right") / len(a) - below)))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    def rank(v: np.ndarray) -> np.ndarray:
        return normal_scores(v, np.full(len(v), 1 / len(v)))

    return float(np.corrcoef(rank(a), rank(b))[0, 1])


# copulas


def test_a_fitted_copula_has_the_margins_and_the_rank_correlation_it_was_fitted_to() -> None:
    rng = np.random.default_rng(1)
    z = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=20_000)
    made = {"WT": np.exp(4.2 + 0.2 * z[:, 0]), "SCR": 0.5 + rng.gamma(2.0, 0.2, 20_000) * 0 + np.exp(z[:, 1]) / 3}
    strata = fit(made, np.full(20_000, 1 / 20_000))
    assert strata[0].correlation[0, 1] == pytest.approx(0.7, abs=0.01)
    copula = Copula(name="x", title="", source="", units={"WT": "kg", "SCR": "mg/dL"}, levels=np.asarray(LEVELS), strata=strata)
    drawn = copula.draw(stream(1, "test"), 20_000)
    for name, values in drawn.items():
        assert ks(values, made[name]) < 0.02  # 1.63 sqrt(2 / 20,000) = 0.016 at the 1 % level
        assert values.min() >= made[name].min() and values.max() <= made[name].max()
    assert spearman(*drawn.values()) == pytest.approx(spearman(*made.values()), abs=0.02)


def test_the_shipped_adults_are_those_of_the_survey(open_data: Path) -> None:
    path = open_data / "nhanes_covariates" / "data.csv"
    raw = read_table(File(path, sha256(path)), [*ADULTS.values(), "WTMEC2YR"], "test")
    number = {n: np.array([np.nan if v is None else float(v) for v in raw[ADULTS[n]]]) for n in ("AGE", "WT", "HT")}
    sex, weight = np.array([float(v == "female") for v in raw["Gender"]]), np.array([float(v) for v in raw["WTMEC2YR"]])
    whole = np.all([np.isfinite(v) for v in number.values()], axis=0) & (number["AGE"] >= 18) & (weight > 0)
    drawn = read_copula(shipped_text("nhanes_adults"), "nhanes_adults").draw(stream(2, "test"), 20_000)
    assert drawn["SEX"].mean() == pytest.approx(np.average(sex[whole], weights=weight[whole]), abs=0.01)
    for code in (0.0, 1.0):
        ours, theirs = drawn["SEX"] == code, whole & (sex == code)
        for name, values in number.items():
            # 1.63 / sqrt(10,000) is 1.6 %, whole years and kilograms are steps of 1 %
            assert ks(drawn[name][ours], values[theirs], weight[theirs]) < 0.025
        shares = weight[theirs] / weight[theirs].sum()
        for a, b in (("WT", "HT"), ("AGE", "HT"), ("AGE", "WT")):
            scores = [normal_scores(number[n][theirs], shares) for n in (a, b)]
            expected = np.average(scores[0] * scores[1], weights=shares) / np.prod(
                [np.sqrt(np.average(s**2, weights=shares)) for s in scores]
            )
            assert spearman(drawn[a][ours], drawn[b][ours]) == pytest.approx(expected, abs=0.03)


def test_the_shipped_copula_is_what_the_command_fits(open_data: Path) -> None:
    codes = {"Gender": {"male": 0, "female": 1}}
    asked = {"columns": ADULTS, "units": {"AGE": "a", "WT": "kg", "HT": "cm"}, "codes": codes, "where": "AGE >= 18", "weight": "WTMEC2YR"}
    old = read_copula(shipped_text("nhanes_adults"), "old")
    text, rows = fit_table(open_data / "nhanes_covariates" / "data.csv", asked, by="SEX", name=old.name, title=old.title, source=old.source)
    assert text == shipped_text("nhanes_adults")
    assert rows > 10_000


def test_patients_of_a_copula_meet_its_condition_and_what_is_possible() -> None:
    bmi = "WT / (HT / 100) ** 2"
    found = people({"copula": {"name": "nhanes_adults", "where": "AGE >= 65"}, "BMI": {"expr": bmi}, "possible": "BMI > 18 and BMI < 40"})
    assert found["AGE"].min() >= 65
    assert found["BMI"].min() > 18 and found["BMI"].max() < 40
    np.testing.assert_allclose(found["BMI"], found["WT"] / (found["HT"] / 100) ** 2)
    assert spearman(found["WT"], found["HT"]) > 0.2
    with pytest.raises(PlanError, match="hardly ever"):
        people({"copula": {"name": "nhanes_adults", "where": "AGE > 200"}}, 10)


def test_the_plans_hash_covers_the_copula(monkeypatch: pytest.MonkeyPatch) -> None:
    def sha() -> str:
        return plan_of(STEADY, covariates=FORM | {"copula": {"name": "nhanes_adults"}}).sha256

    before, text = sha(), shipped_text("nhanes_adults")
    monkeypatch.setattr("auctor.population.copula.shipped_text", lambda name: text.replace("schema = 1", "schema = 1 # again"))
    assert sha() != before


@pytest.mark.parametrize(
    ("old", "new"),
    [("schema = 1", "schema = 2"), ("[[1.0, 0.0694489", "[[1.0, 1.5"), ("share =", "part ="), ("0.001, 0.005", "0.005, 0.001")],
)
def test_a_copula_that_is_no_distribution_is_refused(old: str, new: str) -> None:
    text = shipped_text("nhanes_adults")
    assert old in text
    with pytest.raises(PlanError):
        read_copula(text.replace(old, new, 1), "broken")


# tables


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    rows = "\n".join(f"{20 + k},{50 + k},{'m' if k % 2 else 'f'},{k % 3}" for k in range(40))
    (tmp_path / "people.csv").write_text(f"age,weight,sex,w\n{rows}\n40,,m,1\n")
    return {
        "file": "people.csv",
        "sha256": sha256(tmp_path / "people.csv"),
        "columns": {"AGE": "age", "WT": "weight", "SEX": "sex"},
        "units": {"AGE": "a", "WT": "kg"},
        "codes": {"sex": {"m": 0, "f": 1}},
    }


def test_patients_of_a_table_are_its_rows(table: dict[str, Any], tmp_path: Path) -> None:
    found = people({"table": table | {"where": "AGE < 50", "weight": "w"}}, folder=tmp_path)
    assert set(found["AGE"]) <= set(range(20, 50)), "and the row that is not complete is left out"
    np.testing.assert_array_equal(found["WT"], found["AGE"] + 30)
    np.testing.assert_array_equal(found["SEX"], (found["AGE"] % 2 == 0).astype(float))
    assert not np.any((found["AGE"] - 20) % 3 == 0), "a row of weight 0 is never drawn"
    twice = np.mean((found["AGE"] - 20) % 3 == 2)
    assert twice == pytest.approx(2 / 3, abs=0.03)
    jittered = people({"table": table | {"jitter": {"WT": 0.05}}}, folder=tmp_path)
    assert np.std(np.log(jittered["WT"] / (jittered["AGE"] + 30))) == pytest.approx(0.05, rel=0.05)


def test_a_table_is_drawn_in_the_unit_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "grams.csv").write_text("weight\n" + "\n".join(str(1000 + 10 * k) for k in range(30)) + "\n")
    source = {"file": "grams.csv", "sha256": sha256(tmp_path / "grams.csv"), "columns": {"WT": "weight"}, "units": {"WT": "g"}}
    from plans import START

    found = plan_of(START, tmp_path, covariates={"table": source}).people.draw(100, seed=1)
    assert found["WT"].min() >= 1.0 and found["WT"].max() <= 1.29


def test_a_plan_is_read_without_its_table_and_refuses_to_draw_from_another(table: dict[str, Any], tmp_path: Path) -> None:
    plan = plan_of(STEADY, tmp_path / "elsewhere", covariates=FORM | {"table": table})
    with pytest.raises(PlanError, match="cannot be read"):
        plan.people.draw(10, seed=1)
    with (tmp_path / "people.csv").open("a") as file:
        file.write("30,70,m,1\n")
    with pytest.raises(PlanError, match=r"is not that of the file"):
        people({"table": table}, folder=tmp_path)


@pytest.mark.parametrize(
    ("says", "change"),
    [
        ("columns", {"columns": {"AGE": "years", "WT": "weight", "SEX": "sex"}}),
        ("units", {"units": {"AGE": "a"}}),
        ("codes", {"codes": {"sex": {"m": 0}}}),
        ("where", {"where": "AGE > 100"}),
        ("where", {"where": "HAIR > 1"}),
        ("jitter", {"jitter": {"SEX": 0.1}}),
        ("sha256", {"sha256": "abc"}),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(says: str, change: dict[str, Any], table: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        people({"table": table | change}, 10, folder=tmp_path)
    assert says in caught.value.where


def test_parquet_and_csv_are_the_same_table(table: dict[str, Any], tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    raw = read_table(File(tmp_path / "people.csv", table["sha256"]), ["age", "weight", "sex", "w"], "test")
    parquet.write_table(pa.table(raw), tmp_path / "people.parquet")
    other = table | {"file": "people.parquet", "sha256": sha256(tmp_path / "people.parquet")}
    a, b = (people({"table": source}, folder=tmp_path) for source in (table, other))
    assert all(np.array_equal(a[name], b[name]) for name in a)


# growth charts


@pytest.mark.parametrize("name", CHARTS)
def test_lms_gives_the_percentiles_that_the_cdc_prints(name: str, open_data: Path) -> None:
    from scipy.special import ndtri

    path = open_data / "growth_charts_cdc" / name
    raw = read_table(File(path, sha256(path)), ["L", "M", "S", *PERCENTILES], "test")
    chart = {key: np.asarray(values, dtype=float) for key, values in raw.items()}
    np.testing.assert_array_equal(lms(np.zeros(len(chart["M"])), chart), chart["M"])
    for column, share in PERCENTILES.items():
        np.testing.assert_allclose(lms(np.full(len(chart["M"]), ndtri(share)), chart), chart[column], rtol=1e-5)


def growing(open_data: Path, **change: Any) -> dict[str, Any]:
    folder = open_data / "growth_charts_cdc"
    charts = {
        kind: {"file": str(folder / f"{kind}_for_age.csv"), "sha256": sha256(folder / f"{kind}_for_age.csv")}
        for kind in ("weight", "height")
    }
    charts["weight"]["covariate"], charts["height"]["covariate"] = "WT", "HT"
    growth = {**charts, "age": "AGE", "age_unit": "a", "sex": "SEX", "correlation": 0.6, "z_limit": 3}
    distributions = {"AGE": {"kind": "uniform", "low": 1, "high": 18}, "SEX": {"kind": "bernoulli", "p": 0.5}}
    return {"growth": growth, **distributions} | change


def test_children_grow_by_the_charts(open_data: Path) -> None:
    found = people(growing(open_data), 6000)
    path = open_data / "growth_charts_cdc" / "weight_for_age.csv"
    raw = {k: np.asarray(v, dtype=float) for k, v in read_table(File(path, sha256(path)), ["sex", "age", "M"], "test").items()}
    for theirs, ours in CODES.items():
        rows, chart = found["SEX"] == ours, raw["sex"] == theirs
        order = np.argsort(raw["age"][chart])
        middle = np.interp(found["AGE"][rows] * 12, raw["age"][chart][order], raw["M"][chart][order])
        assert np.mean(found["WT"][rows] < middle) == pytest.approx(0.5, abs=0.035)  # three standard errors
    young, old = found["AGE"] < 2, found["AGE"] > 16
    assert found["WT"][young].max() < found["WT"][old].min()
    bmi = found["WT"] / (found["HT"] / 100) ** 2
    assert bmi.min() > 9 and bmi.max() < 60
    assert spearman(found["WT"], found["HT"]) > 0.9


def test_an_age_beyond_the_charts_is_refused(open_data: Path) -> None:
    with pytest.raises(PlanError, match="all ages"):
        people(growing(open_data, AGE={"kind": "uniform", "low": 1, "high": 30}), 50)
    with pytest.raises(PlanError, match="needs SEX"):
        people({k: v for k, v in growing(open_data).items() if k != "SEX"}, 50)


# formulas


def test_derived_covariates_are_the_formulas_of_the_field() -> None:
    """By hand: a woman of 60 y, 60 kg, 160 cm, 0.8 mg/dL."""
    constant = {"AGE": 60, "WT": 60, "HT": 160, "SCR": 0.8, "SEX": 1}
    formulas = {
        "CRCL": "(140 - AGE) * WT / (72 * SCR) * (0.85 if SEX == 1 else 1)",  # Cockcroft & Gault 1976: 80 * 60 / 57.6 * 0.85
        "BSA": "sqrt(WT * HT / 3600)",  # Mosteller 1987
        "BMI": "WT / (HT / 100) ** 2",
        "FFM": "9270 * WT / ((8780 + 244 * BMI) if SEX == 1 else (6680 + 216 * BMI))",  # Janmahasatian 2005
        "CRCL_173": "CRCL * 1.73 / BSA",
    }
    drawn = {name: {"kind": "constant", "value": value} for name, value in constant.items()}
    last = {"possible": "CRCL_173 > 0 and FFM > 0"}
    found = people(drawn | {name: {"expr": text} for name, text in formulas.items()} | last, 3)
    expected = {"CRCL": 70.8333, "BSA": 1.63299, "BMI": 23.4375, "FFM": 38.36, "CRCL_173": 75.0419}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4)


def test_a_covariate_may_be_listed_by_age() -> None:
    """Means and bounds of each year by hand; its stream is its own, so that another covariate does not move it."""
    by = {"by": "AGE", "mean": [10, 13, 20], "sd": [1, 1, 1], "low": [9, 12, 15], "high": [11, 14, 25]}
    ages = {"AGE": {"kind": "choice", "values": [1, 2, 3]}, "WT": by, "possible": "WT > 0"}
    found = people(ages, 3000)
    for year, (mean, low, high) in enumerate([(10, 9, 11), (13, 12, 14), (20, 15, 25)], start=1):
        own = found["WT"][found["AGE"] == year]
        assert own.mean() == pytest.approx(mean, abs=0.1) and low <= own.min() and own.max() <= high
    more = people(ages | {"HT": {"kind": "uniform", "low": 1, "high": 2}, "possible": "WT > 0 and HT > 0"}, 3000)
    assert np.array_equal(more["WT"], found["WT"])
    with pytest.raises(PlanError, match="every AGE"):
        people(ages | {"AGE": {"kind": "constant", "value": 4}}, 10)


@pytest.mark.parametrize(
    ("says", "covariates"),
    [
        ("WT", {"WT": {"by": "AGE", "mean": [1], "sd": [1], "low": [0], "high": [2]}, "possible": "WT > 0"}),
        ("mean", {"WT": {"by": "HCT", "mean": [1, 2], "sd": [1], "low": [0], "high": [2]}, "possible": "WT > 0"}),
        ("A1", {"A1": {"expr": "B1 + 1"}, "possible": "A1 > 0"}),
        ("covariates.A1", {"A1": {"expr": "1 +"}, "possible": "A1 > 0"}),
        ("A1", {"A1": {"expr": "log(HCT - 100)"}, "possible": "A1 > 0"}),
        ("A1", {"A1": {"expr": "HCT"}}),
        ("possible", {"possible": "HCT > 100"}),
        ("copula", {"table": {}, "copula": {}}),
        ("HCT", {"copula": {"name": "nhanes_adults"}, "WT": {"kind": "constant", "value": 70}, "HCT": {"expr": "nothing"}}),
    ],
)
def test_covariates_that_cannot_be_are_refused(says: str, covariates: dict[str, Any]) -> None:
    with pytest.raises(PlanError) as caught:
        people(covariates, 20)
    assert says in caught.value.where and caught.value.remedy


def test_a_learner_may_look_at_a_derived_covariate_and_a_patient_then_has_to_have_it() -> None:
    covariates = FORM | {"WT": {"kind": "uniform", "low": 50, "high": 90}, "HALF": {"expr": "WT / 2"}}
    plan = plan_of(STEADY, covariates=covariates, learner=STEADY["learner"] | {"features": ["C0/dose", "log:cov:HALF"]})
    assert set(plan.needed) == {"HCT", "CYP3A5", "FORM", "HALF"}
    profiles = simulate(plan)
    np.testing.assert_array_equal(profiles.covariates["HALF"], profiles.covariates["WT"] / 2)
