"""A target as it is typed, `AUC0-24:400-600 mg*h/L`, to the `target` table of a case file."""

from __future__ import annotations

import re
from typing import Any

from auctor.case import Metric, MetricKind, Target
from auctor.errors import CaseError
from auctor.models.model import DrugModel
from auctor.report.shown import exposure

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_TYPED = re.compile(rf"\s*(?P<metric>[^:\s]+)\s*:?\s+?(?P<low>{_NUMBER})\s*[-–]\s*(?P<high>{_NUMBER})\s*(?P<unit>\S+)\s*")


def read_target(text: str, model: DrugModel) -> dict[str, Any]:
    """The table; CaseError for anything that is not metric, range and unit.

    >>> from auctor.models.reader import read_model
    >>> read_target("AUC0-24: 400-600 mg*h/L", read_model("vancomycin_goti_2018"))["high"]
    600.0
    """
    found = _TYPED.fullmatch(text.replace(":", ": ", 1).replace("·", "*"))
    if not found:
        raise CaseError(where="target", what="not metric, range and unit", remedy="write for example AUC0-24:400-600 mg*h/L")
    low, high = float(found["low"]), float(found["high"])
    entry = {
        "metric": Metric.parse(found["metric"]).name,
        "low": low,
        "high": high,
        "unit": found["unit"],
        "source": "chosen for this course",
    }
    _check(entry, model)
    return entry


def _check(entry: dict[str, Any], model: DrugModel) -> None:
    from auctor.units import convert

    if not entry["low"] < entry["high"]:
        raise CaseError(where="target", what="the upper bound is not above the lower one", remedy="give the range from low to high")
    unit = "mg*h/L" if Metric.parse(entry["metric"]).kind is MetricKind.AUC else "mg/L"
    convert(entry["low"], entry["unit"], unit, where="target", molar_mass=model.molar_mass)


def entry_text(entry: dict[str, Any]) -> str:
    """A target table as it is typed.

    >>> entry_text({"metric": "AUC0-24", "low": 400.0, "high": 600.0, "unit": "mg*h/L"})
    'AUC0-24:400-600 mg*h/L'
    """
    return f"{entry['metric']}:{entry['low']:g}-{entry['high']:g} {entry['unit']}"


def target_text(target: Target, model: DrugModel) -> str:
    """A model's target as it is typed, in the model's unit."""
    shown = exposure(model, target.metric)
    return f"{target.metric.name}:{shown.value(target.low):g}-{shown.value(target.high):g} {shown.unit}"
