"""FHIR R4 in: what is taken, with what from which resource; what is left out and why; what is asked instead of assumed."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from auctor.data.casefile import case_of
from auctor.data.document import check_document
from auctor.errors import AuctorError, RecordError
from auctor.fhir.document import as_dict, case_document
from auctor.fhir.found import Imported
from auctor.fhir.read import read_bundle
from auctor.fhir.reading import Wanted
from auctor.models.reader import read_model
from emr.bundles import LOINC, RXNORM, SNOMED, bundle, coded, given, observed, ordered, patient, quantity, vancomycin_record

GOTI = Wanted(drug="vancomycin", models=("vancomycin_goti_2018",), formula="cockcroft-gault")
START, STOP = "2026-03-01T08:00:00+01:00", "2026-03-01T09:00:00+01:00"


def one(*resources: dict[str, Any], wanted: Wanted = GOTI) -> Imported:
    return read_bundle(bundle(*resources), wanted)


def asked(found: Imported) -> list[str]:
    return [question.notice.code for question in found.questions]


def left(found: Imported) -> list[str]:
    return [entry.code for entry in found.left]


def test_a_record_becomes_a_case_in_engine_units() -> None:
    found = read_bundle(vancomycin_record(), GOTI)
    case = case_of(check_document(case_document(found, GOTI)), read_model("vancomycin_goti_2018"))
    assert [(d.time_h, d.amount_mg, d.duration_h) for d in case.history.doses] == [
        (0, 1000, 1),
        (12, 1000, 1),
        (pytest.approx(24 + 1 / 6), 1000, 1),
    ]
    assert [(s.time_h, s.value) for s in case.samples] == [(26.25, 31.4), (pytest.approx(35 + 2 / 3), 14.2)]
    assert case.covariates.at(0)["WT"] == 82
    age, creatinine = (64 * 365.25 + 288) / 365.25, 1.1  # 17 May 1961 to 1 March 2026; 97.24 umol/L are 1.1 mg/dL
    assert case.covariates.at(0)["CRCL"] == pytest.approx(0.85 * (140 - age) * 82 / (72 * creatinine), rel=1e-3)
    assert case.current is not None and case.current.doses[0].every_h == 12


def test_nothing_is_dropped_silently_and_the_document_holds_no_identity() -> None:
    record = vancomycin_record()
    found = read_bundle(record, GOTI)
    named = {source.reference for fact in found.facts for source in fact.sources} | {entry.source for entry in found.left}
    sent = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in record["entry"]} - {"Patient/p1"}
    assert sent <= named
    assert (found.identity.name, found.identity.identifiers) == ("Anna Beispiel", (("urn:oid:1.2.3", "4711"),))
    text = str(case_document(found, GOTI)) + str(as_dict(found))
    assert not any(word in text for word in ("Beispiel", "4711", "1961"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "not-done"}, "not-given"),
        ({"status": "entered-in-error"}, "entered-in-error"),
        ({"medicationCodeableConcept": coded(RXNORM, "42316")}, "another-drug"),
    ],
)
def test_administrations_that_are_left_out(change: dict[str, Any], code: str) -> None:
    found = one(given("a", START, STOP, **change))
    assert (left(found), found.facts, asked(found)) == ([code], (), [])
    assert found.withdrawn == (("MedicationAdministration/a",) if code == "entered-in-error" else ())


def without(*keys: str) -> dict[str, Any]:
    dosage = {"route": coded(SNOMED, "47625008"), "dose": quantity(1000, "mg")}
    return {"dosage": {key: value for key, value in dosage.items() if key not in keys}}


def dosage(**more: Any) -> dict[str, Any]:
    return {"dosage": {"route": coded(SNOMED, "47625008"), **more}}


@pytest.mark.parametrize(
    ("start", "stop", "change", "code"),
    [
        (START, None, {}, "no-duration"),
        (START, "2026-03-01T08:01:00+01:00", {}, "charted-as-push"),  # MIMIC's one minute
        (START, "2026-03-01T07:00:00+01:00", {}, "period"),
        ("2026-03-01T08:00:00", "2026-03-01T09:00:00", {}, "malformed"),  # no offset, no zone
        ("2026-03-01", None, {}, "malformed"),
        (START, STOP, {"status": "unknown"}, "status"),
        (START, STOP, {"status": "on-hold"}, "status"),
        (START, STOP, {"status": "stopped"}, "stopped"),
        (START, None, {"status": "in-progress"}, "running"),
        (START, STOP, {"effectivePeriod": None}, "no-time"),
        (START, STOP, {"effectiveDateTime": START}, "no-time"),
        (START, STOP, {"dosage": None}, "no-dosage"),
        (START, STOP, without("route"), "route"),
        (START, STOP, without("dose"), "no-amount"),
        (START, STOP, dosage(dose={"value": 1000}), "unit"),
        (START, STOP, dosage(dose=quantity(1, "{tablet}")), "unit"),
        (START, STOP, dosage(dose={"value": "1000", "unit": "mg"}), "malformed"),
        (START, STOP, dosage(dose={**quantity(1000, "mg"), "unit": "ug"}), "units-disagree"),
        (START, STOP, dosage(dose=quantity(250, "mL")), "no-strength"),
        (START, STOP, dosage(dose=quantity(-5, "mg")), "amount"),
        (START, STOP, dosage(dose=quantity(1000, "kg")), "amount"),
        (START, STOP, dosage(dose=quantity(1000, "mg"), rateQuantity=quantity(500, "mg/h")), "rate-contradicts"),
        (START, None, dosage(rateQuantity=quantity(500, "mg/h")), "running"),
        (START, STOP, {"dosage": {**without("route")["dosage"], "route": coded(SNOMED, "78421000")}}, "route"),
        (START, STOP, {"medicationCodeableConcept": {"text": "Vancomycin 1 g bag"}}, "unmapped-medication"),
        (START, STOP, {"medicationCodeableConcept": None, "medicationReference": {"reference": "Medication/9"}}, "unresolved-medication"),
        (START, STOP, {"subject": None}, "no-subject"),
        (START, STOP, {"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]}, "modifier"),
        (START, STOP, {"status": 7}, "malformed"),
    ],
)
def test_administrations_that_are_asked_about(start: str, stop: str | None, change: dict[str, Any], code: str) -> None:
    found = one(given("a", start, stop, **change))
    assert (asked(found), found.facts) == ([code], ())
    assert found.questions[0].notice.blocks_signing and found.questions[0].notice.where.startswith("MedicationAdministration/a")
    with pytest.raises(RecordError, match="question"):
        case_document(found, GOTI)


def test_an_infusion_without_a_length_is_never_a_bolus_unless_somebody_says_so() -> None:
    resource = given("a", START)
    assert dict(one(resource).questions[0].draft) == {"amount": "1000 mg", "route": "iv", "at": START}
    for answer, body in (("90 min", {"duration": "90 min"}), ("bolus", {"bolus": True})):
        wanted = Wanted(drug="vancomycin", infusions={"MedicationAdministration/a": answer})
        (fact,) = one(resource, wanted=wanted).of("dose")
        assert body.items() <= fact.body.items() and [n.code for n in fact.notices] == ["infusion-answered"]


RATE = {"numerator": quantity(1000, "mg"), "denominator": quantity(90, "min")}
BAG = {
    "resourceType": "Medication",
    "id": "bag",
    "ingredient": [
        {
            "itemCodeableConcept": coded(RXNORM, "11124"),
            "strength": {"numerator": quantity(1000, "mg"), "denominator": quantity(250, "mL")},
        }
    ],
}
OF_BAG = {"medicationCodeableConcept": None, "medicationReference": {"reference": "Medication/bag"}}


@pytest.mark.parametrize(
    ("stop", "change", "amount", "length"),
    [
        (STOP, dosage(dose=quantity(1, "g")), "1000 mg", {"stop_at": STOP}),
        (STOP, dosage(dose=quantity(1000, "mg"), rateQuantity=quantity(1010, "mg/h")), "1000 mg", {"stop_at": STOP}),  # a pump's rounding
        (STOP, dosage(rateQuantity=quantity(500, "mg/h")), "500 mg", {"stop_at": STOP}),
        (STOP, {"status": "stopped", **dosage(rateQuantity=quantity(500, "mg/h"))}, "500 mg", {"stop_at": STOP}),
        (STOP, {**OF_BAG, **dosage(rateQuantity=quantity(125, "mL/h"))}, "500 mg", {"stop_at": STOP}),
        (STOP, {**OF_BAG, **dosage(dose=quantity(250, "mL"))}, "1000 mg", {"stop_at": STOP}),
        (None, dosage(dose=quantity(1000, "mg"), rateRatio=RATE), "1000 mg", {"duration": "90 min"}),
        (None, dosage(dose=quantity(1000, "mg"), rateQuantity=quantity(1000, "mg/h")), "1000 mg", {"duration": "60 min"}),
    ],
)
def test_amount_and_length_of_an_infusion(stop: str | None, change: dict[str, Any], amount: str, length: dict[str, str]) -> None:
    (fact,) = one(given("a", START, stop, **change), BAG).of("dose")
    assert fact.body == {"amount": amount, "route": "iv", "at": START, **length}


def test_rates_of_one_order_are_joined_each_until_the_next() -> None:
    def rate(name: str, at: str, per_h: float) -> dict[str, Any]:
        return given(name, at, request={"reference": "MedicationRequest/r"}, **dosage(rateQuantity=quantity(per_h, "mg/h")))

    times = [f"2026-03-01T{hour}:00:00+01:00" for hour in ("08", "12", "20")]
    found = one(*(rate(f"a{k}", at, per_h) for k, (at, per_h) in enumerate(zip(times, (50, 75, 0), strict=True))))
    doses = [(f.body["amount"], f.body["at"], f.body["stop_at"]) for f in found.of("dose")]
    assert doses == [("200 mg", times[0], times[1]), ("600 mg", times[1], times[2])]
    assert (left(found), asked(found)) == (["rate-of-zero"], [])
    assert asked(one(rate("a0", times[0], 50), rate("a1", times[1], 75))) == ["running"]


def test_an_order_is_taken_as_given_only_where_nothing_is_on_record() -> None:
    wanted = Wanted(drug="vancomycin", now="2026-03-02T21:00:00+01:00")
    (fact,) = one(ordered("r"), wanted=wanted).of("dose")
    assert fact.assumed and [(n.code, n.blocks_signing) for n in fact.notices] == [("dose-assumed", True)]
    assert (fact.body["every"], fact.body["until_at"], fact.body["duration"]) == ("12 h", wanted.now, "60 min")
    assert asked(one(ordered("r"))) == ["order-without-end"]
    both = one(ordered("r"), given("a", START, STOP, mg=500))
    assert not both.of("dose")[0].assumed and both.of("current")[0].notices[0].code == "order-differs"
    # a dose in question is no reason to assume others
    assert [f.kind for f in one(ordered("r"), given("a", START), wanted=wanted).facts] == ["current"]


REPEAT = {"period": 12, "periodUnit": "h"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "unknown"}, "status"),
        ({"dosageInstruction": []}, "no-dosage"),
        ({"dosageInstruction": [{"asNeededBoolean": True}]}, "as-needed"),
        ({"dosageInstruction": [{"timing": {"code": {"text": "BID"}}}]}, "timing"),
        ({"dosageInstruction": [{"timing": {"repeat": {**REPEAT, "when": ["ACM"]}}}]}, "timing"),
        ({"dosageInstruction": [{"timing": {"repeat": REPEAT}}]}, "no-amount"),
        ({"dosageInstruction": [{"timing": {"repeat": REPEAT}, "doseAndRate": [{"doseQuantity": quantity(1, "g")}]}]}, "route"),
        (
            {
                "dosageInstruction": [
                    {"timing": {"repeat": REPEAT}, "doseAndRate": [{"doseQuantity": quantity(1, "g")}], **without("dose")["dosage"]}
                ]
            },
            "no-duration",
        ),
    ],
)
def test_orders_that_are_asked_about(change: dict[str, Any], code: str) -> None:
    assert asked(one(ordered("r", **change), given("a", START, STOP))) == [code]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"intent": "plan"}, "not-an-order"), ({"status": "draft"}, "not-in-force"), ({"doNotPerform": True}, "not-in-force")],
)
def test_orders_that_are_left_out(change: dict[str, Any], code: str) -> None:
    assert left(one(ordered("r", **change), given("a", START, STOP))) == [code]


LEVEL = ("l", "20578-1", 14.2, "mg/L", "2026-03-02T07:30:00+01:00")


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({}, "14.2 mg/L"),
        ({"status": "corrected"}, "14.2 mg/L"),
        ({"valueQuantity": quantity(14.2, "mcg/mL")}, "14.2 ug/mL"),
        ({"valueQuantity": {"value": 14.2, "unit": "MCG/ML"}}, "14.2 ug/mL"),
        ({"valueQuantity": {**quantity(2, "mg/L"), "comparator": "<"}}, "<2 mg/L"),
        ({"valueQuantity": {**quantity(80, "mg/L"), "comparator": ">="}}, ">80 mg/L"),
        ({"valueQuantity": quantity(10, "umol/L")}, "14.493 mg/L"),  # molar mass 1449.3 g/mol
    ],
)
def test_levels_keep_value_unit_and_side_of_the_limit(change: dict[str, Any], value: str) -> None:
    (fact,) = one(observed(*LEVEL, **change)).of("sample")
    assert (fact.body["value"], fact.body["at"]) == (value, LEVEL[4])
    assert fact.sources[0].status == change.get("status", "final")


def test_a_level_below_the_limit_is_censored_in_the_case() -> None:
    low = observed(*LEVEL, valueQuantity={**quantity(2, "mg/L"), "comparator": "<"})
    case = case_of(check_document(case_document(one(given("a", START, STOP), low), GOTI)))
    assert (case.samples[0].below_lloq, case.samples[0].lloq) == (True, 2)


SPECIMEN = {
    "resourceType": "Specimen",
    "id": "s",
    "type": coded(SNOMED, "119364003"),
    "collection": {"collectedDateTime": "2026-03-02T06:30:00Z"},
}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"effectiveDateTime": None, "effectivePeriod": {"start": START, "end": STOP}}, "period"),
        ({"effectiveDateTime": None}, "no-time"),  # `issued` is there, and is not the collection
        ({"effectiveDateTime": "2026-03-02"}, "malformed"),
        ({"effectiveDateTime": "2026-03-02T24:00:00+01:00"}, "malformed"),
        ({"status": "unknown"}, "status"),
        ({"valueQuantity": quantity(0, "mg/L")}, "implausible"),
        ({"valueQuantity": quantity(14.2, "kg/L")}, "implausible"),
        ({"valueQuantity": quantity(14.2, "mg")}, "unit"),
        ({"valueQuantity": {"value": 14.2, "comparator": "~", "unit": "mg/L"}}, "malformed"),
        ({"valueQuantity": None, "valueString": "14.2"}, "no-number"),
        ({"code": {"text": "Vancomycin level"}}, "unmapped-level"),
        ({"code": {"text": "Vancomycin level"}, "valueQuantity": None, "valueString": "14.2 mg/L"}, "unmapped-level"),
        (
            {"code": {"text": "Panel"}, "component": [{"code": coded(LOINC, "20578-1"), "valueQuantity": quantity(14.2, "mg/L")}]},
            "component",
        ),
        ({"specimen": {"reference": "#u"}, "contained": [{"resourceType": "Specimen", "id": "u", "type": {"text": "Urine"}}]}, "matrix"),
        ({"code": {"coding": [{"system": LOINC, "code": "20578-2"}], "text": "vancomycin"}}, "unmapped-level"),
        ({"code": {"coding": [*coded(LOINC, "4092-3")["coding"], *coded(LOINC, "4090-7")["coding"]]}}, "codes-disagree"),
        ({"code": {"coding": [*coded(LOINC, "4092-3")["coding"], *coded(LOINC, "2160-0")["coding"]]}}, "codes-disagree"),
        ({"effectiveDateTime": "2026-03-02T08:30:00+01:00", "specimen": {"reference": "Specimen/s"}}, "two-times"),
    ],
)
def test_levels_that_are_asked_about(change: dict[str, Any], code: str) -> None:
    found = one(observed(*LEVEL, **change), SPECIMEN)
    assert (asked(found), found.facts) == ([code], ())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "preliminary"}, "not-final"),
        ({"status": "cancelled"}, "not-final"),
        ({"status": "entered-in-error"}, "entered-in-error"),
        ({"valueQuantity": None, "dataAbsentReason": {"text": "haemolysed"}}, "no-value"),
        ({"code": coded(LOINC, "11253-2")}, "another-drug"),
        ({"code": coded(LOINC, "3969-3")}, "part-of-level"),
        ({"code": coded(LOINC, "98979-8")}, "computed-filtration"),
        ({"code": {"text": "Vancomycin [Susceptibility]"}}, "other-measurement"),
        ({"code": {"coding": [{"system": "urn:auctor:code", "code": "auc"}], "text": "vancomycin AUC0-24"}}, "own-result"),
    ],
)
def test_levels_that_are_left_out(change: dict[str, Any], code: str) -> None:
    found = one(observed(*LEVEL, **change))
    assert (left(found), asked(found), found.facts) == ([code], [], ())


def test_matrix_method_and_the_times_of_a_specimen() -> None:
    level = observed(*LEVEL, specimen={"reference": "Specimen/s"}, method={"text": "LC-MS/MS"})
    (fact,) = one(level, SPECIMEN).of("sample")
    assert (fact.body["matrix"], fact.body["assay"]) == ("serum", "LC-MS/MS")
    blood = Wanted(drug="tacrolimus")
    tacrolimus = observed("t", "11253-2", 6.1, "ng/mL", LEVEL[4])
    assert one(tacrolimus, wanted=blood).of("sample")[0].body["matrix"] == "whole blood"
    assert asked(one(tacrolimus | {"specimen": {"reference": "Specimen/s"}}, SPECIMEN, wanted=blood)) == ["matrix"]


def test_a_label_never_moves_a_sample_and_a_contradiction_is_said() -> None:
    early = observed("l", "4092-3", 41.0, "mg/L", "2026-03-01T09:30:00+01:00")
    (fact,) = one(given("a", START, STOP), early).of("sample")
    assert (fact.label, fact.body["at"]) == ("trough", "2026-03-01T09:30:00+01:00")
    assert [(n.code, n.blocks_signing) for n in fact.notices] == [("label-contradicts-times", True)]
    late = observed("l", "4092-3", 12.0, "mg/L", "2026-03-01T19:30:00+01:00")
    assert one(given("a", START, STOP), late).of("sample")[0].notices == ()


def test_times_without_an_offset_need_the_sites_zone_and_carry_a_flag() -> None:
    local = given("a", "2026-03-01T08:00:00", "2026-03-01T09:00:00")
    (fact,) = one(local, wanted=Wanted(drug="vancomycin", time_zone="Europe/Paris")).of("dose")
    assert (fact.body["at"], [n.code for n in fact.notices]) == (START, ["zone-assumed"])
    twice = observed(*LEVEL[:4], "2026-10-25T02:30:00")
    assert asked(one(twice, wanted=Wanted(drug="vancomycin", time_zone="Europe/Paris"))) == ["malformed"]


def test_the_same_instants_written_in_another_zone_make_the_same_case() -> None:
    def elsewhere(found: re.Match[str]) -> str:
        return datetime.fromisoformat(found[0]).astimezone(timezone(timedelta(hours=-9, minutes=-30))).isoformat()

    text = json.dumps(vancomycin_record())
    moved = json.loads(re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}\+01:00", elsewhere, text))
    assert moved != json.loads(text)
    cases = [
        case_of(check_document(case_document(read_bundle(raw, GOTI), GOTI)), read_model(GOTI.models[0]))
        for raw in (json.loads(text), moved)
    ]
    assert cases[0] == cases[1]


@pytest.mark.parametrize(
    ("said", "value"),
    [("CYP3A5 *1/*3", "expresser"), ("CYP3A5 *3/*3", "nonexpresser"), ("CYP3A5*3/*6", "nonexpresser")],
)
def test_genotypes(said: str, value: str) -> None:
    part = {"code": coded(LOINC, "48018-6"), "valueCodeableConcept": {"coding": [{"code": "HGNC:2638", "display": "CYP3A5"}]}}
    found = observed("g", "84413-4", 1, "1", START, valueQuantity=None, valueCodeableConcept={"text": said}, component=[part])
    (fact,) = one(found, wanted=Wanted(drug="tacrolimus")).of("covariate")
    assert fact.body == {"name": "CYP3A5", "value": value}
    odd = found | {"valueCodeableConcept": {"text": "CYP3A5 *3/*9"}}
    assert asked(one(odd, wanted=Wanted(drug="tacrolimus"))) == ["genotype"]
    other = found | {"valueCodeableConcept": {"text": "CYP2C9 *2/*5"}, "component": []}
    assert left(one(other, wanted=Wanted(drug="tacrolimus"))) == ["another-gene"]


def transplanted(day: str, **changes: Any) -> dict[str, Any]:
    found = {"resourceType": "Procedure", "id": f"t-{day}", "status": "completed", "subject": {"reference": "Patient/p1"}}
    return found | {"code": coded(SNOMED, "70536003"), "performedDateTime": day} | changes


def test_days_after_transplantation_by_the_day() -> None:
    wanted = Wanted(drug="tacrolimus", models=("tacrolimus_bergmann_2014",))
    doses = [given(f"d{k}", f"2026-03-0{k}T08:00:00+01:00", drug="tacrolimus", mg=2, route="oral") for k in (1, 2)]
    level = observed("l", "11253-2", 6.1, "ng/mL", "2026-03-02T19:30:00+01:00")
    found = one(*doses, level, transplanted("2026-02-20"), transplanted("2019-01-01"), wanted=wanted)
    points = [(f.body["value"], f.body["at"]) for f in found.of("covariate") if f.body["name"] == "POD"]
    assert points == [("9 d", "2026-03-01T08:00:00+01:00"), ("10 d", "2026-03-02T08:00:00+01:00")]
    assert "transplant-during-course" in asked(one(*doses, transplanted("2026-03-02"), wanted=wanted))
    assert "no-time" in asked(one(*doses, transplanted("2026-02"), wanted=wanted))
    for change in ({"status": "preparation"}, {"code": coded(SNOMED, "80146002")}):
        assert left(one(*doses, transplanted("2026-02-20", **change), wanted=wanted))[-1] in ("not-given", "not-used")


def test_a_filtration_rate_needs_a_named_formula() -> None:
    record = vancomycin_record()
    assert asked(read_bundle(record, Wanted(drug="vancomycin", models=GOTI.models))) == ["formula"]
    with pytest.raises(RecordError, match="formula"):
        Wanted(drug="vancomycin", formula="mdrd")


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"reference": "Patient/p2"}},
        {"subject": {"reference": "https://other.example/fhir/Patient/p2"}},
        {"subject": {"identifier": {"system": "urn:oid:1.2.3", "value": "4712"}}},
    ],
)
def test_one_resource_about_somebody_else_refuses_the_whole(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="somebody other"):
        one(given("a", START, STOP), observed(*LEVEL, **change))


@pytest.mark.parametrize(
    "raw", [{}, {"resourceType": "Patient"}, bundle(patient(), patient(id="p2")), {"resourceType": "Bundle", "entry": []}]
)
def test_what_is_no_record_of_one_patient_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        read_bundle(raw, GOTI)


def test_urls_versions_and_identifiers_name_the_same_patient() -> None:
    level = observed(*LEVEL, subject={"reference": "urn:uuid:7"})
    raw = {"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:7", "resource": patient(id="9")}, {"resource": level}]}
    assert len(read_bundle(raw, GOTI).of("sample")) == 1
    by_number = observed(*LEVEL, subject={"identifier": {"system": "urn:oid:1.2.3", "value": "4711"}})
    assert len(one(by_number).of("sample")) == 1
    versioned = observed(*LEVEL, subject={"reference": "Patient/p1/_history/3"})
    assert len(one(versioned).of("sample")) == 1


def test_the_latest_version_counts_and_two_unordered_ones_are_asked_about() -> None:
    first, second = (observed(*LEVEL, meta={"versionId": v}, valueQuantity=quantity(x, "mg/L")) for v, x in (("1", 14.2), ("2", 12.4)))
    (fact,) = one(second, first).of("sample")
    assert (fact.body["value"], fact.sources[0].version) == ("12.4 mg/L", "2")
    assert asked(one(first | {"meta": {}}, second | {"meta": {}})) == ["two-versions"]
    assert len(one(first, first).of("sample")) == 1


def test_one_page_of_several_and_an_error_of_the_server_are_no_whole_record() -> None:
    page = bundle(given("a", START, STOP), link=[{"relation": "next", "url": "http://x/2"}])
    assert asked(read_bundle(page, GOTI)) == ["more-pages"]
    assert asked(read_bundle(bundle(given("a", START, STOP), total=9), GOTI)) == ["more-pages"]
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}
    assert asked(one(given("a", START, STOP), outcome)) == ["server-error"]


def test_a_question_can_be_answered_by_leaving_the_resource_out() -> None:
    found = one(
        given("a", START, STOP), given("b", START), wanted=Wanted(drug="vancomycin", leave=frozenset({"MedicationAdministration/b"}))
    )
    assert (asked(found), left(found)) == ([], ["left-by-hand"])


def test_unknown_drugs_and_zones_are_refused() -> None:
    with pytest.raises(AuctorError, match="no drug file"):
        one(given("a", START, STOP), wanted=Wanted(drug="examplin"))
    with pytest.raises(RecordError, match="time zone"):
        Wanted(drug="vancomycin", time_zone="Europe/Pari")
