"""The nouns of an analysis: what each method says, the curve, the sample table, and all of it together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from auctor.case import Case, FutureIov, Target
from auctor.dosing.candidates import Option
from auctor.dosing.concordance import Concordance
from auctor.dosing.recommend import Forecast, Recommendation
from auctor.errors import Notice
from auctor.estimate.occasions import Span
from auctor.models.model import DrugModel
from auctor.predictor import Array, Draws


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method's column: its recommendation with every candidate's exposure, or the reason why it abstains.

    `how` says in one sentence how the numbers were computed. `reference` is the forecast of the regimen the methods are
    compared on (the current one where known). `params` are the individual parameters in engine units. `doubt` says why
    the answer should not be trusted (outside the domain, bad fit); empty when nothing speaks against it. `sampled` is the exposure
    under the current regimen at the last sampled occasion, where the model has inter-occasion variability. `explained` says what moved a
    learner's estimate.
    """

    key: str
    title: str
    how: str
    recommendation: Recommendation | None = None
    reference: Forecast | None = None
    sampled: Draws | None = None
    abstained: str = ""
    doubt: str = ""
    ess: float | None = None
    params: Mapping[str, float] = field(default_factory=dict)
    explained: str = ""
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Band:
    """Quantiles of the concentration without measurement error, each (n_times,) mg/L: 5, 25, 50, 75 and 95 %."""

    q05: Array
    q25: Array
    q50: Array
    q75: Array
    q95: Array


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Where 90 % of new measurements would lie, (n_times,) mg/L: 5 and 95 % with the residual error."""

    q05: Array
    q95: Array


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The course over the sampling period and the forecast: `times_h` (n_times,), a-priori and a-posteriori bands.

    `doses` are (time_h, amount_mg) within the window; from `forecast_from_h` on doses are planned, not given (None: no
    forecast). `posterior_method` names the method behind the a-posteriori band. `measured` is around the a-posteriori draws, without
    them around the a-priori ones.
    """

    times_h: Array
    prior: Band
    posterior: Band | None
    posterior_method: str
    doses: tuple[tuple[float, float], ...]
    forecast_from_h: float | None
    measured: Measured


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """One sample against the model: times in h, concentrations in mg/L, `percentile` 0-100 of the a-priori prediction.

    The percentile includes the residual error; `ipred` and `iwres` are those of MAP; None where not defined (a value
    outside the assay's limits has no percentile and no residual; without MAP there is no individual prediction). `weight` is that of
    the sample in the estimation, and `reason` why it is not 1 or the sample not used. `occasion` is the one whose inter-occasion
    variability applies, None without any.
    """

    time_h: float
    after_dose_h: float | None
    observed: float
    below_lloq: bool
    lloq: float | None
    used: bool
    pred: float
    ipred: float | None
    percentile: float | None
    iwres: float | None
    occasion: int | None = None
    above_uloq: bool = False
    uloq: float | None = None
    weight: float = 1.0
    reason: str = ""

    @property
    def censored(self) -> bool:
        """Whether only a limit is known."""
        return self.below_lloq or self.above_uloq

    @property
    def limit(self) -> float | None:
        """The limit that was passed, mg/L."""
        return self.uloq if self.above_uloq else self.lloq if self.below_lloq else None


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Everything the report shows about one patient; the same input and seed give the same bytes.

    `options` are the candidate regimens in the order of the table, `learner` names the machine-learning plan and its SHA-256 (None when
    none was asked), `amortised` those of the amortised posterior, `defaults` the covariates for which the model's reference stood in.
    `occasions` are those that inter-occasion variability was estimated for, `future_iov` what the forecasts do with the next one's (None:
    there is none). `prior_weight` holds the etas whose prior does not weigh what was published (`IOV`: inter-occasion variability);
    `model` is always the published one. `interpolation` says how covariates go from one value to the next.
    """

    case: Case
    model: DrugModel
    target: Target
    current: Option | None
    options: tuple[Option, ...]
    methods: tuple[MethodResult, ...]
    concordance: Concordance
    curve: Curve
    samples: tuple[SampleRow, ...]
    notices: tuple[Notice, ...]
    defaults: tuple[str, ...]
    learner: tuple[str, str] | None
    occasions: tuple[Span, ...]
    future_iov: FutureIov | None
    n_draws: int
    seed: int
    prior_weight: Mapping[str, float] = field(default_factory=dict)
    interpolation: str = "locf"
    amortised: tuple[str, str] | None = None

    def method(self, key: str) -> MethodResult:
        """The column of one method: `a_priori`, `map`, `posterior`, `ml`, and `amortised` where asked for. KeyError for another name."""
        return {m.key: m for m in self.methods}[key]

    @property
    def blocking(self) -> tuple[Notice, ...]:
        """The warnings that must be resolved before anybody signs."""
        return tuple(n for n in self.notices if n.blocks_signing)

    @property
    def preferred(self) -> MethodResult:
        """The method whose candidates the report tabulates: the posterior, else MAP, else the a-priori answer."""
        answered = {m.key: m for m in self.methods if m.recommendation is not None}
        return next(answered[key] for key in ("posterior", "map", "a_priori", "ml") if key in answered)
