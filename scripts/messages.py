"""The messages of the pages: which there are, which a catalogue lacks, which it no longer needs.

python scripts/messages.py           what is missing from each catalogue
python scripts/messages.py --list    every message, in the order of the files
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "src/auctor/web"
BELOW = tuple(  # said by a voice of the pages: what they mark, not what they refuse
    ROOT / "src/auctor" / name
    for name in (
        *("report/finding_words.py", "report/plausibility.py", "fhir/report_bundle.py", "fhir/result_observations.py"),
        *("fhir/v2/ack.py", "fhir/cds/cards.py", "fhir/cds/discovery.py", "fhir/cds/level_due.py", "fhir/cds/services.py"),
    )
)
CATALOGUES = WEB / "pages/locale"
_CALL = re.compile(r"""\bsay\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_MSGID = re.compile(r'^msgid ("(?:[^"\\]|\\.)*"(?:\n"(?:[^"\\]|\\.)*")*)', re.MULTILINE)
_MARKED, _SAID = {"say", "N_"}, {"what", "remedy"}
FIXED = (  # said by variable: words of model files and case files, and the questions of the report
    *("draft", "reviewed", "validated", "whole blood", "plasma", "serum", "yes", "no"),
    "Are the levels what this patient's covariates let one expect?",
    "Does the current regimen reach the target?",
    "What would another regimen do?",
    "When is the next level useful?",
    # of the store and of the hospital's server, as refusals show them
    *("does not answer, or is busy", "try again; then see the server"),
    *("no answer in time", "no connection", "try again; what was read before is not fresh", "check the server and the network"),
    *("no hospital record is set up for this ward", "an administrator adds it", "not the patient of this course"),
    "more than one account may ask for at a time",
)


def messages() -> list[str]:
    """Every message, once, in the order of the files."""
    found = [*FIXED]
    for path in sorted(WEB.rglob("*.html")):
        found += [ast.literal_eval(text) for text in _CALL.findall(path.read_text(encoding="utf-8"))]
    for path in sorted([*(WEB / "pages").rglob("*.py"), *(WEB / "service").rglob("*.py")]):
        found += list(_in_code(ast.parse(path.read_text(encoding="utf-8"))))
    for path in BELOW:
        found += list(_in_code(ast.parse(path.read_text(encoding="utf-8")), refusals=False))
    return list(dict.fromkeys(found))


def _in_code(tree: ast.AST, *, refusals: bool = True) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        texts = node.args[:1] if name in _MARKED else []
        refused = refusals and name.endswith(("Error", "Refused", "Patient"))
        texts += [keyword.value for keyword in node.keywords if refused and keyword.arg in _SAID]
        yield from (text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value)


def catalogue(code: str) -> dict[str, str]:
    """One catalogue as it is in the tree."""
    from babel.messages.pofile import read_po

    with (CATALOGUES / code / "messages.po").open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file, locale=code) if m.id}


def repeated(code: str) -> list[str]:
    """Messages that a catalogue holds twice: of two translations, the reader would keep one without a word."""
    text = (CATALOGUES / code / "messages.po").read_text(encoding="utf-8")
    ids = ["".join(map(ast.literal_eval, block.split("\n"))) for block in _MSGID.findall(text)]
    return sorted(one for one, times in Counter(ids).items() if times > 1)


if __name__ == "__main__":
    for text in messages() if "--list" in sys.argv else []:
        print(repr(text))
    for code in sorted(path.name for path in CATALOGUES.iterdir()) if "--list" not in sys.argv else []:
        known = catalogue(code)
        for text in messages():
            if not known.get(text):
                print(f"{code}: missing {text!r}")
        for text in repeated(code):
            print(f"{code}: twice {text!r}")
        for text in known.keys() - set(messages()):
            print(f"{code}: no longer used {text!r}")
