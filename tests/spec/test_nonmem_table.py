"""NONMEM-style tables: what a row says, what a missing cell means, and one subject as a case."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from auctor.case import Route
from auctor.data.casefile import read_case
from auctor.data.nonmem import read_table
from auctor.data.subject import read_subject, subject_case
from auctor.errors import TableError
from auctor.models.model import DrugModel
from auctor.models.reader import library_path, read_model
from auctor.records import Records
from spec.bad_inputs import TABLE

ROOT = Path(__file__).resolve().parents[2]
TACROLIMUS = "ID TIME AMT DV HCT CYP3A5 FORM\n"


@pytest.fixture(scope="module")
def pheno() -> DrugModel:
    return read_model("phenobarbital_grasela_1985")


@pytest.fixture(scope="module")
def tacrolimus() -> DrugModel:
    return read_model("tacrolimus_woillard_2011")


def _read(folder: Path, text: str, model: DrugModel) -> tuple[Records, ...]:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path, model)


def _same(one: Records, other: Records) -> bool:
    names = ("time_h", "evid", "amt", "rate", "cmt", "ii", "addl", "ss", "mdv", "dv", "blq", "lloq")
    covariates = all(np.array_equal(one.covariates[name], other.covariates[name]) for name in one.covariates)
    return one.id == other.id and covariates and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_a_table_row_by_row(pheno: DrugModel, tmp_path: Path) -> None:
    first, second = _read(tmp_path, TABLE, pheno)
    assert (first.id, second.id) == ("1", "2")
    assert first.time_h.tolist() == [0.0, 2.0, 12.5, 58.0]
    assert first.amt.tolist() == [25.0, 0.0, 3.5, 0.0]
    assert first.dosed.tolist() == [True, False, True, False]
    assert first.observed.tolist() == [False, True, False, True]
    assert (first.ii.tolist(), first.addl.tolist()) == ([0, 0, 12, 0], [0, 0, 3, 0])
    assert first.dv[first.observed].tolist() == [17.3, 21.5]
    assert first.covariates["WT"].tolist() == [1.4] * 4
    assert (first.line.tolist(), second.line.tolist()) == ([2, 3, 4, 5], [6, 7])
    assert first.notices == ()


@pytest.mark.parametrize("mark", [";", "\t", " ", ", "])
def test_delimiters_and_case_of_the_header_do_not_matter(mark: str, pheno: DrugModel, tmp_path: Path) -> None:
    plain = _read(tmp_path, TABLE, pheno)
    text = TABLE.lower().replace(",", mark)
    assert all(_same(a, b) for a, b in zip(plain, _read(tmp_path, text, pheno), strict=True))


def test_comments_and_ignored_rows(pheno: DrugModel, tmp_path: Path) -> None:
    lines = TABLE.splitlines()
    text = "\n".join(["# a comment", lines[0], *lines[1:3], "", "# another", "C" + lines[3][1:], *lines[3:]])
    read = _read(tmp_path, text, pheno)
    assert all(_same(a, b) for a, b in zip(_read(tmp_path, TABLE, pheno), read, strict=True))
    assert read[0].line.tolist() == [3, 4, 8, 9]


def test_evid_and_mdv_are_inferred(pheno: DrugModel, tmp_path: Path) -> None:
    (records,) = _read(tmp_path, "ID,TIME,AMT,DV,WGT,APGR\n5.0,0,20,0,1.4,7\n5.0,2,0,17.3,1.4,7\n5.0,4,.,.,1.4,7\n", pheno)
    assert records.id == "5"
    assert records.evid.tolist() == [1, 0, 0]
    assert records.mdv.tolist() == [1, 0, 1]  # the last row is a time to predict at
    assert records.covariates["WT"].tolist() == [1.4] * 3


def test_mdv_makes_a_row_without_an_amount_another_event(pheno: DrugModel, tmp_path: Path) -> None:
    (records,) = _read(tmp_path, "ID,TIME,AMT,DV,MDV,WT,APGR\n1,0,20,.,1,1.4,7\n1,2,0,.,1,1.4,7\n1,3,0,9.1,0,1.4,7\n", pheno)
    assert records.evid.tolist() == [1, 2, 0]
    assert records.observed.tolist() == [False, False, True]


def test_missing_covariates_keep_the_value_before_and_the_first_ones_the_next(pheno: DrugModel, tmp_path: Path) -> None:
    rows = ["1,0,20,.,.,7", "1,2,0,17,1.4,.", "1,3,0,16,.,8", "1,4,0,15,1.5,NA"]
    (records,) = _read(tmp_path, "\n".join(["ID,TIME,AMT,DV,WT,APGR", *rows]), pheno)
    assert records.covariates["WT"].tolist() == [1.4, 1.4, 1.4, 1.5]
    assert records.covariates["APGR"].tolist() == [7.0, 7.0, 8.0, 8.0]


def test_a_covariate_never_given_takes_the_reference_with_a_notice(pheno: DrugModel, tmp_path: Path) -> None:
    first, second = _read(tmp_path, "ID,TIME,AMT,DV,WT\n1,0,20,.,.\n1,2,0,17,.\n2,0,20,.,1.4\n2,2,0,17,1.4\n", pheno)
    assert (first.covariates["WT"].tolist(), first.covariates["APGR"].tolist()) == ([1.3, 1.3], [7.0, 7.0])
    assert [n.where for n in first.notices if n.code == "default-used"] == ["table.csv, APGR", "table.csv ID 1, WT"]
    assert [n.where for n in second.notices if n.code == "default-used"] == ["table.csv, APGR"]


def test_categories_as_words_or_codes(tacrolimus: DrugModel, tmp_path: Path) -> None:
    words, codes = _read(tmp_path, f"{TACROLIMUS}1 0 3 . 35 Expresser immediate\n2 0 3 . 35 1 1\n", tacrolimus)
    assert words.covariates["CYP3A5"].tolist() == codes.covariates["CYP3A5"].tolist() == [1.0]


def test_time_may_start_again_after_a_reset(pheno: DrugModel, tmp_path: Path) -> None:
    text = "ID,TIME,AMT,EVID,DV,WT,APGR\n1,0,20,1,.,1.4,7\n1,12,0,0,15,1.4,7\n1,0,20,4,.,1.4,7\n1,2,0,0,17,1.4,7\n"
    (records,) = _read(tmp_path, text, pheno)
    assert records.evid.tolist() == [1, 0, 4, 0]
    with pytest.raises(TableError, match="reset"):
        subject_case(records, pheno)


def test_levels_below_the_limit_by_blq_or_by_cens(pheno: DrugModel, tmp_path: Path) -> None:
    blq = "ID,TIME,AMT,DV,BLQ,LLOQ,WT,APGR\n1,0,20,.,0,.,1.4,7\n1,2,0,0,1,2.5,1.4,7\n"
    cens = "ID,TIME,AMT,DV,CENS,WT,APGR\n1,0,20,.,0,1.4,7\n1,2,0,2.5,1,1.4,7\n"
    for text in (blq, cens):
        (records,) = _read(tmp_path, text, pheno)
        assert (records.blq.tolist(), records.lloq[1]) == ([False, True], 2.5)
        sample = subject_case(records, pheno).samples[0]
        assert (sample.below_lloq, sample.value, sample.lloq) == (True, 2.5, 2.5)


def test_the_example_table_says_what_the_example_case_says(pheno: DrugModel) -> None:
    case = read_case(ROOT / "examples" / "phenobarbital_neonate.toml", pheno)
    table = read_subject(ROOT / "examples" / "phenobarbital_neonate.csv", "25", pheno)
    assert table.history == case.history
    assert table.covariates == case.covariates
    assert [(s.time_h, s.value) for s in table.samples] == [(s.time_h, s.value) for s in case.samples]


def test_a_subject_in_engine_units_from_its_first_dose(tacrolimus: DrugModel, tmp_path: Path) -> None:
    text = "ID,TIME,AMT,DV,II,SS,HCT,CYP3A5,FORM\n9,100,3,.,12,1,35,0,1\n9,101,0,18.5,.,.,32,0,1\n"
    case = subject_case(_read(tmp_path, text, tacrolimus)[0], tacrolimus)
    assert case.label == "ID 9"
    assert (case.history.doses[0].route, case.history.doses[0].steady_state, case.history.doses[0].every_h) == (Route.ORAL, True, 12.0)
    assert [(s.time_h, s.value) for s in case.samples] == [(1.0, 0.0185)]
    assert case.covariates.series["HCT"] == ((0.0, 35.0), (1.0, 32.0))
    assert case.current is not None
    assert case.current.daily_mg == 6.0


def test_an_infusion_by_its_rate(tmp_path: Path) -> None:
    model = read_model("vancomycin_goti_2018")
    text = "ID,TIME,AMT,RATE,DV,CRCL,WT,DIAL\n1,0,1000,500,.,60,80,no\n1,8,0,0,14,60,80,no\n"
    dose = subject_case(_read(tmp_path, text, model)[0], model).history.doses[0]
    assert (dose.route, dose.duration_h, dose.rate_mg_h) == (Route.IV, 2.0, 500.0)


@pytest.mark.parametrize(("unit", "worth"), [("ug", 1e3), ("g", 1e-3), ("umol", 1e3 / 232.24)])
def test_amounts_are_in_the_dose_unit_of_the_model(unit: str, worth: float, pheno: DrugModel, tmp_path: Path) -> None:
    """The same doses written in another unit reach engine and case as the same mg; a RATE too, and its codes stay."""
    text = library_path(pheno.name).read_text().replace('dose = "mg"', f'dose = "{unit}"', 1)
    (tmp_path / "other.toml").write_text(text)
    other = read_model(tmp_path / "other.toml")
    table = "ID,TIME,AMT,RATE,DV,WT,APGR\n1,0,{},{},.,1.4,7\n1,2,0,0,17.3,1.4,7\n1,3,{},-2,.,1.4,7\n"
    (milli,), (ours,) = (_read(tmp_path, table.format(25 * w, 50 * w, 5 * w), m) for w, m in ((1.0, pheno), (worth, other)))
    assert milli.amt.tolist() == [25, 0, 5]
    np.testing.assert_allclose(ours.amt, milli.amt, rtol=1e-12)
    np.testing.assert_allclose(ours.rate, milli.rate, rtol=1e-12)
    assert ours.rate[2] == -2


@pytest.mark.oracle
def test_the_public_phenobarbital_set(oracles: Path, pheno: DrugModel) -> None:
    subjects = read_table(oracles / "pharmpy_nonmem" / "pheno_data.csv", pheno)
    assert len(subjects) == 59
    assert sum(int(records.observed.sum()) for records in subjects) == 155
    assert sum(int(records.dosed.sum()) for records in subjects) == 589
    cases = [subject_case(records, pheno) for records in subjects]
    assert sum(len(case.samples) for case in cases) == 155


@pytest.mark.oracle
@pytest.mark.parametrize("run", ["001", "004", "101", "102", "911", "951"])
def test_the_mapbayr_tables_keep_every_row(run: str, oracles: Path, pheno: DrugModel) -> None:
    path = oracles / "mapbayr_cptpsp2021" / "small" / f"run{run}_data.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    subjects = read_table(path, pheno)
    assert sum(len(records) for records in subjects) == len(rows)
    assert np.concatenate([records.evid for records in subjects]).tolist() == [int(row["evid"]) for row in rows]
    assert np.concatenate([records.rate for records in subjects]).tolist() == [float(row["rate"]) for row in rows]
