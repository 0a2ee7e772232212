"""Assignments of a control stream in order, each name written once: an earlier value of a name that is assigned again gets a number."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterable

from auctor.errors import ModelError
from auctor.models.exchange.blocks import SELECTOR
from auctor.models.exchange.stream import Rows
from auctor.models.exchange.symbols import LACKING
from auctor.models.exchange.trees import ZERO, folded, names_in, renamed, replaced


class Definitions:
    """Trees by name, in order; `undefined` are the names that have no value where no IF holds (0, as NONMEM has it at first)."""

    def __init__(self, rows: Rows, known: Iterable[str] = (), tail: str = "") -> None:
        self.trees: dict[str, ast.expr] = {}
        self.refusals: dict[str, ModelError] = {}
        self.undefined: set[str] = set()
        self.final: dict[str, str] = {}
        left, taken = Counter(name for name, _ in rows), {*known, *(name for name, _ in rows)}
        for name, tree in rows:
            left[name] -= 1
            unique = self._unique(name, taken, last=left[name] == 0, tail=tail)
            self._define(unique, tree, self.final.get(name, name if name in known else None))
            self.final[name] = unique

    def _unique(self, name: str, taken: set[str], *, last: bool, tail: str) -> str:
        wanted = f"{name}{tail}" if last else f"{name}_1{tail}"
        count = 1
        while (not last or tail) and wanted in taken:
            count += 1
            wanted = f"{name}_{count}{tail}"
        taken.add(wanted)
        return wanted

    def _define(self, name: str, tree: ast.expr | ModelError, before: str | None) -> None:
        if isinstance(tree, ModelError):
            self.refusals[name] = tree
            return
        lacking = LACKING in names_in(tree)
        known = {n: t for n, t in self.trees.items() if SELECTOR.match(n) or (isinstance(t, ast.Constant) and n == before)}
        renamings = {**self.final, **({LACKING: before} if before else {})}
        tree = folded(replaced(renamed(tree, renamings), known))
        if lacking and before is None:
            self._lacks(name, tree)
        else:
            self.trees[name] = self._without(name, tree, before)

    def _lacks(self, name: str, tree: ast.expr) -> None:
        """Kept with the gap in it: a later statement may fill it."""
        self.trees[name] = tree
        self.undefined.add(name)

    def _without(self, name: str, tree: ast.expr, before: str | None) -> ast.expr:
        """The earlier half of an IF and ELSE put in place, so that a gap which the two halves close is seen to be closed."""
        if before not in self.undefined:
            return tree
        whole = folded(replaced(tree, {before: self.trees[before]})) if before else tree
        if LACKING in names_in(whole):
            self.undefined.add(name)
        return whole

    def settle(self, needed: Collection[str]) -> set[str]:
        """Fill what gaps are left with 0; the names among `needed` that had one."""
        gaps = {n for n in self.undefined if LACKING in names_in(self.trees[n])}
        for name in gaps:
            self.trees[name] = folded(replaced(self.trees[name], {LACKING: ZERO}))
        return gaps & set(needed)

    def closure(self, names: Iterable[str]) -> list[str]:
        """These names and every name they are built from, in order; raises the refusal of a statement among them."""
        wanted, todo = set(), [n for n in names if n in self.trees or n in self.refusals]
        while todo:
            name = todo.pop()
            if name in self.refusals:
                raise self.refusals[name]
            if name not in wanted:
                wanted.add(name)
                todo += [n for n in names_in(self.trees[name]) if n in self.trees or n in self.refusals]
        return [n for n in self.trees if n in wanted]

    def expanded(self, tree: ast.expr, keep: Collection[str] = ()) -> ast.expr:
        """The tree with every defined name but those in `keep` put in place."""
        for name in reversed(self.closure(names_in(tree) - set(keep))):
            if name in names_in(tree) and name not in keep:
                tree = replaced(tree, {name: self.trees[name]})
        return folded(tree)
