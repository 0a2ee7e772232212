"""The engine's sentences in French: every one that a reader can meet is in the catalogue, with its numbers and names; English is itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import auctor
from auctor.web.pages.engine_words import PLACE, catalogue, engine, translated
from auctor.web.pages.language import language
from auctor.web.pages.words import notice_words

SOURCE = Path(auctor.__file__).parent
FR, EN = language("fr"), language("en")
SPEAKERS = (  # whose notices and refusals stand on a page
    *(f"data/{name}.py" for name in ("covariates", "doses", "samples", "measure", "plausible", "limits")),
    *("units.py", "analysis/run.py", "analysis/samples.py", "analysis/methods.py", "analysis/modes.py", "report/words.py"),
    *("dosing/candidates.py", "dosing/current.py", "dosing/recommend.py", "dosing/concordance.py", "models/domain.py"),
    *("estimate/patient.py", "estimate/steady.py", "learn/predictor.py", "learn/drivers.py"),
    *(f"fhir/v2/{name}.py" for name in ("administrations", "header", "message", "read", "results", "values")),
    "web/emr/receiver.py",
    *(f"fhir/{name}.py" for name in ("administrations", "bundle", "genotypes", "labels", "medicine", "node", "observations", "orders")),
    *(f"fhir/{name}.py" for name in ("patient", "read", "reading", "renal", "transplants", "values", "when")),
    *("fhir/cds/request.py", "fhir/cds/judgement.py", "web/emr/cds_hooks.py", "web/emr/desk.py", "web/emr/tokens.py"),
    *("web/store/entries.py", "web/store/facts.py", "web/store/results.py", "web/accounts/sign_in.py"),
)
SAYS = {"what", "remedy", "hint"}
FIRST = {"said": slice(0, 1), "unreadable": slice(1, 3), "_rejected": slice(1, 3), "_internal": slice(0, 1)} | {
    "_wrong": slice(1, 3),
    "refused": slice(0, 1),
}  # by position
# refusals that no form and no analysis of the application leads to: the estimators' own, asked for by a command or a program
# and two that the catalogue has spelled out, below and above
ELSEWHERE = re.compile(r"is not a method|choose one of|no hospital sign-in|^7 a limit that is not given|^a number 7 the assay's own limit")


def sentences(path: Path) -> Iterator[str]:
    """What a module says: texts given as `what`, `remedy` or `hint`, directly or by a name set in the same function; messages of `said`."""
    for function in [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef | ast.Module)
    ]:
        names = {t.id: a.value for a in ast.walk(function) if isinstance(a, ast.Assign) for t in a.targets if isinstance(t, ast.Name)}
        for pair in [a for a in ast.walk(function) if isinstance(a, ast.Assign) and isinstance(a.value, ast.Tuple)]:
            targets = pair.targets[0].elts if isinstance(pair.targets[0], ast.Tuple) else []
            names |= {t.id: value for t, value in zip(targets, pair.value.elts, strict=False) if isinstance(t, ast.Name)}
        for call in [node for node in ast.walk(function) if isinstance(node, ast.Call)]:
            given = [word.value for word in call.keywords if word.arg in SAYS]
            given += call.args[FIRST[call.func.id]] if isinstance(call.func, ast.Name) and call.func.id in FIRST else []
            for value in given:
                yield from texts(names.get(value.id, value) if isinstance(value, ast.Name) else value)


def texts(node: ast.AST) -> Iterator[str]:
    """The texts an expression may be, a computed part of it as `7`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield PLACE.sub("7", node.value).replace("%%", "%") if PLACE.search(node.value) else node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)


@pytest.mark.parametrize("module", SPEAKERS)
def test_every_sentence_of_the_module_is_said_in_french(module: str) -> None:
    found = {text for text in sentences(SOURCE / module) if re.search("[a-z]{2}", text) and not ELSEWHERE.search(text)}
    assert found or module in ("learn/drivers.py", "analysis/methods.py", "dosing/concordance.py")
    assert sorted(text for text in found if translated(text, FR)[1] != "fr") == []


