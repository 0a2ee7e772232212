"""What the plausibility check flags is asked, stays with the course, and is settled by a person: confirmed, corrected or left out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from auctor.data.plausibility import Facts, Finding, Kind
from auctor.errors import EstimationError
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.service import findings, suspicion
from auctor.web.service.courses import look
from auctor.web.service.proposing import proposed
from auctor.web.store.tables import Audit, Fact, Signature
from web_site import LATE_TROUGH, MILLIGRAMS, Person, Site, add, analyse, case, form_of, make_site, refusal, sign

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`", "ignore::ResourceWarning")
AUDITOR = Actor.system("test", wards=frozenset({EVERY_WARD}))
IN_FRENCH = {"accept-language": "fr"}
FRENCH = "prélevé 30 min après la dose donnée le 2 mars à 08:00 : à 08:30 et non à 08:00"
AFTER = "drawn 30 min after the dose given at 08:00 on 2 March: at 08:30 rather than at 08:00"


@pytest.fixture
def either(database: Any, quick_folder: Any) -> Iterator[Site]:
    """An installation on SQLite, and on PostgreSQL as the application signs in there."""
    folder = quick_folder / "data"
    folder.mkdir()
    found = make_site(folder, database_url=database.url)
    yield found
    found.app.state.store.close()


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def asked(person: Person, course: str) -> list[dict[str, Any]]:
    """Everything that was ever asked about the course, as the API says it."""
    found: list[dict[str, Any]] = person.get(f"/api/v1{course}/questions?unsettled=false").json()["items"]
    return found


def kinds(person: Person, course: str) -> dict[str, Any]:
    """How each finding stands, by kind."""
    return {row["code"]: row["settlement"]["verdict"] if row["settlement"] else row["open"] for row in asked(person, course)}


def question(person: Person, course: str, kind: str) -> str:
    (found,) = [row["id"] for row in asked(person, course) if row["code"] == kind and row["open"]]
    return f"{course}/questions/{found}"


def entries_of(site: Site, action: str, course: str = "") -> list[Audit]:
    with site.app.state.store.read(AUDITOR) as reading:
        rows = reading.session.scalars(select(Audit).where(Audit.action == action).order_by(Audit.sequence))
        return [row for row in rows if course in ("", f"/courses/{row.object_id}")]


def entry_of(person: Person, where: str) -> str:
    """The page of the entry that a finding doubts."""
    return re.findall(r'href="(/courses/\w+/facts/\w+)\?finding', person.get(where).text)[0]


def test_a_trough_drawn_after_the_dose_is_asked_and_settled_by_a_person(either: Site) -> None:
    ada = either.client("ada")
    course = case(ada, family="Kidney", identifier="K-1", drug="tacrolimus", entries=LATE_TROUGH).course
    page, translated = text_of(ada.get(course).text), text_of(ada.get(course, **IN_FRENCH).text)
    assert AFTER in page and "5 finding(s) about the record not settled" in page and "Choose and sign" in page
    assert FRENCH in translated and AFTER not in translated and "does the record add up?" in ada.get("/work").text
    first = asked(ada, course)
    (trough,) = [row for row in first if row["code"] == "after-dose"]
    assert (trough["what"], trough["source"], trough["raised_by"], trough["blocks_signing"]) == (AFTER, "plausibility", "ada", False)
    assert {"auc_if", "log_likelihood_ratio", "model_sha256", "engine", "start"} <= trough["finding"].keys()
    kept = entries_of(either, "result.keep")[-1].after["plausibility"]
    assert {row[0] for row in kept["asked"]} == {row["id"] for row in first} and not entries_of(either, "plausibility.check")

    where = question(ada, course, "after-dose")  # confirmed as recorded, with one other that the same answer settles
    assert "Reason: missing" in refusal(ada.submit(where, {"why": " "}, action=f"{where}/close").text)
    also = re.findall(r'name="(also_\w+)"', ada.get(where).text)
    assert len(also) == len(first) - 1
    wrong = ada.submit(where, {"why": "right", f"also_{'0' * 32}": "on"}, action=f"{where}/close")
    assert wrong.status_code in (404, 422) and set(kinds(ada, course).values()) == {True}
    swapped = question(ada, course, "swapped-samples").rpartition("/")[2]
    done = ada.submit(where, {"why": "ward asked, time is right", f"also_{swapped}": "on"}, action=f"{where}/close")
    assert "said=settled" in str(done.url) and AFTER not in text_of(done.text)
    (confirmed,) = entries_of(either, "question.confirm")
    assert confirmed.reason == "ward asked, time is right" and confirmed.after["also"] == [swapped]

    where = question(ada, course, "later")  # corrected, as it proposes
    entry = entry_of(ada, where)
    fields = form_of(ada.get(f"{entry}?finding={where.rpartition('/')[2]}").text, f"{entry}/correct")
    assert fields["at"] == "2026-03-02 10:00" and form_of(ada.get(entry).text, f"{entry}/correct")["at"] == "2026-03-02 08:00"
    done = ada.client.post(f"{entry}/correct", data=fields | {"at": "2026-03-02 08:30", "reason": "drawn late, says the nurse"})
    assert "said=saved" in str(done.url), refusal(done.text)
    standing = {"after-dose": "confirmed", "swapped-samples": "confirmed", "later": "answered"}
    assert kinds(ada, course) == standing | {"dose-early": True, "dose-missed": True}
    shown = text_of(ada.get(f"{course}/suspicion").text)  # what it does not find any more is gone, and stays to be read
    assert kinds(ada, course) == standing | {"dose-early": "gone", "dose-missed": "gone"}
    assert "leaves nothing open" in ada.get(course).text and "does the record add up?" not in ada.get("/work").text
    translated = text_of(ada.get(f"{course}/suspicion", **IN_FRENCH).text)
    for said in ("confirmed as recorded by ada", "corrected by ada", "drawn late, says the nurse", "no longer found since"):
        assert said in shown, said
    assert "confirmé tel que noté par ada" in translated and "la vérification ne le constate plus" in translated


def opened_about(person: Person, course: str, fact: str) -> set[str]:
    return {row["code"] for row in asked(person, course) if row["open"] and row["fact"] == fact}


def test_what_is_open_is_signed_with_it_and_what_is_confirmed_is_not_asked_again(site: Site, ada: Person) -> None:
    mine = case(ada, family="Milligram", identifier="M-1", entries=MILLIGRAMS)
    course, regimen = mine.course, html.unescape(re.findall(r'name="regimen" value="([^"]+)"', ada.get(mine.course).text)[1])
    form = ada.client.get(f"/results/{mine.result}/sign", params={"regimen": regimen}).text
    assert "What the check of the record leaves open" in form and "1000 times too small" in form
    assert "said=signed" in str(sign(ada, mine.result, regimen).url)
    with site.app.state.store.read(AUDITOR) as reading:
        (signed,) = reading.session.scalars(select(Signature.text)).all()
    assert re.search(r"finding unit-thousand about sample \w+ revision 1: open\n", signed)
    where = question(ada, course, "unit-thousand")
    entry = entry_of(ada, where)
    fact = entry.rpartition("/")[2]
    ada.submit(where, {"why": "asked: right"}, action=f"{where}/close")
    assert "Re-opened" not in ada.get(course).text
    for words, said in (({}, "not settled"), (IN_FRENCH, "non réglé")):
        report = text_of(ada.get(f"/results/{mine.result}/report", **words).text)
        assert said in report and "asked: right" not in report  # as it was signed

    add(ada, course, "dose", {"amount": "2", "amount_unit": "mg", "route": "iv", "at": "2026-03-03 20:00", "bolus": "on"})
    again = analyse(ada, course)  # whatever else comes, what was confirmed is not asked again
    report = text_of(ada.get(f"/results/{again}/report").text)
    assert "unit-thousand" not in opened_about(ada, course, fact) and "confirmed as recorded by ada" in report and "asked: right" in report
    ada.submit(entry, {"assay": "another", "reason": "typed again"}, action=f"{entry}/correct")
    ada.get(f"{course}/suspicion")
    assert "unit-thousand" in opened_about(ada, course, fact)  # another revision
    ada.submit(entry, {"reason": "doubtful"}, action=f"{entry}/use")
    ada.get(f"{course}/suspicion")
    assert opened_about(ada, course, fact) == set()  # of a sample that is left out nothing is asked
    assert "left out of the estimation by ada" in text_of(ada.get(f"/results/{again}/report").text)


def test_a_check_that_fails_or_takes_seconds_does_not_hold_the_analysis(site: Site, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(document: dict[str, Any]) -> suspicion.Suspicion:
        raise problem

    weigh = suspicion._weigh
    monkeypatch.setattr(suspicion, "_weigh", failing)
    problem: Exception = EstimationError(where="samples[0]", what="no draw has a likelihood", remedy="check the unit")
    course = case(ada, family="Failing", identifier="M-2", entries=MILLIGRAMS).course
    page = text_of(ada.get(course).text)
    assert "could not be checked" in page and "no draw has a likelihood" in page
    problem = ZeroDivisionError("a level of 16.7")
    refused = ada.get(f"{course}/suspicion")
    said = refusal(refused.text)
    assert refused.status_code == 422 and "the check failed (ZeroDivisionError)" in said and "16.7" not in said
    monkeypatch.setattr(suspicion, "_weigh", weigh)
    clinic, vic = site.app.state.clinic, replace(AUDITOR, login="vic", roles=frozenset({Role.VIEWER}))
    assert findings.review(clinic, vic, look(clinic, vic, course.rpartition("/")[2])).found.findings and asked(ada, course) == []
    assert "1000 times too small" in ada.get(f"{course}/suspicion").text and "could not be checked" not in ada.get(course).text
    (one, two) = entries_of(site, "plausibility.check", course)
    assert one.after["problem"]["what"] and two.login == "ada" and len(two.after["asked"]) == len(asked(ada, course))
    assert ada.get(f"{course}/suspicion").status_code == 200 and len(entries_of(site, "plausibility.check", course)) == 2  # nothing new

    monkeypatch.setattr(findings, "is_quick", lambda model: False)
    slow = case(ada, family="Slow", identifier="M-3", entries=MILLIGRAMS)
    page = ada.get(slow.course).text
    assert "has not been checked yet" in page and asked(ada, slow.course) == []
    assert "said=signed" in str(sign(ada, slow.result, html.unescape(re.findall(r'name="regimen" value="([^"]+)"', page)[1])).url)
    assert findings.follow(site.app.state.clinic) == 1 and findings.follow(site.app.state.clinic) == 0
    assert (
        {row["raised_by"] for row in asked(ada, slow.course)}
        == {"system:plausibility"}
        == {entries_of(site, "plausibility.check")[-1].login}
    )
    assert "Re-opened: a question about the record came up after signing" in ada.get(slow.course).text


def test_a_model_with_a_closed_form_is_checked_at_once() -> None:
    assert suspicion.is_quick("tacrolimus_woillard_2011") and not suspicion.is_quick("phenytoin_yukawa_1990")


# --- what a finding proposes --------------------------------------------------------------------------------------------

ZERO = datetime(2026, 3, 2, 7, tzinfo=UTC)  # 08:00 in Paris
SAMPLE = {"value": "16.7 mg/L", "at": "2026-03-02T10:00:00+01:00", "matrix": "serum"}
DOSE = {"amount": "1000 mg", "route": "iv", "at": "2026-03-02T08:00:00+01:00", "stop_at": "2026-03-02T09:00:00+01:00"}
LATER_2H, GIVEN_LATE = Facts(at_h=2.0, then_h=4.0), Facts(at_h=0.0, then_h=2.0, dose_h=0.0)
PROPOSED: list[tuple[Kind, Facts, dict[str, Any], dict[str, Any] | None]] = [
    (Kind.LATER, LATER_2H, SAMPLE, {"at": "2026-03-02T11:00:00+00:00"}),
    (Kind.AFTER_DOSE, Facts(at_h=2.0, then_h=2.51), SAMPLE, {"at": "2026-03-02T09:31:00+00:00"}),
    (Kind.LATER, Facts(at_h=5.0, then_h=7.0), SAMPLE, None),  # the entry has another time by now
    (Kind.DOSE_LATE, GIVEN_LATE, DOSE, {"at": "2026-03-02T09:00:00+00:00", "stop_at": "2026-03-02T11:00:00+01:00"}),
    (Kind.DOSE_LATE, GIVEN_LATE, DOSE | {"every": "12 h"}, None),
    (Kind.DOSE_EARLY, Facts(at_h=12.0, then_h=10.0, dose_h=12.0), DOSE, None),  # one that was due, not this one
    (Kind.DOSE_MISSED, Facts(dose_h=0.0), DOSE, None),
    (Kind.UNIT_THOUSAND, Facts(factor=0.001, meant="ug/L", written="mg/L"), SAMPLE, {"value": "16.7 ug/L"}),
    (Kind.UNIT_THOUSAND, Facts(factor=1000.0, meant="mg/L", written="ug/L"), SAMPLE | {"value": "7 ng/mL"}, {"value": "7 ug/mL"}),
    (Kind.UNIT_THOUSAND, Facts(factor=1000.0, meant="mg/L", written="ug/L"), SAMPLE | {"value": "0.0167 mg/L"}, {"value": "16.7 mg/L"}),
    (Kind.UNIT_MOLAR, Facts(factor=0.2322, meant="umol/L", written="mg/L"), SAMPLE, {"value": "16.7 umol/L"}),
    (Kind.UNIT_MOLAR, Facts(factor=4.306, meant="mg/L", written="umol/L"), SAMPLE | {"value": "60 nmol/L"}, {"value": "60 ug/L"}),
    (Kind.UNIT_MOLAR, Facts(factor=4.0, meant="mg/L", written="umol/L"), SAMPLE, {"value": "66.8 mg/L"}),
    (Kind.DOSE_UNIT, Facts(factor=0.001, every=True), DOSE, {"amount": "1000 ug"}),
    (Kind.DILUTION, Facts(factor=10.0), SAMPLE, {"value": "167 mg/L"}),
    (Kind.DILUTION, Facts(factor=10.0), {"below_lloq": True, "lloq": "1 mg/L", "at": SAMPLE["at"]}, None),
    (Kind.COVARIATE_UNIT, Facts(factor=0.4536, meant="pounds", written="kg"), {"name": "WT", "value": "154 kg"}, {"value": "69.8544 kg"}),
    (Kind.COVARIATE_UNIT, Facts(factor=1e-6, meant="x", written="1"), {"name": "X", "value": 3.0}, {"value": "0.000003"}),
    (Kind.LINE, Facts(), SAMPLE, None),
    (Kind.OTHER_PATIENT, Facts(), SAMPLE, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "facts", "body", "change"), PROPOSED)
def test_a_finding_proposes_the_entry_as_it_would_be(kind: Kind, facts: Facts, body: dict[str, Any], change: dict[str, Any] | None) -> None:
    at = datetime.fromisoformat(body["at"]) if "at" in body else None
    finding = Finding(kind=kind, where="samples[0]", facts=facts, log_likelihood_ratio=3.0, prior_odds=0.1)
    assert proposed(finding, ZERO, Fact(body=body, at=at)) == (None if change is None else body | change)


def test_a_finding_names_the_fact_that_it_is_about_and_that_fact_its_place() -> None:
    rows = [
        Fact(id="w0", kind="covariate", body={"name": "WT"}, at=None),
        Fact(id="d0", kind="dose", body={}, at=ZERO),
        Fact(id="s0", kind="sample", body={}, at=ZERO),
        Fact(id="w1", kind="covariate", body={"name": "WT"}, at=ZERO + timedelta(hours=24)),
        Fact(id="s1", kind="sample", body={}, at=ZERO),
    ]
    for where, said, fact, place in (
        ("samples[1]", Facts(), "s1", "samples[1]"),
        ("samples", Facts(every=True), "s0", "samples[0]"),
        ("doses", Facts(every=True), "d0", "doses[0]"),
        ("covariates.WT", Facts(), "w0", "covariates.WT"),
        ("covariates.WT[1]", Facts(at_h=24.0), "w1", "covariates.WT"),
        ("covariates.WT[0]", Facts(at_h=0.0), "w0", "covariates.WT"),
    ):
        found = findings.fact_at(where, said, ZERO, rows)
        assert found is not None and (found.id, findings.place_of(found.id, rows)) == (fact, place)
    assert findings.fact_at("samples[7]", Facts(), ZERO, rows) is None and findings.place_of("gone", rows) == ""
