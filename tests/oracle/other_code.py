"""A small reader of mrgsolve and nlmixr2 text, written from their manuals, sharing nothing with auctor: it evaluates the text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][-+]?\d+)?)|([A-Za-z_]\w*)|(&&|\|\||<=|>=|==|!=|\*\*|[-+*/^()<>!?:,~|]))")
FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "fabs": abs, "abs": abs, "pow": math.pow,
}  # fmt: skip
BINARY = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6}


class Reader:
    """Precedence climbing over the tokens of one expression; C++ and R agree on all operators used here but the power."""

    def __init__(self, text: str, names: Mapping[str, float]) -> None:
        self.tokens = self._tokens(text)
        self.names, self.at = names, 0

    @staticmethod
    def _tokens(text: str) -> list[str]:
        found, at = [], 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            assert match, text[at:]
            found.append(match.group(0).strip())
            at = match.end()
        return found

    def value(self) -> float:
        found = self.ternary()
        assert self.at == len(self.tokens), self.tokens[self.at :]
        return found

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        assert not wanted or token == wanted, (wanted, token)
        self.at += 1
        return token

    def ternary(self) -> float:
        test = self.binary(1)
        if self.peek() != "?":
            return test
        self.take("?")
        first = self.ternary()
        self.take(":")
        second = self.ternary()
        return first if test else second

    def binary(self, least: int) -> float:
        left = self.unary()
        while BINARY.get(self.peek(), 0) >= least:
            op = self.take()
            right = self.binary(BINARY[op] + 1)
            left = self.apply(op, left, right)
        return left

    @staticmethod
    def apply(op: str, a: float, b: float) -> float:
        table: dict[str, Callable[[], float]] = {
            "||": lambda: float(bool(a) or bool(b)), "&&": lambda: float(bool(a) and bool(b)), "==": lambda: float(a == b),
            "!=": lambda: float(a != b), "<": lambda: float(a < b), ">": lambda: float(a > b), "<=": lambda: float(a <= b),
            ">=": lambda: float(a >= b), "+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b,
        }  # fmt: skip
        return table[op]()

    def unary(self) -> float:
        if self.peek() in ("-", "+", "!"):
            op = self.take()
            value = self.unary()
            return -value if op == "-" else value if op == "+" else float(not value)
        return self.power()

    def power(self) -> float:
        base = self.atom()
        if self.peek() in ("^", "**"):
            self.take()
            return math.pow(base, self.unary())
        return base

    def atom(self) -> float:
        token = self.take()
        if token == "(":
            found = self.ternary()
            self.take(")")
            return found
        if re.match(r"\d", token):
            return float(token)
        if self.peek() != "(":
            return self.names[token]
        self.take("(")
        args = [self.ternary()]
        while self.peek() == ",":
            self.take(",")
            args.append(self.ternary())
        self.take(")")
        if token in ("ETA", "EPS"):
            return self.names[f"{token}({int(args[0])})"]
        if token == "ifelse":
            return args[1] if args[0] else args[2]
        return FUNCTIONS[token](*args)


def value(text: str, names: Mapping[str, float]) -> float:
    return Reader(text, names).value()


class Run:
    """Text that was read: called with covariates, etas in the text's order and amounts, it gives what the model says there."""

    def __init__(self, omega: np.ndarray, compute: Callable[..., dict[str, float]]) -> None:
        self.omega, self.compute = omega, compute

    def __call__(self, covariates: Mapping[str, float], eta: Sequence[float], state: Mapping[str, float]) -> dict[str, float]:
        return self.compute(covariates, eta, state)


def blocks_of(text: str) -> list[tuple[str, list[str]]]:
    """mrgsolve's code blocks: name with options, lines without comments."""
    found: list[tuple[str, list[str]]] = []
    for line in re.sub(r"//[^\n]*", "", text).splitlines():
        if line.startswith("$"):
            found.append((line[1:].strip(), []))
        elif line.strip():
            found[-1][1].append(line.strip().rstrip(";"))
    return found


