"""The named structures: which parameter plays which part, and in what unit it must be."""

from __future__ import annotations

from collections.abc import Mapping

from auctor.models.model import Structure
from auctor.models.quantities import CLEARANCE, CONCENTRATION, INPUT, NUMBER, RATE, TIME, VOLUME, Unit
from auctor.models.table import Table, suggestion

# kind -> (required keys, optional keys)
ABSORPTION: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "first_order": (("rate",), ("lag",)),
    "erlang": (("rate", "stages"), ("lag",)),
    "zero_order": ((), ("duration", "input_rate", "lag")),
    "sequential": (("duration", "rate"), ("lag",)),
    "mixed": (("fraction", "rate", "duration"), ("lag",)),
    "parallel": (("fraction", "rate", "rate2"), ("lag", "lag2")),
    "transit": (("stages", "mtt"), ("rate", "lag")),
    "weibull": (("rate", "scale", "shape"), ("lag",)),
    "double_gamma": (("fraction", "shape1", "rate1", "shape2", "rate2"), ("lag",)),
}
DISPOSITION: dict[str, tuple[str, ...]] = {
    "one_compartment": ("V1",),
    "two_compartment": ("V1", "Q", "V2"),
    "three_compartment": ("V1", "Q", "V2", "Q3", "V3"),
}
ELIMINATION = ("CL", "VMAX", "KM")
_RATES = dict.fromkeys(("rate", "rate1", "rate2", "scale"), RATE)
_TIMES = dict.fromkeys(("lag", "lag2", "duration", "mtt"), TIME)
_NUMBERS = dict.fromkeys(("bioavailability", "fraction", "shape", "shape1", "shape2", "stages"), NUMBER)
_DISPOSED = {**dict.fromkeys(("CL", "Q", "Q3"), CLEARANCE), **dict.fromkeys(("V1", "V2", "V3"), VOLUME)}
_PARTS = {**_RATES, **_TIMES, **_NUMBERS, **_DISPOSED, "VMAX": INPUT, "input_rate": INPUT, "KM": CONCENTRATION}
MOST_STAGES = 20
# where an oral dose goes, in the order of NONMEM's numbers: chains first, then central
DEPOTS = {"parallel": ("depot", "depot2"), "none": (), "zero_order": ()}


def read_structure(top: Table, units: Mapping[str, Unit]) -> Structure:
    """The `[structure]` table; every part must name a parameter of the right dimension. ModelError otherwise."""
    table = top.table("structure", required=("disposition",), optional=("absorption", "bioavailability", "cmt"))
    absorption = _absorption(table)
    disposition = _disposition(table)
    kind = absorption.text("kind")
    stages = _stage_count(absorption, kind)
    named = {key: row for row in (absorption, disposition) for key in row.data if key != "kind"}
    part = {key: _part(row, key, units) for key, row in named.items() if not (key == "stages" and kind == "erlang")}
    return Structure(
        absorption=kind,
        stages=stages,
        disposition=disposition.text("kind"),
        clearance=part.get("CL"),
        central=part["V1"],
        distribution=part.get("Q"),
        peripheral=part.get("V2"),
        distribution2=part.get("Q3"),
        peripheral2=part.get("V3"),
        maximum=part.get("VMAX"),
        half=part.get("KM"),
        rate=part.get("rate"),
        lag=part.get("lag"),
        duration=part.get("duration"),
        bioavailability=_part(table, "bioavailability", units) if "bioavailability" in table.data else None,
        parts={key: name for key, name in part.items() if key in ABSORPTION[kind][0] + ABSORPTION[kind][1]},
        cmt=_cmt(table, kind, stages),
    )


def _stage_count(absorption: Table, kind: str) -> int:
    """First-order steps before the central compartment, in each path."""
    if kind == "erlang":
        return _stages(absorption)
    has_depot = kind in ("first_order", "sequential", "mixed", "parallel", "weibull") or (kind == "transit" and "rate" in absorption.data)
    return int(has_depot)


def _absorption(table: Table) -> Table:
    row = Table.free(table.get("absorption", {"kind": "none"}), table.at("absorption"))
    kind = row.choice("kind", ABSORPTION)
    required, optional = ABSORPTION[kind]
    checked = row.only(required=("kind", *required), optional=optional)
    if kind == "zero_order" and ("duration" in row.data) == ("input_rate" in row.data):
        raise row.fault("duration", "needs exactly one of duration and input_rate", "name the parameter of the modelled length, or rate")
    return checked


def _disposition(table: Table) -> Table:
    row = Table.free(table.get("disposition"), table.at("disposition"))
    parts = DISPOSITION[row.choice("kind", DISPOSITION)]
    renamed = {"V1" if key == "V" else key: value for key, value in row.data.items()}
    if len(renamed) < len(row.data):
        raise row.fault("V", "given beside V1", "give the central volume once")
    checked = Table(renamed, row.where).only(required=("kind", *parts), optional=ELIMINATION)
    if ("VMAX" in renamed) != ("KM" in renamed):
        raise row.fault("VMAX", "VMAX and KM go together", "name both, or neither")
    if "CL" not in renamed and "VMAX" not in renamed:
        raise row.fault("CL", "missing", "name the clearance, or VMAX and KM of a saturable elimination")
    return checked


def _stages(absorption: Table) -> int:
    stages = absorption.number("stages", 1.0, low=1.0)
    if stages != int(stages) or stages > MOST_STAGES:
        remedy = "count the first-order steps before central"
        raise absorption.fault("stages", f"{stages:g} is not a whole number up to {MOST_STAGES}", remedy)
    return int(stages)


def _part(table: Table, key: str, units: Mapping[str, Unit]) -> str:
    name = table.text(key)
    if name not in units:
        raise table.fault(key, f"{name!r} is not a parameter", suggestion(name, units))
    if units[name].dimension != _PARTS[key]:
        raise table.fault(key, f"{name} in {units[name].text!r} cannot play this part", "check the unit of the parameter")
    return name


def _cmt(table: Table, kind: str, stages: int) -> dict[str, int]:
    """NONMEM's numbers: the chains first (depot 1), then central; central is 1 when nothing precedes it."""
    depots = DEPOTS.get(kind, ("depot",))
    usual = {name: k + 1 for k, name in enumerate(depots)} | {"central": max(len(depots), stages) + 1 if depots else 1}
    if "cmt" not in table.data:
        return usual
    row = table.table("cmt", optional=tuple(usual) if depots else ("depot", "central"))
    given = {key: int(row.number(key, low=1)) for key in row.data}
    return {**usual, **given}
