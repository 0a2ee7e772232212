"""Print a checked formula tree as MathML, which browsers show by themselves: no script, no font, no request."""

from __future__ import annotations

import ast
from xml.sax.saxutils import escape

from auctor.models.notation import Notation

_SIGNS = {"-": "−", "*": "·", "<=": "≤", ">=": "≥", "!=": "≠", "not": "¬", "and": "∧", "or": "∨"}
_GREEK = {"eta": "η", "kappa": "κ", "gamma": "γ"}


def symbol(name: str) -> str:
    """A name in upright type; `eta_CL` as the Greek letter with its subscript.

    >>> symbol("CL"), symbol("eta_CL")
    ('<mi mathvariant="normal">CL</mi>', '<msub><mi>η</mi><mi mathvariant="normal">CL</mi></msub>')
    """
    word, _, rest = name.partition("_")
    if rest and word in _GREEK:
        return f"<msub><mi>{_GREEK[word]}</mi>{_upright(rest)}</msub>"
    return _upright(name)


def _upright(name: str) -> str:
    return f'<mi mathvariant="normal">{escape(name)}</mi>'


def render(node: ast.expr) -> str:
    """MathML of a tree made by `auctor.models.expressions.parse`, without the `math` element around it.

    >>> render(ast.parse("2 / 3", mode="eval").body)
    '<mfrac><mrow><mn>2</mn></mrow><mrow><mn>3</mn></mrow></mfrac>'
    """
    return _MathMl().render(node)


def equation(left: str, right: str) -> str:
    """A whole equation, as one displayed `math` element; both sides are MathML."""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mrow>{left}<mo>=</mo>{right}</mrow></math>'


def derivative(inner: str) -> str:
    """d(inner)/dt of an amount that is MathML."""
    return f"<mfrac><mrow><mi>d</mi>{inner}</mrow><mrow><mi>d</mi><mi>t</mi></mrow></mfrac>"


class _MathMl(Notation):
    def number(self, digits: str, power: str) -> str:
        sign, digits = ("<mo>−</mo>", digits[1:]) if digits.startswith("-") else ("", digits)
        tens = f"<mo>·</mo><msup><mn>10</mn><mn>{int(power)}</mn></msup>" if power else ""
        return f"{sign}<mn>{digits}</mn>{tens}"

    def symbol(self, name: str) -> str:
        return symbol(name)

    def operator(self, sign: str) -> str:
        return f"<mo>{escape(_SIGNS.get(sign, sign))}</mo>"

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup><mrow>{base}</mrow><mrow>{exponent}</mrow></msup>"

    def cases(self, test: str, body: str, orelse: str) -> str:
        rows = ((body, f"<mtext>if&nbsp;</mtext>{test}"), (orelse, "<mtext>otherwise</mtext>"))
        cells = "".join(f"<mtr><mtd>{value}</mtd><mtd>{when}</mtd></mtr>" for value, when in rows)
        return f"<mrow><mo>{{</mo><mtable>{cells.replace('&nbsp;', '&#160;')}</mtable></mrow>"

    def call(self, name: str, args: list[str]) -> str:
        if name == "sqrt":
            return f"<msqrt>{args[0]}</msqrt>"
        listed = "<mo>,</mo>".join(args)
        if name == "abs":
            return f"<mrow><mo>|</mo>{listed}<mo>|</mo></mrow>"
        return f"<mi>{name}</mi>{self.bracketed(listed)}"

    def bracketed(self, text: str) -> str:
        return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"
