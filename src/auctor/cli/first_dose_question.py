"""A first-dose question as typed, or as a small TOML file with the same words: targets, MIC, doses to choose from."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auctor.case import Metric, MetricKind
from auctor.cli import quantities
from auctor.errors import CaseError

if TYPE_CHECKING:
    from auctor.dosing.first_dose.goals import Goal, JointTarget, Mic
    from auctor.dosing.first_dose.ladder import Caps, Ladder
    from auctor.models.model import DrugModel

_NUMBER = r"\d+(?:\.\d+)?"
_GOAL = re.compile(
    rf"\s*(?P<metric>[^:/\s]+)(?P<mic>/MIC)?\s*:\s*(?:(?P<sign>[<>])\s*(?P<one>{_NUMBER})|(?P<low>{_NUMBER})\s*[-–]\s*(?P<high>{_NUMBER}))\s*(?P<unit>.*)"
)
_RANGE = re.compile(rf"\s*(?P<low>{_NUMBER})\s*[-–]\s*(?P<high>{_NUMBER})\s*(?P<unit>mg/kg|mg|g)\s*")
_GRAIN = 1e-9
_LISTS = ("targets",)


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What was typed, or stands in the file; an empty text means that the default applies."""

    drug: str = ""
    model: str = ""
    covariates: Mapping[str, str | float]
    targets: tuple[str, ...] = ()
    mic: str = ""
    doses: str = ""
    step: str = ""
    every: str = ""
    infusion: str = ""
    cap: str = ""

    def over(self, typed: Typed) -> Typed:
        """These words where there are any, else those of `typed`; covariates are joined."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "covariates" and getattr(self, f.name)}
        return replace(typed, **own, covariates={**typed.covariates, **self.covariates})


def read_file(path: Path) -> Typed:
    """A question file: `drug`, `model`, `[covariates]`, `targets`, `mic`, `doses`, `step`, `every`, `infusion`, `cap`.

    Raises CaseError for an unknown key, a wrong kind of value, or a case with levels, which is `auctor analyse`'s work.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CaseError(where=path.name, what="cannot be read as TOML in UTF-8", remedy="check the syntax") from error
    if "samples" in data or isinstance(data.get("doses"), list):
        raise CaseError(where=path.name, what="a case with doses or levels", remedy="use `auctor analyse` once there are any")
    known = {f.name for f in fields(Typed)} | {"schema", "label", "note"}
    unknown = [key for key in data if key not in known]
    if unknown or data.get("schema") != 1:
        what = f"{unknown[0]!r} is not known" if unknown else "not schema 1"
        raise CaseError(where=path.name, what=what, remedy=f"write schema = 1 and any of {', '.join(sorted(known))}")
    kept = {key: value for key, value in data.items() if key not in ("schema", "label", "note")}
    for key, value in kept.items():
        wanted = dict if key == "covariates" else list if key in _LISTS else str
        if not isinstance(value, wanted):
            raise CaseError(where=f"{path.name}: {key}", what="not of the right kind", remedy="see docs/first-dose.md")
    kept["targets"] = tuple(str(text) for text in kept.get("targets", ()))
    return Typed(**{"covariates": {}, **kept})


def goal(text: str, *, molar_mass: float | None = None) -> Goal:
    """`METRIC:LOW-HIGH UNIT`, `METRIC:>LOW UNIT` or `METRIC:<HIGH UNIT`; `METRIC/MIC` is divided by the MIC.

    >>> goal("AUC0-24/MIC:>666 h").label, goal("C0:<24.3 mg/L").label
    ('AUC0-24/MIC above 666', 'C0 below 24.3')
    """
    from auctor.dosing.first_dose.goals import Goal
    from auctor.units import convert

    found = _GOAL.fullmatch(text)
    if found is None:
        raise CaseError(
            where="--target", what="not a target", remedy="write 'AUC0-24:400-600 mg*h/L', 'AUC0-24/MIC:>666 h' or 'C0:<24.3 mg/L'"
        )
    metric, per_mic = Metric.parse(found["metric"]), found["mic"] is not None
    area = metric.kind is MetricKind.AUC
    unit = ("h" if area else "1") if per_mic else ("mg*h/L" if area else "mg/L")
    written = found["unit"].strip() or ("1" if unit == "1" else "")

    def end(name: str) -> float:
        return convert(float(found[name]), written, unit, where="--target", molar_mass=molar_mass)

    if found["sign"] == ">":
        return Goal(metric=metric, low=end("one"), high=math.inf, per_mic=per_mic)
    if found["sign"] == "<":
        return Goal(metric=metric, low=0.0, high=end("one"), per_mic=per_mic)
    return Goal(metric=metric, low=end("low"), high=end("high"), per_mic=per_mic)


