"""What stands above an exported model: where it comes from, units, covariates, compartments."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from auctor.models.exchange.program import Program


def ascii_text(text: str) -> str:
    """A comment in plain ASCII, on one line; what has no ASCII spelling becomes a question mark."""
    plain = unicodedata.normalize("NFKD", text.replace("μ", "u").replace("–", "-").replace("−", "-"))
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode().split())


def heading(program: Program) -> list[str]:
    """What a reader must know before running it: source, units, covariates, compartments."""
    model, course = program.model, program.course
    log = any(e.kind == "log" for e in program.errors.values())
    unit = model.units["concentration"]
    rows = [
        f"auctor model {model.name}, status {model.status}, SHA-256 {model.sha256}",
        model.reference["cite"],
        f"TIME in h, AMT in mg, DV {f'the natural logarithm of {unit}' if log else f'in {unit}'}, RATE in mg/h",
        "compartments: " + ", ".join(f"{k} {name}" for k, name in enumerate(course.compartments, 1))
        + f"; doses by default into CMT {course.depot}, intravenous ones into {course.central}; observed in {', '.join(map(str, course.outputs))}",
        *(f"covariate {program.names[n]}: {c.label}, {c.unit or codes(c.levels)}" for n, c in model.covariates.items()),
        *([f"RATE = -2: the duration is modelled (CMT {', '.join(map(str, course.inputs['duration']))})"] if "duration" in course.inputs else []),
        *([f"RATE = -1: the rate is modelled (CMT {', '.join(map(str, course.inputs['rate']))})"] if "rate" in course.inputs else []),
        *(f"{name} has interoccasion variability (SD {p.iov:g}), which is not in this text" for name, p in model.parameters.items() if p.iov),
    ]  # fmt: skip
    return [ascii_text(row) for row in rows]


def codes(levels: Mapping[str, float] | None) -> str:
    """The codes of a categorical covariate in words."""
    return ", ".join(f"{code:g} = {word}" for word, code in (levels or {}).items())
