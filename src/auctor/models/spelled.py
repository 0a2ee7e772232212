"""A named structure spelled out as compartments, differential equations and what its doses carry: the same thing in the other spelling.

The saturable and time-dependent structures are computed from it; for the others it is what their closed form is tested against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from auctor.models.expressions import Expression, parse
from auctor.models.model import Density, DrugModel, Structure, System

CENTRAL = "central"


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where a dose may enter: `role` (depot, depot2, central, bare), the compartment it leads to, and its share of an oral dose.

    `carries` are the formulas of NONMEM's F, lag, duration or rate; `densities` (share, shape, rate) where it arrives by gamma densities.
    """

    role: str
    into: str
    carries: Mapping[str, str]
    densities: tuple[tuple[str, str, str], ...] = ()


def chains(s: Structure) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The chains of first-order steps before the central compartment: (names of the stages, parameter of their rate).

    >>> from auctor.models.reader import read_model
    >>> chains(read_model("tacrolimus_woillard2011").structure)
    ((('depot', 'transit1', 'transit2'), 'KTR'),)
    """
    if s.stages == 0 or s.rate is None:
        return ()
    first = ("depot", *(f"transit{k}" for k in range(1, s.stages)))
    return ((first, s.rate), (("depot2",), s.parts["rate2"])) if "rate2" in s.parts else ((first, s.rate),)


def compartments(s: Structure) -> tuple[str, ...]:
    """Names of the compartments in their order: chains, central, peripherals."""
    before = [name for names, _ in chains(s) for name in names]
    return (*before, CENTRAL, *("peripheral", "peripheral2")[: len(s.peripherals)])


def amounts(s: Structure) -> dict[str, str]:
    """Compartment -> d(amount)/dt in mg/h without what is given, in the formula language.

    >>> from auctor.models.reader import read_model
    >>> amounts(read_model("vancomycin_goti2018").structure)["central"]
    '- CL / V1 * central - Q / V1 * central + Q / V2 * peripheral'
    """
    rows: dict[str, str] = {}
    arriving = ""
    for names, rate in chains(s):
        speed = f"{rate} * (1 - exp(-(({s.parts['scale']} * tad) ** {s.parts['shape']})))" if s.absorption == "weibull" else rate
        for k, name in enumerate(names):
            rows[name] = f"- {speed} * {name}" if k == 0 else f"{speed} * ({names[k - 1]} - {name})"
        arriving += f" + {speed} * {names[-1]}"
    shelves = ("peripheral", "peripheral2")
    exchange = "".join(f" - {q} / {s.central} * central + {q} / {v} * {p}" for p, (q, v) in zip(shelves, s.peripherals, strict=False))
    rows[CENTRAL] = f"{arriving}{_eliminated(s)}{exchange}".removeprefix(" + ").strip()
    rows |= {p: f"{q} / {s.central} * central - {q} / {v} * {p}" for p, (q, v) in zip(shelves, s.peripherals, strict=False)}
    return rows


def _eliminated(s: Structure) -> str:
    linear = f" - {s.clearance} / {s.central} * central" if s.clearance else ""
    level = f"central / {s.central}"
    return linear + (f" - {s.maximum} * ({level}) / ({s.half} + {level})" if s.maximum else "")


def doors(s: Structure) -> tuple[Door, ...]:
    """Every door of the structure; an oral dose goes through each depot door (central, where there is none but absorption)."""
    given = {} if s.bioavailability is None else {"F": s.bioavailability}
    late = {} if s.lag is None else {"lag": s.lag}
    length = {"duration": s.duration} if s.duration else {"rate": s.parts["input_rate"]} if "input_rate" in s.parts else {}
    if s.absorption == "none":
        return (Door(role=CENTRAL, into=CENTRAL, carries=given),)
    bare = Door(role="bare", into=CENTRAL, carries={})
    if s.absorption == "zero_order":
        return (Door(role=CENTRAL, into=CENTRAL, carries={**given, **late, **length}), bare)
    return (*_depots(s, given, late, length), Door(role=CENTRAL, into=CENTRAL, carries={}))


def _depots(s: Structure, given: dict[str, str], late: dict[str, str], length: dict[str, str]) -> tuple[Door, ...]:
    part, factor = s.parts, f"{s.bioavailability} * " if s.bioavailability else ""
    match s.absorption:
        case "mixed":
            first = {"F": f"{factor}{part['fraction']}", **late}
            rest = {"F": f"{factor}(1 - {part['fraction']})", **length}
            return Door(role="depot", into="depot", carries=first), Door(role="depot2", into=CENTRAL, carries=rest)
        case "parallel":
            second = {"lag": part["lag2"]} if "lag2" in part else {}
            first = {"F": f"{factor}{part['fraction']}", **late}
            other = {"F": f"{factor}(1 - {part['fraction']})", **second}
            return Door(role="depot", into="depot", carries=first), Door(role="depot2", into="depot2", carries=other)
        case "transit":
            shape, rate = f"{part['stages']} + 1", f"({part['stages']} + 1) / {part['mtt']}"
            into = "depot" if s.stages else CENTRAL
            return (Door(role="depot", into=into, carries={**given, **late}, densities=(("1", shape, rate),)),)
        case "double_gamma":
            both = ((part["fraction"], part["shape1"], part["rate1"]), (f"1 - {part['fraction']}", part["shape2"], part["rate2"]))
            return (Door(role="depot", into=CENTRAL, carries={**given, **late}, densities=both),)
    return (Door(role="depot", into="depot", carries={**given, **late, **length}),)


def place(structure: Structure, role: str) -> int:
    """The dose number (from 0) of a door: compartments count first, then the doors that share one."""
    return _places(structure)[role]


def _places(s: Structure) -> dict[str, int]:
    """role -> dose number; a door takes its compartment's own number unless something else arrives there under other terms."""
    taken: dict[str, int] = {}
    names, extra = compartments(s), len(compartments(s))
    for door in doors(s):
        own = (not door.densities and names.index(door.into) not in taken.values() and door.role != "depot2") or door.role == door.into
        taken[door.role] = names.index(door.into) if own else extra
        extra += 0 if own else 1
    return taken