def mic(text: str) -> Mic | None:
    """`1 mg/L`, or a distribution `0.25:20, 0.5:50, 1:30 mg/L` of values and shares; None for an empty text.

    >>> mic("0.5:1, 1:3 mg/L").shares
    (0.25, 0.75)
    """
    from auctor.dosing.first_dose.goals import Mic
    from auctor.units import convert

    if not text:
        return None
    found = re.fullmatch(rf"\s*((?:{_NUMBER}(?::{_NUMBER})?\s*,?\s*)+?)\s*([A-Za-z].*)", text)
    parts = [part.strip().split(":") for part in found[1].split(",")] if found else []
    if found is None or any(len(part) not in (1, 2) or not part[0] for part in parts) or len({len(part) for part in parts}) != 1:
        raise CaseError(where="--mic", what="not a MIC", remedy="write '1 mg/L', or values with shares '0.25:20, 0.5:50, 1:30 mg/L'")
    values = tuple(convert(float(part[0]), found[2].strip(), "mg/L", where="--mic") for part in parts)
    return Mic(values=values, weights=tuple(float(part[1]) for part in parts if len(part) == 2))


def joint_target(typed: Typed, model: DrugModel) -> JointTarget:
    """The goals typed, else the model's first target."""
    from auctor.dosing.first_dose.goals import Goal, JointTarget

    goals = tuple(goal(text, molar_mass=model.molar_mass) for text in typed.targets)
    if not goals and model.targets:
        first = model.targets[0]
        goals = (Goal(metric=first.metric, low=first.low, high=first.high),)
    return JointTarget(goals=goals, mic=mic(typed.mic))


def ladder(typed: Typed, model: DrugModel) -> Ladder:
    """The doses typed under the drug's caps, else the dosing table of the model, else CaseError."""
    from auctor.dosing.first_dose.ladder import Ladder, Rung, ladder_of
    from auctor.population.virtual import route_of

    if not typed.doses:
        if model.dosing is None:
            remedy = "add --doses '4-12 mg/kg' --step '1 mg/kg' --every 24h"
            raise CaseError(where="--doses", what=f"{model.name} has no dosing table", remedy=remedy)
        found = ladder_of(model.dosing)
        return replace(found, caps=(*found.caps, *_caps(typed, model)))
    amounts, per_kg = _amounts(typed)
    if not typed.every:
        raise CaseError(where="--every", what="no dosing interval", remedy="add --every, for example --every 24h")
    every = tuple(quantities.hours(part, option="--every") for part in typed.every.split(","))
    length = quantities.hours(typed.infusion, option="--infusion") if typed.infusion else 0.0
    rungs = sorted(
        (Rung(amount=a, every_h=e, duration_h=length) for a in amounts for e in every), key=lambda r: (r.amount / r.every_h, r.every_h)
    )
    return Ladder(rungs=tuple(rungs), route=route_of(model), per_kg=per_kg, caps=_caps(typed, model))


def _amounts(typed: Typed) -> tuple[Sequence[float], bool]:
    found = _RANGE.fullmatch(typed.doses)
    if found is None or not typed.step:
        what = "no step" if found else "not a range of doses"
        raise CaseError(where="--doses", what=what, remedy="write --doses '4-12 mg/kg' --step '1 mg/kg', or '250-2000 mg' with '250 mg'")
    unit = found["unit"]
    low, per_kg = quantities.amount(f"{found['low']} {unit}", option="--doses")
    high, _ = quantities.amount(f"{found['high']} {unit}", option="--doses")
    step, step_per_kg = quantities.amount(typed.step, option="--step")
    if step_per_kg != per_kg or high < low:
        raise CaseError(where="--step", what="does not go with the doses", remedy="give both in mg, or both in mg/kg, from low to high")
    return [low + k * step for k in range(int((high - low) / step + _GRAIN) + 1)], per_kg


def _caps(typed: Typed, model: DrugModel) -> tuple[Caps, ...]:
    """What the model's dosing table, the drug file's forms of this route and the question allow."""
    from auctor.dosing.first_dose.ladder import Caps, caps_of
    from auctor.models.drug_file import list_drugs, read_drug
    from auctor.population.virtual import route_of

    found = [caps_of(model.dosing)] if model.dosing is not None else []
    for form in read_drug(model.drug).forms if model.drug in list_drugs() else ():
        if form.route == route_of(model).value:
            known = (form.max_dose_mg, form.max_daily_mg, form.infusion_rate_max_mg_h)
            dose, daily, rate = (value or math.inf for value in known)
            found.append(Caps(dose_mg=dose, daily_mg=daily, rate_mg_h=rate))
    if typed.cap:
        mg, per_kg = quantities.amount(typed.cap, option="--cap")
        found.append(Caps(dose_mg=mg, per_kg=per_kg))
    return tuple(found)
