"""What each kind of finding says, word for word in both languages: clock times of the ward, hours where the case has none."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from auctor.data.casefile import case_of, time_zero
from auctor.data.document import check_document
from auctor.data.plausibility import Facts, Finding, Kind
from auctor.data.plausibility.covariate_slips import SLIPS
from auctor.data.plausibility.finding import Labelled
from auctor.report.finding_words import LEVEL_UNITS, QUESTIONS, Telling
from auctor.web.pages.language import language
from auctor.web.pages.voice import PageVoice

PARIS = ZoneInfo("Europe/Paris")
START = datetime(2026, 3, 3, 8, tzinfo=PARIS)
EN, FR = (Telling(voice=PageVoice(language(code)), start=START) for code in ("en", "fr"))


def finding(kind: Kind, facts: Facts) -> Finding:
    return Finding(kind=kind, where="samples[1]", facts=facts, log_likelihood_ratio=3.0, prior_odds=0.01)


SAID = [
    (
        Kind.AFTER_DOSE,
        Facts(at_h=23.5, then_h=25.5, dose_h=24.0, after_h=0.5, infusion=True),
        "drawn 30 min after the end of the infusion given at 08:00 on 4 March: at 09:30 rather than at 07:30",
        "prélevé 30 min après la fin de la perfusion donnée le 4 mars à 08:00 : à 09:30 et non à 07:30",
    ),
    (
        Kind.AFTER_DOSE,
        Facts(at_h=15.5, then_h=24.5, dose_h=24.0, after_h=0.5),
        "drawn 30 min after the dose given at 08:00 on 4 March: at 08:30 rather than at 23:30 on 3 March",
        "prélevé 30 min après la dose donnée le 4 mars à 08:00 : à 08:30 et non le 3 mars à 23:30",
    ),
    (
        Kind.BEFORE_DOSE,
        Facts(at_h=26.0, then_h=24.0, dose_h=24.0),
        "drawn just before the dose given at 08:00 on 4 March rather than after it, at 10:00",
        "prélevé juste avant la dose donnée le 4 mars à 08:00 et non après elle, à 10:00",
    ),
    (
        Kind.EARLIER,
        Facts(at_h=35.5, then_h=33.5),
        "drawn 2 h earlier than recorded: at 17:30 on 4 March rather than at 19:30",
        "prélevé 2 h plus tôt que noté : le 4 mars à 17:30 et non à 19:30",
    ),
    (
        Kind.LATER,
        Facts(at_h=39.0, then_h=41.0),
        "drawn 2 h later than recorded: at 01:00 on 5 March rather than at 23:00 on 4 March",
        "prélevé 2 h plus tard que noté : le 5 mars à 01:00 et non le 4 mars à 23:00",
    ),
    (
        Kind.SWAPPED_SAMPLES,
        Facts(at_h=35.5, then_h=24.0, other="samples[0]"),
        "exchanged with sample 1: drawn at 08:00 on 4 March, and that one at 19:30",
        "échangé avec le prélèvement 1 : prélevé le 4 mars à 08:00, et l'autre à 19:30",
    ),
    (
        Kind.DOSE_MISSED,
        Facts(dose_h=24.0),
        "the dose recorded at 08:00 on 4 March was not given",
        "la dose notée le 4 mars à 08:00 n'a pas été donnée",
    ),
    (
        Kind.DOSE_LATE,
        Facts(dose_h=24.0, at_h=24.0, then_h=26.0),
        "the dose recorded at 08:00 on 4 March was given at 10:00, 2 h later",
        "la dose notée le 4 mars à 08:00 a été donnée à 10:00, 2 h plus tard",
    ),
    (
        Kind.DOSE_EARLY,
        Facts(dose_h=24.0, at_h=24.0, then_h=22.0),
        "the dose recorded or due at 08:00 on 4 March was given at 06:00, 2 h earlier",
        "la dose notée ou prévue le 4 mars à 08:00 a été donnée à 06:00, 2 h plus tôt",
    ),
    (
        Kind.LABEL,
        Facts(at_h=26.5, then_h=24.0, dose_h=24.0, after_h=2.5, label=Labelled.TROUGH),
        "labelled trough, but recorded 2.5 h after a dose: drawn at 08:00 on 4 March?",
        "étiqueté résiduel, mais noté 2,5 h après une dose : prélevé le 4 mars à 08:00 ?",
    ),
    (
        Kind.LABEL,
        Facts(at_h=30.0, then_h=25.5, dose_h=24.0, after_h=6.0, label=Labelled.PEAK),
        "labelled peak, but recorded 6 h after a dose: drawn at 09:30 on 4 March?",
        "étiqueté pic, mais noté 6 h après une dose : prélevé le 4 mars à 09:30 ?",
    ),
    (
        Kind.UNIT_THOUSAND,
        Facts(factor=0.001, meant="ug/L", written="mg/L"),
        "the level is 1000 times too large: ug/L (ng/mL) entered as mg/L",
        "la concentration est 1000 fois trop grande : ug/L (ng/mL) saisis comme mg/L",
    ),
    (
        Kind.UNIT_THOUSAND,
        Facts(factor=1000.0, meant="mg/L", written="ug/L", every=True),
        "all levels are 1000 times too small: mg/L entered as ug/L (ng/mL)",
        "toutes les concentrations sont 1000 fois trop petites : mg/L saisis comme ug/L (ng/mL)",
    ),
    (
        Kind.UNIT_MOLAR,
        Facts(factor=1.449, meant="umol/L", written="mg/L"),
        "the level is an amount of substance (umol/L) entered as a mass (mg/L)",
        "la concentration est une quantité de matière (umol/L) saisie comme une masse (mg/L)",
    ),
    (
        Kind.UNIT_MOLAR,
        Facts(factor=0.69, meant="mg/L", written="umol/L", every=True),
        "all levels are masses (mg/L) entered as amounts of substance (umol/L)",
        "toutes les concentrations sont des masses (mg/L) saisies comme des quantités de matière (umol/L)",
    ),
    (
        Kind.DOSE_UNIT,
        Facts(factor=1000.0, every=True),
        "all doses are 1000 times larger than recorded: micrograms entered for milligrams",
        "toutes les doses sont 1000 fois plus grandes que noté : microgrammes saisis au lieu de milligrammes",
    ),
    (
        Kind.DOSE_UNIT,
        Facts(factor=0.001, every=True),
        "all doses are 1000 times smaller than recorded: milligrams entered for micrograms",
        "toutes les doses sont 1000 fois plus petites que noté : milligrammes saisis au lieu de microgrammes",
    ),
    (
        Kind.DILUTION,
        Facts(factor=10.0),
        "the level is ten times too low: a dilution was not counted",
        "la concentration est dix fois trop basse : une dilution n'a pas été comptée",
    ),
    (
        Kind.DILUTION,
        Facts(factor=0.1),
        "the level is ten times too high: a dilution was counted twice",
        "la concentration est dix fois trop haute : une dilution a été comptée deux fois",
    ),
    (
        Kind.LINE,
        Facts(),
        "far above what the others lead to expect: drawn through the line of the infusion",
        "bien au-dessus de ce que les autres laissent attendre : prélevé sur la voie de la perfusion",
    ),
    (
        Kind.OTHER_PATIENT,
        Facts(),
        "fits the drug's patients at large better than this patient's other levels: blood of somebody else",
        "s'accorde mieux avec les patients de ce médicament en général qu'avec les autres concentrations de ce patient : "
        "sang de quelqu'un d'autre",
    ),
    (Kind.COVARIATE_UNIT, Facts(factor=0.4536, meant="pounds", written="kg"), "pounds entered as kg", "valeur en livres saisie comme kg"),
    (
        Kind.COVARIATE_UNIT,
        Facts(at_h=24.0, factor=0.4536, meant="pounds", written="kg"),
        "pounds entered as kg, in the value of 4 March",
        "valeur en livres saisie comme kg, pour la valeur du 4 mars",
    ),
    (
        Kind.COVARIATE_UNIT,
        Facts(factor=2.2046, meant="kg", written="kg"),
        "kg divided by 2.2 once too often",
        "kg divisés par 2,2 une fois de trop",
    ),
]


@pytest.mark.parametrize(("kind", "facts", "english", "french"), SAID, ids=lambda value: value.value if isinstance(value, Kind) else "")
def test_a_finding_is_said_in_the_language_of_the_page_with_the_wards_clock(kind: Kind, facts: Facts, english: str, french: str) -> None:
    assert EN.what(finding(kind, facts)) == english
    assert FR.what(finding(kind, facts)) == french
    assert Telling(start=START).what(finding(kind, facts)) == english.replace("sample 1", "samples[0]")


def test_every_kind_is_said_and_every_question_in_french() -> None:
    assert {kind for kind, *_ in SAID} == set(Kind) == set(QUESTIONS)
    for kind, question in QUESTIONS.items():
        assert EN.question(finding(kind, Facts())) == question != FR.question(finding(kind, Facts()))
    french = {language("fr").say(text) for text in LEVEL_UNITS.values()}
    assert len(french) == 8 and not french & set(LEVEL_UNITS.values())


@pytest.mark.parametrize(("name", "unit"), SLIPS)
def test_every_unit_of_a_covariate_is_said(name: str, unit: str) -> None:
    for factor, meant in SLIPS[name, unit]:
        said = FR.what(finding(Kind.COVARIATE_UNIT, Facts(factor=factor, meant=meant, written=unit)))
        assert not any(word in said for word in ("pounds", "inches", "metres", "months", "year", "fraction e", "entered")), said


def test_without_a_clock_hours_are_said() -> None:
    late = finding(Kind.LATER, Facts(at_h=72.5, then_h=74.5))
    assert Telling().what(late) == "drawn 2 h later than recorded: at 74.5 h rather than at 72.5 h"
    assert Telling(voice=FR.voice).what(late) == "prélevé 2 h plus tard que noté : à 74,5 h du début et non à 72,5 h du début"


def test_the_hour_that_comes_twice_has_its_offset_and_another_year_is_said() -> None:
    autumn = Telling(start=datetime(2026, 10, 24, 8, tzinfo=PARIS))
    twice = [autumn.what(finding(Kind.DOSE_MISSED, Facts(dose_h=hours))) for hours in (18.5, 19.5, 20.5)]
    assert [said.removeprefix("the dose recorded at ").removesuffix(" was not given") for said in twice] == [
        "02:30 (UTC+0200) on 25 October", "02:30 (UTC+0100) on 25 October", "03:30 on 25 October"
    ]  # fmt: skip
    assert FR.at(24.0 * 303) == "le 31 décembre à 08:00" and FR.at(24.0 * 304) == "le 1er janvier 2027 à 08:00"
    assert EN.at(24.0 * 304 + 1 / 3600) == "at 08:00 on 1 January 2027"


@pytest.mark.parametrize(("first", "zone"), [("2026-03-03T08:00:00+01:00", None), ("2026-03-03T08:00:00", "Europe/Paris")])
def test_hours_count_from_the_dose_that_steady_state_implies(first: str, zone: str | None) -> None:
    """A sample before a steady-state dose puts time 0 one interval earlier: the clock time of the sample stays what was written."""
    drawn = "2026-03-03T07:30:00" + ("" if zone else "+01:00")
    dose = {"amount": "1000 mg", "route": "iv", "duration": "1 h", "at": first, "every": "12 h", "steady_state": True}
    for at, start in ((drawn, "2026-03-02T20:00:00+01:00"), (drawn.replace("07:30", "09:30"), "2026-03-03T08:00:00+01:00")):
        samples = [{"at": at, "value": "12 mg/L", "matrix": "serum"}]
        content = {"schema": 1, "label": "A", "drug": "vancomycin", "doses": [dose], "samples": samples}
        document = check_document(content | ({"time_zone": zone} if zone else {}))
        case = case_of(document)
        zero = time_zero(document, case)
        assert zero is not None and zero.isoformat() == start
        assert Telling(start=zero).at(case.samples[0].time_h) == f"at {at[11:16]} on 3 March"


def test_a_case_in_hours_has_no_clock() -> None:
    from auctor.data.document import read_document

    document = read_document(Path(__file__).parents[2] / "examples" / "phenobarbital_neonate.toml")
    assert time_zero(document, case_of(document)) is None