@lru_cache(maxsize=256)
def spelled(model: DrugModel) -> System:
    """The model's system: as written in its file, or its named structure spelled out.

    >>> from auctor.models.reader import read_model
    >>> [e.text for e in spelled(read_model("vancomycin_goti2018")).derivatives]
    ['- CL / V1 * A1 - Q / V1 * A1 + Q / V2 * A2', 'Q / V1 * A1 - Q / V2 * A2']
    """
    if model.system is not None:
        return model.system
    s, names, numbers = model.structure, compartments(model.structure), _places(model.structure)
    rows = amounts(s)
    every = {numbers[door.role]: door for door in doors(s)}
    extra = sorted(k for k in every if k >= len(names))
    inputs: dict[str, dict[int, Expression]] = {}
    for k, door in every.items():
        for key, formula in door.carries.items():
            inputs.setdefault(key, {})[k + 1] = _formula(formula, names, model.name)
    middle = names.index(CENTRAL)
    return System(
        derivatives=tuple(_formula(rows[name], names, model.name) for name in names),
        outputs={middle + 1: _formula(f"central / {s.central} * {model.scale!r}", names, model.name)},
        inputs=inputs,
        linear=s.linear,
        doors=tuple(names.index(every[k].into) for k in extra),
        densities={k + 1: _densities(door, names, model.name) for k, door in every.items() if door.densities},
    )


def _densities(door: Door, names: tuple[str, ...], where: str) -> tuple[Density, ...]:
    return tuple(
        Density(
            share=_formula(share, names, where), shape=_formula(shape, names, where), rate=_formula(rate, names, where),
            into=names.index(door.into),
        )
        for share, shape, rate in door.densities
    )  # fmt: skip


def _formula(text: str, names: tuple[str, ...], where: str) -> Expression:
    """The formula with compartments by number: `central` becomes `A2`, and so on."""
    words = {name: f"A{k + 1}" for k, name in enumerate(names)}
    return parse(re.sub(r"[A-Za-z_]\w*", lambda m: words.get(m[0], m[0]), text), where=where)
