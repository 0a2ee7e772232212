"""NM-TRAN's abbreviated code: conditionals hoisted into IF blocks (arithmetic there has none), long lines continued."""

from __future__ import annotations

import ast

from auctor.models.exchange.names import Namer
from auctor.models.exchange.text import FORTRAN, condition, written
from auctor.models.exchange.trees import ONE, ZERO, has_choice, inverse

_BREAKS = ((" + ", 1), (" - ", 1), ("*", 0), ("/", 0), (".AND.", 0), (".OR.", 0))
WIDTH = 130  # NM-TRAN reads 160 characters of a line


class Code:
    """Lines of one record. `assign` writes one statement, its conditionals first.

    >>> code = Code(Namer(upper=True))
    >>> code.assign("V", ast.parse("TVV * (1 + THETA3 * (APGR < 5))", mode="eval").body)
    >>> print(code.text())
      IF (APGR.LT.5) THEN
        IF1 = 1
      ELSE
        IF1 = 0
      ENDIF
      V = TVV*(1 + THETA3*IF1)
    """

    def __init__(self, namer: Namer) -> None:
        self.namer = namer
        self.lines: list[str] = []

    def when(self, test: ast.expr, name: str, tree: ast.expr) -> None:
        """`IF (test) name = tree`."""
        self.lines.append(f"IF ({condition(test, FORTRAN)}) {name} = {written(tree, FORTRAN)}")

    def assign(self, name: str, tree: ast.expr) -> None:
        """`name = tree`; a choice at the top becomes the IF block itself."""
        if isinstance(tree, ast.Compare | ast.BoolOp):
            tree = ast.IfExp(tree, ONE, ZERO)
        if isinstance(tree, ast.IfExp):
            self._block(name, tree, ())
        else:
            self.lines.append(f"{name} = {written(self._free(tree, ()), FORTRAN)}")

    def text(self) -> str:
        """The lines, indented and continued where they are long."""
        return "\n".join(continued(f"  {line}") for line in self.lines)

    def _free(self, tree: ast.expr, guards: tuple[ast.expr, ...]) -> ast.expr:
        """The tree with every choice in it computed before, under the conditions that lead to it."""
        match tree:
            case ast.IfExp():
                return self._chosen(tree, guards)
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                return self._chosen(ast.IfExp(tree, ONE, ZERO), guards)
            case ast.BinOp(left=left, op=op, right=right):
                return ast.BinOp(self._free(left, guards), op, self._free(right, guards))
            case ast.UnaryOp(op=op, operand=inner):
                return ast.UnaryOp(op, self._free(inner, guards))
            case ast.Call(func=func, args=args):
                return ast.Call(func, [self._free(a, guards) for a in args], [])
        return tree

    def _chosen(self, tree: ast.IfExp, guards: tuple[ast.expr, ...]) -> ast.expr:
        free = next(k for k in range(1, 1000) if f"IF{k}" not in self.namer.taken)
        name = self.namer(f"IF{free}")
        self._block(name, tree, guards)
        return ast.Name(name)

    def _block(self, name: str, tree: ast.IfExp, guards: tuple[ast.expr, ...]) -> None:
        """An IF block, flat, its conditions without brackets: other readers of NM-TRAN know neither more."""
        test = self._test(tree.test, guards)
        inside: tuple[ast.expr, ...] = (test,)
        if any(map(has_choice, (tree.body, tree.orelse))):
            inside = (ast.Compare(self._chosen(ast.IfExp(test, ONE, ZERO), ()), [ast.Eq()], [ONE]),)
            test = inside[0]
        body = self._free(tree.body, (*guards, *inside))
        orelse = self._free(tree.orelse, (*guards, *map(inverse, inside)))
        first = condition(_both((*guards, test)), FORTRAN)
        rows = [f"IF ({first}) THEN", f"  {name} = {written(body, FORTRAN)}"]
        if guards:
            rows += [f"ELSEIF ({condition(_both(guards), FORTRAN)}) THEN", f"  {name} = {written(orelse, FORTRAN)}"]
        rows += ["ELSE", f"  {name} = {'0' if guards else written(orelse, FORTRAN)}", "ENDIF"]
        self.lines += rows

    def _test(self, tree: ast.expr, guards: tuple[ast.expr, ...]) -> ast.expr:
        """A condition whose sides hold no choice."""
        match tree:
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return ast.Compare(self._free(left, guards), ops, [self._free(side, guards) for side in rest])
            case ast.BoolOp(op=op, values=values):
                return ast.BoolOp(op, [self._part(v, guards) for v in values])
            case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(ops=[_]) as inner):
                return self._test(inverse(inner), guards)
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return ast.Compare(self._chosen(ast.IfExp(inner, ONE, ZERO), guards), [ast.Eq()], [ZERO])
        return ast.Compare(self._free(tree, guards), [ast.NotEq()], [ZERO])

    def _part(self, tree: ast.expr, guards: tuple[ast.expr, ...]) -> ast.expr:
        """A part of an .AND. or .OR.; a compound one gets a variable of its own, for want of brackets."""
        if isinstance(tree, ast.BoolOp):
            return ast.Compare(self._chosen(ast.IfExp(tree, ONE, ZERO), guards), [ast.Eq()], [ONE])
        return self._test(tree, guards)


def _both(tests: tuple[ast.expr, ...]) -> ast.expr:
    return tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), list(tests))


def continued(line: str) -> str:
    """A line, continued with & where it is longer than WIDTH.

    >>> [len(part) <= WIDTH + 2 for part in continued("X = " + "*".join(["ABCDEFG"] * 40)).splitlines()]
    [True, True, True]
    """
    parts = []
    while len(line) > WIDTH:
        cut = max(line.rfind(mark, 20, WIDTH) + shift for mark, shift in _BREAKS)
        if line[cut - 1] == "*":
            cut -= 1  # never between the two stars of a power
        parts.append(line[:cut] + " &")
        line = "    " + line[cut:].lstrip()
    return "\n".join([*parts, line])
