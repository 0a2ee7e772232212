"""Any change to a good file ends in a case or a typed refusal: never another exception, never a number that is not finite."""

from __future__ import annotations

import json
import math
import tempfile
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from auctor.case import Case
from auctor.data.casefile import read_case
from auctor.data.subject import read_subject
from auctor.errors import AuctorError
from auctor.models.reader import read_model
from spec.bad_inputs import GOOD, IV, ORAL, TABLE

MODELS = {kind: read_model(name) for kind, (_, _, name) in GOOD.items()}
DOCUMENTS: dict[str, dict[str, Any]] = {"oral": tomllib.loads(ORAL), "iv": tomllib.loads(IV)}
NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False), st.sampled_from([0, -1, 1e300, -1e300, 5e-324, 24, 0.5]))
WORDS = st.one_of(
    st.text(max_size=8),
    st.builds("{} {}".format, NUMBERS, st.sampled_from(["mg", "h", "ng/mL", "%", "kg", "mL/min", "d", "", "umol/L", "mol", "1"])),
    st.sampled_from(["oral", "iv", "2026-03-28T08:00+01:00", "0001-01-01T00:00", "9999-12-31T23:59+00:00", "serum", "<2 ng/mL"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=4,
)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [path, *(found for key, value in below for found in _paths(value, (*path, key)))]


def _replaced(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = list(node) if isinstance(node, list) else dict(node)
    copy[path[0]] = _replaced(node[path[0]], path[1:], value)
    return copy


def _numbers(case: Case) -> list[float]:
    doses = [x for d in case.history.doses for x in (d.time_h, d.amount_mg, d.duration_h, d.every_h)]
    samples = [x for s in case.samples for x in (s.time_h, s.value, s.lloq or 0.0)]
    return [*doses, *samples, *(x for points in case.covariates.series.values() for point in points for x in point)]


def _holds(case: Case) -> bool:
    """What every case promises: finite numbers, doses above zero in time order from 0, nothing before the first."""
    doses = case.history.doses
    ordered = all(a.time_h <= b.time_h for a, b in pairwise(doses))
    return ordered and doses[0].time_h == 0 and all(math.isfinite(x) for x in _numbers(case)) and all(d.amount_mg > 0 for d in doses)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["oral", "iv"]), value=VALUES)
def test_any_change_to_a_case_file(data: st.DataObject, kind: str, value: Any) -> None:
    path = data.draw(st.sampled_from(_paths(DOCUMENTS[kind])))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case.json"
        file.write_text(json.dumps(_replaced(DOCUMENTS[kind], path, value)), encoding="utf-8")
        try:
            case = read_case(file, MODELS[kind])
        except AuctorError:
            return
    assert _holds(case)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), cell=st.one_of(WORDS, NUMBERS.map(str), st.text(alphabet="0123456789.,;:-+eE \t\"'#", max_size=6)))
def test_any_change_to_a_table(data: st.DataObject, cell: str) -> None:
    rows = [line.split(",") for line in TABLE.strip().splitlines()]
    row = data.draw(st.integers(0, len(rows) - 1))
    rows[row][data.draw(st.integers(0, len(rows[row]) - 1))] = cell
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        file.write_text("\n".join(",".join(cells) for cells in rows), encoding="utf-8", errors="ignore")
        try:
            case = read_subject(file, "1", MODELS["table"])
        except AuctorError:
            return
    assert _holds(case)


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, len(ORAL)), length=st.integers(0, 40), text=st.text(max_size=12))
def test_any_damage_to_the_text(start: int, length: int, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case.toml"
        file.write_text(ORAL[:start] + text + ORAL[start + length :], encoding="utf-8", errors="ignore")
        try:
            case = read_case(file, MODELS["oral"])
        except AuctorError:
            return
    assert _holds(case)
