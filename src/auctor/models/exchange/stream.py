"""A NONMEM control stream read through Pharmpy, as assignments and numbers; what Pharmpy would lose is refused before it is lost."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.exchange.blocks import is_code, logical_lines, plain_blocks, records
from auctor.models.exchange.symbols import tree_from
from auctor.models.exchange.trees import renamed

Array = NDArray[np.float64]
Rows = tuple[tuple[str, "ast.expr | ModelError"], ...]
_LOST = {  # what Pharmpy passes over in silence
    "verbatim code": re.compile(r'^\s*"', re.MULTILINE),
    "CALL": re.compile(r"^\s*CALL\b", re.MULTILINE | re.IGNORECASE),
    "DO WHILE": re.compile(r"^\s*DO\s*WHILE\b", re.MULTILINE | re.IGNORECASE),
    "MIN or MAX": re.compile(r"\b(?:MIN|MAX)\s*\(", re.IGNORECASE),
}
_UNKNOWN_RECORDS = ("MIX", "PRE", "AES", "INF", "LEV")


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What a control stream says. Trees are in NONMEM's names, thetas `THETA1` .., etas `ETA1` .., epsilons `EPS1` .., amounts `A1` ...

    `pk`, `error` assignments in order, a refusal in place of a statement that cannot be understood (it may not be needed);
    `derivatives` by compartment; `observed`, `dosed` the default observation and dosing compartments; `same` etas that share their
    variance with an earlier one; `columns` of $INPUT.
    """

    name: str
    advan: str
    trans: str
    columns: tuple[str, ...]
    thetas: Mapping[str, float]
    omega: Array
    same: Mapping[int, int]
    sigma: Array
    pk: Rows
    derivatives: tuple[ast.expr, ...]
    error: Rows
    observed: int
    dosed: int

    @property
    def etas(self) -> tuple[str, ...]:
        """Names of the etas in NONMEM's order."""
        return tuple(f"ETA{k + 1}" for k in range(len(self.omega)))

    @property
    def epsilons(self) -> tuple[str, ...]:
        """Names of the epsilons in NONMEM's order."""
        return tuple(f"EPS{k + 1}" for k in range(len(self.sigma)))


