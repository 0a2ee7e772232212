"""Every hand-written bad input ends in a typed error or a carried notice, as its line in `bad_inputs.BAD` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from auctor.errors import AuctorError, Notice
from auctor.models.reader import read_model
from spec.bad_inputs import BAD, GOOD, Bad


def test_the_table_is_long_enough_and_without_repeats() -> None:
    assert len(BAD) >= 60
    assert len({bad.text + bad.suffix for bad in BAD}) == len(BAD)
    assert len({bad.name for bad in BAD}) >= 60


@pytest.mark.parametrize("base", GOOD)
def test_the_good_files_pass_in_silence(base: str, tmp_path: Path) -> None:
    text, suffix, model = GOOD[base]
    case = Bad(name=base, text=text, suffix=suffix, model=model, error=None, where="", code="").read(tmp_path)
    assert [notice for notice in case.notices if notice.code not in ("dose-above-cap", "current-from-history")] == []


def _outcome(bad: Bad, folder: Path) -> AuctorError | tuple[Notice, ...]:
    try:
        return bad.read(folder).notices
    except AuctorError as refusal:
        return refusal


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.suffix[1:]}: {bad.name}")
def test_bad_input(bad: Bad, tmp_path: Path) -> None:
    outcome = _outcome(bad, tmp_path)
    if bad.error is None:
        assert isinstance(outcome, tuple), outcome
        found = [notice for notice in outcome if notice.code == bad.code]
        assert [notice.where for notice in found if notice.where.startswith(bad.where)] != [], outcome
        assert all(notice.what and notice.remedy for notice in outcome)
    else:
        assert type(outcome) is bad.error, outcome
        assert bad.where in outcome.where
        assert outcome.where
        assert outcome.what
        assert outcome.remedy


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.error is not None], ids=lambda bad: bad.name)
def test_a_refusal_carries_no_value_of_the_patient(bad: Bad, tmp_path: Path) -> None:
    outcome = _outcome(bad, tmp_path)
    assert isinstance(outcome, AuctorError)
    said = f"{outcome.what} {outcome.remedy}"
    assert [value for value in ("6500", "3200", "0.323", "17.3", "-6.8", "haemolysed", "kidney transplant") if value in said] == []


def test_the_models_that_the_table_names_exist() -> None:
    assert all(read_model(name).sha256 for name in {bad.model for bad in BAD})
