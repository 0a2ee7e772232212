"""Every equation of a model checked by its units: effects, individual formulas, differential equations, outputs and what doses carry.

A number is a plain number unless it stands in a sum, a comparison or beside a covariate (70 in WT / 70 is 70 kg); a named constant of an
effect takes the unit that makes its formula right. Where a formula is right only if some other number has a unit, that is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from auctor.models.dimension_walk import Clash, Walk
from auctor.models.expressions import Expression
from auctor.models.findings import Finding
from auctor.models.model import DrugModel, Effect, System
from auctor.models.quantities import read_unit
from auctor.models.unit_algebra import KNOWN, NUMBER, Unifier, Units, conversion, engine_units, read_units, shown, times

MG, HOUR = {"mg": 1.0}, {"h": 1.0}
LEVEL: Units = {"mg": 1.0, "L": -1.0}
CARRIED: dict[str, Units] = {"F": NUMBER, "lag": HOUR, "duration": HOUR, "rate": {"mg": 1.0, "h": -1.0}}
MOST_ATTEMPTS = 400


@dataclass(frozen=True, kw_only=True)
class Equation:
    """One equation: the product of its formulas with a `factor` is in the unit `expected` (None: whatever comes out)."""

    where: str
    formulas: tuple[tuple[Expression, Mapping[str, float]], ...]
    factor: Units
    expected: Units | None
    reads_covariates_alone: bool = False


@dataclass(kw_only=True)
class Book:
    """What is known so far: the unit of every name, unknown units solved, and the findings."""

    model: DrugModel
    names: dict[str, Units]
    unifier: Unifier
    plain: set[str]
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One reading of an equation: which numbers were let take a unit, and what came of it."""

    unit: Units
    clashes: tuple[Clash, ...]
    literals: Mapping[int, tuple[float, Units]]
    settled: frozenset[int]
    free: frozenset[int]
    loose: frozenset[str]
    names: Mapping[str, Units]
    unifier: Unifier


def dimension_findings(model: DrugModel) -> tuple[Finding, ...]:
    """Every finding on the units of a model's equations, in the order of the file.

    >>> from auctor.models.reader import read_model
    >>> [f.severity for f in dimension_findings(read_model("tacrolimus_woillard_2011"))]
    []
    """
    units = {name: engine_units(read_unit(p.unit, where=name)) for name, p in model.parameters.items()}
    covariates = {name: read_units(c.unit) if c.levels is None else NUMBER for name, c in model.covariates.items()}
    plain = {name for name, unit in units.items() if not unit and model.parameters[name].unit.strip() == "1"}
    book = Book(model=model, names={**units, **covariates}, unifier=Unifier(), plain=plain)
    _unknown_units(book)
    _effects(book)
    _formulas(book)
    if model.system is not None:
        _system(book, model.system)
    return tuple(book.findings)


def _note(book: Book, severity: str, where: str, what: str, remedy: str, *, code: str = "dimension") -> None:
    book.findings.append(Finding(code=code, severity=severity, where=where, what=what, remedy=remedy))


def _unknown_units(book: Book) -> None:
    for name, covariate in book.model.covariates.items():
        strange = [] if covariate.levels is not None else [base for base in book.names[name] if base not in KNOWN and not base[0].isdigit()]
        if strange:
            what = f"the unit {covariate.unit!r} is not one the analysis knows; it is taken as a unit of its own"
            _note(book, "info", f"covariates.{name}.unit", what, "write it with L, mg, h, kg, cm, year, %", code="unit-unknown")


def _effects(book: Book) -> None:
    for name, group in itertools.groupby(book.model.effects, key=lambda e: e.parameter):
        effects = list(group)
        whole = max((k for k, e in enumerate(effects) if e.replaces), default=0)
        printed = book.names[name]
        final = {base: n for base, n in printed.items() if base not in ("kg", "m2") or n > 0}
        equation = Equation(
            where=f"effects.{name}",
            formulas=tuple((e.expr, {f"{name}.{c}": v for c, v in e.constants.items()}) for e in effects[whole:]),
            factor=NUMBER if effects[whole].replaces else printed,
            expected=final,
            reads_covariates_alone=effects[whole].replaces and all(_printed(book, e) for e in effects[whole:]),
        )
        _settle(book, equation)
        book.names[name] = final


def _printed(book: Book, effect: Effect) -> bool:
    """Whether a formula reads covariates and its own constants alone: a regression, right in the units its covariates are declared in."""
    return effect.expr.names <= {*book.model.covariates, *effect.constants}


