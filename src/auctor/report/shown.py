"""How numbers are shown: in the model's own unit, with the unit beside them, and shares as natural frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass

from auctor.case import Metric, MetricKind
from auctor.models.model import Covariate, DrugModel

AUC = Metric.parse("AUC0-24")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Values of one kind as displayed: engine value (mg/L or mg*h/L) times `scale`, in `unit`.

    >>> Shown(scale=1000.0, unit="ng/mL").text(0.00712)
    '7.12'
    """

    scale: float
    unit: str

    def value(self, engine: float) -> float:
        """The number in `unit`."""
        return engine * self.scale

    def text(self, engine: float | None, digits: int = 3) -> str:
        """The number to three significant digits, an en dash when there is none."""
        return "–" if engine is None else significant(self.value(engine), digits)

    def span(self, pair: tuple[float, float] | None) -> str:
        """`low–high` of an interval, an en dash when there is none."""
        return "–" if pair is None else f"{self.text(pair[0])}–{self.text(pair[1])}"

    @property
    def pretty(self) -> str:
        """The unit as printed: `ng·h/mL`."""
        return self.unit.replace("*", "·")


def concentration(model: DrugModel) -> Shown:
    """Concentrations in the model's own unit."""
    return Shown(scale=model.scale, unit=model.units["concentration"])


def exposure(model: DrugModel, metric: Metric) -> Shown:
    """A metric in the model's own unit: amount*h/volume for AUC, the concentration unit for the others."""
    mass, _, volume = model.units["concentration"].partition("/")
    unit = f"{mass}*h/{volume}" if metric.kind is MetricKind.AUC else model.units["concentration"]
    return Shown(scale=model.scale, unit=unit)


def significant(value: float, digits: int = 3) -> str:
    """`value` to that many significant digits, without an exponent; whole numbers keep all their digits.

    >>> significant(1234.5), significant(0.04567), significant(5.0), significant(0.0)
    ('1234', '0.0457', '5.00', '0')
    """
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def frequency(share: float) -> str:
    """A probability as a natural frequency.

    >>> frequency(0.71), frequency(0.01), frequency(0.97), frequency(1.0)
    ('7 of 10', 'fewer than 1 of 10', 'more than 9 of 10', '10 of 10')
    """
    tenths = round(10 * share)
    if tenths == 0 and share > 0:
        return "fewer than 1 of 10"
    if tenths == 10 and share < 1:
        return "more than 9 of 10"
    return f"{tenths} of 10"


def percent(share: float) -> str:
    """A probability in whole per cent.

    >>> percent(0.713)
    '71 %'
    """
    return f"{100 * share:.0f} %"


def covariate_value(covariate: Covariate, value: float) -> str:
    """A covariate as given: its word when categorical, its number and unit otherwise.

    >>> covariate_value(Covariate(name="WT", unit="kg", label="Weight", reference=70), 82.5)
    '82.5 kg'
    """
    if covariate.levels is not None:
        return next((word for word, code in covariate.levels.items() if code == value), f"{value:g}")
    return f"{value:g}" if covariate.unit in ("", "1") else f"{value:g} {covariate.unit}"
