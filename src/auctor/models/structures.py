"""The named structures: which parameter plays which part, and in what unit it must be."""

from __future__ import annotations

from collections.abc import Mapping

from auctor.models.model import Structure
from auctor.models.quantities import CLEARANCE, NUMBER, RATE, TIME, VOLUME, Unit
from auctor.models.table import Table, suggestion

# kind -> (required keys, optional keys)
ABSORPTION: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": ((), ()),
    "first_order": (("rate",), ("lag",)),
    "erlang": (("rate", "stages"), ("lag",)),
    "zero_order": (("duration",), ("lag",)),
}
DISPOSITION: dict[str, tuple[str, ...]] = {"one_compartment": ("CL", "V1"), "two_compartment": ("CL", "V1", "Q", "V2")}
_ABSORBED = {"rate": RATE, "lag": TIME, "duration": TIME, "bioavailability": NUMBER}
_DISPOSED = {"CL": CLEARANCE, "Q": CLEARANCE, "V1": VOLUME, "V2": VOLUME}
_PARTS = {**_ABSORBED, **_DISPOSED}
MOST_STAGES = 20


def read_structure(top: Table, units: Mapping[str, Unit]) -> Structure:
    """The `[structure]` table; every part must name a parameter of the right dimension. ModelError otherwise."""
    table = top.table("structure", required=("disposition",), optional=("absorption", "bioavailability", "cmt"))
    absorption = _absorption(table)
    disposition = _disposition(table)
    kind = absorption.text("kind")
    stages = {"first_order": 1, "erlang": _stages(absorption)}.get(kind, 0)
    part = {key: _part(row, key, units) for row in (absorption, disposition) for key in row.data if key not in ("kind", "stages")}
    return Structure(
        absorption=kind,
        stages=stages,
        disposition=disposition.text("kind"),
        clearance=part["CL"],
        central=part["V1"],
        distribution=part.get("Q"),
        peripheral=part.get("V2"),
        rate=part.get("rate"),
        lag=part.get("lag"),
        duration=part.get("duration"),
        bioavailability=_part(table, "bioavailability", units) if "bioavailability" in table.data else None,
        cmt=_cmt(table, stages),
    )


def _absorption(table: Table) -> Table:
    row = Table.free(table.get("absorption", {"kind": "none"}), table.at("absorption"))
    required, optional = ABSORPTION[row.choice("kind", ABSORPTION)]
    return row.only(required=("kind", *required), optional=optional)


def _disposition(table: Table) -> Table:
    row = Table.free(table.get("disposition"), table.at("disposition"))
    parts = DISPOSITION[row.choice("kind", DISPOSITION)]
    renamed = {"V1" if key == "V" else key: value for key, value in row.data.items()}
    if len(renamed) < len(row.data):
        raise row.fault("V", "given beside V1", "give the central volume once")
    return Table(renamed, row.where).only(required=("kind", *parts))


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


def _cmt(table: Table, stages: int) -> dict[str, int]:
    """NONMEM's numbers: the chain first (depot 1), then central; central is 1 when nothing precedes it."""
    usual = {"depot": 1, "central": stages + 1} if stages else {"central": 1}
    if "cmt" not in table.data:
        return usual
    row = table.table("cmt", optional=("depot", "central"))
    given = {key: int(row.number(key, low=1)) for key in row.data}
    return {**usual, **given}
