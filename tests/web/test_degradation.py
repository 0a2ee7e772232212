"""Requirement 31: what is missing is said, the rest goes on, nothing old is shown as new (the FHIR server: emr/test_joined.py)."""

from __future__ import annotations

import html
import re
import sqlite3
from pathlib import Path

import pytest

from auctor.web.service.clinic import Clinic
from auctor.web.service.engine import Engine
from web_site import KIDNEY, Person, Site, add, case, refusal

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


def test_without_its_learner_the_column_abstains_and_map_answers(ada: Person, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from auctor.web.service import engine

    monkeypatch.setattr("auctor.cache.cache_dir", lambda kind: site.settings.data_folder / kind)
    engine._trained.cache_clear()
    kept, site.app.state.clinic = site.app.state.clinic, Clinic(store=site.app.state.store, engine=Engine(ml=True))
    opened = case(ada, family="Lernfrei", identifier="L-1", drug="tacrolimus", entries=KIDNEY)
    page = ada.get(opened.course).text
    cards = dict(re.findall(r'<div class="card[^"]*"><h3>([^<]+)</h3>(.*?)</div>', page, re.S))
    assert "abstains" in cards["Machine learning"]
    assert 'class="big"' in cards["MAP"] and 'class="big"' in cards["Posterior"]
    site.app.state.clinic.engine.stop()
    site.app.state.clinic = kept


def test_a_full_disk_refuses_the_entry_in_words_and_keeps_what_was_there(ada: Person, site: Site) -> None:
    opened = case(ada, family="Voll", identifier="V-9")
    before = ada.get(opened.course).text.count('class="fact"')
    engine = site.app.state.store.engine
    with _full(engine):
        answer = add(ada, opened.course, "note", {"text": "x" * 1900})
        assert answer.status_code in (422, 503) and "does not answer, or is busy" in refusal(answer.text)
    assert ada.get(opened.course).text.count('class="fact"') == before
    assert add(ada, opened.course, "note", {"text": "now there is room"}).url.path == opened.course


class _full:
    """SQLite with no page left to write: what it says of a full disk."""

    def __init__(self, engine: object) -> None:
        from sqlalchemy import event

        self._event, self._engine = event, engine

    def _limit(self, connection: sqlite3.Connection, *_: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def __enter__(self) -> None:
        self._engine.dispose()  # type: ignore[attr-defined]
        self._event.listen(self._engine, "connect", self._limit)

    def __exit__(self, *_: object) -> None:
        self._event.remove(self._engine, "connect", self._limit)
        self._engine.dispose()  # type: ignore[attr-defined]


def test_a_database_that_is_down_is_a_clear_page_with_nobodys_data(ada: Person, site: Site, tmp_path: Path) -> None:
    opened = case(ada, family="Fern", identifier="D-1")
    file = site.settings.data_folder / "auctor.sqlite"
    site.app.state.store.engine.dispose()
    moved = [(path, tmp_path / path.name) for path in file.parent.glob("auctor.sqlite*")]
    for path, away in moved:
        path.rename(away)
    file.mkdir()
    try:
        for path in (opened.course, "/work", "/sign-in"):
            answer = ada.get(path)
            assert "Fern" not in answer.text
            if path != "/sign-in":
                assert answer.status_code == 503 and "Database" in answer.text and "does not answer" in answer.text
                assert "no-store" in answer.headers["cache-control"]
        french = html.unescape(site_page(site, "/work", "fr"))
        assert "Base de données" in french and "ne répond pas" in french
        assert ada.get("/api/v1/patients", accept="application/json").status_code == 503
        assert ada.get("/health/ready").json()["checks"]["database"] == "failing"
    finally:
        file.rmdir()
        for path, away in moved:
            away.rename(path)
    assert "Fern" in ada.get(opened.course).text


def site_page(site: Site, path: str, language: str) -> str:
    """A page for a browser with some session cookie, in a language."""
    from fastapi.testclient import TestClient

    client = TestClient(site.app, base_url=site.origin, headers={"accept-language": language})
    client.cookies.set("auctor", "x" * 43)
    return client.get(path).text
