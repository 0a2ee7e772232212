"""HL7 v2 read as facts of a case document: each rule of docs/hl7.md, with the case file's own reader as the judge of what comes out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import hl7
import hl7apy.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auctor.data.document import check_document
from auctor.fhir.v2.ack import Outcome, Problem, Verdict, best_header, replies
from auctor.fhir.v2.facts import Fact, Kind, Status, latest
from auctor.fhir.v2.message import Delimiters, V2Error, escape, unescape
from auctor.fhir.v2.read import read
from auctor.fhir.v2.site import Site
from auctor.report.voice import ENGLISH
from auctor.web.pages.language import language
from auctor.web.pages.voice import PageVoice
from emr.messages import PID, SITE, message, msh, obx, oru, ras, rxa


def _facts(data: bytes) -> tuple[Fact, ...]:
    return read(data, SITE).patients[0].facts


def _only(data: bytes) -> Fact:
    (fact,) = _facts(data)
    return fact


def _problem(data: bytes) -> str:
    reading = read(data, SITE)
    assert not any(patient.facts for patient in reading.patients)
    (problem,) = reading.problems
    return problem.where


def test_what_a_message_says_is_a_case_file() -> None:
    level = _only(oru(obx("6.8", f17="LCMSMS^LC-MS/MS")))
    dose = _only(ras(rxa(f5="TACRO^Tacrolimus^99PHA", f6="5"), rxr="RXR|PO"))
    weight = _only(oru(obx("70", code="29463-7^Weight^LN", unit="kg")))
    assert (level.kind, dose.kind, weight.kind) == (Kind.SAMPLE, Kind.DOSE, Kind.COVARIATE)
    raw: dict[str, Any] = {"label": "A", "drug": level.about, "doses": [dict(dose.body)], "samples": [dict(level.body)]}
    read_back = check_document(raw | {"covariates": {weight.about: [dict(weight.body)]}})
    assert read_back.samples[0].value == "6.8 ng/mL" and read_back.samples[0].matrix == "whole blood"
    assert read_back.samples[0].assay == "LC-MS/MS" and read_back.doses[0].amount == "5 mg" and read_back.doses[0].route == "oral"


def test_identity_is_the_number_of_an_authority_of_the_site() -> None:
    who = read(oru(), SITE).patients[0].identity
    assert (who.authority, who.number, who.family, who.birth_date, who.sex) == ("HOSP", "123456", "Doe", "1970-01-01", "F")
    by_oid = "PID|1||77^^^LONG&1.2.250.1&ISO^MR||Doe"
    assert read(oru(pid=by_oid), SITE).patients[0].identity.number == "77"


@pytest.mark.parametrize("pid", ["PID|1||98^^^OTHER^MR", "PID|1||", "PID|1||1^^^HOSP^MR~2^^^HOSP^MR", "PID|1||98"])
def test_without_a_sure_number_nothing_is_taken(pid: str) -> None:
    reading = read(oru(pid=pid), SITE)
    assert not reading.patients and reading.problems[0].where == "PID[1]-3" and reading.problems[0].code == "204"


def test_two_patients_in_one_message_keep_their_own() -> None:
    second = ("PID|2||777^^^HOSP^MR", "OBR|1|P2|F2|LEVEL|||20260302074000+0100", obx("9.9"))
    reading = read(oru(obx("6.8"), *second), SITE)
    assert [(p.identity.number, p.facts[0].body["value"]) for p in reading.patients] == [("123456", "6.8 ng/mL"), ("777", "9.9 ng/mL")]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("NM", "6.8", "6.8 ng/mL"), ("NM", "+6.80", "6.80 ng/mL"), ("NM", ".5", "0.5 ng/mL"), ("NM", "7.", "7 ng/mL"),
        ("SN", "<^2.0", "<2.0 ng/mL"), ("SN", "^6.8", "6.8 ng/mL"), ("SN", "=^6.8", "6.8 ng/mL"), ("SN", ">^40", ">40 ng/mL"),
        ("ST", "<2.0", "<2.0 ng/mL"), ("NM", "< 2.0", "<2.0 ng/mL"),
    ],
)  # fmt: skip
def test_numbers_and_limits(kind: str, value: str, expected: str) -> None:
    fact = _only(oru(obx(value, kind=kind)))
    assert fact.body["value"] == expected
    assert ("number-as-text" in {n.code for n in fact.notices}) == (kind == "ST" or ("<" in value and kind == "NM"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("NM", ""), ("NM", "6,8"), ("NM", "six"), ("NM", "1e3"), ("NM", "6.8~7.0"), ("NM", "-1"), ("NM", "0"), ("NM", "nan"), ("NM", "٣"),
        ("SN", "^1^:^128"), ("SN", "^3^-^5"), ("SN", "<>^3"), ("CWE", "HEM^haemolysed"), ("ED", "^AP^x"), ("", "6.8"),
    ],
)  # fmt: skip
def test_a_value_that_is_no_number_is_a_problem(kind: str, value: str) -> None:
    assert _problem(oru(obx(value, kind=kind))) == "OBX[1]-5"


def test_collection_is_obx_14_before_obr_7() -> None:
    assert _only(oru(obx(f14="20260302074500+0100"))).body["at"] == "2026-03-02T07:45:00+01:00"
    assert _only(oru(obx(f14=""))).body["at"] == "2026-03-02T07:40:00+01:00"
    period = "OBR|1|P1|F1|LEVEL|||20260302074000+0100|20260302084000+0100"
    assert _problem(oru(obx(f14=""), obr=period)) == "OBR[1]-8"


def test_a_time_without_offset_is_the_sites_and_flagged() -> None:
    winter, summer = (_only(oru(obx(f14=f"2026{day}0745"))) for day in ("0302", "0702"))
    assert winter.body["at"] == "2026-03-02T07:45:00+01:00" and summer.body["at"] == "2026-07-02T07:45:00+02:00"
    assert [n.code for n in winter.notices] == ["offset-absent"]
    assert not _only(oru()).notices


@pytest.mark.parametrize(
    "text", ["20260302", "2026030207", "202603020745^D", "20261302074500+0100", "202602300745", "202603022400", "202603290230"]
)
@pytest.mark.parametrize("more", [""])
def test_a_time_that_is_no_instant_is_a_problem(text: str, more: str) -> None:
    assert _problem(oru(obx(f14=text + more))) == "OBX[1]-14"


@pytest.mark.parametrize(
    "text", ["202610250230", "20260302074500+2500", "20260302074500+0160", "00000302074500", "now", "2026-03-02T07:45"]
)
def test_more_times_that_are_none(text: str) -> None:
    assert _problem(oru(obx(f14=text))) == "OBX[1]-14"


def test_the_hour_that_comes_twice_needs_its_offset() -> None:
    first, second = (_only(oru(obx(f14=f"202610250230{offset}"))).body["at"] for offset in ("+0200", "+0100"))
    assert datetime.fromisoformat(str(second)) - datetime.fromisoformat(str(first)) == datetime(2026, 1, 1, 1) - datetime(2026, 1, 1)


def test_codes_are_loinc_or_the_sites_own_in_either_coding() -> None:
    local_first = obx(code="TACRO^Tac^99LAB^11253-2^Tacrolimus^LN")
    other_first = obx(code="XYZ^Tac^99ZZ^11253-2^Tacrolimus^LN")
    assert _only(oru(local_first)).about == _only(oru(other_first)).about == "tacrolimus"
    assert read(oru(obx(code="2345-7^Glucose^LN")), SITE).passed_over == 1


def test_units_are_ucum_or_the_sites_and_never_assumed() -> None:
    assert _only(oru(obx(unit="ng/ml WB"))).body["value"] == "6.8 ng/mL"
    assert _only(oru(obx(unit="XX^odd^L^ug/L^^UCUM"))).body["value"] == "6.8 ug/L"
    assert _only(oru(obx("8", unit="nmol/L"))).body["value"] == "8 nmol/L"
    for wrong in ("", "kg", "furlong", "mg"):
        assert _problem(oru(obx(unit=wrong))) == "OBX[1]-6"
    assert _only(oru(obx("88", code="14682-9^Cr^LN", unit="umol/L"))).body["value"] == "88 umol/L"


@pytest.mark.parametrize(
    ("letter", "status"),
    [
        ("P", Status.PRELIMINARY), ("F", Status.FINAL), ("C", Status.CORRECTED),
        ("D", Status.WITHDRAWN), ("W", Status.WITHDRAWN), ("X", Status.WITHDRAWN),
    ],
)  # fmt: skip
def test_result_status(letter: str, status: Status) -> None:
    fact = _only(oru(obx(f11=letter)))
    assert fact.status is status and bool(fact.body) == (status is not Status.WITHDRAWN)
    assert any(n.code == "preliminary" and n.blocks_signing for n in fact.notices) == (letter == "P")


def test_a_result_not_there_yet_is_passed_over_and_an_unknown_status_is_a_problem() -> None:
    assert read(oru(obx("", f11="I")), SITE).passed_over == 1
    assert _problem(oru(obx(f11="Z"))) == "OBX[1]-11"


def test_a_withdrawn_result_needs_no_value() -> None:
    assert _only(oru(obx("", unit="", f11="X", f14=""), obr="OBR|1|P1^EHR|F1^LAB|LEVEL")).key == _only(oru()).key


def test_one_bad_result_leaves_the_others() -> None:
    reading = read(oru(obx("6.8"), obx("bad", code="4092-3^Vanco^LN"), obx("70", code="29463-7^W^LN", unit="kg")), SITE)
    assert [f.about for f in reading.patients[0].facts] == ["tacrolimus", "WT"] and [p.where for p in reading.problems] == ["OBX[2]-5"]


def test_the_same_result_twice_in_one_message_is_neither_unless_told_apart() -> None:
    reading = read(oru(obx("6.8"), obx("9.9"), obx("70", code="29463-7^W^LN", unit="kg")), SITE)
    assert [f.about for f in reading.patients[0].facts] == ["WT"] and [p.code for p in reading.problems] == ["205"]
    assert len(_facts(oru(obx("6.8", f4="1"), obx("9.9", f4="2")))) == 2


def test_a_trough_is_a_word_and_never_a_time() -> None:
    fact = _only(oru(obx("14", code="4092-3^Vanco trough^LN", unit="mg/L")))
    assert fact.label == "trough" and fact.body["at"] == "2026-03-02T07:45:00+01:00"


def test_escape_sequences_and_character_sets() -> None:
    assert unescape(r"A\F\B\S\C\T\D\R\E\E\F\X41\\H\G", Delimiters()) == r"A|B^C&D~E\FAG"
    french = oru(head=msh("ORU^R01", f18="8859/1"), pid=PID.replace("Doe", "Lévêque")).decode().encode("latin-1")
    assert read(french, SITE).patients[0].identity.family == "Lévêque"
    utf = oru(head=msh("ORU^R01", f18="UNICODE UTF-8"), pid=PID.replace("Doe", "Lévêque"))
    assert read(utf, SITE).patients[0].identity.family == "Lévêque"
    for head in (msh("ORU^R01", f18="BIG-5"), msh("ORU^R01", f18="ASCII")):
        with pytest.raises(V2Error, match="MSH-18"):
            read(oru(head=head, pid=PID.replace("Doe", "é")), SITE)


@given(st.text(max_size=40))
def test_escaping_is_undone_by_unescaping(text: str) -> None:
    shown = "".join(c for c in text if c.isprintable())
    assert unescape(escape(text, Delimiters()), Delimiters()) == shown


def test_other_delimiters_are_those_of_the_message() -> None:
    usual = oru().decode()
    odd = usual.translate(str.maketrans({"^": "#", "|": "!"}))
    assert read(odd.encode(), SITE).patients == read(usual.encode(), SITE).patients


def test_an_infusion_has_its_start_stop_and_amount() -> None:
    fact = _only(ras())
    assert fact.about == "vancomycin" and fact.status is Status.FINAL
    assert fact.body == {
        "amount": "1000 mg", "route": "iv", "at": "2026-03-02T08:00:00+01:00", "stop_at": "2026-03-02T09:00:00+01:00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "mg"),
    [
        ({"f6": "1", "f7": "g"}, "1000 mg"),
        ({"f6": "500", "f7": "mg", "f12": "H1"}, "500 mg"),  # 500 mg/h for one hour
        ({"f6": "10", "f7": "mg", "f12": "M1"}, "600 mg"),  # 10 mg/min for one hour
        ({"f6": "24", "f7": "g", "f12": "D"}, "1000 mg"),
        ({"f6": "100", "f7": "mL", "f13": "10", "f14": "mg/mL"}, "1000 mg"),
        ({"f6": "250", "f7": "mL", "f12": "H1", "f13": "1000", "f14": "mg", "f23": "250", "f24": "mL"}, "1000 mg"),
        ({"f6": "2", "f7": "VIAL", "f13": "500", "f14": "mg"}, "1000 mg"),
        ({"f6": "0.3", "f7": "mg", "f12": ""}, "0.3 mg"),
    ],
)
def test_amounts_by_hand(fields: dict[str, str], mg: str) -> None:
    assert _only(ras(rxa(**fields))).body["amount"] == mg


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"f6": ""}, "6"), ({"f6": "0"}, "6"), ({"f6": "-5"}, "6"), ({"f6": "<5"}, "6"), ({"f6": "999", "f7": ""}, "6"), ({"f7": ""}, "7"),
        ({"f7": "furlong"}, "7"), ({"f7": "mL"}, "13"), ({"f7": "mL", "f13": "10"}, "14"), ({"f7": "mL", "f13": "10", "f14": "mg"}, "23"),
        ({"f7": "TAB", "f13": "10", "f14": "mg/mL"}, "14"), ({"f12": "H0"}, "12"), ({"f12": "kg"}, "12"),
        ({"f20": "ZZ"}, "20"), ({"f21": "Z"}, "21"),
        ({"start": "20260302"}, "3"), ({"stop": "20260302070000+0100"}, "4"), ({"stop": ""}, "4"), ({"stop": "20260302080000+0100"}, "4"),
        ({"f12": "H1", "stop": ""}, "4"), ({"f2": ""}, "2"),
    ],
)  # fmt: skip
def test_a_dose_that_is_not_sure_is_a_problem(fields: dict[str, str], place: str) -> None:
    assert _problem(ras(rxa(**fields))) == f"RXA[1]-{place}"


def test_the_length_of_an_infusion_is_never_assumed_and_a_push_is_said() -> None:
    assert _only(ras(rxa(stop=""), rxr="RXR|IV|||IVP")).body["bolus"] is True
    pushing = SITE.model_copy(update={"push_when_no_length": True})
    same = read(ras(rxa(stop="20260302080000+0100")), pushing).patients[0].facts[0]
    assert same.body["bolus"] is True
    minute = _only(ras(rxa(stop="20260302080100+0100")))
    assert [n.code for n in minute.notices] == ["charted-as-push"] and minute.notices[0].blocks_signing


@pytest.mark.parametrize("rxr", ["", "RXR|", "RXR|SC^Subcutaneous^HL70162"])
def test_a_route_is_never_assumed(rxr: str) -> None:
    assert _problem(ras(rxr=rxr)) == "RXA[1] RXR-1"


def test_the_route_of_an_administration_without_rxr_in_the_middle_is_not_that_of_the_next() -> None:
    data = message(msh("RAS^O17"), PID, "ORC|RE|P1", rxa(f2="1"), "ORC|RE|P2", rxa(f2="1"), "RXR|IV")
    reading = read(data, SITE)
    assert [f.key.split("|")[2] for f in reading.patients[0].facts] == ["P2"] and [p.where for p in reading.problems] == ["RXA[1] RXR-1"]


@pytest.mark.parametrize("fields", [{"f20": "RE"}, {"f20": "NA"}, {"f21": "D"}, {"f20": "NA", "f6": "", "f7": "", "stop": ""}])
def test_what_was_not_given_withdraws_the_dose(fields: dict[str, str]) -> None:
    fact = _only(ras(rxa(**fields)))
    assert fact.status is Status.WITHDRAWN and not fact.body and fact.key == _only(ras()).key


def test_a_part_of_a_dose_is_what_was_given_and_has_to_be_confirmed() -> None:
    fact = _only(ras(rxa(f6="400", f20="PA")))
    assert fact.body["amount"] == "400 mg" and [(n.code, n.blocks_signing) for n in fact.notices] == [("partly-given", True)]


def test_rate_changes_are_one_dose_each() -> None:
    two = ras(rxa(f2="1", stop="20260302083000+0100"), rxa(start="20260302083000+0100", f2="2", f6="250"))
    assert [f.body["amount"] for f in _facts(two)] == ["1000 mg", "250 mg"]


_HISTORY = [
    oru(obx("6.8", f11="P"), head=msh("ORU^R01", "1", sent="20260302100000+0100")),
    oru(obx("7.1", f11="F"), head=msh("ORU^R01", "2", sent="20260302110000+0100")),
    oru(obx("7.4", f11="C"), head=msh("ORU^R01", "3", sent="20260302120000+0100")),
    ras(head=msh("RAS^O17", "4", sent="20260302090100+0100")),
    ras(rxa(f6="750", f21="U"), head=msh("RAS^O17", "5", sent="20260302093000+0100")),
    oru(obx("9.9", code="4092-3^V^LN", unit="mg/L"), head=msh("ORU^R01", "6", sent="20260302100000+0100")),
    oru(obx("", code="4092-3^V^LN", f11="W"), head=msh("ORU^R01", "7", sent="20260302100000+0100")),
]


@given(st.permutations(range(len(_HISTORY))), st.lists(st.integers(0, len(_HISTORY) - 1), max_size=4))
@settings(max_examples=60, deadline=None)
def test_replay_in_any_order_and_repeated_ends_in_the_same_state(order: list[int], again: list[int]) -> None:
    found = latest(fact for k in (*order, *again) for fact in _facts(_HISTORY[k]))
    shown = {(f.about, f.kind): (f.status, f.body.get("value") or f.body.get("amount")) for f in found.values()}
    assert shown == {
        ("tacrolimus", Kind.SAMPLE): (Status.CORRECTED, "7.4 ng/mL"),
        ("vancomycin", Kind.DOSE): (Status.CORRECTED, "750 mg"),
        ("vancomycin", Kind.SAMPLE): (Status.WITHDRAWN, None),
    }


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (msh("ADT^A01"), "200"), (msh("ORU^R30"), "201"), (msh("ORU^R01", f11="T"), "202"), (msh("ORU^R01", f12="3.0"), "203"),
        (msh("ORU^R01", ""), "101"), (msh("ORU^R01", "x" * 200), "101"),
    ],
)  # fmt: skip
def test_messages_that_are_not_for_us_are_rejected(head: str, code: str) -> None:
    with pytest.raises(V2Error) as refused:
        read(oru(head=head), SITE)
    assert refused.value.code == code and refused.value.fatal


@pytest.mark.parametrize("data", [b"", b"\x00", b"PID|1", b"MSH", b"MSH|^~\\", b"MSH|||||", b"MSH|^^\\&|", b"MSHabcde|", b"\xff" * 50])
def test_bytes_that_are_no_message_are_refused_and_answered(data: bytes) -> None:
    with pytest.raises(V2Error):
        read(data, SITE)
    (answer,) = replies(best_header(data), Outcome(verdict=Verdict.REJECT), at=datetime.now(UTC), new_id="n1")
    assert str(hl7.parse(answer.decode())["MSA"][0][1]) == "AR"


_AT = datetime(2026, 3, 2, 11, tzinfo=UTC)
_PROBLEM = Problem(code="102", where="OBX[2]-5", what="not a number", remedy="send the number")


@pytest.mark.parametrize(
    ("charset", "codec", "english", "french"),
    [
        ("", "ascii", "OBX[2]-6: no unit; send the number", "OBX[2]-6 : pas d'unite ; envoyez le nombre"),
        ("8859/1", "iso8859_1", "OBX[2]-6: no unit; send the number", "OBX[2]-6 : pas d'unité ; envoyez le nombre"),
        ("UNICODE UTF-8", "utf-8", "OBX[2]-6: no unit; send the number", "OBX[2]-6 : pas d'unité ; envoyez le nombre"),
    ],
)
def test_what_people_read_in_an_answer_is_in_the_language_of_the_installation(charset: str, codec: str, english: str, french: str) -> None:
    head = replace(best_header(oru()), charset=charset)
    outcome = Outcome(verdict=Verdict.ERROR, problems=(replace(_PROBLEM, what="no unit", where="OBX[2]-6"),))
    for voice, said in ((ENGLISH, english), (PageVoice(language("fr")), french)):
        (answer,) = replies(head, outcome, at=_AT, new_id="n1", voice=voice)
        segments = [line.split("|") for line in answer.decode(codec).strip("\r").split("\r")]
        assert [segment[0] for segment in segments] == ["MSH", "MSA", "ERR"]
        assert segments[1][1:] == ["AE", "M1", said] and segments[2][8] == said
        assert segments[2][2:5] == ["OBX^2^6", "102^Data type error^HL70357", "E"] and (segments[0][17:] or [""])[0] == charset


def test_an_error_is_acknowledged_with_its_place_for_a_strict_reader() -> None:
    (answer,) = replies(best_header(oru()), Outcome(verdict=Verdict.ERROR, problems=(_PROBLEM,)), at=_AT, new_id="n1")
    strict = hl7apy.parser.parse_message(answer.decode(), validation_level=1, find_groups=False)
    assert (strict.msa.msa_1.value, strict.msa.msa_2.value) == ("AE", "M1")
    assert strict.err.err_2.value == "OBX^2^5" and strict.err.err_3.err_3_1.value == "102" and strict.validate()
    assert strict.msh.msh_9.value == "ACK^R01^ACK" and strict.msh.msh_5.value == "LAB"


_ASKED = list(itertools.product(("", "AL", "NE", "ER", "SU", "UNICODE"), repeat=2))


@pytest.mark.parametrize(("accept", "applies"), _ASKED)
@pytest.mark.parametrize("verdict", Verdict)
def test_acknowledgement_modes(accept: str, applies: str, verdict: Verdict) -> None:
    """HL7 v2.5.1 table 0155 and section 2.9.3, written out; a word that is none of the table's asks for an answer.

    Beyond it: who is refused and waits for the application's acknowledgement alone hears it from that one.
    """
    head = best_header(oru(head=msh("ORU^R01", f15=accept, f16=applies)))
    kept = verdict is not Verdict.REJECT
    outcome = Outcome(verdict=verdict, problems=() if verdict is Verdict.ACCEPT else (_PROBLEM,), kept=kept)
    codes = [str(hl7.parse(a.decode())["MSA"][0][1]) for a in replies(head, outcome, at=_AT, new_id="n")]
    if not (accept or applies):
        assert codes == [f"A{verdict.value}"]
        return
    commit = [("CA" if kept else "CR")] if accept in ("AL", "UNICODE", "SU" if kept else "ER") else []
    application = [f"A{verdict.value}"] if applies in ("AL", "UNICODE", "SU" if verdict is Verdict.ACCEPT else "ER") else []
    assert codes == (commit + application if kept else (commit + application)[:1])


def test_site_files_are_checked() -> None:
    with pytest.raises(ValueError, match="IANA"):
        Site(time_zone="Paris", authorities=["H"])
    with pytest.raises(ValueError, match="exactly one"):
        Site.model_validate({"time_zone": "UTC", "authorities": ["H"], "codes": [{"code": "X", "level": "a", "drug": "b"}]})
