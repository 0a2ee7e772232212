"""English and French: every message in both, placeholders alike; numbers and times as each language writes and reads them."""

from __future__ import annotations

import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest

from auctor.errors import CaseError
from auctor.web.pages.language import LANGUAGES, language, preferred
from auctor.web.pages.typed import Form, read_moment, read_number

PARIS = ZoneInfo("Europe/Paris")
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/messages.py, which finds the messages."""
    path = Path(__file__).parents[2] / "scripts" / "messages.py"
    spec = importlib.util.spec_from_file_location("messages", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_message_is_there_with_its_placeholders_and_nothing_else_is(script: ModuleType, code: str) -> None:
    known, wanted = script.catalogue(code), script.messages()
    assert len(wanted) > 500
    assert [text for text in wanted if not known.get(text)] == []
    assert sorted(known.keys() - set(wanted)) == []
    assert script.repeated(code) == []
    for text, said in known.items():
        assert sorted(PLACEHOLDER.findall(said)) == sorted(PLACEHOLDER.findall(text)), text
        assert ("%" in PLACEHOLDER.sub("", said)) == ("%" in PLACEHOLDER.sub("", text)), text


def test_a_message_that_a_catalogue_holds_twice_is_found(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xx").mkdir()
    text = 'msgid ""\nmsgstr ""\n\nmsgid "dose"\nmsgstr "a"\n\nmsgid ""\n"do"\n"se"\nmsgstr "b"\n'
    (tmp_path / "xx" / "messages.po").write_text(text, encoding="utf-8")
    monkeypatch.setattr(script, "CATALOGUES", tmp_path)
    assert script.repeated("xx") == ["dose"]


def test_french_is_translated_and_english_is_itself(script: ModuleType) -> None:
    french, english = script.catalogue("fr"), script.catalogue("en")
    assert all(text == said for text, said in english.items())
    same = [text for text, said in french.items() if text == said]
    assert len(same) < 0.06 * len(french), same


@pytest.mark.parametrize(
    ("text", "code", "read"),
    [("6.8", "en", "6.8"), ("+6.8", "en", "6.8"), ("6,8", "fr", "6.8"), ("6.8", "fr", "6.8"), ("1250", "fr", "1250"), ("-2", "en", "-2")],
)
def test_a_number_is_read_as_its_page_writes_it(text: str, code: str, read: str) -> None:
    assert read_number(text, language(code), where="dose") == read


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    "text", ["1,500.0", "1.500,0", "1 500", "1'500", "1e3", "0x10", "nan", "inf", "١٢", "1.5.2", ".5", "5.", "", "1,2,3", "5 mg", "−2"]
)
def test_a_number_that_could_be_two_is_refused(text: str, code: str) -> None:
    with pytest.raises(CaseError):
        read_number(text, language(code), where="dose")


def test_an_english_page_refuses_a_comma_with_what_to_write() -> None:
    with pytest.raises(CaseError, match=r"a comma in a number; write 1\.5 with a decimal point"):
        read_number("1,5", language("en"), where="dose")


@pytest.mark.parametrize(
    ("text", "code", "instant"),
    [
        ("2026-03-04 08:00", "en", "2026-03-04T07:00:00+00:00"),
        ("2026-03-04T08:00", "en", "2026-03-04T07:00:00+00:00"),
        ("04/03/2026 08:00", "fr", "2026-03-04T07:00:00+00:00"),
        ("2026-07-04 08:00:30", "en", "2026-07-04T06:00:30+00:00"),
        ("2026-10-25 02:30+01:00", "en", "2026-10-25T01:30:00+00:00"),
        ("2026-10-25 02:30+02:00", "en", "2026-10-25T00:30:00+00:00"),
        ("2028-02-29 23:59", "en", "2028-02-29T22:59:00+00:00"),
        ("2026-03-04 08:00Z", "en", "2026-03-04T08:00:00+00:00"),
    ],
)
def test_a_time_is_one_instant_on_the_wards_clock(text: str, code: str, instant: str) -> None:
    assert read_moment(text, language(code), PARIS, where="at").astimezone(UTC).isoformat() == instant


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    "text",
    [
        "2026-03-29 02:30",
        "2026-10-25 02:30",
        "2026-02-29 08:00",
        "2026-13-01 08:00",
        "2026-03-04 24:00",
        "2026-03-04",
        "08:00",
        "3/4/2026 08:00",
    ],
)
def test_a_time_that_is_none_or_two_is_refused(text: str, code: str) -> None:
    with pytest.raises(CaseError):
        read_moment(text, language(code), PARIS, where="at")


def test_an_english_page_does_not_take_day_first() -> None:
    with pytest.raises(CaseError, match="not a date and time"):
        read_moment("04/03/2026 08:00", language("en"), PARIS, where="at")


@pytest.mark.parametrize("value", [0.0123, 6.8, 12.0, 153.2, 1250.0, 99999.0])
@pytest.mark.parametrize("code", LANGUAGES)
def test_what_a_page_writes_it_reads_again(value: float, code: str) -> None:
    tongue = language(code)
    assert float(read_number(tongue.number(value, 6), tongue, where="dose")) == value


@pytest.mark.parametrize("code", LANGUAGES)
def test_times_are_written_as_they_are_read(code: str) -> None:
    tongue, when = language(code), datetime(2026, 3, 4, 7, 0, tzinfo=UTC)
    assert read_moment(tongue.moment(when, PARIS), tongue, PARIS, where="at") == when


def test_texts_are_bounded_and_hold_no_control_characters() -> None:
    form = Form(fields={"a": "x" * 201, "b": "a\x00b"}, language=language("en"), zone=PARIS)
    for name, said in (("a", "too long"), ("b", "cannot be printed"), ("c", "missing")):
        with pytest.raises(CaseError, match=said):
            form.required(name)


@pytest.mark.parametrize(
    ("cookie", "accepted", "code"), [(None, None, "en"), (None, "fr-FR,en;q=0.5", "fr"), ("fr", "en", "fr"), ("xx", "de,fr", "fr")]
)
def test_the_language_is_the_chosen_one_else_the_browsers(cookie: str | None, accepted: str | None, code: str) -> None:
    assert preferred(cookie, accepted) == code
