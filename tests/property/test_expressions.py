"""The formula language against Python's own evaluation of the same text (eval is used here only, never in the package)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from auctor.errors import ModelError
from auctor.models.expressions import ARITY, DEEPEST, parse

NAMES = ("WT", "HCT", "crcl")
VALUES = st.fixed_dictionaries({name: st.floats(0.25, 64.0) for name in NAMES})
LEAVES = st.one_of(st.sampled_from(NAMES), st.floats(0.0, 100.0).map(repr))
CONDITIONS = st.recursive(
    st.builds(lambda a, op, b: f"({a} {op} {b})", LEAVES, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), LEAVES),
    lambda c: st.builds(lambda a, op, b: f"({a} {op} {b})", c, st.sampled_from(["and", "or"]), c) | c.map(lambda a: f"(not {a})"),
    max_leaves=4,
)


def formulas(operators: tuple[str, ...], functions: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Random formulas as text, with and without brackets."""

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            st.builds(lambda ab, op: f"({ab[0]}) {op} ({ab[1]})", pair, st.sampled_from(operators)),
            st.builds(lambda ab, op: f"{ab[0]} {op} {ab[1]}", pair, st.sampled_from(operators)),
            st.builds(lambda ab, f: f"{f}({ab[0]}, {ab[1]})", pair, st.sampled_from(["min", "max"])),
            st.builds(lambda a, f: f"{f}({a})", inner, st.sampled_from(functions)),
            st.builds(lambda ab, c: f"({ab[0]} if {c} else {ab[1]})", pair, CONDITIONS),
            inner.map(lambda a: f"-{a}"),
        )

    return st.recursive(LEAVES | CONDITIONS, grow, max_leaves=8)


def python(text: str, values: dict[str, float]) -> float:
    """Python's answer; ArithmeticError, ValueError or TypeError where it has no finite real one."""

    def real_abs(value: float) -> float:
        return abs(float(value))

    allowed = {"exp": math.exp, "log": math.log, "sqrt": math.sqrt, "min": min, "max": max, "abs": real_abs}
    answer = float(eval(text, {"__builtins__": {}}, {**allowed, **values}))
    if not math.isfinite(answer):
        raise OverflowError
    return answer


@settings(max_examples=300, deadline=None)
@given(text=formulas(("+", "-", "*", "/", "**"), ("exp", "log", "sqrt", "abs")), values=VALUES)
@example(text="-2.0 ** 2.0", values=dict.fromkeys(NAMES, 1.0))
@example(text="2.0 ** -WT ** 2.0", values=dict.fromkeys(NAMES, 1.5))
@example(text="(0.0 - WT) ** 0.5", values=dict.fromkeys(NAMES, 1.5))
def test_a_formula_on_floats_equals_python_or_is_refused(text: str, values: dict[str, float]) -> None:
    formula = parse(text, where="test")
    try:
        expected = python(text, values)
    except (ArithmeticError, ValueError, TypeError):
        with pytest.raises(ModelError, match="no finite real result"):
            formula.evaluate(values, math)
        return
    assert formula.evaluate(values, math) == expected


@settings(max_examples=200, deadline=None)
@given(text=formulas(("+", "-", "*"), ("abs",)), rows=st.lists(VALUES, min_size=1, max_size=4))
def test_a_formula_on_arrays_equals_the_floats_one_by_one(text: str, rows: list[dict[str, float]]) -> None:
    formula = parse(text, where="test")
    try:
        expected = [formula.evaluate(row, math) for row in rows]
    except ModelError:
        assume(False)
    columns = {name: np.array([row[name] for row in rows]) for name in NAMES}
    with np.errstate(all="ignore"):
        found = np.broadcast_to(formula.evaluate(columns), len(rows))
    np.testing.assert_array_equal(found, np.array(expected, dtype=float))


