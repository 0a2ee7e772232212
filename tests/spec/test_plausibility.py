"""What the plausibility check says and does not do, and its command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from auctor.cli import app
from auctor.data.casefile import case_of
from auctor.data.plausibility import Family, Kind, check
from auctor.data.plausibility.hypothesis import priors
from auctor.data.plausibility.thresholds import FALSE_ALARMS, log_thresholds
from auctor.data.schema import CaseFile
from auctor.models.reader import read_model
from auctor.report.finding_words import Telling
from auctor.report.plausibility import NOTHING, sentences

ROOT = Path(__file__).resolve().parents[2]
MODEL = "vancomycin_goti_2018"
GRAMS = (("1000 mg", "12 mg/L", "80 kg"), ("1 g", "12000 ug/L", "80000 g"))


def document(*, samples: list[tuple[float, str]], dose: str = "1000 mg", weight: str = "80 kg", later: int = 4) -> CaseFile:
    """A patient on 1000 mg every 12 h."""
    content: dict[str, Any] = {
        "label": "A",
        "drug": "vancomycin",
        "doses": [{"amount": dose, "route": "iv", "time_h": 0.0, "duration": "1 h", "every": "12 h", "additional": later}],
        "samples": [{"time_h": t, "value": value, "matrix": "serum"} for t, value in samples],
        "covariates": {"WT": weight, "CRCL": "80 mL/min", "DIAL": "no"},
    }
    return CaseFile.model_validate(content)


CLEAN = [(24.0, "11 mg/L"), (38.0, "24 mg/L"), (48.0, "12 mg/L")]


def found(document: CaseFile, **more: Any) -> Any:
    model = read_model(MODEL)
    return check(case_of(document, model), model, **more)


def test_a_trough_drawn_after_the_dose_is_flagged_with_what_it_would_change() -> None:
    result = found(document(samples=[(24.0, "9 mg/L"), (26.0, "26 mg/L"), (36.0, "10 mg/L"), (48.0, "42 mg/L")]))
    leading = result.findings[0]
    assert (leading.kind, leading.where) == (Kind.AFTER_DOSE, "samples[3]")
    assert leading.likelihood_ratio > 30
    assert leading.auc_if is not None and leading.auc_recorded is not None and leading.auc_if < leading.auc_recorded
    assert result.places[3].leave_one_out[0] > 99
    text = sentences(result, read_model(MODEL))[0]
    assert "30 min after the end of the infusion given at 48 h" in text
    assert "ask when the blood was drawn" in text


def test_a_clean_record_is_left_alone_and_said_to_be() -> None:
    result = found(document(samples=CLEAN))
    assert result.findings == ()
    assert sentences(result, read_model(MODEL)) == (NOTHING,)
    assert set(result.log_factors) <= set(result.thresholds)


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        ([(24.0, "11 mg/L"), (38.0, "0.024 mg/L"), (48.0, "12 mg/L")], Kind.UNIT_THOUSAND),
        ([(24.0, "11 mg/L"), (38.0, "1200 mg/L"), (48.0, "12 mg/L")], Kind.LINE),
        ([(24.0, "0.011 mg/L"), (38.0, "0.024 mg/L"), (48.0, "0.012 mg/L")], Kind.UNIT_THOUSAND),
        ([(24.0, "11 mg/L"), (38.0, "240 mg/L"), (48.0, "12 mg/L")], Kind.DILUTION),
    ],
)
def test_slips_of_number_and_unit_are_flagged(samples: list[tuple[float, str]], kind: Kind) -> None:
    assert kind in [f.kind for f in found(document(samples=samples)).findings]


def test_a_dose_in_micrograms_is_flagged() -> None:
    assert found(document(samples=CLEAN, dose="1 mg")).findings[0].kind is Kind.DOSE_UNIT


def test_pounds_for_kilograms_are_weighed_against_population_and_levels() -> None:
    heavy, usual = (found(document(samples=CLEAN, weight=w)) for w in ("253 kg", "80 kg"))
    pounds = [next(f for f in r.alternatives if f.facts.meant == "pounds") for r in (heavy, usual)]
    assert pounds[0].log_likelihood_ratio > 2 > 0 > pounds[1].log_likelihood_ratio


@pytest.mark.parametrize(("dose", "level", "weight"), GRAMS)
def test_units_and_order_of_the_record_do_not_matter(dose: str, level: str, weight: str) -> None:
    plain = document(samples=[(24.0, "12 mg/L"), (38.0, "24 mg/L"), (48.0, "30 mg/L")])
    turned = document(samples=[(48.0, "30 mg/L"), (24.0, level), (38.0, "24 mg/L")], dose=dose, weight=weight)
    one, other = found(plain), found(turned)
    assert [f.facts for f in one.alternatives] == [f.facts for f in other.alternatives]
    for a, b in zip(one.alternatives, other.alternatives, strict=True):
        assert a.log_likelihood_ratio == pytest.approx(b.log_likelihood_ratio, abs=1e-9)


def test_a_label_that_the_administrations_contradict_is_told() -> None:
    result = found(document(samples=[(24.0, "11 mg/L"), (26.0, "28 mg/L")]), labels={1: "trough"})
    (label,) = [f for f in result.findings if f.kind is Kind.LABEL]
    assert "labelled trough, but recorded 2 h after a dose" in Telling().what(label)
    assert not [f for f in found(document(samples=CLEAN), labels={0: "trough", 2: "trough"}).findings if f.kind is Kind.LABEL]
    (peak,) = [f for f in found(document(samples=CLEAN), labels={0: "peak"}).findings if f.kind is Kind.LABEL]
    assert "labelled peak" in Telling().what(peak)


def test_one_sample_or_none_is_answered() -> None:
    alone = found(document(samples=[(24.0, "14 mg/L")]))
    assert alone.places[0].a_priori == pytest.approx(alone.places[0].leave_one_out)
    assert found(document(samples=[])).places == ()


def test_the_same_question_has_the_same_answer() -> None:
    assert found(document(samples=CLEAN)) == found(document(samples=CLEAN))


def test_every_kind_has_a_prior_and_every_family_a_share() -> None:
    assert set(priors()) == set(Kind)
    assert sum(FALSE_ALARMS.values()) == pytest.approx(0.05)
    limits, calibrated = log_thresholds("a model that nobody calibrated")
    assert not calibrated
    assert set(limits) == set(Family)


def test_the_command_prints_a_table_and_sentences_and_the_same_as_json() -> None:
    path = str(ROOT / "examples" / "vancomycin_two_levels.toml")
    shown = CliRunner().invoke(app, ["plausible", path, "--all"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "From the others" in shown.stdout and "drawn 2 h earlier than recorded" in " ".join(shown.stdout.split())
    assert re.search(r"the dose recorded at \d\d:\d\d on \d+ \w+ was not given", " ".join(shown.stdout.split())), "the case has clock times"
    answer = json.loads(CliRunner().invoke(app, ["plausible", path, "--json"]).stdout)
    assert [s["where"] for s in answer["samples"]] == ["samples[0]", "samples[1]"]
    earlier = next(f for f in answer["alternatives"] if f["kind"] == "earlier")
    assert (
        earlier["facts"]["at_h"] - earlier["facts"]["then_h"] == 2
        and "rather than at" in earlier["what"]
        and earlier["what"].endswith(" h")
    )
    assert {"kind", "log_likelihood_ratio", "prior_odds", "question"} <= answer["alternatives"][0].keys()
    refused = CliRunner().invoke(app, ["plausible", path, "--label", "7=trough"])
    assert refused.exit_code == 2