def test_placeholders_are_alike_and_no_message_is_without_a_translation() -> None:
    for text, said in catalogue("fr").items():
        assert said and sorted(PLACE.findall(said)) == sorted(PLACE.findall(text)), text
        if PLACE.search(text):
            assert len(PLACE.sub("", text).replace(" ", "")) >= 2, f"{text} would fit everything"


@pytest.mark.parametrize(
    ("english", "french"),
    [
        (
            "2 of 3 level(s) lie outside the 5-95 % range predicted beforehand: sample 1 at the 99.6th percentile, sample 3 at the 2nd "
            "percentile. Check times and doses before trusting the fit.",
            "2 concentrations sur 3 sont hors de l'intervalle 5-95 % prédit au préalable : prélèvement 1 au 99,6e percentile, "
            "prélèvement 3 au 2e percentile. Vérifiez heures et doses avant de vous fier à l'ajustement.",
        ),
        (
            "MAP selects 2.5 mg every 12 h over 1.5 h: AUC0-24 153.2 ng·h/mL (90 % interval 120.5–190) at steady state; 1 of 10 below, "
            "more than 9 of 10 within and fewer than 1 of 10 above the target. Other methods select: Machine learning: hold (no dose).",
            "MAP choisit 2,5 mg toutes les 12 h en 1,5 h : AUC0-24 153,2 ng·h/mL (intervalle à 90 % : 120,5–190) à l'équilibre ; 1 sur 10 "
            "sous la cible, plus de 9 sur 10 dedans et moins de 1 sur 10 au-dessus. D'autres méthodes choisissent : Apprentissage "
            "automatique : suspendre (aucune dose).",
        ),
        (
            "3 mg every 12 h: AUC0-12 130.5 ng·h/mL (90 % interval 71.3–240) at steady state (Posterior). In natural frequencies: 6 of 10 "
            "below, 2 of 10 within and 1 of 10 above the target.",
            "3 mg toutes les 12 h : AUC0-12 130,5 ng·h/mL (intervalle à 90 % : 71,3–240) à l'équilibre (A posteriori). En fréquences "
            "naturelles : 6 sur 10 sous la cible, 2 sur 10 dedans et 1 sur 10 au-dessus.",
        ),
        ("Other methods select: MAP: 4 mg every 12 h.", "D'autres méthodes choisissent : MAP : 4 mg toutes les 12 h."),
        (
            "MAP and Posterior differ by 4 % in exposure; MAP says keep, Posterior says increase",
            "MAP et A posteriori diffèrent de 4 % en exposition ; MAP dit : garder, A posteriori dit : augmenter",
        ),
        (
            "outside the domain (covariates.WT); bad fit (samples[1])",
            "hors du domaine (Covariable WT) ; mauvais ajustement (Prélèvement 2)",
        ),
        (
            "Weight is outside the population of vancomycin_goti_2018 (33 to 255.5 kg)",
            "Weight hors de la population de vancomycin_goti_2018 (33 à 255,5 kg)",
        ),
    ],
)
def test_a_sentence_is_turned_with_its_numbers_names_and_inner_sentences(english: str, french: str) -> None:
    assert translated(english, FR) == (french, "fr")
    assert translated(english, EN) == (english, "en")


@pytest.mark.parametrize("text", ["The drug binds to 3 sites; see Table 4.", "measured", "", "a; b; c. d", "x" * 4000, "no; " * 300])
def test_what_is_not_known_stays_english_and_is_marked(text: str) -> None:
    assert translated(text, FR) == (text, "en")
    assert str(engine(text, FR)) == f'<span lang="en">{text}</span>' and str(engine(text, EN)) == text


def test_nothing_in_a_sentence_becomes_markup() -> None:
    assert "&lt;b&gt;" in str(engine("unknown unit '<b>'", FR)) and "&lt;b&gt;" in str(engine("<b>", FR))


def test_a_notice_has_its_own_sentence_else_that_of_its_code() -> None:
    notice = {"code": "outside-domain", "where": "covariates.WT", "what": "no sentence of ours", "remedy": "nothing"}
    assert notice_words(notice, FR)["what"].startswith("hors de") and notice_words(notice, EN)["what"] == "no sentence of ours"
    assert notice_words(notice | {"code": "unheard-of"}, FR)["lang"] == "en"
