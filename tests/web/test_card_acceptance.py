"""How cards were answered: counted by hand over days, kinds and reasons, as a command, and as a page in both languages."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select
from typer.testing import CliRunner

from auctor.cli import app as command
from auctor.errors import CaseError
from auctor.fhir.cds.cards import REASONS_SYSTEM, Card, Coding, Indicator
from auctor.fhir.cds.request import Verdict
from auctor.fhir.cds.services import WAITING
from auctor.web.accounts.actor import Actor, Role
from auctor.web.pages.routes_silent import KINDS
from auctor.web.service.clinic import Clinic as Verbs
from auctor.web.service.feedback import Acceptance, Period, acceptance, as_data, keep_feedback, keep_shown
from auctor.web.store.tables import Audit
from clinic import Clinic

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
EHR = Actor(account_id=None, login="cds:https://ehr.example", roles=frozenset({Role.VIEWER}), wards=frozenset({"*"}), channel="fhir")
ALWAYS = Period.read("", "", zone="UTC")
VIEW, SIGN = "tdm-patient-view", "tdm-order-sign"


def card(number: int, kind: str = "draft", indicator: Indicator = Indicator.WARNING) -> Card:
    topic = Coding(system="s", code="c", display="d")
    name = str(UUID(int=number))
    return Card(uuid=name, summary="s", indicator=indicator, source="x", topic=topic, kind=kind, drug="vancomycin")


def answer(
    number: int, accepted: bool, at: str = "2026-03-02T08:00:00+00:00", code: str = "", comment: str = "", system: str = ""
) -> Verdict:
    reason = {key: value for key, value in (("code", code), ("system", system or REASONS_SYSTEM)) if code}
    return Verdict(card=str(UUID(int=number)), accepted=accepted, at=datetime.fromisoformat(at), reason=reason, comment=comment)


@pytest.fixture
def site(clinic_folder: Path) -> Iterator[Clinic]:
    found = Clinic.opened(clinic_folder)
    yield found
    found.store.close()


@pytest.fixture
def verbs(site: Clinic) -> Verbs:
    return Verbs(store=site.store, zone="Europe/Paris")


def at(moment: str) -> Any:
    return time_machine.travel(datetime.fromisoformat(moment), tick=True)


@pytest.fixture
def days(verbs: Verbs) -> Verbs:
    """Cards of two days of Paris: 1 to 4 on 1 March (the last at 23:30), 5 and 6 on 2 March."""
    with at("2026-03-01T09:00:00+01:00"):
        keep_shown(verbs, EHR, SIGN, [card(1), card(2), card(3)])
        keep_shown(verbs, EHR, SIGN, [card(1)])  # the same call again
    with at("2026-03-01T23:30:00+01:00"):
        keep_shown(verbs, EHR, VIEW, [card(4, "overdue", Indicator.INFO)])
    with at("2026-03-02T00:30:00+01:00"):
        keep_shown(verbs, EHR, SIGN, [card(5), card(6, indicator=Indicator.CRITICAL)])
    with at("2026-03-02T09:00:00+01:00"):
        keep_feedback(
            verbs, EHR, SIGN, [answer(1, False, comment="a secret of the comment"), answer(2, False, code="not-convenient-feasible")]
        )
        keep_feedback(verbs, EHR, VIEW, [answer(4, False, code="cds-not-applicable")])
        keep_feedback(verbs, EHR, SIGN, [answer(6, False, code="Ms Doe declined", system="urn:own"), answer(9, False)])
    with at("2026-03-03T09:00:00+01:00"):
        keep_feedback(verbs, EHR, SIGN, [answer(1, True)])  # the last word on it
    return verbs


def rows(found: Sequence[Acceptance]) -> list[tuple[Any, ...]]:
    return [(r.kind, r.indicator, r.shown, r.accepted, r.overridden, r.unanswered, dict(r.reasons)) for r in found]


def test_counts_by_hand(days: Verbs) -> None:
    found = acceptance(days, EHR, ALWAYS)
    assert rows(found) == [
        ("draft", "critical", 1, 0, 1, 0, {"other": 1}),
        ("draft", "warning", 4, 1, 1, 2, {"not-convenient-feasible": 1}),
        ("unknown", "", 0, 0, 1, 0, {"not-given": 1}),
        ("overdue", "info", 1, 0, 1, 0, {"cds-not-applicable": 1}),
    ]
    assert [row.rate for row in found] == [0.0, 0.5, 0.0, 0.0] and [row.service for row in found] == [SIGN, SIGN, SIGN, VIEW]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-03-01", "2026-03-01", [("draft", "warning", 3), ("overdue", "info", 1)]),
        ("2026-03-02", "2026-03-02", [("draft", "critical", 1), ("draft", "warning", 1), ("unknown", "", 0)]),
        ("2026-03-02", "", [("draft", "critical", 1), ("draft", "warning", 1), ("unknown", "", 0)]),
        ("", "2026-02-28", []),
    ],
)
def test_days_are_those_of_the_wards_clock(days: Verbs, since: str, until: str, expected: list[tuple[str, str, int]]) -> None:
    found = acceptance(days, EHR, Period.read(since, until, zone="Europe/Paris"))
    assert [(row.kind, row.indicator, row.shown) for row in found] == expected


@pytest.mark.parametrize(
    ("since", "until", "where"),
    [("1.3.2026", "", "since"), ("", "2026-02-30", "until"), ("2026-03-02", "2026-03-01", "until"), ("0001-01-01", "", "since")],
)
def test_days_that_are_none(since: str, until: str, where: str) -> None:
    with pytest.raises(CaseError) as refused:
        Period.read(since, until, zone="UTC")
    assert refused.value.where == where


def test_each_call_leaves_one_entry_and_a_card_is_kept_once(days: Verbs) -> None:
    with days.store.read(Actor.system("test")) as reading:
        entries = reading.session.scalars(select(Audit).order_by(Audit.sequence)).all()
    assert [entry.after for entry in entries if entry.action == "cds.shown"] == [{"cards": 3}, {"cards": 1}, {"cards": 2}]
    assert {entry.login for entry in entries if entry.action.startswith("cds.")} == {EHR.login}


def test_the_command_prints_the_same_and_no_word_of_a_client(days: Verbs, site: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUCTOR_DATA_FOLDER", str(site.settings.data_folder))
    monkeypatch.setenv("TZ", "Europe/Paris")
    ran = CliRunner().invoke(command, ["cds", "acceptance", "--json", "--since", "2026-03-01"])
    said = json.loads(ran.stdout)
    assert ran.exit_code == 0 and said == {"since": "2026-03-01", "until": None, "cards": as_data(acceptance(days, EHR, ALWAYS))}
    assert said["cards"][1]["accepted_of_answered"] == {"value": 50.0, "unit": "%"}
    table = CliRunner().invoke(command, ["cds", "acceptance"], env={"COLUMNS": "200"}).stdout
    assert "not-convenient-feasible" in table and not re.search("Doe|secret", ran.stdout + table)
    assert CliRunner().invoke(command, ["cds", "acceptance", "--since", "yesterday"]).exit_code == 2


@pytest.mark.parametrize(
    ("tongue", "said"),
    [
        ("en", ("what a drafted dose would do", "1 × not feasible here", "a level that is overdue", "No answer")),
        ("fr", ("ce que ferait une dose en cours de prescription", "1 × pas faisable ici", "une concentration en retard", "Sans réponse")),
    ],
)
def test_the_page_says_it_in_both_languages(days: Verbs, site: Clinic, tongue: str, said: tuple[str, ...]) -> None:
    site.app.state.clinic = days
    site.person("vic", roles=("viewer",), wards=("icu",))
    browser = site.signed_in("vic")
    answer = browser.get("/silent/cards", headers={"accept-language": tongue}, params={"since": "2026-03-01", "until": "2026-03-02"})
    text = html.unescape(re.sub(r"<[^>]+>", " ", answer.text))
    assert answer.status_code == 200 and all(word in text for word in said) and not re.search("Doe|secret", text)
    assert re.search(r"(?:warning|avertissement)\s+4\s+1\s+1\s+2\s+50", text)
    refused = browser.get("/silent/cards", params={"since": "<b>"})
    assert refused.status_code == 422 and "&lt;b&gt;" in refused.text and "not a day" in refused.text
    assert "/silent/cards" in browser.get("/silent").text


def test_every_kind_of_card_has_its_words_and_an_unknown_one_does_not_break_the_page(verbs: Verbs, site: Clinic) -> None:
    assert {*WAITING, "overdue", "doses", "draft"} <= set(KINDS)
    keep_shown(verbs, EHR, VIEW, [card(1, "of a later version", Indicator.INFO), card(2, "asked", Indicator.INFO)])
    site.app.state.clinic = verbs
    site.person("vic", roles=("viewer",), wards=("icu",))
    text = site.signed_in("vic").get("/silent/cards").text
    assert "of a later version" in text and "a question that came up after signing" in text
