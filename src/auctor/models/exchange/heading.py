"""What stands above an exported model: where it comes from, units, covariates, compartments."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from auctor.models.exchange.program import Program

_MODELLED = (("duration", "-2"), ("rate", "-1"))


def ascii_text(text: str) -> str:
    """A comment in plain ASCII, on one line; what has no ASCII spelling becomes a question mark."""
    plain = unicodedata.normalize("NFKD", text.replace("μ", "u").replace("–", "-").replace("−", "-"))
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode().split())


def heading(program: Program) -> list[str]:
    """What a reader must know before running it: source, units, covariates, compartments."""
    model = program.model
    logged = any(e.kind == "log" for e in program.errors.values())
    unit = model.units["concentration"]
    timed = any("t" in d.names for d in program.course.derivatives)
    rows = [
        f"auctor model {model.name}, status {model.status}, SHA-256 {model.sha256}",
        model.reference["cite"],
        f"TIME in h, AMT in mg, RATE in mg/h, DV in {unit}" + (" (residual error on its logarithm)" if logged else ""),
        _compartments(program),
        *(["the time in the equations counts from TIME 0: let each first record be there, as auctor counts from it"] if timed else []),
        *(f"covariate {program.names[n]}: {c.label}, {c.unit or codes(c.levels)}" for n, c in model.covariates.items()),
        *(
            f"RATE = {code}: the {key} is modelled (CMT {_listed(program.course.inputs[key])})"
            for key, code in _MODELLED
            if key in program.inputs
        ),
        *(
            f"{name} has interoccasion variability (SD {p.iov:g}), which is not in this text"
            for name, p in model.parameters.items()
            if p.iov
        ),
    ]
    return [ascii_text(row) for row in rows]


def _compartments(program: Program) -> str:
    course = program.course
    named = ", ".join(f"{k} {name}" for k, name in enumerate(course.compartments, 1))
    doses = f"doses by default into CMT {course.depot}, intravenous ones into {course.central}"
    return f"compartments: {named}; {doses}; observed in {_listed(course.outputs)}"


def _listed(table: Mapping[int, object]) -> str:
    return ", ".join(map(str, table))


def codes(levels: Mapping[str, float] | None) -> str:
    """The codes of a categorical covariate in words."""
    return ", ".join(f"{code:g} = {word}" for word, code in (levels or {}).items())