@pytest.mark.parametrize(
    "text",
    [
        "exp(-WT / 70) * log(HCT) + sqrt(crcl)",
        "where(WT < 9, (WT / 9) ** 1.25, (WT / 9) ** 0.76)",
        "min(crcl, 150, 2 * WT) / max(HCT, 1)",
        "1 + 0.15892 * (HCT < 35) * (WT >= 2 and not crcl == 1)",
        "0.5 if 1 < WT < 20 or HCT > 40 else 2",
        "1 / (1 + (WT / 45.7) ** -2.3)",
    ],
)
def test_floats_numpy_and_jax_agree(text: str) -> None:
    import jax
    import jax.numpy as jnp

    formula, rows = parse(text, where="test"), [(3.5, 32.3, 1.0), (70.0, 45.0, 120.0)]
    expected = [formula.evaluate(dict(zip(NAMES, row, strict=True)), math) for row in rows]
    columns = dict(zip(NAMES, np.transpose(rows), strict=True))
    np.testing.assert_allclose(formula.evaluate(columns), expected, rtol=1e-14)
    with jax.enable_x64(True):
        traced = jax.jit(lambda c: formula.evaluate(c, jnp))({n: jnp.asarray(v) for n, v in columns.items()})
    np.testing.assert_allclose(np.asarray(traced), expected, rtol=1e-13)


REFUSED = [
    "",
    "   ",
    "WT +",
    "import os",
    "x = 1",
    "__import__('os').system('true')",
    "().__class__.__bases__",
    "WT.real",
    "WT[0]",
    "[WT]",
    "{1: 2}",
    "lambda: 1",
    "'text'",
    "b'text'",
    "True",
    "None",
    "1j",
    "1e999",
    "...",
    "WT // 2",
    "WT % 2",
    "WT @ WT",
    "WT << 2",
    "WT | 1",
    "~WT",
    "WT is 1",
    "WT in HCT",
    "(y := 1)",
    "f'{WT}'",
    "exp",
    "exp + 1",
    "exp(1, 2)",
    "exp(x=1)",
    "min(*WT)",
    "min(WT)",
    "where(WT, 1)",
    "eval(WT)",
    "sum(x for x in WT)",
    "[x for x in WT]",
    "await WT",
    "yield",
    "WT; HCT",
    "-" * (DEEPEST + 1) + "WT",
    "(" * 300 + "WT" + ")" * 300,
    "+".join(["WT"] * 1001),
    "\x00",
]


@pytest.mark.parametrize("text", REFUSED)
def test_whatever_is_not_arithmetic_is_refused_by_name(text: str) -> None:
    with pytest.raises(ModelError) as refusal:
        parse(text, where="effects.CL")
    assert refusal.value.where == "effects.CL"
    assert refusal.value.remedy


@given(text=st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        formula = parse(text, where="effects.CL")
    except ModelError:
        return
    assert formula.latex()
    assert parse(formula.text, where="again") == formula


def test_names_leave_functions_out_and_an_absent_name_is_told() -> None:
    formula = parse("exp(a) * max(b, 2)", where="x")
    assert formula.names == {"a", "b"}
    with pytest.raises(ModelError, match="no value for 'b'"):
        formula.evaluate({"a": 1.0}, math)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a / b / c", r"\frac{\frac{\mathrm{a}}{\mathrm{b}}}{\mathrm{c}}"),
        ("a - (b - c)", r"\mathrm{a} - \left(\mathrm{b} - \mathrm{c}\right)"),
        ("(a * b) ** 2", r"\left(\mathrm{a} \cdot \mathrm{b}\right)^{2}"),
        ("(-a) ** 2", r"\left(-\mathrm{a}\right)^{2}"),
        ("-a ** 2", r"-\mathrm{a}^{2}"),
        ("sqrt(a) * exp(-b)", r"\sqrt{\mathrm{a}} \cdot \exp\left(-\mathrm{b}\right)"),
        ("1e-9 * a", r"1 \cdot 10^{-9} \cdot \mathrm{a}"),
        ("10000000000000 ** a", r"\left(1 \cdot 10^{13}\right)^{\mathrm{a}}"),
        ("1e-9 ** a", r"\left(1 \cdot 10^{-9}\right)^{\mathrm{a}}"),
        ("a < 5 and not b", r"\left(\mathrm{a} < 5\right) \land \lnot \mathrm{b}"),
        ("where(a, 1, 2)", r"\begin{cases} 1 & \text{if } \mathrm{a} \\ 2 & \text{otherwise} \end{cases}"),
    ],
)
def test_latex_keeps_the_order_of_operations(text: str, latex: str) -> None:
    assert parse(text, where="x").latex() == latex


def test_equality_is_that_of_the_text() -> None:
    assert parse("a + b", where="x") == parse("a + b", where="elsewhere")
    assert parse("a + b", where="x") != parse("b + a", where="x")


def test_every_function_stands_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "model-file.md").read_text(encoding="utf-8")
    assert [name for name in ARITY if f"`{name}`" not in page] == []