def diagonal(parts: Sequence[np.ndarray]) -> np.ndarray:
    size = sum(len(p) for p in parts)
    made, at = np.zeros((size, size)), 0
    for part in parts:
        made[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    return made


def lower(rows: Sequence[Sequence[float]]) -> np.ndarray:
    made = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        assert len(row) == i + 1
        made[i, : i + 1] = made[: i + 1, i] = row
    return made


def run_mrgsolve(text: str) -> Run:
    blocks = blocks_of(text)
    pick = {name.split()[0]: lines for name, lines in blocks}
    parameters = dict(line.split(" = ") for name, lines in blocks if name.split()[0] == "PARAM" for line in lines)
    omegas = [lower([[float(v) for v in line.split()] for line in lines]) for name, lines in blocks if name.split()[0] == "OMEGA"]
    compartments = next(name for name, _ in blocks if name.startswith("CMT")).split()[1:]

    def compute(covariates: Mapping[str, float], eta: Sequence[float], state: Mapping[str, float]) -> dict[str, float]:
        names = {n: float(v) for n, v in parameters.items()}
        assert covariates.keys() <= names.keys()
        names |= {**covariates, **{f"ETA({k})": float(e) for k, e in enumerate(eta, 1)}, "EPS(1)": 0.0}
        assign(pick["MAIN"], names, declare=True)
        names |= {n: state[n] for n in compartments} | {"SOLVERTIME": state["t"]}
        assign(pick["ODE"], names, declare=False)
        assign(pick["TABLE"], names, declare=True)
        return collected(names, len(compartments))

    return Run(diagonal(omegas), compute)


def assign(lines: Sequence[str], names: dict[str, float], *, declare: bool) -> None:
    """Statements in order; a variable is declared once, before it is set again."""
    own: set[str] = set()
    for line in lines:
        target, _, text = line.partition(" = ")
        word = target.removeprefix("double ")
        free = re.fullmatch(r"(dxdt|F|ALAG|D|R)_A\d+", word) is not None
        if declare and not free:
            assert (word in own) != target.startswith("double "), line
            own.add(word)
        names[word] = value(text, names)


def collected(names: Mapping[str, float], size: int) -> dict[str, float]:
    """The names that the model's own values have."""
    found = {f"dA{k}": names[f"dxdt_A{k}"] for k in range(1, size + 1)}
    words = {"F": "F", "ALAG": "lag", "D": "duration", "R": "rate"}
    for name, number in names.items():
        if dose := re.fullmatch(r"(F|ALAG|D|R)_A(\d+)", name):
            found[f"{words[dose[1]]}{dose[2]}"] = number
        if (seen := re.fullmatch(r"(IPRED|W)(\d*)", name)) is not None:
            for cmt in [seen[2]] if seen[2] else range(1, size + 1):
                found[f"{'C' if seen[1] == 'IPRED' else 'W'}{cmt}"] = number
    return found


def run_nlmixr2(text: str) -> Run:
    bare = re.sub(r"#[^\n]*", "", text)
    ini, model = (re.search(rf"{word}\(\{{\n(.*?)\n  \}}\)", bare, re.DOTALL) for word in ("ini", "model"))
    assert ini and model
    lines = [line.strip() for line in ini[1].splitlines() if line.strip()]
    thetas = {n: float(v.removeprefix("fix(").rstrip(")")) for n, v in (line.split(" <- ") for line in lines if " <- " in line)}
    etas, omegas = [], []
    for names, numbers in (line.split(" ~ ") for line in lines if " ~ " in line):
        own = names.split(" + ")
        given = iter(float(v) for v in numbers.removeprefix("c(").rstrip(")").split(","))
        omegas.append(lower([[next(given) for _ in range(i + 1)] for i in range(len(own))]))
        etas += own
    rows = [line.strip() for line in model[1].splitlines() if line.strip()]

    def compute(covariates: Mapping[str, float], eta: Sequence[float], state: Mapping[str, float]) -> dict[str, float]:
        names = {**thetas, **covariates, **dict(zip(etas, map(float, eta), strict=True)), **state}
        return model_rows(rows, names)

    return Run(diagonal(omegas), compute)


def model_rows(rows: Sequence[str], names: dict[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    words = {"f": "F", "alag": "lag", "dur": "duration", "rate": "rate"}
    size = sum(row.startswith("d/dt(") for row in rows)
    for row in rows:
        if " ~ " in row:
            name, _, error = row.partition(" ~ ")
            for cmt in [name[2:]] if len(name) > 2 else range(1, size + 1):
                found |= {f"C{cmt}": names[name], f"W{cmt}": error_sd(error, names[name], names)}
            continue
        target, _, text = row.partition(" <- ")
        number = value(text, names)
        if slope := re.fullmatch(r"d/dt\(A(\d+)\)", target):
            found[f"dA{slope[1]}"] = number
        elif dose := re.fullmatch(r"(f|alag|dur|rate)\(A(\d+)\)", target):
            found[f"{words[dose[1]]}{dose[2]}"] = number
        else:
            names[target] = number
    return found


def error_sd(text: str, f: float, names: Mapping[str, Any]) -> float:
    """nlmixr2's add, prop, pow and lnorm; combined2 (its default) adds variances, combined1 SDs."""
    parts = dict(re.findall(r"(\w+)\(([^)]*)\)", text))
    if "lnorm" in parts:
        return float(names[parts["lnorm"]])
    sizes = [float(names[parts["add"]])] if "add" in parts else []
    if "prop" in parts:
        sizes.append(names[parts["prop"]] * f)
    if "pow" in parts:
        b, p = (part.strip() for part in parts["pow"].split(","))
        sizes.append(names[b] * f ** names[p])
    return float(sum(sizes)) if "combined1" in parts else math.sqrt(sum(s**2 for s in sizes))
