"""Nothing of one patient is done or shown on the page of another: every door that a page opens, tried with tokens that do not fit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import func, select

from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.store.tables import Course, Fact, Result, Signature
from web_site import PASSWORD, Opened, Person, Site, case, form_of

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two patients of one ward, open in two tabs of one browser."""

    site: Site
    person: Person
    alpha: Opened
    beta: Opened
    facts: tuple[str, str]
    carried: dict[str, dict[str, str]]

    def tokens(self, of: Opened) -> dict[str, str]:
        """What the page of a course carries."""
        return self.carried[of.course]

    def state(self) -> list[int]:
        """How often each table that a wrong write could have changed was written to."""
        everybody = Actor.system("test", wards=frozenset({EVERY_WARD}))
        with self.site.app.state.store.read(everybody) as reading:
            counted = [reading.session.scalar(select(func.count()).select_from(table)) for table in (Fact, Result, Signature, Course)]
            return [*counted, *reading.session.scalars(select(Course.version).order_by(Course.id))]


@pytest.fixture(scope="module")
def pair(site: Site) -> Pair:
    person = site.client("ada")
    alpha, beta = case(person, family="Alphason", identifier="A-1"), case(person, family="Betaman", identifier="B-2")
    found = [re.search(rf'{one.course}/facts/(\w+)"><span class=""><b>10:00', person.get(one.course).text)[1] for one in (alpha, beta)]  # type: ignore[index]
    pages = {one.course: form_of(person.get(one.course).text, f"{one.course}/what-if") for one in (alpha, beta)}
    carried = {path: {name: fields[name] for name in ("csrf_token", "patient", "course", "revision")} for path, fields in pages.items()}
    return Pair(site=site, person=person, alpha=alpha, beta=beta, facts=(found[0], found[1]), carried=carried)


DOSE = {"amount": "2", "amount_unit": "mg", "route": "iv", "at": "2026-03-04 08:00", "bolus": "on"}
SAMPLE = {"value": "20", "value_unit": "mg/L", "at": "2026-03-04 07:00", "matrix": "serum"}
WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "add a dose": ("{course}/add/dose", DOSE),
    "add a sample": ("{course}/add/sample", SAMPLE),
    "add covariates": ("{course}/add/covariate", {"at": "2026-03-04 07:00", "c_WT": "0.8"}),
    "enter an order": ("{course}/add/order", {"amount": "3", "amount_unit": "mg", "every": "12", "route": "iv", "bolus": "on"}),
    "add a note": ("{course}/add/note", {"text": "for whom?"}),
    "correct a sample": ("{course}/facts/{fact}/correct", SAMPLE | {"reason": "typing error"}),
    "withdraw a sample": ("{course}/facts/{fact}/withdraw", {"reason": "another patient"}),
    "leave a sample out": ("{course}/facts/{fact}/use", {"reason": "odd", "used": "no"}),
    "analyse": ("{course}/analyse", {}),
    "choose a model": ("{course}/model", {"model": "phenobarbital_pheno_nonmem", "reason": "other"}),
    "close the course": ("{course}/close", {"reason": "done"}),
    "sign": ("/results/{result}/sign", {"regimen": "2 mg every 12 h", "meaning": "recommended", "password": PASSWORD, "reason0": "yes"}),
    "open a course": ("{patient}/courses", {"drug": "tacrolimus", "time_zone": "Europe/Paris"}),
}
READS = {
    "what if": ("{course}/what-if", {"dose": "2", "every": "12"}),
    "what if, fragment": ("{course}/what-if/part", {"dose": "2", "every": "12"}),
    "the curve": ("{course}/curve.json", {}),
}
WRONG = ("the other patient's tokens", "the other patient's name only", "no tokens", "both names swapped")
STALE = ("analyse", "choose a model", "sign")  # what must not be done from a page that is out of date


