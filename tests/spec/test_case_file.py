"""Case files: what a JSON or TOML file says is what the engine gets, in h, mg, mg/L and the model's covariate units."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from auctor.case import Case, Metric, Regimen, Route
from auctor.data.casefile import read_case, read_header
from auctor.data.schema import json_schema
from auctor.errors import AuctorError, CaseError
from auctor.models.reader import read_model
from spec.bad_inputs import BAD, GOOD, IV, ORAL

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))


def _read(folder: Path, text: str, *changes: tuple[str, str], model: str | None = "tacrolimus_woillard_2011") -> Case:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "case.toml"
    path.write_text(text, encoding="utf-8")
    return read_case(path, read_model(model) if model else None)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_reads_without_anything_to_resolve(path: Path) -> None:
    header = read_header(path)
    case = read_case(path, read_model(header.model))
    assert (case.label, case.drug) == (header.label, header.drug)
    assert len(case.samples) >= 2
    assert case.current is not None
    assert [notice for notice in case.notices if notice.blocks_signing] == []


def test_the_oral_case_in_engine_units(tmp_path: Path) -> None:
    case = _read(tmp_path, ORAL)
    dose = case.history.doses[0]
    assert (dose.amount_mg, dose.time_h, dose.every_h, dose.additional, dose.steady_state) == (3.0, 0.0, 12.0, 2, True)
    assert dose.route is Route.ORAL
    assert [(s.time_h, s.value, s.lloq) for s in case.samples] == [(0.0, 0.0068, 0.001), (3.0, 0.0142, None)]
    assert {s.matrix for s in case.samples} == {"whole blood"}
    assert case.covariates.at(0) == {"HCT": 32.3, "CYP3A5": 0.0, "FORM": 1.0}
    assert case.target is not None
    assert (case.target.metric, case.target.low, case.target.high) == (Metric.parse("AUC0-12"), 0.15, 0.2)
    assert case.current is not None
    assert case.current.daily_mg == 6.0
    assert case.notices == ()


def test_clock_times_become_hours_from_the_first_dose(tmp_path: Path) -> None:
    case = _read(tmp_path, IV, model="vancomycin_goti_2018")
    assert [(d.time_h, d.duration_h, d.rate_mg_h) for d in case.history.doses] == [(0.0, 1.5, 1000.0), (12.0, 1.0, 1000.0)]
    assert case.samples[0].time_h == 11.5
    assert case.covariates.series["CRCL"] == ((-2.0, 65.0),)


def test_an_hour_is_lost_when_the_clocks_go_forward(tmp_path: Path) -> None:
    after = _read(tmp_path, IV, ("2026-03-28T19:30", "2026-03-29T19:30"), model="vancomycin_goti_2018")
    assert after.samples[0].time_h == 34.5  # 35.5 on the wall clock


def test_an_offset_settles_the_hour_that_comes_twice(tmp_path: Path) -> None:
    text = IV.replace("2026-03-28T", "2026-10-24T").replace("2026-03-30", "2026-10-26")
    early = _read(tmp_path, text, ("2026-10-24T19:30", "2026-10-25T02:30+02:00"), model="vancomycin_goti_2018")
    late = _read(tmp_path, text, ("2026-10-24T19:30", "2026-10-25T02:30+01:00"), model="vancomycin_goti_2018")
    assert (early.samples[0].time_h, late.samples[0].time_h) == (18.5, 19.5)


def test_toml_dates_without_quotes_are_read_alike(tmp_path: Path) -> None:
    quoted = _read(tmp_path, IV, model="vancomycin_goti_2018")
    bare = IV
    for clock in ("2026-03-28T08:00", "2026-03-28T09:30", "2026-03-28T20:00", "2026-03-28T19:30", "2026-03-28T06:00", "2026-03-30T00:00"):
        bare = bare.replace(f'"{clock}"', f"{clock}:00")
    assert _read(tmp_path, bare, model="vancomycin_goti_2018") == quoted


def test_reception_is_never_the_time_of_sampling_and_never_before_it(tmp_path: Path) -> None:
    level = 'at = "2026-03-28T19:30"'
    later = (level, f'{level}, received_at = "2026-03-28T21:00"')
    assert _read(tmp_path, IV, later, model="vancomycin_goti_2018") == _read(tmp_path, IV, model="vancomycin_goti_2018")
    with pytest.raises(AuctorError, match=r"samples\[0\].received_at: before the sample was drawn"):
        _read(tmp_path, IV, (level, f'{level}, received_at = "2026-03-28T19:00"'), model="vancomycin_goti_2018")


@pytest.mark.parametrize(("text", "model"), [(text, model) for text, suffix, model in GOOD.values() if suffix == ".toml"])
def test_json_and_toml_say_the_same(text: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(tomllib.loads(text)), encoding="utf-8")
    assert read_case(path, read_model(model)) == _read(tmp_path, text, model=model)


@pytest.mark.parametrize("shift", [-100.0, 0.3, 7.7, 5000.1])
def test_where_the_hours_start_does_not_matter(shift: float, tmp_path: Path) -> None:
    moved = _read(tmp_path, ORAL, ("time_h = 0, every", f"time_h = {shift}, every"), ("time_h = 0, matrix", f"time_h = {shift}, matrix"),
                  ("time_h = 3", f"time_h = {shift + 3}"))  # fmt: skip
    assert moved == _read(tmp_path, ORAL)


def test_three_ways_to_write_a_quantity(tmp_path: Path) -> None:
    ways = ['"3 mg", route', '3, unit = "mg", route', '{ value = 3000, unit = "ug" }, route', '"0.003 g", route', '"3000 mcg", route']
    read = [_read(tmp_path, ORAL, ('"3 mg", route', way)) for way in ways]
    assert all(case == read[0] for case in read)


def test_moles_need_the_model_and_become_mass(tmp_path: Path) -> None:
    change = ('"6.8 ng/mL", time_h = 0, matrix = "whole blood", lloq = "1 ng/mL"', '"10 nmol/L", time_h = 0, matrix = "whole blood"')
    assert _read(tmp_path, ORAL, change).samples[0].value == pytest.approx(10e-6 * 804.02, rel=1e-12)
    with pytest.raises(AuctorError, match="molar mass"):
        _read(tmp_path, ORAL, change, model=None)


@pytest.mark.parametrize(
    "written",
    ['"<2.0 ng/mL"', '"< 2 ug/L"', '"2 ng/mL", below_lloq = true, lloq = "2 ng/mL"', '"<2 ng/mL", lloq = "2 ng/mL"'],
)
def test_a_level_below_its_limit_is_censored_at_the_limit(written: str, tmp_path: Path) -> None:
    sample = _read(tmp_path, ORAL, ('"14.2 ng/mL"', written)).samples[1]
    assert (sample.below_lloq, sample.lloq, sample.value) == (True, 0.002, 0.002)


def test_a_limit_alone_is_enough_for_a_censored_level(tmp_path: Path) -> None:
    sample = _read(tmp_path, ORAL, ('value = "14.2 ng/mL"', 'below_lloq = true, lloq = "2 ng/mL"')).samples[1]
    assert (sample.below_lloq, sample.lloq) == (True, 0.002)


def test_until_counts_the_doses_of_a_series(tmp_path: Path) -> None:
    for until, more in (("24", 2), ("23.9", 1), ("0", 0), ("35.999", 2)):
        case = _read(tmp_path, ORAL, ("additional = 2", f"until_h = {until}"))
        assert case.history.doses[0].additional == more


def test_a_sample_before_a_steady_state_dose_starts_the_clock_an_interval_earlier(tmp_path: Path) -> None:
    case = _read(tmp_path, ORAL, ("time_h = 0, matrix", "time_h = -0.5, matrix"))
    dose = case.history.doses[0]
    assert (dose.time_h, dose.every_h, dose.additional, dose.steady_state) == (0.0, 12.0, 3, True)
    assert [sample.time_h for sample in case.samples] == [11.5, 15.0]
    assert [notice.code for notice in case.notices] == ["before-steady-state-dose"]


def test_the_regimen_goes_on_as_the_last_series_when_the_file_does_not_say(tmp_path: Path) -> None:
    case = _read(tmp_path, ORAL, ('current = { amount = "3 mg", every = "12 h", route = "oral" }', ""))
    assert case.current is not None
    assert case.current.daily_mg == 6.0
    assert [notice.code for notice in case.notices] == ["current-from-history"]


def test_a_missing_covariate_takes_the_reference_and_blocks_signing(tmp_path: Path) -> None:
    case = _read(tmp_path, ORAL, ('HCT = "32.3 %", ', ""))
    assert case.covariates.at(0)["HCT"] == 35.0
    assert [(notice.code, notice.where, notice.blocks_signing) for notice in case.notices] == [("default-used", "covariates.HCT", True)]


@pytest.mark.parametrize("written", ['"32.3 %"', '"0.323 1"', '"0.323 L/L"', '{ value = 32.3, unit = "%" }'])
def test_haematocrit_as_a_fraction_is_the_same(written: str, tmp_path: Path) -> None:
    assert _read(tmp_path, ORAL, ('"32.3 %"', written)).covariates.at(0)["HCT"] == 32.3


def test_covariates_change_when_the_file_says(tmp_path: Path) -> None:
    more = '"65 mL/min" }, { at = "2026-03-28T18:00", value = 2.4, unit = "L/h" }'
    case = _read(tmp_path, IV, ('"65 mL/min" }', more), model="vancomycin_goti_2018")
    assert case.covariates.series["CRCL"] == ((-2.0, 65.0), (10.0, 40.0))
    assert case.covariates.at(9.9)["CRCL"] == 65.0


def test_without_a_model_only_known_covariates_are_kept(tmp_path: Path) -> None:
    case = _read(tmp_path, ORAL, model=None)
    assert dict(case.covariates.series) == {"HCT": ((0.0, 32.3),)}
    assert [(notice.code, notice.where) for notice in case.notices] == [
        ("covariate-needs-model", "covariates.CYP3A5"),
        ("covariate-needs-model", "covariates.FORM"),
    ]


def test_doses_may_be_written_in_any_order(tmp_path: Path) -> None:
    lines = IV.splitlines()
    first = next(k for k, line in enumerate(lines) if "1500 mg" in line)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    assert _read(tmp_path, "\n".join(lines), model="vancomycin_goti_2018") == _read(tmp_path, IV, model="vancomycin_goti_2018")


def test_a_misspelt_key_is_guessed_in_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CaseError) as refusal:
        _read(tmp_path, ORAL, ("amount = ", "amuont = "))
    assert (refusal.value.where, refusal.value.remedy) == ("doses[0].amuont", "did you mean 'amount'?")


def test_the_published_json_schema_is_up_to_date() -> None:
    published = ROOT / "docs" / "case.schema.json"
    assert published.read_text(encoding="utf-8") == json_schema(), "run: python -m auctor.data.schema docs/case.schema.json"


def _plain(document: dict[str, Any]) -> Any:
    """As JSON has it: dates as text."""
    return json.loads(json.dumps(document, default=str))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_satisfy_the_json_schema(path: Path) -> None:
    jsonschema.Draft202012Validator(json.loads(json_schema())).validate(_plain(tomllib.loads(path.read_text(encoding="utf-8"))))


def test_the_json_schema_refuses_what_it_can_see() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(json_schema()))
    seen = {"misspelt key", "another schema version", "a route that is neither oral nor iv", "negative number of doses", "no doses"}
    bad = {case.name: case.text for case in BAD if case.name in seen}
    assert bad.keys() == seen
    assert [name for name, text in bad.items() if validator.is_valid(_plain(tomllib.loads(text)))] == []


@pytest.mark.parametrize("every", [1e-300, 1e-9, 0.0])
def test_a_regimen_that_goes_on_has_a_number_of_doses(every: float) -> None:
    with pytest.raises(CaseError, match="without number"):
        Regimen.steady(5.0, every_h=every, route=Route.IV)
    assert Regimen.steady(5.0, every_h=0.25, route=Route.IV).doses[0].additional < 200
