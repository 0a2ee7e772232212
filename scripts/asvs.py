"""OWASP ASVS 5.0, levels 1 and 2: docs/asvs.toml, checked, counted and written as docs/asvs.md.

python scripts/asvs.py           check, and write the page
python scripts/asvs.py --check   check, and say whether the page is up to date

A problem is a requirement of these levels that is not there, there twice, of another level, without a state that is known, met without
evidence, not met without what is missing, not applicable without a reason, and a test or file that does not exist.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

from traceability import ROOT, names

SOURCE, PAGE = ROOT / "docs/asvs.toml", ROOT / "docs/asvs.md"
MET, PART, NOT, AWAY = STATES = ("met", "in part", "not met", "not applicable")
TESTS = ("web/", "emr/", "spec/", "property/", "oracle/")  # below tests/; everything else is a file of the repository
# The standard's sections, and of each the levels of its requirements in their order: 345, of which 70 are of level 1, 183 of level 2.
LEVELS = {
    "1.1": "22", "1.2": "1111122223", "1.3": "112222222223", "1.4": "222", "1.5": "123",
    "2.1": "122", "2.2": "112", "2.3": "12223", "2.4": "23",
    "3.1": "3", "3.2": "113", "3.3": "12223", "3.4": "11222233", "3.5": "11122333", "3.6": "3", "3.7": "22333",
    "4.1": "12233", "4.2": "23333", "4.3": "22", "4.4": "1222",
    "5.1": "2", "5.2": "112333", "5.3": "113", "5.4": "222",
    "6.1": "122", "6.2": "111111112222", "6.3": "11223333", "6.4": "112233", "6.5": "22222333", "6.6": "2223", "6.7": "33", "6.8": "2222",
    "7.1": "222", "7.2": "1111", "7.3": "22", "7.4": "11222", "7.5": "223", "7.6": "22",
    "8.1": "1233", "8.2": "1123", "8.3": "133", "8.4": "23",
    "9.1": "111", "9.2": "1222",
    "10.1": "22", "10.2": "223", "10.3": "22223", "10.4": "1111122222233333", "10.5": "22222", "10.6": "22", "10.7": "222",
    "11.1": "2233", "11.2": "22233", "11.3": "11233", "11.4": "1222", "11.5": "23", "11.6": "23", "11.7": "33",
    "12.1": "12233", "12.2": "11", "12.3": "22223",
    "13.1": "2333", "13.2": "222223", "13.3": "2233", "13.4": "1222233",
    "14.1": "22", "14.2": "12223333", "14.3": "122",
    "15.1": "12233", "15.2": "12233", "15.3": "1222222", "15.4": "3333",
    "16.1": "2", "16.2": "22222", "16.3": "2222", "16.4": "222", "16.5": "2223",
    "17.1": "23", "17.2": "22223333", "17.3": "22",
}  # fmt: skip
HEAD = """# OWASP ASVS 5.0, requirement by requirement

Written by `python scripts/asvs.py` from `docs/asvs.toml`; do not edit it by hand. Every requirement of levels 1 and 2 of the Application
Security Verification Standard 5.0.0 (OWASP, May 2025) by its number, with what it is about in words of our own: the standard's text is at
<https://github.com/OWASP/ASVS/tree/v5.0.0>. `tests/web/test_asvs.py` fails on a requirement without evidence, a test that does not exist, a
number that is missing or there twice. Tests are below `tests/`. Whether they pass is what `make test` says.

