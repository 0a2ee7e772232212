"""The mapbayr validation runs and the nmtests scenarios restated as auctor model files with `[odes]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEAD = """
schema = 1
drug = "oracle"
status = "draft"
population = "simulated patients"
reference = {{ doi = "{doi}", cite = "{cite}" }}
units = {{ time = "h", dose = "mg", concentration = "mg/L" }}
[structure]
"""
WORDS = {"bioav": "F", "lag": "lag", "duration": "duration"}


def mapbayr_file(spec: dict[str, Any], path: Path) -> Path:
    """One run of models.json as a model file: thetas as parameters, ETAs as normal ones, the assignments as formulas."""
    lines = [HEAD.format(doi="10.1002/psp4.12689", cite="Le Louedec 2021"), "[covariates]"]
    lines += [f'{name} = {{ unit = "1", reference = 1 }}' for name in spec.get("covariates") or []]
    lines.append("[parameters]")
    lines += [f'{name} = {{ value = {value!r}, unit = "1", source = "models.json" }}' for name, value in spec["theta"].items()]
    etas = [f"ETA{k + 1}" for k in range(len(spec["omega"]))]
    lines += [f'{name} = {{ value = 0, unit = "1", distribution = "normal", source = "models.json" }}' for name in etas]
    lines += ["[omega]", f"names = {json.dumps(etas)}", f"block = {json.dumps(spec['omega'])}", "[individual]"]
    lines += [f'{name} = "{formula}"' for name, formula in (p.split("=", 1) for p in spec["params"])]
    lines += ["[odes]", *(f'A{k + 1} = "{text}"' for k, text in enumerate(spec["odes"])), "[outputs]"]
    lines += [f'{cmt} = "{text}"' for cmt, text in spec["outputs"].items()]
    lines.append("[doses]")
    lines += [f"{word} = {{ {inline(spec[key])} }}" for key, word in WORDS.items() if spec.get(key)]
    lines += ["[residual]", *residual_lines(spec["residual"], spec["outputs"])]
    path.write_text("\n".join(lines))
    return path


def inline(table: dict[str, str]) -> str:
    return ", ".join(f'{cmt} = "{text}"' for cmt, text in table.items())


def residual_lines(residual: dict[str, Any], outputs: dict[str, str]) -> list[str]:
    """One table for every output, variances as printed."""
    kind = "log" if residual["kind"] == "logadd" else "combined"
    of = [residual.get(key) for key in ("logadd_var" if kind == "log" else "prop_var", "add_var")]
    lines = []
    for cmt in outputs:
        prop, add = (float(v[cmt] if isinstance(v, dict) else v or 0.0) for v in of)
        more = f'proportional = {prop!r}, additive = {add!r}, unit = "mg/L"'
        lines.append(f'{cmt} = {{ {more}, kind = "{kind}", printed_as = "variance", source = "models.json" }}')
    return lines


def nmtests_file(path: Path, *, weight: bool) -> Path:
    """The one-compartment model of mrgsolve/nmtests: what a dose can carry stands on the record; its one eta stays 0."""
    clearance = "1.1 * (WT / 70) ** 0.75" if weight else "1.1"
    names = ("WT",) if weight else ("LAGT", "MODE", "DUR2", "RAT2", "BIOAV")
    doses = "" if weight else 'lag = { 2 = "LAGT" }\nF = { 2 = "BIOAV" }\nduration = { 2 = "DUR2" }\nrate = { 2 = "RAT2" }\n'
    covariates = "\n".join(f'{name} = {{ unit = "1", reference = 1 }}' for name in names)
    path.write_text(
        HEAD.format(doi="none", cite="mrgsolve/nmtests")
        + f"[covariates]\n{covariates}\n[parameters]\n"
        + 'CL = { value = 1.1, unit = "1", iiv = 0.1, source = "models.json" }\n'
        + 'V = { value = 20, unit = "1", source = "models.json" }\nKA = { value = 1.5, unit = "1", source = "models.json" }\n'
        + f'[individual]\nCLI = "{clearance} * CL / 1.1"\n[odes]\nA1 = "-KA * A1"\nA2 = "KA * A1 - CLI / V * A2"\n'
        + '[outputs]\n2 = "A2 / (V / 1000)"\n'
        + f"[doses]\n{doses}[residual]\n"
        + '2 = { proportional = 0.1, source = "none" }\n'
    )
    return path
