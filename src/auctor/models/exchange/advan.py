"""NONMEM's ADVAN and TRANS beside the named structures: the one table that a new kind of structure is added to.

Export needs `SUBROUTINES`; import needs `ROUTINES`, where every part of the structure is a formula of the names that the TRANS defines.
`S` stands for the scale that turns the central amount into the prediction, the volume where the TRANS has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Subroutine:
    """An ADVAN with its TRANS: `parts` maps a field of `Structure` to NONMEM's name; `central` is the observed compartment."""

    advan: str
    trans: str
    parts: Mapping[str, str]
    central: int


_ONE = {"clearance": "CL", "central": "V"}


def _three(central: int) -> dict[str, str]:
    volumes = {"central": f"V{central}", "peripheral": f"V{central + 1}", "peripheral2": f"V{central + 2}"}
    return {"clearance": "CL", **volumes, "distribution": f"Q{central + 1}", "distribution2": f"Q{central + 2}"}


# (absorption, disposition) -> the subroutine that is exactly it
SUBROUTINES: dict[tuple[str, str], Subroutine] = {
    ("none", "one_compartment"): Subroutine(advan="ADVAN1", trans="TRANS2", parts=_ONE, central=1),
    ("zero_order", "one_compartment"): Subroutine(advan="ADVAN1", trans="TRANS2", parts=_ONE, central=1),
    ("first_order", "one_compartment"): Subroutine(advan="ADVAN2", trans="TRANS2", parts={**_ONE, "rate": "KA"}, central=2),
    ("none", "two_compartment"): Subroutine(
        advan="ADVAN3", trans="TRANS4", parts={"clearance": "CL", "central": "V1", "distribution": "Q", "peripheral": "V2"}, central=1
    ),
    ("zero_order", "two_compartment"): Subroutine(
        advan="ADVAN3", trans="TRANS4", parts={"clearance": "CL", "central": "V1", "distribution": "Q", "peripheral": "V2"}, central=1
    ),
    ("first_order", "two_compartment"): Subroutine(
        advan="ADVAN4",
        trans="TRANS4",
        parts={"clearance": "CL", "central": "V2", "distribution": "Q", "peripheral": "V3", "rate": "KA"},
        central=2,
    ),
    ("none", "three_compartment"): Subroutine(advan="ADVAN11", trans="TRANS4", parts=_three(1), central=1),
    ("zero_order", "three_compartment"): Subroutine(advan="ADVAN11", trans="TRANS4", parts=_three(1), central=1),
    ("first_order", "three_compartment"): Subroutine(advan="ADVAN12", trans="TRANS4", parts={**_three(2), "rate": "KA"}, central=2),
}


@dataclass(frozen=True, kw_only=True)
class Routine:
    """What an ADVAN and TRANS mean: parts of the model file's disposition and absorption as formulas of NONMEM's names."""

    disposition: str
    parts: Mapping[str, str]
    rate: str | None
    central: int


_TWO = {
    "TRANS1": {"CL": "K * S", "V1": "S", "Q": "K{c}{p} * S", "V2": "K{c}{p} * S / K{p}{c}"},
    "TRANS3": {"CL": "CL", "V1": "V", "Q": "Q", "V2": "VSS - V"},
    "TRANS4": {"CL": "CL", "V1": "V{c}", "Q": "Q", "V2": "V{p}"},
    "TRANS5": {
        "CL": "ALPHA * BETA / ((AOB * BETA + ALPHA) / (AOB + 1)) * S",
        "V1": "S",
        "Q": "(ALPHA + BETA - (AOB * BETA + ALPHA) / (AOB + 1) - ALPHA * BETA / ((AOB * BETA + ALPHA) / (AOB + 1))) * S",
        "V2": "(ALPHA + BETA - (AOB * BETA + ALPHA) / (AOB + 1) - ALPHA * BETA / ((AOB * BETA + ALPHA) / (AOB + 1)))"
        " * S / ((AOB * BETA + ALPHA) / (AOB + 1))",
    },
    "TRANS6": {
        "CL": "ALPHA * BETA / K{p}{c} * S",
        "V1": "S",
        "Q": "(ALPHA + BETA - K{p}{c} - ALPHA * BETA / K{p}{c}) * S",
        "V2": "(ALPHA + BETA - K{p}{c} - ALPHA * BETA / K{p}{c}) * S / K{p}{c}",
    },
}
_ONES = {"TRANS1": {"CL": "K * S", "V1": "S"}, "TRANS2": {"CL": "CL", "V1": "V"}}
_THREE = {
    "TRANS1": {
        "CL": "K * S",
        "V1": "S",
        "Q": "K{c}{p} * S",
        "V2": "K{c}{p} * S / K{p}{c}",
        "Q3": "K{c}{r} * S",
        "V3": "K{c}{r} * S / K{r}{c}",
    },
    "TRANS4": {"CL": "CL", "V1": "V{c}", "Q": "Q{p}", "V2": "V{p}", "Q3": "Q{r}", "V3": "V{r}"},
}


def _routines(
    advan: str, disposition: str, parts: Mapping[str, Mapping[str, str]], *, central: int, oral: bool
) -> dict[tuple[str, str], Routine]:
    places = {"c": central, "p": central + 1, "r": central + 2}
    filled = {trans: {part: text.format(**places) for part, text in table.items()} for trans, table in parts.items()}
    rate = "KA" if oral else None
    return {(advan, trans): Routine(disposition=disposition, parts=table, rate=rate, central=central) for trans, table in filled.items()}


ROUTINES: dict[tuple[str, str], Routine] = {
    **_routines("ADVAN1", "one_compartment", _ONES, central=1, oral=False),
    **_routines("ADVAN2", "one_compartment", _ONES, central=2, oral=True),
    **_routines("ADVAN3", "two_compartment", _TWO, central=1, oral=False),
    **_routines("ADVAN4", "two_compartment", _TWO, central=2, oral=True),
    **_routines("ADVAN11", "three_compartment", _THREE, central=1, oral=False),
    **_routines("ADVAN12", "three_compartment", _THREE, central=2, oral=True),
}
