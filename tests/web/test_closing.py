"""Courses that are closed and opened again, and a change of model or target after a result: what stands, what no longer does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from auctor.web.service import courses
from auctor.web.store import StaleError, results
from web_site import Person, Site, _ada, add, analyse, case, form_of, refusal, sign

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
REGIMEN = "2 mg every 12 h"
OTHER_MODEL = "phenobarbital_pheno_nonmem"


def table(page: str, name: str) -> str:
    found = re.search(rf'<table id="{name}">.*?</table>', page, re.S)
    return found[0] if found else ""


def actions(person: Person, patient: str) -> list[dict[str, object]]:
    return list(json.loads(person.get(f"{patient}/audit.json").text))


def test_a_course_is_closed_with_a_reason_listed_apart_and_opened_again(ada: Person, site: Site) -> None:
    mine = case(ada, family="Closer", identifier="C-1")
    there = form_of(ada.get(mine.patient).text, f"{mine.course}/close")
    assert ada.client.post(f"{mine.course}/close", data=there | {"reason": " "}).status_code == 422
    page = ada.client.post(f"{mine.course}/close", data=there | {"reason": "discharged"}).text
    assert mine.course in table(page, "closed-courses") and mine.course not in table(page, "courses")
    assert "This course is closed" in ada.get(mine.course).text and "/add/dose" not in ada.get(mine.course).text
    assert mine.course not in ada.get("/work").text
    assert "Not saved" in add(ada, mine.course, "note", {"text": "late"}).text
    again = form_of(page, f"{mine.course}/reopen")
    page = ada.client.post(f"{mine.course}/reopen", data=again | {"reason": "readmitted"}).text
    assert mine.course in table(page, "courses") and "closed-courses" not in page
    assert add(ada, mine.course, "note", {"text": "late"}).status_code == 200
    assert [one["reason"] for one in actions(ada, mine.patient) if one["action"] == "course.close"] == ["discharged"]
    assert [one["reason"] for one in actions(ada, mine.patient) if one["action"] == "course.reopen"] == ["readmitted"]


def test_an_open_course_cannot_be_opened_and_a_viewer_closes_none(ada: Person, site: Site) -> None:
    mine = case(ada, family="Viewed", identifier="C-2")
    sent = form_of(ada.get(mine.patient).text, f"{mine.course}/close") | {"reason": "why not"}
    assert "not closed" in refusal(ada.client.post(f"{mine.course}/reopen", data=sent).text)
    vic = site.client("vic")
    assert "/close" not in vic.get(mine.patient).text
    for verb in ("close", "reopen"):
        assert vic.client.post(f"{mine.course}/{verb}", data=sent).status_code == 403


@pytest.mark.parametrize(
    "change", [{"model": OTHER_MODEL}, {"model": "phenobarbital_grasela_1985", "target": "C0:15-20 mg/L"}], ids=["model", "target"]
)
def test_another_model_or_target_reopens_what_was_signed_and_leaves_its_note_and_one_entry(
    ada: Person, site: Site, change: dict[str, str]
) -> None:
    mine = case(ada, family="Chooser", identifier=f"M-{len(change)}")
    assert "said=signed" in str(sign(ada, mine.result, REGIMEN).url)
    assert "missing" in refusal(ada.submit(f"{mine.course}/model", change | {"reason": ""}).text)
    page = ada.submit(f"{mine.course}/model", change | {"reason": "preterm"}).text
    assert "Re-opened: data changed after signing" in page and "preterm" in page
    assert "The inputs changed since this analysis" in page and "changed since signed" in ada.get("/work").text
    assert "Re-opened on" in ada.get(f"/results/{mine.result}/report").text
    assert [one["reason"] for one in actions(ada, mine.patient) if one["action"] == "course.choose"] == ["preterm", ""]
    second = analyse(ada, mine.course)
    assert second != mine.result


def test_a_draft_for_another_model_cannot_be_signed_even_past_the_page(ada: Person, site: Site) -> None:
    mine = case(ada, family="Drafter", identifier="D-1")
    actor, clinic = _ada(site.app), site.app.state.clinic
    courses.choose(clinic, actor, mine.course.rsplit("/", 1)[1], model=OTHER_MODEL, target="", reason="preterm")
    assert "changed since this analysis" in refusal(sign(ada, mine.result, REGIMEN).text)
    with pytest.raises(StaleError, match="the model or the target changed"), clinic.store.work(actor) as work:
        results.sign(work, mine.result, regimen={}, text="", reason="all of them")


def test_choosing_the_same_again_changes_nothing(ada: Person, site: Site, tmp_path: Path) -> None:
    mine = case(ada, family="Again", identifier="G-1")
    sign(ada, mine.result, REGIMEN)
    page = ada.submit(f"{mine.course}/model", {"model": "phenobarbital_grasela_1985"}).text
    assert "Re-opened" not in page and "replaced" not in page