It is the project's own judgement, by reading code and tests; nobody outside has assessed it. It is of an installation as in
[serving, a hospital](serve.md#a-hospital): https, and the defaults that follow from it. How the application is protected is told in
[security](security.md). Standing: {judged}.
"""


def expected() -> dict[str, int]:
    """The numbers of levels 1 and 2, with their level."""
    every = {f"{section}.{k}": int(level) for section, levels in LEVELS.items() for k, level in enumerate(levels, 1)}
    return {number: level for number, level in every.items() if level < 3}


def read(source: Path = SOURCE) -> dict[str, Any]:
    """The table as it is written."""
    return tomllib.loads(source.read_text(encoding="utf-8"))


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Every requirement, chapter after chapter."""
    return [row for chapter in found["chapters"] for row in chapter["requirements"]]


def problems(found: dict[str, Any], root: Path = ROOT) -> list[str]:
    """What is wrong with the table."""
    rows, known = rows_of(found), expected()
    ids = [str(row.get("id")) for row in rows]
    wrong = [f"{number}: not in the table" for number in known if number not in ids]
    wrong += [f"{number}: there twice" for number in sorted({one for one in ids if ids.count(one) > 1})]
    wrong += [f"{number}: no requirement of levels 1 and 2" for number in ids if number not in known]
    wrong += [f"{row['id']}: {what}" for row in rows for what in _of_row(row, known.get(str(row.get("id"))), root)]
    apart = [
        row["id"] for k, chapter in enumerate(found["chapters"], 1) for row in chapter["requirements"] if not row["id"].startswith(f"{k}.")
    ]
    return wrong + [f"{number}: in another chapter" for number in apart]


def _of_row(row: dict[str, Any], level: int | None, root: Path) -> Iterator[str]:
    if level is not None and row.get("level") != level:
        yield f"is of level {level}"
    if not row.get("subject"):
        yield "says not what it is about"
    if row.get("state") not in STATES:
        yield f"state {row.get('state')!r} is none of {', '.join(STATES)}"
    if row.get("state") in (MET, PART) and not row.get("by"):
        yield "shown by nothing"
    if (row.get("state") in (PART, NOT)) != bool(row.get("missing")):
        yield "what is not met says what is missing, and nothing else does"
    if (row.get("state") == AWAY) != bool(row.get("reason")):
        yield "what does not apply says why, and nothing else does"
    yield from (f"no {one}" for one in row.get("by", []) if not _exists(one, root))


def _exists(one: str, root: Path) -> bool:
    file, _, test = one.partition("::")
    path = root / ("tests" if one.startswith(TESTS) else "") / file
    return path.is_file() and (not test or test in names(path))


def share(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many of each state, how many apply, and which part of those is met (per cent; None where nothing applies)."""
    count: dict[str, Any] = {state: sum(row["state"] == state for row in rows) for state in STATES}
    applies = len(rows) - count[AWAY]
    return count | {"all": len(rows), "applies": applies, "percent": 100 * count[MET] / applies if applies else None}


def page(found: dict[str, Any]) -> str:
    """The page, as it has to be in the tree."""
    rows = rows_of(found)
    lines = [HEAD.format(judged=found["judged"]), "## In numbers", "", *_head("")]
    lines += [_counts(f"level {level}", [row for row in rows if row["level"] == level]) for level in (1, 2)]
    lines += ["", *_head("chapter")]
    lines += [_counts(f"V{k} {c['name']}", c["requirements"]) for k, c in enumerate(found["chapters"], 1)]
    lines += ["", "## Not met, or in part", "", "| # | level | about | state | missing |", "|---|---|---|---|---|"]
    lines += [_cells(r["id"], r["level"], r["subject"], r["state"], r["missing"]) for r in rows if r["state"] in (PART, NOT)]
    for k, chapter in enumerate(found["chapters"], 1):
        lines += ["", f"## V{k} {chapter['name']}", "", "| # | level | about | state | shown by, or why not |", "|---|---|---|---|---|"]
        lines += [_cells(r["id"], r["level"], r["subject"], f"**{r['state']}**", _why(r)) for r in chapter["requirements"]]
    return "\n".join(lines) + "\n"


def _head(of: str) -> tuple[str, str]:
    return f"| {of} | requirements | apply | met | in part | not met | met of those that apply |", "|---|---|---|---|---|---|---|"


def _counts(name: str, rows: list[dict[str, Any]]) -> str:
    found = share(rows)
    percent = "" if found["percent"] is None else f"{found['percent']:.1f} %"
    return _cells(name, found["all"], found["applies"], found[MET], found[PART], found[NOT], percent)


def _why(row: dict[str, Any]) -> str:
    parts = [row.get("reason", ""), row.get("missing", ""), row.get("note", ""), ", ".join(f"`{one}`" for one in row.get("by", []))]
    return ". ".join(part for part in parts if part)


def _cells(*cells: object) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def main() -> int:
    """Exit code 1 for a problem, and under `--check` for a page that is out of date."""
    found = read()
    wrong = problems(found)
    if not wrong and "--check" not in sys.argv:
        PAGE.write_text(page(found), encoding="utf-8")
    if not wrong and (not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page(found)):
        wrong.append("docs/asvs.md: out of date; run python scripts/asvs.py")
    counts = {level: share([row for row in rows_of(found) if row["level"] == level]) for level in (1, 2)} if not wrong else {}
    said = [f"level {level}: {one[MET]} of {one['applies']} that apply are met ({one['percent']:.1f} %)" for level, one in counts.items()]
    print("\n".join(wrong or said))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
