"""How numbers are shown: in the model's own unit, with the unit beside them, and shares as natural frequencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def parts(shares: Sequence[float], whole: int) -> tuple[int, ...]:
    """Shares of a whole in whole numbers that add up as the shares do: by largest remainder.

    >>> parts((0.65, 0.23, 0.12), 10), parts((1 / 3, 1 / 3, 1 / 3), 100)
    ((7, 2, 1), (34, 33, 33))
    """
    exact = [whole * share for share in shares]
    found = [math.floor(round(one, 9)) for one in exact]
    missing = round(sum(exact)) - sum(found)
    for k in sorted(range(len(found)), key=lambda k: found[k] - round(exact[k], 9))[:missing]:
        found[k] += 1
    return tuple(found)


def frequencies(shares: Sequence[float]) -> tuple[str, ...]:
    """Probabilities that are all there is, as natural frequencies that add up to ten.

    >>> frequencies((0.65, 0.23, 0.12)), frequencies((0.0, 0.97, 0.03))
    (('7 of 10', '2 of 10', '1 of 10'), ('0 of 10', 'more than 9 of 10', 'fewer than 1 of 10'))
    """
    return tuple(_tenths(n, share) for n, share in zip(parts(shares, 10), shares, strict=True))


def _tenths(tenths: int, share: float) -> str:
    if tenths == 0 and share > 0:
        return "fewer than 1 of 10"
    if tenths == 10 and share < 1:
        return "more than 9 of 10"
    return f"{tenths} of 10"


def percents(shares: Sequence[float]) -> tuple[str, ...]:
    """Probabilities that are all there is, in whole per cent that add up.

    >>> percents((0.713, 0.2, 0.087))
    ('71 %', '20 %', '9 %')
    """
    return tuple(f"{n} %" for n in parts(shares, 100))


def covariate_value(covariate: Covariate, value: float) -> str:
    """A covariate as given: its word when categorical, its number and unit otherwise.

    >>> covariate_value(Covariate(name="WT", unit="kg", label="Weight", reference=70), 82.5)
    '82.5 kg'
    """
    if covariate.levels is not None:
        return next((word for word, code in covariate.levels.items() if code == value), f"{value:g}")
    return f"{value:g}" if covariate.unit in ("", "1") else f"{value:g} {covariate.unit}"
