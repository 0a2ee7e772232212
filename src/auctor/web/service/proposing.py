"""What a finding proposes: the entry as it would be if it is right. It fills in the form of the correction; a person saves it, or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from auctor.data.plausibility.finding import Facts, Family, Kind

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Finding
    from auctor.web.store.tables import Fact

Body = dict[str, Any]
LARGER = {"ug/L": "mg/L", "ng/mL": "ug/mL", "nmol/L": "umol/L", "umol/L": "mmol/L", "ug": "mg", "mg": "g"}  # a thousand times as much
SMALLER = {large: small for small, large in LARGER.items()}
MOLAR = {"mg/L": "umol/L", "ug/mL": "umol/L", "ug/L": "nmol/L", "ng/mL": "nmol/L"}
MASS = {"umol/L": "mg/L", "nmol/L": "ug/L"}
DIGITS, NEAR = 6, timedelta(minutes=1)
Way = Callable[[Facts, Body], Body | None]


def proposed(finding: Finding, start: datetime | None, fact: Fact) -> Body | None:
    """The body of the doubted fact as the finding would have it; None where it proposes no number, as of another patient's blood.

    `start` is the instant of the finding's time 0. A time inside a series of doses is not proposed: the correction would move them all.
    """
    if finding.kind in _TIMES:
        return _moved(finding.facts, start, fact)
    way = _WAYS.get(finding.kind)
    return None if way is None else way(finding.facts, dict(fact.body))


def _moved(said: Facts, start: datetime | None, fact: Fact) -> Body | None:
    """Another time to the minute, its end moved with it; of the very time that is recorded."""
    if start is None or said.at_h is None or said.then_h is None or fact.at is None or fact.body.get("every"):
        return None
    if abs(fact.at - (start + timedelta(hours=said.at_h))) > NEAR:
        return None
    then = datetime.fromtimestamp(60 * round((start + timedelta(hours=said.then_h)).timestamp() / 60), tz=start.tzinfo)
    moved = {"at": then.isoformat()}
    if fact.body.get("stop_at"):
        moved["stop_at"] = (datetime.fromisoformat(fact.body["stop_at"]) + timedelta(hours=said.by_h)).isoformat()
    return {**fact.body, **moved}


def _unit(name: str) -> Way:
    """Another unit of the same number; the number itself where the entry's unit is none of the two."""

    def changed(said: Facts, body: Body) -> Body | None:
        number, _, unit = str(body.get(name, "")).partition(" ")
        other = _other(said).get(unit)
        return body | {name: f"{number} {other}"} if number and other else _number(name)(said, body)

    return changed


def _other(said: Facts) -> Mapping[str, str]:
    if "umol/L" in (said.meant, said.written):
        return MOLAR if said.meant == "umol/L" else MASS
    return LARGER if (said.factor or 1.0) > 1 else SMALLER


def _number(name: str) -> Way:
    """Another number in the same unit."""

    def changed(said: Facts, body: Body) -> Body | None:
        number, _, unit = str(body.get(name, "")).partition(" ")
        if not number or said.factor is None:
            return None
        meant = Decimal(f"{float(number) * said.factor:.{DIGITS}g}")
        return body | {name: f"{meant:f} {unit}".strip()}

    return changed


_TIMES = {kind for kind in Kind if kind.family is Family.TIMING}
_WAYS: Mapping[Kind, Way] = {
    **dict.fromkeys((Kind.UNIT_THOUSAND, Kind.UNIT_MOLAR), _unit("value")),
    Kind.DOSE_UNIT: _unit("amount"),
    Kind.DILUTION: _number("value"),
    Kind.COVARIATE_UNIT: _number("value"),
}