def read_stream(path: Path) -> Stream:
    """Read a control stream; the table it names is not opened. ModelError where a record or statement cannot be understood."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(where=str(path), what="this file cannot be read as text", remedy="check the path and the encoding") from error
    _refuse_what_is_lost(path.name, text)
    _subroutine(path.name, text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pharmpy and what it loads warn of their own matters
        return _stream(path.name, text, _parsed(path.name, text))


def _parsed(name: str, text: str) -> Any:
    try:
        from pharmpy.modeling import read_model_from_string
    except ImportError as error:
        remedy = 'pip install "auctor[nonmem]"'
        raise ModelError(where=name, what="reading a control stream needs Pharmpy, which is not installed", remedy=remedy) from error
    unread = re.sub(r"(\$DATA\s+)('[^']*'|\"[^\"]*\"|\S+)", r"\1not-opened.csv", plain_blocks(text), count=1, flags=re.IGNORECASE)
    try:
        return read_model_from_string(unread)
    except Exception as error:  # Pharmpy raises its parser's own errors, of many types
        what = f"Pharmpy cannot read this control stream ({type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''})"
        raise ModelError(where=name, what=what, remedy="check that NM-TRAN reads it; simplify the record it names") from error


def _refuse_what_is_lost(name: str, text: str) -> None:
    remedy = "rewrite it as plain assignments and IFs, then import again"
    for record, part in records(text):
        if record[:3] in _UNKNOWN_RECORDS:
            raise ModelError(where=f"{name}: ${record}", what="this record is not supported", remedy="write the model with $PK and $ERROR")
        body = "\n".join(logical_lines(part)) if is_code(record) else ""
        for what, pattern in _LOST.items():
            if (found := pattern.search(body)) is not None:
                line = body[found.start() :].strip().splitlines()[0]
                raise ModelError(where=f"{name}: ${record} `{line}`", what=f"{what} cannot be read", remedy=remedy)


def _stream(name: str, text: str, model: Any) -> Stream:
    advan, trans = _subroutine(name, text)
    numbers = _amount_numbers(model, advan)
    thetas = [p for p in model.parameters if p.name not in _variances(model)]
    alias = {p.name: f"THETA{k}" for k, p in enumerate(thetas, 1)}
    alias |= {n: f"ETA{k}" for k, n in enumerate(model.random_variables.etas.names, 1)}
    alias |= {n: f"EPS{k}" for k, n in enumerate(model.random_variables.epsilons.names, 1)}
    alias |= {f"A_{c}": f"A{k}" for c, k in numbers.items()} | {"t": "t"}

    def rename(symbol: str) -> str:
        return alias.get(symbol, _safe(symbol, set(alias.values())))

    def trees(statements: Any, record: str) -> Rows:
        return tuple((rename(str(s.symbol)), _tree_or_refusal(s, rename, f"{name}: ${record}")) for s in statements)

    omega, same = _covariances(model, model.random_variables.etas)
    return Stream(
        name=name,
        advan=advan,
        trans=trans,
        columns=tuple(_safe(c, set()) for c in model.datainfo.names),
        thetas={alias[p.name]: float(p.init) for p in thetas},
        omega=omega,
        same=same,
        sigma=_covariances(model, model.random_variables.epsilons)[0],
        pk=trees(model.statements.before_odes, "PK"),
        derivatives=_derivatives(name, model, numbers, rename),
        error=trees(model.statements.after_odes, "ERROR"),
        observed=_observed(model, numbers),
        dosed=_dosed(model, numbers),
    )


def _tree_or_refusal(statement: Any, rename: Callable[[str], str], where: str) -> ast.expr | ModelError:
    import sympy

    target = str(statement.symbol)
    if target.startswith("A_") and target.endswith(")"):
        what = "initial amounts (A_0) are not supported"
        raise ModelError(where=f"{where} `{target}`", what=what, remedy="give the initial amount as a dose")
    try:
        return tree_from(sympy.sympify(statement.expression), rename, f"{where} `{target}`")
    except ModelError as refusal:
        return refusal


def _safe(symbol: str, taken: set[str]) -> str:
    """A name of the formula language; one that means something else there gets an underscore."""
    plain = re.sub(r"\W", "_", symbol)
    clash = plain in taken or re.fullmatch(r"A\d+|t|exp|log|sqrt|abs|min|max|where|(THETA|ETA|EPS)\d+", plain)
    return f"{plain}_" if clash else plain


def _subroutine(name: str, text: str) -> tuple[str, str]:
    body = next((b for r, b in records(text) if r.startswith("SUB")), "")
    advan = re.search(r"ADVAN(?:=ADVAN)?(\d+)", body, re.IGNORECASE)
    if advan is None:
        remedy = "models without a kinetic subroutine ($PRED) are not supported"
        raise ModelError(where=f"{name}: $SUBROUTINES", what="no ADVAN", remedy=remedy)
    trans = re.search(r"TRANS(?:=TRANS)?(\d+)", body, re.IGNORECASE)
    return f"ADVAN{advan[1]}", f"TRANS{trans[1] if trans else 1}"


def _variances(model: Any) -> set[str]:
    return set(model.random_variables.parameter_names)


def _covariances(model: Any, variables: Any) -> tuple[Array, dict[int, int]]:
    """Initial estimates of the covariance matrix, and which variables repeat the variance of an earlier one (SAME)."""
    inits, names = model.parameters.inits, list(variables.names)
    symbols = [[variables.get_covariance(a, b) for b in names] for a in names]
    matrix = np.asarray([[float(e.subs(inits)) for e in row] for row in symbols], dtype=np.float64).reshape(len(names), len(names))
    diagonal = [str(symbols[k][k]) for k in range(len(names))]
    return matrix, {k: diagonal.index(s) for k, s in enumerate(diagonal) if diagonal.index(s) < k}


def _amount_numbers(model: Any, advan: str) -> dict[str, int]:
    """NONMEM's number of each compartment by Pharmpy's name."""
    records = model.internals.control_stream.get_records("MODEL")
    if records:
        return {name: k for k, (name, _) in enumerate(records[0].compartments(), 1)}
    system = model.statements.ode_system
    order = ("DEPOT", "CENTRAL", "PERIPHERAL", "PERIPHERAL1", "PERIPHERAL2")
    return {name: k for k, name in enumerate(sorted(system.compartment_names, key=order.index), 1)}


def _derivatives(name: str, model: Any, numbers: Mapping[str, int], rename: Callable[[str], str]) -> tuple[ast.expr, ...]:
    """dA/dt by compartment number: as $DES writes them, or from Pharmpy's compartments."""
    import sympy

    des = model.internals.control_stream.get_des_record()
    if des is None:
        rows = {str(eq.lhs.args[0].func): eq.rhs for eq in map(sympy.sympify, model.statements.ode_system.eqs)}
        return tuple(tree_from(rows[f"A_{c}"], rename, f"{name}: A({k})") for c, k in numbers.items())
    found = {}
    for s in des.statements:
        number = re.fullmatch(r"DADT\s*\((\d+)\)", str(s.symbol))
        if number:
            tree = tree_from(sympy.sympify(s.expression), str, f"{name}: $DES `{s.symbol}`")
            found[int(number[1])] = renamed(tree, _raw_names(tree, rename))
    if missing := [k for k in numbers.values() if k not in found]:
        raise ModelError(where=f"{name}: $DES", what=f"no DADT({missing[0]})", remedy="write one derivative for each compartment of $MODEL")
    return tuple(found[k] for k in numbers.values())


def _raw_names(tree: ast.expr, rename: Callable[[str], str]) -> dict[str, str]:
    """Names as $DES writes them: A(1), THETA(2), T."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return {n: "t" if n == "T" else re.sub(r"^(A|THETA|ETA)\((\d+)\)$", r"\1\2", n) if "(" in n else rename(n) for n in names}


def _dosed(model: Any, numbers: Mapping[str, int]) -> int:
    """The compartment that a dose without CMT goes into."""
    found = {name: model.statements.ode_system.find_compartment(name) for name in numbers}
    return min((numbers[name] for name, c in found.items() if c is not None and c.doses), default=1)


def _observed(model: Any, numbers: Mapping[str, int]) -> int:
    """The compartment that F reads by default."""
    link = next(s for s in model.statements.after_odes if str(s.symbol) == "F")
    functions = re.findall(r"A_(\w+)\(t\)", str(link.expression))
    return numbers[functions[-1]]