def _formulas(book: Book) -> None:
    for name, formula in book.model.formulas.items():
        known = book.names[name] if name in book.model.parameters and name not in book.plain else None
        equation = Equation(where=f"individual.{name}", formulas=((formula, {}),), factor=NUMBER, expected=known)
        found = _settle(book, equation)
        if name not in book.model.parameters or name in book.plain:
            book.names[name] = found
            book.plain.discard(name)


def _system(book: Book, system: System) -> None:
    doses = {*book.model.structure.cmt.values(), *(cmt for table in system.inputs.values() for cmt in table)}
    amounts = {f"A{k + 1}": MG if k + 1 in doses else {f"?A{k + 1}": 1.0} for k in range(system.size)}
    book.names = {**book.names, **amounts, "t": HOUR, "tad": HOUR}
    for k, formula in enumerate(system.derivatives, 1):
        _settle(book, Equation(where=f"odes.A{k}", formulas=((formula, {}),), factor=HOUR, expected=amounts[f"A{k}"]))
    _amounts(book, amounts)
    for cmt, formula in system.outputs.items():
        _output(book, cmt, formula)
    for key, table in system.inputs.items():
        for cmt, formula in table.items():
            _settle(book, Equation(where=f"doses.{key}.{cmt}", formulas=((formula, {}),), factor=NUMBER, expected=CARRIED[key]))


def _amounts(book: Book, amounts: Mapping[str, Units]) -> None:
    """Say which compartments are not in mg."""
    units = {name: book.unifier.reduced(unit) for name, unit in amounts.items()}
    words = {name: "unsettled" if any(b.startswith("?") for b in unit) else shown(unit) for name, unit in units.items() if unit != MG}
    for word in dict.fromkeys(words.values()):
        names = ", ".join(name for name, own in words.items() if own == word)
        _note(book, "info", "odes", f"the unit of {names} is {word}, not mg", "nothing to do where no drug is held", code="amount-unit")


def _output(book: Book, cmt: int, formula: Expression) -> None:
    """A concentration: mg/L, times the numbers that take it into the model's own unit. What holds no drug has no unit to be checked."""
    where = f"outputs.{cmt}"
    attempt = _attempt(book, Equation(where=where, formulas=((formula, {}),), factor=NUMBER, expected=LEVEL), frozenset(), frozenset())
    if attempt.clashes:
        found = _attempt(book, Equation(where=where, formulas=((formula, {}),), factor=NUMBER, expected=None), frozenset(), frozenset())
        what = f"the output is in {shown(found.unit)}, not a concentration in mg/L times a number"
        _note(book, "info", where, what, "nothing to do where it is a response", code="output-unit")
        return
    book.unifier = attempt.unifier


def _settle(book: Book, equation: Equation) -> Units:
    """Take the first reading of an equation without a clash, fewest liberties first; note what had to be assumed, or what clashes."""
    first = _attempt(book, equation, frozenset(), frozenset())
    best = first
    if first.clashes:
        tries = itertools.islice(_liberties(book, equation, first), MOST_ATTEMPTS)
        readings = (_attempt(book, equation, free, loose) for free, loose in tries)
        best = next((reading for reading in readings if not reading.clashes and _whole(reading)), first)
    book.unifier, book.names = best.unifier, {**book.names, **best.names}
    book.plain -= best.loose
    _report(book, equation, best)
    return best.unit


def _liberties(book: Book, equation: Equation, first: Attempt) -> Iterator[tuple[frozenset[int], frozenset[str]]]:
    used = {name for formula, _ in equation.formulas for name in formula.names}
    single: list[tuple[frozenset[int], frozenset[str]]] = [(frozenset(), frozenset({name})) for name in sorted(book.plain & used)]
    single += [(frozenset({k}), frozenset()) for k in first.literals if k not in first.settled]
    yield from single
    for one, other in itertools.combinations(single, 2):
        yield one[0] | other[0], one[1] | other[1]


def _whole(reading: Attempt) -> bool:
    """Whether every unit that had to be assumed has whole exponents, as real ones do."""
    assumed = [_taken(reading, k)[1] for k in reading.free] + [reading.unifier.reduced(unit) for unit in reading.names.values()]
    return all(abs(n - round(n)) < 1e-9 and not base.startswith("?") for unit in assumed for base, n in unit.items())


