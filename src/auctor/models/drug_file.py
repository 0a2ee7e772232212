"""Drug files: what is known of a drug beside its models (analyte, codes, targets, forms), each with its source and whether it was read.

`verified = true` says that somebody read the fact in the source that is named. What is recalled is `verified = false`, and its source says
NOT VERIFIED. A field that no source settles is left out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from auctor.errors import ModelError
from auctor.models.quantities import MASS, factor
from auctor.models.table import Table, suggestion

SCHEMA = 1
DRUGS = Path(__file__).parent / "drugs"
DOUBT = "NOT VERIFIED"
LONGEST_INTERVAL_H = 2 * 8766.0
_PATTERNS = {"LOINC": r"\d{3,5}-\d", "ATC": r"[A-Z]\d{2}[A-Z]{2}\d{2}", "RxNorm": r"\d{1,8}"}
_OPTIONAL = ("notes", "molar_mass", "codes", "targets", "forms", "monitoring")
_INTERVALS = ("first_within_h", "after_change_within_h", "at_least_every_h")
_PROOF = ("verified", "source")


@dataclass(frozen=True, kw_only=True)
class Code:
    """One code of the drug or of the measurement of its level: `system` LOINC, ATC or RxNorm."""

    system: str
    code: str
    meaning: str
    verified: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class DrugTarget:
    """A range for an exposure metric in its printed unit; one end may be open. `use` says for whom."""

    metric: str
    low: float | None
    high: float | None
    unit: str
    use: str
    verified: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class Form:
    """What can be given by one route: strengths or a step, intervals (h), largest dose and daily dose, all in mg."""

    route: str
    form: str
    strengths_mg: tuple[float, ...]
    step_mg: float | None
    intervals_h: tuple[float, ...]
    max_dose_mg: float | None
    max_daily_mg: float | None
    infusion_h: float | None
    infusion_rate_max_mg_h: float | None
    verified: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """By when a level is due, h: after the start, after a change of the regimen, after the last level. None: no source says so."""

    first_within_h: float | None
    after_change_within_h: float | None
    at_least_every_h: float | None
    use: str
    verified: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class MolarMass:
    """g/mol, with its source."""

    value: float
    verified: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class Drug:
    """One drug file."""

    drug: str
    analyte: str
    matrix: str
    molar_mass: MolarMass | None
    codes: tuple[Code, ...]
    targets: tuple[DrugTarget, ...]
    forms: tuple[Form, ...]
    notes: tuple[str, ...]
    monitoring: Monitoring | None = None


def list_drugs() -> tuple[str, ...]:
    """Names of the drug files, in alphabetical order."""
    return tuple(sorted(path.stem for path in DRUGS.glob("*.toml")))


def read_drug(name_or_path: str | Path) -> Drug:
    """A drug of the library by name (of `docetaxel neutrophils` the first word), or a file of one's own. ModelError otherwise.

    >>> read_drug("vancomycin").codes[1].meaning
    'trough'
    """
    path = Path(name_or_path)
    if not isinstance(name_or_path, Path) and path.suffix != ".toml":
        word = str(name_or_path).strip().lower().partition(" ")[0]
        if word not in list_drugs():
            raise ModelError(where="drug", what=f"no drug file {str(name_or_path)[:40]!r}", remedy=suggestion(word, list_drugs()))
        path = DRUGS / f"{word}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(where=path.name, what="cannot be read as TOML in UTF-8", remedy="check the path and the syntax") from error
    return _drug(data, path.name)


def _drug(data: Mapping[str, object], where: str) -> Drug:
    top = Table.of(data, where, required=("schema", "drug", "analyte", "matrix"), optional=_OPTIONAL)
    if data.get("schema") != SCHEMA:
        raise top.fault("schema", f"not schema {SCHEMA}", f"write schema = {SCHEMA} at the top of a drug file")
    return Drug(
        drug=top.text("drug"),
        analyte=top.text("analyte"),
        matrix=top.text("matrix"),
        molar_mass=_molar_mass(top) if "molar_mass" in top.data else None,
        codes=tuple(_code(row) for row in top.rows("codes")),
        targets=tuple(_target(row) for row in top.rows("targets")),
        forms=tuple(_form(row) for row in top.rows("forms")),
        notes=top.texts("notes"),
        monitoring=monitoring_of(top.table("monitoring", **MONITORING)) if "monitoring" in top.data else None,
    )


def proof(table: Table) -> tuple[bool, str]:
    """(verified, source): what was not read in its source must say so in words, and what was must not."""
    verified, source = table.flag("verified"), table.text("source")
    if verified == (DOUBT in source) or not source.strip():
        remedy = f"write verified = false and {DOUBT} in the source, or verified = true and where it was read"
        raise table.fault("source", "does not go with verified", remedy)
    return verified, source


def _molar_mass(top: Table) -> MolarMass:
    table = top.table("molar_mass", required=("value", "unit", *_PROOF))
    if table.text("unit") != "g/mol":
        raise table.fault("unit", "not g/mol", "give the molar mass in g/mol")
    verified, source = proof(table)
    return MolarMass(value=table.positive("value"), verified=verified, source=source)


MONITORING = {"required": _PROOF, "optional": (*_INTERVALS, "use")}


def monitoring_of(table: Table) -> Monitoring:
    """A table of intervals, h, each above zero and at most two years."""
    hours = {key: table.positive(key) if key in table.data else None for key in _INTERVALS}
    for key, value in hours.items():
        if value is not None and value > LONGEST_INTERVAL_H:
            raise table.fault(key, "longer than two years", "give hours")
    verified, source = proof(table)
    return Monitoring(**hours, use=table.text("use", ""), verified=verified, source=source)


def _code(row: Table) -> Code:
    table = row.only(required=("system", "code", "meaning", *_PROOF))
    system, code = table.choice("system", _PATTERNS), table.text("code")
    if not re.fullmatch(_PATTERNS[system], code) or (system == "LOINC" and not loinc_digit_fits(code)):
        raise table.fault("code", f"{code[:20]!r} is not a {system} code", "check its form and its check digit")
    verified, source = proof(table)
    return Code(system=system, code=code, meaning=table.text("meaning"), verified=verified, source=source)


def loinc_digit_fits(code: str) -> bool:
    """Whether the digit after the dash is the Mod 10 check digit of the digits before it, as LOINC defines it.

    >>> loinc_digit_fits("20578-1"), loinc_digit_fits("20578-2")
    (True, False)
    """
    digits, _, check = code.partition("-")
    if not (digits.isascii() and digits.isdigit()):
        return False
    doubled = (2 * int(d) if k % 2 == 0 else int(d) for k, d in enumerate(reversed(digits)))
    total = sum(value // 10 + value % 10 for value in doubled)
    return str(-total % 10) == check


def _target(row: Table) -> DrugTarget:
    table = row.only(required=("metric", "unit", *_PROOF), optional=("low", "high", "use"))
    low, high = table.maybe("low", low=0.0), table.maybe("high", low=0.0)
    if (low is None and high is None) or (low is not None and high is not None and not low < high):
        raise table.fault("high", "not a range", "give low, high or both, low below high")
    verified, source = proof(table)
    words = {key: table.text(key) for key in ("metric", "unit")}
    return DrugTarget(**words, low=low, high=high, use=table.text("use", ""), verified=verified, source=source)


def _form(row: Table) -> Form:
    amounts = ("strengths", "step", "max_dose", "max_daily", "infusion_rate_max")
    table = row.only(required=("route", "form", "unit", *_PROOF), optional=(*amounts, "intervals_h", "infusion_h"))
    mg = factor(table.text("unit"), MASS, where=table.at("unit"))
    several = {key: table.numbers(key) if key in table.data else () for key in ("strengths", "intervals_h")}
    single = {key: table.positive(key) for key in (*amounts[1:], "infusion_h") if key in table.data}
    if min((*several["strengths"], *several["intervals_h"]), default=1.0) <= 0:
        raise table.fault("strengths", "an amount or interval of zero or less", "list what can be given")
    verified, source = proof(table)
    return Form(
        route=table.choice("route", ("oral", "iv")),
        form=table.text("form"),
        strengths_mg=tuple(mg * amount for amount in several["strengths"]),
        step_mg=_scaled(single, "step", mg),
        intervals_h=several["intervals_h"],
        max_dose_mg=_scaled(single, "max_dose", mg),
        max_daily_mg=_scaled(single, "max_daily", mg),
        infusion_h=single.get("infusion_h"),
        infusion_rate_max_mg_h=_scaled(single, "infusion_rate_max", mg),
        verified=verified,
        source=source,
    )


def _scaled(found: Mapping[str, float], key: str, mg: float) -> float | None:
    return mg * found[key] if key in found else None


def describe_drug(drug: Drug, models: tuple[str, ...] = ()) -> str:
    """A drug file as readable text; `models` are the library models of the drug.

    >>> print(describe_drug(read_drug("lithium")).splitlines()[0])
    lithium: lithium in serum
    """
    rows = [f"{drug.drug}: {drug.analyte} in {drug.matrix}"]
    if drug.molar_mass is not None:
        rows.append(f"Molar mass {drug.molar_mass.value:g} g/mol  [{drug.molar_mass.source}]")
    rows += [f"Models: {', '.join(models)}"] if models else []
    rows += [f"{c.system} {c.code}  {c.meaning}  [{c.source}]" for c in drug.codes]
    rows += [f"Target {target_range(t)}{f' ({t.use})' if t.use else ''}  [{t.source}]" for t in drug.targets]
    rows += [f"{f.route}, {f.form}: {_given(f)}  [{f.source}]" for f in drug.forms]
    rows += [f"A level is due {due(drug.monitoring)}  [{drug.monitoring.source}]"] if drug.monitoring is not None else []
    return "\n".join([*rows, *drug.notes])


def due(rule: Monitoring) -> str:
    """The intervals in words.

    >>> due(read_drug("vancomycin").monitoring)
    'at least every 7 days'
    """
    parts = [
        f"within {_days(rule.first_within_h)} of the start" if rule.first_within_h else "",
        f"within {_days(rule.after_change_within_h)} of a change" if rule.after_change_within_h else "",
        f"at least every {_days(rule.at_least_every_h)}" if rule.at_least_every_h else "",
    ]
    return ", ".join(part for part in parts if part) or "by no rule"


def _days(hours: float) -> str:
    return f"{hours:g} h" if hours < 72 else f"{hours / 24:g} days"


def target_range(target: DrugTarget) -> str:
    """`AUC0-24 400 to 600 mg*h/L`, or with one end open.

    >>> target_range(read_drug("daptomycin").targets[1])
    'C0 below 24.3 mg/L'
    """
    if target.low is None:
        return f"{target.metric} below {target.high:g} {target.unit}"
    if target.high is None:
        return f"{target.metric} above {target.low:g} {target.unit}"
    return f"{target.metric} {target.low:g} to {target.high:g} {target.unit}"


def _given(form: Form) -> str:
    parts = [
        f"{', '.join(f'{s:g}' for s in form.strengths_mg)} mg" if form.strengths_mg else "",
        f"steps of {form.step_mg:g} mg" if form.step_mg else "",
        f"every {', '.join(f'{h:g}' for h in form.intervals_h)} h" if form.intervals_h else "",
        f"at most {form.max_dose_mg:g} mg a dose" if form.max_dose_mg else "",
        f"{form.max_daily_mg:g} mg a day" if form.max_daily_mg else "",
        f"over {form.infusion_h:g} h" if form.infusion_h else "",
        f"{form.infusion_rate_max_mg_h:g} mg/h at most" if form.infusion_rate_max_mg_h else "",
    ]
    return ", ".join(part for part in parts if part)
