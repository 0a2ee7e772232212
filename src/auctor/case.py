"""The nouns of one patient: Dose, Regimen, Sample, Covariates, Case, Target, Metric. A newcomer starts here.

Everything is in the engine's units: hours from the first dose, mg, L, mg/L. Units and clock times are resolved
at the border (`auctor.units`, `auctor.data.casefile`), never here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise

from auctor.errors import CaseError, Notice

MOST_DOSES = 10_000  # of a regimen that goes on


class Route(StrEnum):
    """How a dose enters the body: into the absorption chain (`oral`) or the central compartment (`iv`)."""

    ORAL = "oral"
    IV = "iv"


@dataclass(frozen=True, kw_only=True)
class Dose:
    """One administration, repeated `additional` times every `every_h`.

    `amount_mg` mg, `time_h` h from the first dose, `duration_h` h (0 is a bolus or a swallowed dose).
    `steady_state` says that the same dose every `every_h` had been given for ever before `time_h` (NONMEM SS=1).

    >>> Dose(time_h=0, amount_mg=1000, route=Route.IV, duration_h=1).rate_mg_h
    1000.0
    """

    time_h: float
    amount_mg: float
    route: Route
    duration_h: float = 0.0
    every_h: float = 0.0
    additional: int = 0
    steady_state: bool = False

    @property
    def rate_mg_h(self) -> float:
        """Infusion rate in mg/h; 0 for a bolus or a swallowed dose."""
        return self.amount_mg / self.duration_h if self.duration_h > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Regimen:
    """Doses in time order: a history, a plan, or both.

    >>> Regimen.steady(1000, every_h=12, route=Route.IV, duration_h=1).doses[0].steady_state
    True
    """

    doses: tuple[Dose, ...]
    label: str = ""

    @classmethod
    def steady(cls, amount_mg: float, *, every_h: float, route: Route, duration_h: float = 0.0, horizon_h: float = 48.0) -> Regimen:
        """The same dose every `every_h` at steady state at time 0 and kept up until `horizon_h`.

        Raises CaseError for an interval of which there would be more than `MOST_DOSES`.
        """
        if not every_h * MOST_DOSES >= horizon_h:
            raise CaseError(where="every", what="too short: the doses would be without number", remedy="give the time between two doses")
        more = max(0, round(horizon_h / every_h + 0.5))
        dose = Dose(
            time_h=0.0, amount_mg=amount_mg, route=route, duration_h=duration_h, every_h=every_h, additional=more, steady_state=True
        )
        return cls(doses=(dose,))

    @property
    def daily_mg(self) -> float:
        """Dose per 24 h of the last repeated dose; 0 when nothing repeats."""
        last = self.doses[-1] if self.doses else None
        return 24.0 * last.amount_mg / last.every_h if last and last.every_h > 0 else 0.0


def given_times(regimen: Regimen, *, until_h: float = float("inf")) -> tuple[tuple[float, Dose], ...]:
    """Every administration that starts at or before `until_h`, in time order: (time_h, its dose record).

    >>> [t for t, _ in given_times(Regimen.steady(5, every_h=12, route=Route.ORAL), until_h=24)]
    [0.0, 12.0, 24.0]
    """
    every = ((d.time_h + k * d.every_h, d) for d in regimen.doses for k in range(d.additional + 1))
    return tuple(sorted(((t, d) for t, d in every if t <= until_h), key=lambda pair: pair[0]))


class Blq(StrEnum):
    """What a sample below its LLOQ tells (names of Beal, J Pharmacokinet Pharmacodyn 2001;28:481-504).

    M1 leaves it out; M3 counts the probability of a level below the limit; M4 does too, and conditions every sample of the
    patient on a level above 0.

    >>> Blq("M3") is Blq.M3
    True
    """

    M1 = "M1"
    M3 = "M3"
    M4 = "M4"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measured concentration: `value` mg/L at `time_h`; `below_lloq` means only "less than `lloq`" is known.

    `above_uloq` means only "more than `uloq`" is known. `used` False leaves it out of the fit; `weight` (>= 0) multiplies its part
    of the objective; `reason` says why either was changed.
    """

    time_h: float
    value: float
    matrix: str = ""
    lloq: float | None = None
    below_lloq: bool = False
    used: bool = True
    weight: float = 1.0
    uloq: float | None = None
    above_uloq: bool = False
    reason: str = ""

    @property
    def censored(self) -> bool:
        """Whether only a limit is known."""
        return self.below_lloq or self.above_uloq


class Interpolation(StrEnum):
    """Which value of a covariate holds between two: the next one (NOCB), the last one (LOCF), or those of the line between them."""

    NOCB = "nocb"
    LOCF = "locf"
    LINEAR = "linear"


@dataclass(frozen=True, kw_only=True)
class Covariates:
    """Covariates over time in the unit the model file declares: name -> ((time_h, value), ...), in time order.

    A value holds from its time until the next one (last observation carried forward) and backwards before the first.

    >>> Covariates.constant({"WT": 70.0}).at(5.0)
    {'WT': 70.0}
    """

    series: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

    @classmethod
    def constant(cls, values: Mapping[str, float]) -> Covariates:
        """Covariates that do not change."""
        return cls(series={name: ((0.0, float(value)),) for name, value in values.items()})

    def at(self, time_h: float) -> dict[str, float]:
        """The value of each covariate in force at `time_h`."""
        return {name: _held(points, time_h) for name, points in self.series.items()}

    def change_times(self) -> tuple[float, ...]:
        """Times at which any covariate takes a new value, in order."""
        return tuple(sorted({t for points in self.series.values() for t, _ in points[1:]}))