def _attempt(book: Book, equation: Equation, free: frozenset[int], loose: frozenset[str]) -> Attempt:
    unifier = book.unifier.copy()
    opened: dict[str, Units] = {name: {f"?p.{name}": 1.0} for name in loose}
    total, clashes = equation.factor, list[Clash]()
    literals, settled = dict[int, tuple[float, Units]](), set[int]()
    for formula, constants in equation.formulas:
        own = {path.partition(".")[2]: {f"?c.{path}": 1.0} for path in constants}
        walk = Walk(
            names={**book.names, **opened, **own},
            values={path.partition(".")[2]: value for path, value in constants.items()},
            covariates=book.model.covariates,
            unifier=unifier,
            free=free,
            label=equation.where,
            start=len(literals),
        )
        total = unifier.reduced(times(total, walk.unit(formula.tree)))
        clashes += walk.clashes
        literals |= walk.literals
        settled |= walk.settled
    clashes += _misfit(unifier, total, equation)
    return Attempt(
        unit=unifier.reduced(total),
        clashes=tuple(clashes),
        literals=literals,
        settled=frozenset(settled),
        free=free,
        loose=loose,
        names=opened,
        unifier=unifier,
    )


def _misfit(unifier: Unifier, total: Units, equation: Equation) -> list[Clash]:
    if equation.expected is None or unifier.equal(total, equation.expected):
        return []
    found, wanted = (unifier.reduced(times(u, equation.factor, -1.0)) for u in (total, equation.expected))
    rest = times(unifier.reduced(total), unifier.reduced(equation.expected), -1.0)
    broken = any(abs(n - round(n)) > 1e-9 for n in rest.values())
    what = f"{shown(found)} where {shown(wanted)} is needed"
    empirical = not equation.factor and (not unifier.reduced(total) or not unifier.reduced(equation.expected))
    regression = equation.reads_covariates_alone and conversion(rest) is None
    return [Clash(text=_text(equation), what=what, mild=broken or empirical or regression)]


def _text(equation: Equation) -> str:
    return " * ".join(formula.text for formula, _ in equation.formulas)


def _report(book: Book, equation: Equation, reading: Attempt) -> None:
    grave = [clash for clash in reading.clashes if not clash.mild]
    for clash in (grave or reading.clashes)[:1]:
        more = f" (and {len(reading.clashes) - 1} more that follow from it)" if len(reading.clashes) > 1 else ""
        remedy = "check the formula" if grave else "divide by a value in that unit, or multiply by 1 of it"
        _note(book, "error" if grave else "warning", equation.where, f"{clash.what}: {clash.text}{more}", remedy)
    for name in sorted(reading.loose):
        unit = shown(reading.unifier.reduced(reading.names[name]))
        what = f"printed without a unit; {equation.where} needs {unit}"
        _note(book, "warning", f"parameters.{name}.unit", what, f"write {unit}", code="unit-missing")
    for index in sorted({*reading.free, *(reading.settled if not reading.clashes else ())}):
        _assumed(book, equation, *_taken(reading, index), chosen=index in reading.free)
    unknown = {base for base in reading.unit if base.startswith("?") and not base.startswith("?A")}
    if equation.expected is None and unknown and not reading.clashes:
        _note(book, "info", equation.where, "its unit cannot be told from the formula", "nothing to do if it is meant so", code="unit-open")


def _taken(reading: Attempt, index: int) -> tuple[float, Units]:
    value, unit = reading.literals[index]
    return value, reading.unifier.reduced(unit)


def _assumed(book: Book, equation: Equation, value: float, unit: Units, *, chosen: bool) -> None:
    """A number that took a unit: a change of scale must be the right one; a unit that a name of the formula has is believed.

    `chosen` says that the formula is right only so; a number in a sum takes its unit as a matter of course and is passed over then.
    """
    worth = conversion(unit) if unit else None
    if worth is not None and abs(abs(value) / worth - 1) > 0.01 and abs(abs(value) * worth - 1) > 0.01:
        what = f"{value:g} stands where the change of scale {shown(unit)} is needed, which is {worth:g}"
        _note(book, "error", equation.where, what, "check the conversion", code="scale")
        return
    used = {name for formula, _ in equation.formulas for name in formula.names} & book.names.keys()
    near = [LEVEL, *(book.unifier.reduced(book.names[name]) for name in used)]
    believed = worth is not None or not unit or value == 0 or any(unit in (u, times({}, u, -1.0)) for u in near)
    if (believed and not chosen) or any(base.startswith("?") for base in unit):
        return
    what = f"{value:g} is taken to be in {shown(unit)}"
    remedy = "nothing to do if it is meant so" if believed else "name it under [effects] with a source, or give a parameter its unit"
    _note(book, "info" if believed else "warning", equation.where, what, remedy, code="number-with-unit")
