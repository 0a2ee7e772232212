"""A model as a list of assignments, the same for every language: thetas, typical values, effects, etas, individual formulas."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.exchange.course import Course, course_of
from auctor.models.exchange.names import Namer
from auctor.models.exchange.trees import folded, lowered, names_in, number, product, renamed, replaced, tree_of
from auctor.models.model import DrugModel, Effect, Parameter, Residual

Array = NDArray[np.float64]
# how an eta acts on a typical value P
VARIED = {"lognormal": "P * exp(eta)", "normal": "P + eta", "boxcox": "P * exp((exp(eta * shape) - 1) / shape)"}
VARIED["logitnormal"] = "low + (high - low) / (1 + exp(-(log((P - low) / (high - P)) + eta)))"


@dataclass(frozen=True, kw_only=True)
class Theta:
    """A fixed effect: its symbol in the text, its value in h, mg, L, and what it is."""

    symbol: str
    value: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Error:
    """Residual error of one output in the model's own unit; the two sizes are symbols of thetas, None where there is none."""

    kind: str
    proportional: str | None
    additive: str | None
    power: str | None


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How a language names things: a namer, thetas and etas by number (from 1) and label, time, and A1 .. by number."""

    namer: Namer
    theta: Callable[[int, str], str]
    eta: Callable[[int, str], str]
    time: str
    amount: Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class Program:
    """The model in one language's symbols. `blocks` are the etas' covariance blocks in the order of their numbers.

    `etas` gives the label of each eta, `order` its index in `model.eta_names`; `names` maps the model's names to the text's.
    """

    model: DrugModel
    course: Course
    names: Mapping[str, str]
    thetas: tuple[Theta, ...]
    statements: tuple[tuple[str, ast.expr], ...]
    etas: tuple[str, ...]
    eta_symbols: tuple[str, ...]
    order: tuple[int, ...]
    blocks: tuple[Array, ...]
    derivatives: tuple[ast.expr, ...]
    outputs: Mapping[int, ast.expr]
    inputs: Mapping[str, Mapping[int, ast.expr]]
    errors: Mapping[int, Error]


def program_of(model: DrugModel, spelling: Spelling) -> Program:
    """The program of a model in a language's spelling; ModelError where the model has something no other program is told.

    >>> from auctor.models.reader import read_model
    >>> plain = Spelling(namer=Namer(), theta=lambda k, n: f"TH{k}", eta=lambda k, n: f"ET{k}", time="t", amount=lambda k: f"A{k}")
    >>> program = program_of(read_model("phenobarbital_grasela1985"), plain)
    >>> [f"{name} = {ast.unparse(tree)}" for name, tree in program.statements if name.endswith("CL")]
    ['TVCL = TH1', 'TVCL = TVCL * WT', 'CL = TVCL * exp(ET1)']
    """
    return _Writer(model, spelling).program()


def _bounds(p: Parameter) -> dict[str, ast.expr]:
    return {"low": number(p.low), "high": number(p.high), "shape": number(p.shape)}


def eta_blocks(omega: Array) -> list[list[int]]:
    """Indices of etas that covary, together; in the order of the first of each.

    >>> eta_blocks(np.array([[1.0, 0, 0.5], [0, 1, 0], [0.5, 0, 1]]))
    [[0, 2], [1]]
    """
    left, found = list(range(len(omega))), []
    while left:
        block = [left.pop(0)]
        for k in block:
            more = [j for j in left if omega[k, j] != 0]
            block += more
            left = [j for j in left if j not in more]
        found.append(sorted(block))
    return found


class _Writer:
    """Collects thetas while the statements are written."""

    def __init__(self, model: DrugModel, spelling: Spelling) -> None:
        self.model, self.spelling = model, spelling
        self.course = course_of(model)
        self.thetas: list[Theta] = []
        blocks = eta_blocks(model.omega)
        self.order = [k for block in blocks for k in block]
        self.blocks = tuple(model.omega[np.ix_(block, block)] for block in blocks)
        self.eta = {model.eta_names[k]: spelling.eta(n, model.eta_names[k]) for n, k in enumerate(self.order, 1)}
        self.plain = {name for name, p in model.parameters.items() if self._is_plain_eta(p)}
        own = [*model.covariates, *(n for n in model.parameters if n not in self.plain), *model.formulas]
        self.names = {name: spelling.namer(name) for name in dict.fromkeys(own)} | {name: self.eta[name] for name in self.plain}
        varied = [n for n in self.eta if n not in self.plain]
        self.typical = {n: spelling.namer(f"TV{self.names[n]}") if n in varied else self.names[n] for n in self.names}

    def _is_plain_eta(self, p: Parameter) -> bool:
        touched = {e.parameter for e in self.model.effects} | {n for e in self.model.effects for n in e.expr.names}
        touched |= self.model.formulas.keys()
        return p.name in self.model.eta_names and p.value == 0 and p.distribution == "normal" and p.name not in touched

    def program(self) -> Program:
        """Everything, in the order in which the text needs it."""
        statements = [*self._values(), *self._effects(), *self._individual(), *self._formulas()]
        course = self.course
        return Program(
            model=self.model,
            course=course,
            names=self.names,
            statements=tuple((name, folded(lowered(tree))) for name, tree in statements),
            etas=tuple(self.model.eta_names[k] for k in self.order),
            eta_symbols=tuple(self.eta[self.model.eta_names[k]] for k in self.order),
            order=tuple(self.order),
            blocks=self.blocks,
            derivatives=tuple(self._in_course(d.tree) for d in course.derivatives),
            outputs={cmt: self._in_course(e.tree) for cmt, e in course.outputs.items()},
            inputs={key: {cmt: self._in_course(e.tree) for cmt, e in table.items()} for key, table in course.inputs.items()},
            errors={cmt: self._error(cmt) for cmt in course.outputs},
            thetas=tuple(self.thetas),
        )

    def _theta(self, label: str, value: float, note: str = "") -> str:
        symbol = self.spelling.theta(len(self.thetas) + 1, label)
        self.thetas.append(Theta(symbol=symbol, value=value, label=f"{label}{note}"))
        return symbol

    def _values(self) -> Iterator[tuple[str, ast.expr]]:
        """One theta a parameter, unless the first thing that happens to it is a whole formula."""
        for name, p in self.model.parameters.items():
            mine = [e for e in self.model.effects if e.parameter == name]
            whole = bool(mine) and mine[0].replaces and not self._read_before(name, mine[0])
            if name not in self.plain and not whole:
                note = f", as printed {p.printed!r} {p.unit}" if p.printed != p.value else f", {p.unit}"
                yield self.typical[name], ast.Name(self._theta(name, p.value, note))

    def _read_before(self, name: str, effect: Effect) -> bool:
        """Whether the value stands in any formula up to and including the one that replaces it."""
        upto = self.model.effects[: self.model.effects.index(effect) + 1]
        return any(name in e.expr.names for e in upto)

    def _effects(self) -> Iterator[tuple[str, ast.expr]]:
        known = {n: self.typical[n] for n in self.model.parameters if n not in self.plain}
        known |= {n: self.names[n] for n in self.model.covariates}
        for effect in self.model.effects:
            own = {n: self._theta(f"{effect.parameter}.{n}", v) for n, v in effect.constants.items()}
            tree = renamed(effect.expr.tree, {**known, **own})
            name = known[effect.parameter]
            yield name, tree if effect.replaces else product([ast.Name(name), tree])

    def _individual(self) -> Iterator[tuple[str, ast.expr]]:
        for name in self.model.eta_names:
            if name in self.plain:
                continue
            p = self.model.parameters[name]
            text = VARIED.get(p.distribution)
            if text is None:
                what = f"eta distribution {self.model.parameters[name].distribution!r} is not exported yet"
                raise ModelError(where=f"{self.model.name}: parameters.{name}", what=what, remedy="write it under [individual]")
            yield (
                self.names[name],
                replaced(tree_of(text), {"P": ast.Name(self.typical[name]), "eta": ast.Name(self.eta[name]), **_bounds(p)}),
            )

    def _formulas(self) -> Iterator[tuple[str, ast.expr]]:
        for name, expr in self.model.formulas.items():
            self._check(expr.tree, f"individual.{name}", ())
            yield self.names[name], renamed(expr.tree, self.names)

    def _in_course(self, tree: ast.expr) -> ast.expr:
        amounts = {f"A{k}": self.spelling.amount(k) for k in range(1, len(self.course.derivatives) + 1)}
        self._check(tree, "equations", (*amounts, "t"))
        return folded(lowered(renamed(tree, {**self.names, **amounts, "t": self.spelling.time})))

    def _check(self, tree: ast.expr, where: str, more: Collection[str]) -> None:
        """A name that this package has no word for would mean nothing, or something else, in the other program."""
        for name in sorted(names_in(tree) - self.names.keys() - set(more)):
            what = f"reads {name}, which is not exported yet"
            raise ModelError(
                where=f"{self.model.name}: {where}", what=what, remedy="write the model without it, or check it in auctor alone"
            )

    def _error(self, cmt: int) -> Error:
        residuals = self.model.residuals
        return self._sized(residuals.get(cmt) or residuals.get(0) or self.model.residual, cmt if len(residuals) > 1 else None)

    def _sized(self, r: Residual, cmt: int | None) -> Error:
        """Thetas of the sizes, in the model's own unit; a coefficient of f^power was printed for f in that unit."""
        tail = f" of output {cmt}" if cmt else ""
        proportional = r.proportional * self.model.scale ** (1.0 - r.power)
        sized = {"proportional": proportional, "additive": r.additive * self.model.scale, "power": r.power}
        wanted = [k for k in ("proportional", "additive") if sized[k]] + (["power"] if r.kind == "power" else [])
        found = {key: self._shared(f"residual {key}{tail}", sized[key]) for key in wanted}
        return Error(kind=r.kind, **{key: found.get(key) for key in ("proportional", "additive", "power")})

    def _shared(self, label: str, value: float) -> str:
        """One theta for outputs that share their residual error."""
        return next((t.symbol for t in self.thetas if t.label == label), "") or self._theta(label, value)


def residual_sd(error: Error, prediction: str) -> ast.expr:
    """The SD of an observation, of the logarithm for kind log, as a formula of the prediction."""
    f: ast.expr = ast.Name(prediction)
    b, a = (ast.Name(s) if s else None for s in (error.proportional, error.additive))
    if error.kind == "log" or b is None:
        return b or a or number(0.0)
    if error.kind == "power":
        f = ast.BinOp(f, ast.Pow(), ast.Name(error.power or "1"))
    scaled = product([b, f])
    if a is None:
        return scaled
    if error.kind in ("combined1", "power"):
        return ast.BinOp(scaled, ast.Add(), a)
    squares = [ast.BinOp(part, ast.Pow(), ast.Constant(2)) for part in (scaled, a)]
    return ast.Call(ast.Name("sqrt"), [ast.BinOp(squares[0], ast.Add(), squares[1])], [])