def wrong_tokens(pair: Pair, kind: str) -> dict[str, str]:
    mine, other = pair.tokens(pair.alpha), pair.tokens(pair.beta)
    return {
        "the other patient's tokens": other,
        "the other patient's name only": mine | {"patient": other["patient"]},
        "no tokens": {"csrf_token": mine["csrf_token"]},
        "both names swapped": mine | {"patient": mine["course"], "course": mine["patient"]},
        "an old revision": mine | {"revision": "0" * 16},
    }[kind]


def refused(pair: Pair, answer: Response, before: list[int]) -> None:
    assert answer.status_code == 409, answer.text[:500]
    for name in ("Alphason", "Betaman", "A-1", "B-2"):
        assert name not in answer.text
    assert pair.state() == before


def there(pair: Pair, path: str) -> str:
    one = pair.alpha
    return path.format(course=one.course, patient=one.patient, result=one.result, fact=pair.facts[0])


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("deed", WRITES)
def test_a_write_from_another_patients_page_does_nothing(pair: Pair, deed: str, kind: str) -> None:
    path, values = WRITES[deed]
    before = pair.state()
    refused(pair, pair.person.client.post(there(pair, path), data=values | wrong_tokens(pair, kind)), before)


@pytest.mark.parametrize("deed", STALE)
def test_a_decision_from_a_page_that_is_out_of_date_does_nothing(pair: Pair, deed: str) -> None:
    path, values = WRITES[deed]
    before = pair.state()
    refused(pair, pair.person.client.post(there(pair, path), data=values | wrong_tokens(pair, "an old revision")), before)


@pytest.mark.parametrize("kind", [*WRONG, "an old revision"])
@pytest.mark.parametrize("deed", READS)
def test_a_fragment_for_another_patients_page_shows_nothing(pair: Pair, deed: str, kind: str) -> None:
    path, values = READS[deed]
    tokens = wrong_tokens(pair, kind)
    headers = {"x-auctor-patient": tokens.get("patient", ""), "x-auctor-course": tokens.get("course", "")}
    before = pair.state()
    answer = pair.person.client.get(there(pair, path), params=values | tokens | {"result": pair.alpha.result}, headers=headers)
    refused(pair, answer, before)


def test_the_same_requests_with_the_right_tokens_are_answered(pair: Pair) -> None:
    tokens = pair.tokens(pair.alpha)
    headers = {"x-auctor-patient": tokens["patient"], "x-auctor-course": tokens["course"]}
    for path, values in READS.values():
        answer = pair.person.client.get(there(pair, path), params=values | tokens | {"result": pair.alpha.result}, headers=headers)
        assert answer.status_code == 200 and answer.headers["x-auctor-patient"] == tokens["patient"], path


def test_another_patients_fact_is_not_reached_through_this_course(pair: Pair) -> None:
    for path in (f"{pair.alpha.course}/facts/{pair.facts[1]}",):
        answer = pair.person.get(path)
        assert answer.status_code == 422 and "Betaman" not in answer.text
    tokens, before = pair.tokens(pair.alpha), pair.state()
    data = {"reason": "x"} | tokens | {"revision": "1"}
    answer = pair.person.client.post(f"{pair.alpha.course}/facts/{pair.facts[1]}/withdraw", data=data)
    assert answer.status_code == 422 and pair.state() == before


def test_another_patients_result_is_not_shown_through_this_course(pair: Pair) -> None:
    tokens = pair.tokens(pair.alpha)
    headers = {"x-auctor-patient": tokens["patient"], "x-auctor-course": tokens["course"]}
    for path, values in READS.values():
        answer = pair.person.client.get(there(pair, path), params=values | tokens | {"result": pair.beta.result}, headers=headers)
        assert "not found" in answer.text and "Betaman" not in answer.text, path


def test_pages_of_a_patient_are_never_kept_by_the_browser(pair: Pair) -> None:
    for path in (pair.alpha.course, pair.alpha.patient, "/work", "/patients", f"/results/{pair.alpha.result}/report"):
        assert pair.person.get(path).headers["cache-control"] == "no-store", path
