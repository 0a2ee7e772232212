"""The matrix of hazards, requirements and tests has no orphan in either direction, and each kind of orphan would be found."""

from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

import traceability


@pytest.fixture
def rows() -> dict[str, Any]:
    return deepcopy(traceability.matrix())


def test_there_is_no_orphan(rows: dict[str, Any]) -> None:
    """And all 37 requirements stand there once."""
    assert traceability.orphans(rows) == []
    assert sorted(row["number"] for row in rows["requirements"]) == list(range(1, 38))


def test_the_page_is_that_of_the_matrix(rows: dict[str, Any]) -> None:
    """`python scripts/traceability.py` was run after the last change."""
    assert traceability.PAGE.read_text(encoding="utf-8") == traceability.page(rows)


def _forget(rows: dict[str, Any], number: int) -> None:
    for row in rows["hazards"]:
        row["requirements"] = [n for n in row["requirements"] if n != number]


UNKNOWN = "requirement 38: no such one (named by a hazard)"
BROKEN = {
    "no such test": (lambda rows: rows["hazards"][0]["tests"].append("web/test_api.py::test_x"), "H1: no test web/test_api.py::test_x"),
    "no such file": (lambda rows: rows["hazards"][0]["tests"].append("web/test_none.py"), "H1: no test file web/test_none.py"),
    "no such command": (lambda rows: rows["requirements"][0]["commands"].append("b/none.py"), "requirement 1: no command b/none.py"),
    "a hazard without a test": (lambda rows: rows["hazards"][0]["tests"].clear(), "H1: lacks tests"),
    "a hazard without a requirement": (lambda rows: rows["hazards"][0]["requirements"].clear(), "H1: lacks requirements"),
    "a requirement without a hazard": (lambda rows: _forget(rows, 19), "requirement 19: no hazard asks for it"),
    "a requirement without a test": (lambda rows: rows["requirements"][18]["tests"].clear(), "19: lacks tests"),
    "an unknown requirement": (lambda rows: rows["hazards"][0]["requirements"].append(38), UNKNOWN),
    "a requirement left out": (lambda rows: rows["requirements"].pop(0), "requirement 1: not once in the file"),
    "met, and still something missing": (
        lambda rows: rows["requirements"][18].update(missing="a part"),
        "requirement 19: what is met lacks nothing, and what is not says what is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_an_orphan_is_found(rows: dict[str, Any], kind: str) -> None:
    """Each kind of it, by its name."""
    breaking, said = BROKEN[kind]
    breaking(rows)
    assert said in traceability.orphans(rows)


def test_a_test_file_that_no_row_names_is_found(rows: dict[str, Any], tmp_path: Path) -> None:
    """Of the application's own folders."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "test_new.py").write_text("def test_something(): ...\n")
    assert "web/test_new.py: no hazard and no requirement names it" in traceability.orphans(rows, tmp_path)
