"""The report in a real Chromium, offline: nothing asked of the network, nothing on the console, everything on the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auctor.analysis import Analysis, analyse
from auctor.case import Case, Covariates, Dose, Regimen, Route, Sample
from auctor.models.reader import read_model
from auctor.report import write_html

pytestmark = pytest.mark.browser

LAPTOP = {"width": 1366, "height": 768}
NARROW = {"width": 390, "height": 844}


@dataclass
class Seen:
    """An open page with what it asked for and what it said."""

    page: Any
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """A kidney recipient on tacrolimus with C0, C1 and C3; the formulation is left out, one level is not used."""
    dose = Dose(time_h=0.0, amount_mg=4.0, route=Route.ORAL, every_h=12.0, steady_state=True)
    samples = (Sample(time_h=0.0, value=0.0062), Sample(time_h=1.0, value=0.0189), Sample(time_h=3.0, value=0.0142, used=False))
    covariates = Covariates.constant({"HCT": 34.0, "CYP3A5": 0.0})
    case = Case(label="Kidney 07", drug="tacrolimus", history=Regimen(doses=(dose,)), samples=samples, covariates=covariates)
    return analyse(case, read_model("tacrolimus_woillard_2011"), n_draws=400)


@pytest.fixture(scope="module")
def report(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_html(analysis, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def seen(chromium: Any, report: Path) -> Iterator[Seen]:
    yield from opened(chromium, report, LAPTOP)


@pytest.fixture
def seen_narrow(chromium: Any, report: Path) -> Iterator[Seen]:
    yield from opened(chromium, report, NARROW)


def opened(chromium: Any, report: Path, viewport: dict[str, int]) -> Iterator[Seen]:
    context = chromium.new_context(viewport=viewport, offline=True)
    seen = Seen(page=context.new_page())
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("console", lambda message: seen.console.append(message.text))
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    seen.page.goto(report.as_uri())
    yield seen
    context.close()


def test_the_page_asks_for_nothing_and_says_nothing(seen: Seen, report: Path) -> None:
    assert seen.requests == [report.as_uri()]
    assert seen.console == [] and seen.errors == []


def test_the_style_is_applied_under_its_strict_policy(seen: Seen) -> None:
    mark = seen.page.locator(".mark")
    assert mark.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(91, 26, 18)"


def test_the_chart_is_seen_with_its_name_samples_and_doses(seen: Seen, analysis: Analysis) -> None:
    chart = seen.page.get_by_role("img", name="Concentration of tacrolimus over time")
    assert chart.is_visible() and chart.bounding_box()["width"] > 500
    assert chart.locator("circle.sample").count() == 3
    assert chart.locator("path.dose").count() == len(analysis.curve.doses)


def test_the_answer_is_on_the_first_screen(seen: Seen) -> None:
    box = seen.page.get_by_role("heading", name="Answer").bounding_box()
    assert box["y"] < LAPTOP["height"]


def test_the_method_table_has_four_columns_and_the_first_three_answer(seen: Seen) -> None:
    table = seen.page.locator("table.methods")
    heads = table.locator("thead th").all_inner_texts()
    assert [head.split("\n")[0] for head in heads[1:]] == ["A priori", "MAP", "Posterior", "Machine learning"]
    shown = table.get_by_role("row", name="Exposure now").get_by_role("cell").all_inner_texts()
    assert all("ng·h/mL" in text for text in shown[:3]) and "no trained learner" in shown[3]


def test_current_and_hold_are_among_the_candidates(seen: Seen, analysis: Analysis) -> None:
    rows = seen.page.locator("table.candidates").first.locator("tbody tr")
    labels = rows.locator("th").all_inner_texts()
    assert any(label.startswith("4 mg every 12 h") and "current" in label for label in labels)
    assert "hold (no dose)" in labels
    hidden = seen.page.locator("table.candidates").nth(1).locator("tbody tr").count()
    assert rows.count() + hidden == len(analysis.options)


def test_the_samples_are_listed_with_what_was_not_used(seen: Seen) -> None:
    cells = seen.page.locator("table.samples tbody tr")
    assert cells.count() == 3
    assert cells.nth(2).locator("td").last.inner_text() == "no"


def test_what_blocks_signing_is_said_in_words(seen: Seen) -> None:
    text = seen.page.locator(".block").inner_text()
    assert "covariates.FORM" in text and "draft" in text
    assert "default used" in seen.page.locator("dl.banner").inner_text()
    assert "inter-occasion" not in seen.page.locator("main").inner_text()


def test_the_table_that_stands_in_for_the_chart_opens_by_keyboard(seen: Seen) -> None:
    table = seen.page.locator("table.curve-table")
    assert not table.is_visible()
    seen.page.locator("summary").first.focus()
    seen.page.keyboard.press("Enter")
    assert table.is_visible() and table.locator("tbody tr").count() >= 10


def test_a_laptop_needs_no_sideways_scrolling(seen: Seen) -> None:
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= LAPTOP["width"]


def test_a_phone_needs_no_sideways_scrolling_of_the_page(seen_narrow: Seen) -> None:
    assert seen_narrow.page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_it_prints_on_two_pages(seen: Seen) -> None:
    printed = seen.page.pdf(format="A4", prefer_css_page_size=True, print_background=True)
    assert printed.count(b"/Type /Page\n") in (1, 2)


def test_colour_is_never_the_only_sign_of_the_state(seen: Seen) -> None:
    words = seen.page.locator("#concordance strong").inner_text()
    assert any(icon in words for icon in "✔▲✖–") and len(words) > 10
