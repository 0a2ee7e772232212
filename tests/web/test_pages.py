"""The pages without JavaScript: from a new patient to a signed report, and everything on the way that must be refused."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from auctor.report import finding_words
from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.store import questions
from auctor.web.store.questions import Asked
from web_site import (
    MILLIGRAMS,
    NEONATE,
    Opened,
    Person,
    Site,
    add,
    analyse,
    case,
    form_of,
    latest,
    open_course,
    refusal,
    register,
    sign,
)

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


@pytest.fixture(scope="module")
def opened(ada: Person) -> Opened:
    """A neonate on phenobarbital, entered by hand and analysed; tests that change it open one of their own."""
    return case(ada, family="Ferret", identifier="F-1")


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


# --- patients -----------------------------------------------------------------------------------------------------------


def test_a_new_patient_is_found_by_name_and_number(ada: Person) -> None:
    register(ada, family="Quillfeather", identifier="Q-77")
    for query in ("quill", "Q-77", "ann q-77"):
        assert "Quillfeather, Ann" in ada.submit("/patients", {"q": query}, action="/patients/find").text
    assert "Quillfeather" not in ada.submit("/patients", {"q": "zebra"}, action="/patients/find").text
    assert "Quillfeather, Ann" in ada.get("/patients?q=zebra").text  # no name in an address: it would stand in logs


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"birth_date": "23/07/1961"}, "Date of birth: not a date"),
        ({"birth_date": "1820-01-01"}, "not the birth date of a living person"),
        ({"family": ""}, "Family name: missing"),
        ({"sex": ""}, "Sex: missing"),
        ({"family": "a" * 201}, "too long"),
    ],
)
def test_a_patient_that_cannot_be_is_refused_and_the_form_kept(ada: Person, change: dict[str, str], said: str) -> None:
    values = {"family": "Keep", "given": "Me", "identifier": "K-1", "birth_date": "1961-07-23", "sex": "male", "ward": "icu"}
    answer = ada.submit("/patients/new", values | change, action="/patients")
    assert answer.status_code == 422 and said in refusal(answer.text)
    assert 'value="Me"' in answer.text


def test_a_number_is_given_once(ada: Person) -> None:
    register(ada, family="First", identifier="SAME")
    with pytest.raises(AssertionError, match="there is a patient with this number"):
        register(ada, family="Second", identifier="SAME")


def test_the_banner_says_who_and_marks_training(ada: Person, opened: Opened) -> None:
    banner = text_of(ada.get(opened.course).text.split("</section>")[0])
    for words in ("TRAINING", "Ferret, Ann", "ID F-1", "born 2026-02-20", "weight as used 0.7 kg", "phenobarbital_grasela_1985", "target"):
        assert words in banner


# --- entry --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("dose", {"amount": "1,5"}, "write 1.5 with a decimal point"),
        ("dose", {"amount": "1 000"}, "not a plain number"),
        ("dose", {"amount": "-3"}, "not above zero"),
        ("dose", {"amount": "1e3"}, "not a plain number"),
        ("dose", {"at": "03/04/2026 08:00"}, "not a date and time"),
        ("dose", {"at": "2026-03-29 02:30"}, "a time that the clocks skip"),
        ("dose", {"at": "2026-10-25 02:30"}, "a time that comes twice"),
        ("dose", {"at": "2026-02-30 08:00"}, "does not exist"),
        ("dose", {"at": "2099-01-01 08:00"}, "in the future"),
        ("dose", {"bolus": None}, "an intravenous dose without its length"),
        ("dose", {"stop_at": "2026-03-02 09:00"}, "together"),
        ("dose", {"additional": "2.5"}, "not a whole number"),
        ("sample", {"value_unit": ""}, "missing"),
        ("sample", {"value": "nan"}, "not a plain number"),
        ("sample", {"received_at": "2026-03-02 09:00"}, "before the sample was drawn"),
        ("sample", {"below_lloq": "on"}, "give the limit that the level is below"),
        ("covariate", {"c_WT": "heavy"}, "not a plain number"),
        ("covariate", {"c_WT": "", "c_APGR": ""}, "nothing filled in"),
        ("order", {"every": "0"}, "between 15 min and a year"),
        ("order", {"every": "0.1"}, "between 15 min and a year"),
        ("note", {"text": "   "}, "missing"),
    ],
)
def test_what_cannot_be_read_is_refused_beside_the_form(
    ada: Person, opened: Opened, kind: str, change: dict[str, str | None], said: str
) -> None:
    values = dict(next((values for name, values in NEONATE if name == kind), {"text": "x"})) | change
    before = ada.get(opened.course).text.count('class="fact"')
    answer = add(ada, opened.course, kind, values)
    assert answer.status_code == 422 and said in refusal(answer.text), refusal(answer.text)
    assert ada.get(opened.course).text.count('class="fact"') == before


def test_a_french_page_takes_a_comma_and_day_first_and_says_what_was_read(site: Site) -> None:
    person = site.client("ada", language="fr")
    course = open_course(person, register(person, family="Virgule", identifier="V-1"), "phenobarbital")
    answer = add(person, course, "dose", dict(NEONATE[0][1]) | {"amount": "1,5", "at": "02/03/2026 08:00"})
    assert answer.url.path == course and "1,5 mg" in answer.text and "02/03/2026" in answer.text


def test_every_entry_form_keeps_what_was_typed_when_it_is_refused(ada: Person, opened: Opened) -> None:
    answer = add(ada, opened.course, "sample", dict(NEONATE[3][1]) | {"at": "yesterday", "assay": "my assay"})
    assert 'value="my assay"' in answer.text and 'value="yesterday"' in answer.text and 'aria-invalid="true"' in answer.text


# --- does the record add up ---------------------------------------------------------------------------------------------


def english_of_findings() -> list[str]:
    """What any finding says in English, cut at its values."""
    texts = [text for text in vars(finding_words).values() if isinstance(text, str) and "auctor" not in text]
    texts += [*finding_words.LEVEL_UNITS.values(), *finding_words.QUESTIONS.values()]
    return [part for text in texts for part in re.split(r"%\(\w+\)s", text) if len(part.strip(" :,")) > 6]


def test_findings_are_in_the_language_of_the_page_with_the_times_of_the_ward(site: Site, ada: Person) -> None:
    course = case(ada, family="Grain", identifier="G-1", entries=MILLIGRAMS).course
    french = text_of(site.client("ada", language="fr").get(f"{course}/suspicion").text)
    assert "la concentration est 1000 fois trop petite : mg/L saisis comme ug/L (ng/mL)" in french
    assert "À faire : regardez le compte rendu du laboratoire" in french and "> 10000 : 1" in french
    assert "prélevé 2 h plus tard que noté : le 2 mars à 12:00 et non à 10:00" in french
    assert "la dose notée le 2 mars à 20:00 n'a pas été donnée" in french
    assert "échangé avec le prélèvement 1 : prélevé le 2 mars à 10:00, et l'autre le 3 mars à 07:30" in french
    parts = english_of_findings()
    assert len(parts) > 40 and [part for part in parts if part in french] == []
    assert not re.search(r"\bat (least|most)\b|h du début|\d\.\d", french.partition("À vérifier")[2].partition("Retour")[0])


# --- the analysed course ------------------------------------------------------------------------------------------------


def test_the_course_shows_methods_risk_candidates_and_what_blocks(ada: Person, opened: Opened) -> None:
    page = ada.get(opened.course).text
    said = text_of(page)
    for words in (
        "MAP",
        "Machine learning",
        "Posterior",
        "abstains",
        "90 %:",
        "of 10",
        "hold (no dose)",
        "current",
        "block signing",
        "Percentile",
    ):
        assert words in said, words
    assert page.count("<svg") >= 3 and "nan" not in said.lower().split() and "inf" not in said.lower().split()


def test_the_curve_is_drawn_on_the_wards_clock_and_stands_in_a_table(ada: Person, opened: Opened) -> None:
    page = ada.get(opened.course).text
    assert "Mar 2" in page and "Mar 3" in page
    rows = re.findall(r'<th scope="row" class="nowrap">(2026-03-\d\d \d\d:\d\d)</th>', page)
    assert rows[0] == "2026-03-02 08:00" and len(rows) > 15


def test_a_french_page_and_report_say_the_engines_sentences_and_english_ones_say_them_as_they_are_kept(
    site: Site, ada: Person, opened: Opened
) -> None:
    from auctor.web.pages.engine_words import translated
    from auctor.web.pages.language import language

    kept = site.app.state.clinic.engine.compute(json.loads(ada.get(f"/api/v1{opened.course}/case").text)).result
    result = json.loads(kept)
    said = [one["text"] for one in result["interpretation"]] + [one["how"] for one in result["methods"].values()]
    said += [*result["concordance"]["reasons"], result["concordance"]["caveat"]]
    assert [text for text in said if translated(text, language("fr"))[1] != "fr"] == []
    reader = site.client("ada", language="fr")
    for path in (opened.course, f"/results/{opened.result}/report"):
        french, english = text_of(reader.get(path).text), text_of(ada.get(path).text)
        for one in result["interpretation"]:
            assert text_of(one["text"]) in english and text_of(one["text"]) not in french
            assert text_of(translated(one["text"], language("fr"))[0]) in french
        assert not re.search("at steady state|selects|interval |of 10", french)


def test_analysing_the_same_inputs_again_keeps_one_result(ada: Person, opened: Opened) -> None:
    page = ada.get(opened.course)
    assert f'action="{opened.course}/analyse"' not in page.text, "there is nothing to analyse"
    again = ada.client.post(f"{opened.course}/analyse", data=form_of(page.text, f"{opened.course}/what-if"))
    assert latest(again.text) == opened.result


def what_if(person: Person, opened: Opened, **values: str) -> str:
    page = person.get(opened.course).text
    fields = form_of(page, f"{opened.course}/what-if") | values
    return person.client.get(f"{opened.course}/what-if", params=fields).text


def test_what_if_answers_for_a_typed_regimen_by_every_method(ada: Person, opened: Opened) -> None:
    answer = what_if(ada, opened, dose="2.5", every="12", duration="0").split('id="what-if-answer"')[1].split("</table>")[0]
    assert "2.5 mg every 12 h" in answer and "MAP" in answer and "Posterior" in answer and "of 10" in answer


@pytest.mark.parametrize(
    ("dose", "said"), [("9999", "above a cap"), ("0", "not above zero"), ("-1", "not above zero"), ("2,5", "decimal point")]
)
def test_what_if_never_goes_over_a_cap_or_guesses(ada: Person, opened: Opened, dose: str, said: str) -> None:
    page = what_if(ada, opened, dose=dose, every="12")
    assert said in refusal(page.split('id="what-if-answer"')[1])


def test_leaving_a_sample_out_needs_a_reason_and_makes_the_result_stale(ada: Person) -> None:
    mine = case(ada, family="Leaver", identifier="L-1")
    page = ada.get(mine.course).text
    fact = re.search(rf'{mine.course}/facts/(\w+)"><span class=""><b>10:00', page)[1]  # type: ignore[index]
    there = f"{mine.course}/facts/{fact}"
    assert "missing" in refusal(ada.submit(there, {"reason": " "}, action=f"{there}/use").text)
    answer = ada.submit(there, {"reason": "drawn from the line"}, action=f"{there}/use")
    assert "not used" in answer.text and "drawn from the line" in answer.text and "The inputs changed since this analysis" in answer.text
    assert "drawn from the line" in ada.get(there).text
    analyse(ada, mine.course)
    assert "no: drawn from the line" in text_of(ada.get(mine.course).text)


# --- signing ------------------------------------------------------------------------------------------------------------


def regimen_of(page: str) -> str:
    return html.unescape(re.findall(r'name="regimen" value="([^"]+)"', page)[1])


def test_signing_asks_for_every_reason_the_password_and_a_regimen(ada: Person) -> None:
    mine = case(ada, family="Signer", identifier="S-1")
    regimen = regimen_of(ada.get(mine.course).text)
    assert "blocks signing and has no reason" in refusal(sign(ada, mine.result, regimen, reason0=" ").text)
    assert "missing" in refusal(sign(ada, mine.result, regimen, password="").text)
    assert "not right" in refusal(sign(ada, mine.result, regimen, password="wrong horse").text)
    assert "none chosen" in text_of(ada.get(f"/results/{mine.result}/sign?regimen=").text)
    assert "NOT SIGNED" in ada.get(f"/results/{mine.result}/report").text
    done = sign(ada, mine.result, regimen)
    assert "said=signed" in str(done.url), refusal(done.text)
    report = ada.get(f"/results/{mine.result}/report").text
    assert "NOT SIGNED" not in report and "checked with the ward" in report and "ada" in report and "SHA-256" in report
    assert (
        "already" in refusal(sign(ada, mine.result, regimen).text) or ada.get(f"/results/{mine.result}/sign?regimen={regimen}").status_code
    )


def test_a_late_level_reopens_what_was_signed_and_both_stay_readable(ada: Person) -> None:
    mine = case(ada, family="Late", identifier="LATE-1")
    regimen = regimen_of(ada.get(mine.course).text)
    sign(ada, mine.result, regimen)
    add(ada, mine.course, "sample", {"value": "20", "value_unit": "mg/L", "at": "2026-03-03 09:00", "matrix": "serum"})
    page = ada.get(mine.course).text
    assert "Re-opened: data changed after signing" in page
    assert "changed since signed" in ada.get("/work").text
    assert "Re-opened on" in ada.get(f"/results/{mine.result}/report").text
    second = analyse(ada, mine.course)
    assert second != mine.result and "said=signed" in str(sign(ada, second, regimen).url)
    assert "checked with the ward" in ada.get(f"/results/{mine.result}/report").text


def test_a_question_reopens_what_was_signed_until_it_is_settled_and_signed_again(site: Site, ada: Person) -> None:
    mine = case(ada, family="Asked", identifier="ASK-1")
    course = mine.course.rpartition("/")[2]
    regimen = regimen_of(ada.get(mine.course).text)
    sign(ada, mine.result, regimen)
    assert "Re-opened" not in ada.get(mine.course).text
    unread = {"kind": "dose", "code": "no-duration", "place": "MedicationAdministration/7", "what": "no length", "remedy": "ask"}
    with site.app.state.store.work(Actor.system("feed", wards=frozenset({EVERY_WARD}))) as work:
        question = questions.ask(work, course, Asked(source="fhir", reference="MedicationAdministration/7", **unread))
        assert question is not None
        work.record("test.ask", "course", course, ward="icu")
    page, french = ada.get(mine.course).text, site.client("ada", language="fr")
    assert "Re-opened: a question about the record came up after signing" in page and 'id="in-doubt"' in page
    assert "Rouvert : une question sur le dossier est apparue après la signature" in text_of(french.get(mine.course).text)
    for said in ("Rouvert le", "une question sur le dossier est apparue après la signature. Ne vous y fiez pas"):
        assert said in text_of(french.get(f"/results/{mine.result}/report").text)
    assert "changed since signed" in ada.get("/work").text and "Choose and sign" not in page
    path = f"{mine.course}/questions/{question.id}"
    assert "said=settled" in str(ada.submit(path, {"why": "another patient's"}, action=f"{path}/close").url)
    assert "Choose and sign" not in ada.get(mine.course).text
    again = analyse(ada, mine.course)
    assert again != mine.result and "said=signed" in str(sign(ada, again, regimen).url)
    assert "Re-opened" not in ada.get(mine.course).text and "Re-opened on" in ada.get(f"/results/{mine.result}/report").text


def test_a_typed_regimen_can_be_signed(ada: Person) -> None:
    mine = case(ada, family="Typist", identifier="T-1")
    page = f"/results/{mine.result}/sign"
    asked = ada.client.get(page, params={"regimen": "typed", "dose": "2.25", "every": "12", "duration": "0"})
    fields = form_of(asked.text, page)
    reasons = {name: "as agreed" for name in fields if name.startswith("reason")}
    from web_site import PASSWORD

    done = ada.client.post(page, data=fields | reasons | {"password": PASSWORD, "meaning": "reviewed"})
    assert "said=signed" in str(done.url), refusal(done.text)
    assert "2.25 mg every 12 h" in ada.get(f"/results/{mine.result}/report").text


def test_the_pdf_is_one_that_opens_and_fits_on_two_pages(ada: Person, opened: Opened) -> None:
    answer = ada.get(f"/results/{opened.result}/report.pdf")
    assert answer.headers["content-type"] == "application/pdf" and answer.content.startswith(b"%PDF-1.")
    assert answer.content.count(b"/Type /Page\n") + answer.content.count(b"/Type /Page/") <= 2


# --- who may, and what is kept ------------------------------------------------------------------------------------------


def test_another_wards_patient_is_not_there(site: Site, opened: Opened) -> None:
    rena = site.client("rena")
    for path in (opened.patient, opened.course, f"/results/{opened.result}/report", f"{opened.course}/model", f"{opened.course}/add/dose"):
        answer = rena.get(path)
        assert answer.status_code == 404 and "Ferret" not in answer.text, path
    assert "Ferret" not in rena.get("/patients").text and "Ferret" not in rena.get("/work").text


def test_a_viewer_reads_and_tries_and_changes_nothing(site: Site, opened: Opened) -> None:
    vic = site.client("vic")
    page = vic.get(opened.course).text
    assert "Ferret" in page and "/add/dose" not in page and "Choose and sign" not in page
    for path in (f"{opened.course}/add/dose", "/patients/new", f"/results/{opened.result}/sign", f"{opened.patient}/audit"):
        assert vic.get(path).status_code == 403, path


def test_every_change_leaves_one_entry_with_who_what_and_why(ada: Person) -> None:
    mine = case(ada, family="Trail", identifier="TR-1")
    assert ada.get(mine.patient).status_code == 200
    entries = json.loads(ada.get(f"{mine.patient}/audit.json").text)
    actions = [entry["action"] for entry in entries]
    assert actions.count("dose.add") == 3 and actions.count("sample.add") == 2 and actions.count("result.keep") == 1
    assert {"patient.register", "course.open", "course.choose", "patient.view"} <= set(actions)
    assert all(entry["login"] == "ada" and entry["at"] for entry in entries)
    assert ada.get(f"{mine.patient}/audit.csv").text.startswith("sequence,at,login")
    assert "dose.add" in ada.get(f"{mine.patient}/audit").text


def test_nothing_that_was_typed_becomes_markup(ada: Person) -> None:
    evil = '<script>alert("x")</script>'
    patient = register(ada, family=evil, identifier="<b>1x")
    course = open_course(ada, patient, "phenobarbital")
    add(ada, course, "note", {"text": evil})
    for path in (patient, course, "/patients", f"{patient}/audit"):
        page = ada.get(path).text
        assert "<script>alert" not in page and "<b>1x" not in page and "&lt;script&gt;" in page, path


def test_the_vendored_files_are_what_their_list_says() -> None:
    import hashlib

    from auctor.web.pages.routes import STATIC

    folder = STATIC / "vendor"
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("path", ["../routes.py", "%2e%2e/routes.py", "vendor/../../routes.py", "nothing.js", "vendor/SHA256SUMS"])
def test_static_serves_its_own_files_only(ada: Person, path: str) -> None:
    assert ada.client.get(f"/static/{path}").status_code == 404


def test_templates_hold_no_inline_script_style_or_handler() -> None:
    for path in Path("src/auctor/web").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\son\w+=|\sstyle=|<style|hx-on|javascript:|hx-vals=.js:", text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path