def _held(points: tuple[tuple[float, float], ...], time_h: float) -> float:
    past = [value for t, value in points if t <= time_h]
    return past[-1] if past else points[0][1]


class MetricKind(StrEnum):
    """What is read off a concentration curve over a window."""

    AUC = "AUC"
    CAVG = "Cavg"
    CMIN = "Cmin"
    CMAX = "Cmax"
    CONC = "C"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """An exposure metric over [start_h, stop_h] of a regimen: AUC in mg*h/L, the others in mg/L.

    `CONC` is the concentration at `start_h`, before any dose given then (a trough when it falls on a dose time).

    >>> Metric.parse("AUC0-24")
    Metric(kind=<MetricKind.AUC: 'AUC'>, start_h=0.0, stop_h=24.0)
    >>> Metric.parse("C0").name
    'C0'
    """

    kind: MetricKind
    start_h: float
    stop_h: float

    @property
    def name(self) -> str:
        """As printed: `AUC0-24`, `C0`, `Cavg0-24`."""
        if self.kind is MetricKind.CONC:
            return f"C{self.start_h:g}"
        return f"{self.kind.value}{self.start_h:g}-{self.stop_h:g}"

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read `AUC0-12`, `Cavg0-24`, `Cmin0-12`, `Cmax0-12` or `C<hours>` (`C0` is the trough)."""
        import re

        windowed = re.fullmatch(r"(AUC|Cavg|Cmin|Cmax)(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text)
        if windowed and float(windowed[3]) > float(windowed[2]):
            return cls(kind=MetricKind(windowed[1]), start_h=float(windowed[2]), stop_h=float(windowed[3]))
        point = re.fullmatch(r"C(\d+(?:\.\d+)?)", text)
        if point:
            return cls(kind=MetricKind.CONC, start_h=float(point[1]), stop_h=float(point[1]))
        raise CaseError(
            where="metric", what=f"{text!r} is not an exposure metric", remedy="write AUC0-24, Cavg0-24, Cmin0-12, Cmax0-12 or C0"
        )


@dataclass(frozen=True, kw_only=True)
class Target:
    """A therapeutic range for one metric: low..high in mg*h/L or mg/L, with where it comes from."""

    metric: Metric
    low: float
    high: float
    source: str


class OccasionKind(StrEnum):
    """What one occasion is: a sampling visit, a dosing interval, a window between given hours, or nothing (no IOV)."""

    VISIT = "visit"
    INTERVAL = "interval"
    WINDOWS = "windows"
    NONE = "none"


class FutureIov(StrEnum):
    """What the next occasion's IOV is in a forecast: drawn for the intervals and probabilities, or zero."""

    DRAW = "draw"
    ZERO = "zero"


@dataclass(frozen=True, kw_only=True)
class Occasions:
    """How a patient's history divides into occasions; `starts_h` (h from the first dose, ascending) only for windows.

    >>> Occasions.read("interval").kind.value, Occasions.read("0, 168").starts_h
    ('interval', (0.0, 168.0))
    """

    kind: OccasionKind = OccasionKind.VISIT
    starts_h: tuple[float, ...] = ()

    @classmethod
    def read(cls, text: str, *, where: str = "occasions") -> Occasions:
        """Read `visit`, `interval`, `none`, or the hours at which an occasion starts (`0,168,336`). CaseError for anything else."""
        words = [kind.value for kind in OccasionKind if kind is not OccasionKind.WINDOWS]
        if text.strip() in words:
            return cls(kind=OccasionKind(text.strip()))
        try:
            return cls.windows([float(part) for part in text.split(",")], where=where)
        except ValueError as problem:
            remedy = f"write {', '.join(words)}, or hours such as 0,168,336"
            raise CaseError(where=where, what="not a kind of occasion", remedy=remedy) from problem

    @classmethod
    def windows(cls, starts_h: Iterable[float], *, where: str = "occasions") -> Occasions:
        """Occasions that start at those hours; CaseError unless they are finite, ascending and at least one."""
        starts = tuple(starts_h)
        if not starts or not all(abs(t) < float("inf") for t in starts) or any(b <= a for a, b in pairwise(starts)):
            raise CaseError(where=where, what="not hours in ascending order", remedy="write the hours at which each occasion starts")
        return cls(kind=OccasionKind.WINDOWS, starts_h=starts)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pseudonymous patient: what was given, what was measured, and what is known about them.

    `current` is the regimen as it would go on (steady state), from which a change is judged; None when not known.
    `occasions` is how inter-occasion variability is meant here, None when not said; `blq` says what every estimator makes of a sample
    below its LLOQ. `notices` are the warnings raised while reading, carried to the report.
    """

    label: str
    drug: str
    history: Regimen
    samples: tuple[Sample, ...] = ()
    covariates: Covariates = field(default_factory=Covariates)
    current: Regimen | None = None
    target: Target | None = None
    occasions: Occasions | None = None
    notices: tuple[Notice, ...] = ()
    blq: Blq = Blq.M3

    def counts(self, sample: Sample) -> bool:
        """Whether an estimation looks at this sample: used, with a weight, and not below its LLOQ under M1."""
        return sample.used and sample.weight > 0 and not (sample.below_lloq and self.blq is Blq.M1)

    def with_notices(self, *more: Notice) -> Case:
        """A copy that carries further warnings."""
        return replace(self, notices=self.notices + more)
