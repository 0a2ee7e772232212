"""A result's numbers as FHIR Observations: each method's exposure with its interval and risk, clearance, and why a method abstains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auctor.errors import ModelError, UnitError
from auctor.fhir.codebook import UCUM, codebook
from auctor.fhir.returned import Return
from auctor.models.reader import read_model
from auctor.report.voice import N_
from auctor.units import factor

INTERPRETATIONS = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_KINDS = {"AUC": "auc", "Cavg": "cavg", "Cmin": "cmin", "Cmax": "cmax", "C0": "c0"}
DIGITS = 6
_HOW = N_("%(method)s; model %(model)s, SHA-256 %(sha)s; auctor %(version)s")
_UNDER, _CLEARANCE = N_("%(drug)s %(metric)s under %(regimen)s"), N_("%(drug)s clearance, %(method)s")

Data = Mapping[str, Any]


def concept(code: str, text: str) -> dict[str, Any]:
    """A CodeableConcept of auctor's own code system."""
    known = codebook().result(code)
    return {"coding": [{"system": known.system, "code": code, "display": known.meaning}], "text": text}


def statement_of(result: Data) -> str:
    """What auctor says of itself, without whether this was signed: the status says that."""
    return str(result["statement"]).removesuffix("Unsigned.").strip()


def ucum_of(unit: str) -> str:
    """UCUM of a unit as auctor shows it.

    >>> ucum_of("mg*h/L"), ucum_of("mL/min/1.73m2")
    ('mg.h/L', 'mL/min/{1.73_m2}')
    """
    return unit.replace("/1.73m2", "/{1.73_m2}").replace("*", ".")


def amount(value: float, unit: str) -> dict[str, Any]:
    """A Quantity with 6 significant digits."""
    return {"value": float(f"{value:.{DIGITS}g}"), "unit": unit, "system": UCUM, "code": ucum_of(unit)}


def result_observations(result: Data, sent: Return) -> list[tuple[str, dict[str, Any]]]:
    """(our identifier, resource) of each Observation, methods in the order of the result."""
    found = []
    for key, method in result["methods"].items():
        if method["abstained"]:
            found.append((sent.key(f"{key}/abstained"), _abstained(key, method, result, sent)))
            continue
        for part, forecast in _forecasts(method, sent, preferred=key == result.get("preferred")):
            found.append((sent.key(f"{key}/{part}"), _exposure(method, forecast, result, sent)))
        found += [(sent.key(f"{key}/clearance"), resource) for resource in _clearance(method, result, sent)]
    return found


def _forecasts(method: Data, sent: Return, *, preferred: bool) -> list[tuple[str, Data]]:
    """What is sent of a method: the exposure under the current regimen and under the one chosen (signed) or selected (not signed)."""
    found: list[tuple[str, Data]] = [("current", method["current"])] if method["current"] else []
    chosen = sent.signed.regimen if sent.signed else (method["recommendation"] or {}).get("selected")
    among = [("chosen", c) for c in method["candidates"] if c["option"]["label"] == chosen]
    typed = sent.signed.forecast if sent.signed and preferred and not among else None
    found += [("chosen", typed)] if typed else among
    return [(part, forecast) for part, forecast in found if "exposure" in forecast]


def _base(method: Data, result: Data, sent: Return) -> dict[str, Any]:
    model = result["model"]
    levels = [{"reference": source} for source in sent.sources if source.startswith("Observation/")]
    say, engine = sent.voice.say, sent.voice.engine
    how = say(_HOW, method=engine(method["title"]), model=model["name"], sha=model["sha256"], version=result["auctor"])
    doubt = say(N_("Doubt: %(why)s"), why=engine(method["doubt"])) if method["doubt"] else ""
    target = say(N_("Target: %(source)s"), source=engine(result["target"]["source"]))
    note = [{"text": text} for text in (engine(method["how"]), doubt, target, engine(statement_of(result))) if text]
    return {
        "resourceType": "Observation",
        "status": sent.standing.value,
        "subject": {"reference": sent.patient},
        "effectiveDateTime": sent.at,
        "method": {"text": how},
        "note": note,
        **({"derivedFrom": levels} if levels else {}),
    }


def _exposure(method: Data, forecast: Data, result: Data, sent: Return) -> dict[str, Any]:
    target, found, option = result["target"], forecast["exposure"], forecast["option"]
    drug = result["case"]["drug"]
    code = next(code for start, code in _KINDS.items() if target["metric"].startswith(start))
    value, unit = found["point"], found["unit"]
    low, high = found["interval90"]
    parts = [("median", found["median"], unit), ("q05", low, unit), ("q95", high, unit)]
    parts += [(f"share-{key}", forecast["share"][key], "1") for key in ("below", "in", "above")]
    grade = ("L", "Low") if value < target["low"] else ("H", "High") if value > target["high"] else ("N", "Normal")
    return _base(method, result, sent) | {
        "code": concept(code, sent.voice.say(_UNDER, drug=drug, metric=target["metric"], regimen=sent.voice.engine(option["label"]))),
        "valueQuantity": amount(value, unit),
        "interpretation": [{"coding": [{"system": INTERPRETATIONS, "code": grade[0], "display": grade[1]}]}],
        "referenceRange": [{"low": amount(target["low"], unit), "high": amount(target["high"], unit)}],
        "component": [{"code": concept(code, code), "valueQuantity": amount(value, unit)} for code, value, unit in parts],
    }


def _abstained(key: str, method: Data, result: Data, sent: Return) -> dict[str, Any]:
    code = next(code for start, code in _KINDS.items() if result["target"]["metric"].startswith(start))
    reason = {
        "coding": [{"system": ABSENT, "code": "not-performed", "display": "Not Performed"}],
        "text": sent.voice.engine(method["abstained"]),
    }
    text = f"{result['case']['drug']} {result['target']['metric']}, {sent.voice.engine(method['title'] or key)}"
    return _base(method, result, sent) | {"code": concept(code, text), "dataAbsentReason": reason}


def _clearance(method: Data, result: Data, sent: Return) -> list[dict[str, Any]]:
    """The individual clearance, where the model has a parameter CL that is a volume in a time."""
    value = method["parameters"]["values"].get("CL")
    if value is None or not _is_flow(result["model"]["name"]):
        return []
    text = sent.voice.say(_CLEARANCE, drug=result["case"]["drug"], method=sent.voice.engine(method["title"]))
    return [_base(method, result, sent) | {"code": concept("clearance", text), "valueQuantity": amount(value, "L/h")}]


def _is_flow(model: str) -> bool:
    try:
        return factor(read_model(model).parameters["CL"].unit, "L/h", where="CL") > 0
    except (ModelError, UnitError, KeyError):
        return False
