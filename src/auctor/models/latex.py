"""Print a checked formula tree as LaTeX."""

from __future__ import annotations

import ast

from auctor.models.notation import Notation

_SIGNS = {
    **{"*": r" \cdot ", "<=": r" \leq ", ">=": r" \geq ", "!=": r" \neq "},
    **{"not": r"\lnot ", "and": r" \land ", "or": r" \lor "},
}


def symbol(name: str) -> str:
    r"""A name in upright type.

    >>> symbol("hct_cl")
    '\\mathrm{hct\\_cl}'
    """
    return r"\mathrm{" + name.replace("_", r"\_") + "}"


def render(node: ast.expr) -> str:
    r"""LaTeX of a tree made by `auctor.models.expressions.parse`.

    >>> render(ast.parse("a * (b + 1)", mode="eval").body)
    '\\mathrm{a} \\cdot \\left(\\mathrm{b} + 1\\right)'
    """
    return _Latex().render(node)


class _Latex(Notation):
    def number(self, digits: str, power: str) -> str:
        return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits

    def symbol(self, name: str) -> str:
        return symbol(name)

    def operator(self, sign: str) -> str:
        return _SIGNS.get(sign, f" {sign} ")

    def prefix(self, sign: str) -> str:
        return _SIGNS.get(sign, sign)

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}"

    def cases(self, test: str, body: str, orelse: str) -> str:
        return rf"\begin{{cases}} {body} & \text{{if }} {test} \\ {orelse} & \text{{otherwise}} \end{{cases}}"

    def call(self, name: str, args: list[str]) -> str:
        if name == "sqrt":
            return rf"\sqrt{{{args[0]}}}"
        return rf"\left|{args[0]}\right|" if name == "abs" else rf"\{name}\left({', '.join(args)}\right)"

    def bracketed(self, text: str) -> str:
        return rf"\left({text}\right)"
