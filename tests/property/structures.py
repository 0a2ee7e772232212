"""A small model of every named structure, and one written out as equations, for the properties that all of them share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.structures import ABSORPTION, DISPOSITION

HEAD = """
schema = 1
drug = "any"
status = "draft"
population = "none: every structure with the same parameters"
reference = {{ doi = "none", cite = "properties of the engine" }}
units = {{ time = "h", dose = "mg", concentration = "{concentration}" }}
variability = {{ distribution = "lognormal", printed_as = "sd" }}
"""
NAMED = """
[structure]
absorption = {{ kind = "{absorption}"{absorbed} }}
disposition = {{ kind = "{disposition}", {disposed} }}
bioavailability = "F1"
"""
WRITTEN = """
[structure]
cmt = { depot = 1, central = 2 }
[odes]
A1 = "-KA * A1"
A2 = "KA * A1 - (CL + Q) / V1 * A2 + Q / V2 * A3"
A3 = "Q / V1 * A2 - Q / V2 * A3"
[outputs]
2 = "SCALE * A2 / V1"
[doses]
lag = { 1 = "LAG" }
F = { 1 = "F1", 2 = "F1" }
"""
# fast enough for a dozen doses a day apart to be at steady state within 1e-9
PARAMETERS = {
    "CL": (6.0, "L/h", 0.3),
    "V1": (20.0, "L", 0.2),
    "Q": (8.0, "L/h", None),
    "V2": (15.0, "L", None),
    "Q3": (9.0, "L/h", None),
    "V3": (7.0, "L", None),
    "KA": (1.3, "1/h", 0.4),
    "KA2": (0.9, "1/h", None),
    "LAG": (0.4, "h", None),
    "D": (1.5, "h", None),
    "MTT": (1.1, "h", None),
    "NTR": (4.0, "1", None),
    "FR": (0.6, "1", None),
    "SHAPE": (1.7, "1", None),
    "SHAPE2": (3.2, "1", None),
    "F1": (0.7, "1", None),
}
# the part of a structure -> its parameter; parts that exclude another one are left out
PART_OF = {
    "rate": "KA", "rate1": "KA", "rate2": "KA2", "scale": "KA2", "lag": "LAG", "lag2": "LAG", "duration": "D", "mtt": "MTT",
    "stages": "NTR", "fraction": "FR", "shape": "SHAPE", "shape1": "SHAPE", "shape2": "SHAPE2",
}  # fmt: skip
LEFT_OUT = ("input_rate",)
OTHER_UNITS = {"L/h": ("mL/min", 1000 / 60), "L": ("mL", 1000.0), "1/h": ("1/d", 24.0), "h": ("min", 60.0), "1": ("%", 100.0)}
# every kind of absorption and of disposition, not every pair: each model is compiled
NAMES = [f"{kind}, {list(DISPOSITION)[k % len(DISPOSITION)]}" for k, kind in enumerate(ABSORPTION)]
WRITTEN_OUT = "written out"
ALL = [*NAMES, WRITTEN_OUT]


def text_of(name: str, *, other_units: bool = False) -> str:
    """The model file; in other units of every parameter and of the concentration where asked."""
    unit, additive = ("ng/mL", 50.0) if other_units else ("mg/L", 0.05)
    structure, used = _written(other_units) if name == WRITTEN_OUT else _named(*name.split(", "))
    residual = f'concentration = {{ proportional = 0.15, additive = {additive}, unit = "{unit}", source = "none" }}'
    return "\n".join([HEAD.format(concentration=unit), structure, "[residual]", residual, "[parameters]", *_lines(used, other_units)])


def _written(other_units: bool) -> tuple[str, set[str]]:
    return WRITTEN.replace("SCALE", "1000" if other_units else "1"), {"CL", "V1", "Q", "V2", "KA", "LAG", "F1"}


def _named(absorption: str, disposition: str) -> tuple[str, set[str]]:
    """The structure, and the names of its parameters."""
    required, optional = ABSORPTION[absorption]
    parts = {part: PART_OF[part] for part in (*required, *optional) if part not in LEFT_OUT}
    given = {part: "3" if (absorption, part) == ("erlang", "stages") else f'"{name}"' for part, name in parts.items()}
    disposed = dict.fromkeys(("CL", *DISPOSITION[disposition]))
    text = NAMED.format(
        absorption=absorption,
        absorbed="".join(f", {part} = {value}" for part, value in given.items()),
        disposition=disposition,
        disposed=", ".join(f'{part} = "{part}"' for part in disposed),
    )
    return text, {"F1", *disposed, *(value.strip('"') for value in given.values())}


def _lines(used: set[str], other_units: bool) -> list[str]:
    lines = []
    for name, (value, unit, iiv) in PARAMETERS.items():
        unit, worth = OTHER_UNITS[unit] if other_units else (unit, 1.0)
        varies = "" if iiv is None else f", iiv = {iiv}"
        if name in used:
            lines.append(f'{name} = {{ value = {value * worth!r}, unit = "{unit}"{varies}, source = "none" }}')
    return lines


@cache
def model_of(name: str, other_units: bool = False) -> DrugModel:
    """The model, read from its file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.toml"
        path.write_text(text_of(name, other_units=other_units))
        return read_model(path)
