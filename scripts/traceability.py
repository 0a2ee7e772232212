"""Hazard, requirement, test: the matrix of docs/hazards.toml, checked for orphans and written as docs/traceability.md.

python scripts/traceability.py           check, and write the page
python scripts/traceability.py --check   check, and say whether the page is up to date

An orphan is a hazard without a requirement or a test, a requirement without a hazard or a test, a test or a command that does not
exist, and a test file of the application that no row names.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE, PAGE = ROOT / "docs/hazards.toml", ROOT / "docs/traceability.md"
NUMBERS = range(1, 38)
STATES = ("met", "in part", "not met")
APPLICATION = ("web", "emr")  # folders whose every test file has to stand in the matrix
HAZARD = {"id", "hazard", "harm", "controls", "requirements", "tests"}
REQUIREMENT = {"number", "name", "asked", "state", "shown", "tests"}
HEAD = """# Hazards, requirements, tests

Written by `python scripts/traceability.py` from `docs/hazards.toml`; do not edit it by hand. `tests/web/test_traceability.py` fails on an
orphan in either direction: a hazard without a requirement or a test, a requirement without a hazard or a test, a test that does not exist,
a test file of the application that no row names. Tests are below `tests/`; a file alone stands for all of its tests. Whether they pass is
what `make test` says.

This is not a risk file after ISO 14971: severities and probabilities were not estimated, and nobody outside the project has read it.
Standing of the review: {reviewed}.
"""


def matrix(source: Path = SOURCE) -> dict[str, Any]:
    """The hazards and requirements as they are written."""
    return tomllib.loads(source.read_text(encoding="utf-8"))


def orphans(found: dict[str, Any], tests: Path = ROOT / "tests") -> list[str]:
    """What points nowhere, or is pointed to by nothing."""
    hazards, requirements = found["hazards"], found["requirements"]
    problems = [*_shape(hazards, HAZARD, "id"), *_shape(requirements, REQUIREMENT, "number")]
    numbers = [row["number"] for row in requirements]
    problems += [f"requirement {n}: not once in the file" for n in NUMBERS if numbers.count(n) != 1]
    known, answered = set(numbers), {n for row in hazards for n in row["requirements"]}
    problems += [f"requirement {n}: no such one (named by a hazard)" for n in sorted(answered - known)]
    problems += [f"requirement {n}: no hazard asks for it" for n in sorted(known - answered)]
    problems += [f"requirement {r['number']}: {w}" for r in requirements for w in _state(r)]
    rows = [*((row["id"], row) for row in hazards), *((f"requirement {row['number']}", row) for row in requirements)]
    problems += [f"{place}: {wrong}" for place, row in rows for wrong in _missing(row, tests)]
    named = {test.partition("::")[0] for _, row in rows for test in row["tests"]}
    files = {str(path.relative_to(tests)) for part in APPLICATION for path in (tests / part).glob("test_*.py")}
    return problems + [f"{name}: no hazard and no requirement names it" for name in sorted(files - named)]


def _shape(rows: list[dict[str, Any]], keys: set[str], name: str) -> Iterator[str]:
    for row in rows:
        lacking = sorted(key for key in keys if not row.get(key))
        if lacking:
            yield f"{row.get(name, '?')}: lacks {', '.join(lacking)}"


def _state(row: dict[str, Any]) -> Iterator[str]:
    if row["state"] not in STATES:
        yield f"state {row['state']!r} is none of {', '.join(STATES)}"
    if (row["state"] == "met") == bool(row.get("missing")):
        yield "what is met lacks nothing, and what is not says what is missing"


def _missing(row: dict[str, Any], tests: Path) -> Iterator[str]:
    for test in row["tests"]:
        file, _, name = test.partition("::")
        if not (tests / file).is_file():
            yield f"no test file {file}"
        elif name and name not in names(tests / file):
            yield f"no test {test}"
    for command in row.get("commands", []):
        if not (ROOT / command).is_file():
            yield f"no command {command}"


@cache
def names(file: Path) -> frozenset[str]:
    """The tests of a file, methods of classes too."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def page(found: dict[str, Any]) -> str:
    """The page, as it has to be in the tree."""
    requirements = sorted(found["requirements"], key=lambda row: row["number"])
    count = {state: sum(row["state"] == state for row in requirements) for state in STATES}
    lines = [HEAD.format(reviewed=found["reviewed"]), "## Hazards", ""]
    lines += [line for row in found["hazards"] for line in _hazard(row)]
    lines += ["## The 37 requirements", "", f"Met: {count['met']}. In part: {count['in part']}. Not met: {count['not met']}.", ""]
    lines += ["Figures are those of [evidence](evidence.md).", ""]
    lines += ["| # | requirement | asked | state | shown | missing | by |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_requirement(row) for row in requirements)]) + "\n"


def _hazard(row: dict[str, Any]) -> Iterator[str]:
    yield f"### {row['id']}. {row['hazard']}"
    yield ""
    yield f"Harm: {row['harm']}. Controls: {row['controls']}. Requirements: {', '.join(str(n) for n in row['requirements'])}."
    yield ""
    yield from (f"- `{test}`" for test in row["tests"])
    yield ""


def _requirement(row: dict[str, Any]) -> str:
    by = ", ".join(f"`{one}`" for one in (*row["tests"], *row.get("commands", [])))
    cells = (row["number"], row["name"], row["asked"], f"**{row['state']}**", row["shown"], row.get("missing", ""), by)
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def main() -> int:
    """Exit code 1 for an orphan, and under `--check` for a page that is out of date."""
    found = matrix()
    problems = orphans(found)
    if not problems and "--check" not in sys.argv:
        PAGE.write_text(page(found), encoding="utf-8")
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page(found):
        problems.append("docs/traceability.md: out of date; run python scripts/traceability.py")
    print("\n".join(problems) or f"{len(found['hazards'])} hazards, {len(found['requirements'])} requirements: no orphan")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
