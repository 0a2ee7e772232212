"""The pages of the library: nothing doubtful is hidden, nothing is missing, links lead somewhere, pictures call nobody."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from auctor.models.equations import course_equations, parameter_equations
from auctor.models.reader import list_models, read_model
from auctor.report.library_pages import library_pages
from auctor.report.markdown import plain


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return library_pages()


def test_one_page_a_model_and_a_drug_and_one_index(pages: dict[str, str]) -> None:
    drugs = {read_model(name).drug for name in list_models()}
    assert sum(name.endswith(".md") for name in pages) == len(list_models()) + len(drugs) + 1
    assert all(f"{name}.md" in pages for name in list_models())


@pytest.mark.parametrize("name", list_models())
def test_a_model_page_has_all_a_reader_needs_and_its_doubts_come_first(name: str, pages: dict[str, str]) -> None:
    model, page = read_model(name), pages[f"{name}.md"]
    top = page.split("## Population")[0]
    assert [q for q in model.questions if plain(q) not in top] == []
    assert f"Status: {model.status}" in top and "onfidence" in top
    assert "???" not in top  # nothing of it can be folded away
    wanted = [model.population, model.reference["cite"], model.residual.source, *model.notes, *(v.about for v in model.variants.values())]
    wanted += [p.source for p in model.parameters.values()] + [
        str(check["how"]) for check in model.checks if "how" in check and not check.get("variant")
    ]
    assert [text for text in wanted if plain(text) not in page] == []
    assert [p.name for p in model.parameters.values() if f"| `{p.name}` | {p.printed:.8g}" not in page] == []


def test_links_and_pictures_lead_to_other_pages(pages: dict[str, str]) -> None:
    targets = {(name, to) for name, text in pages.items() for to in re.findall(r"\]\(([^)]+\.(?:md|svg))\)", text)}
    assert targets and [(name, to) for name, to in targets if to not in pages] == []
    linked = {to for _, to in targets}
    assert {name for name in pages if name not in linked} == {"index.md"}


def test_pictures_are_well_formed_and_call_nobody(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        if name.endswith(".svg"):
            ET.fromstring(text)
            assert "nan" not in text and "inf," not in text
            assert re.findall(r"(?:href|src)\s*=|url\((?!#)|<script|@import", text) == [], name


def test_no_page_calls_a_third_party(pages: dict[str, str]) -> None:
    assert [name for name, text in pages.items() if re.search(r"<script|<img|<link|<iframe|\bsrc=", text)] == []


def test_models_that_take_a_compile_say_so_instead_of_a_curve(pages: dict[str, str]) -> None:
    without = [name for name in list_models() if f"{name}.svg" not in pages]
    assert "mycophenolate_sherwin_2012" in without and "vancomycin_goti_2018" not in without
    assert all("compiled engine" in pages[f"{n}.md"] or "there is no curve" in pages[f"{n}.md"] for n in without)


def test_the_drug_page_shows_the_spread_and_every_model(pages: dict[str, str]) -> None:
    page = pages["vancomycin.md"]
    assert "differ by a factor of" in page and "vancomycin-neonate.svg" in page
    assert page.count("](vancomycin_goti_2018.md)") >= 4  # two comparisons, their domains, and the list


def test_the_same_library_gives_the_same_bytes(pages: dict[str, str]) -> None:
    assert library_pages() == pages


@pytest.mark.parametrize("name", list_models())
def test_equations_are_well_formed_mathml_with_every_name(name: str) -> None:
    model = read_model(name)
    for equation in (*parameter_equations(model).values(), *course_equations(model)):
        found = ET.fromstring(equation.mathml)
        shown = {e.text for e in found.iter() if e.tag.endswith("}mi")}
        typed = set(re.findall(r"[A-Za-z_]\w*", equation.text.replace(")/dt", "").replace("d(", " ")))
        spelled = {w.partition("_")[2] if w.partition("_")[0] in ("eta", "kappa", "gamma") and "_" in w else w for w in typed}
        words = {"if", "else", "and", "or", "not", "where", "dt", "sqrt", "abs", "F", "lag", "duration", "rate"}
        numbers = {w for w in spelled if re.fullmatch(r"e\d*|dA\d+", w)}
        assert spelled - words - numbers - shown == set(), equation.text
