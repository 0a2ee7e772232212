"""The columns: a priori, MAP, full posterior, machine learning and, where asked for, the amortised posterior over several models.

Each is a recommendation or the reason it abstains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from auctor.analysis.result import MethodResult
from auctor.case import Case, Covariates, Target
from auctor.dosing.candidates import Option, OptionKind
from auctor.dosing.concordance import View
from auctor.dosing.recommend import Forecast, Recommendation, expose, recommend
from auctor.errors import AuctorError, EstimationError, Notice, OutOfDomain
from auctor.estimate.occasions import Prepared
from auctor.learn.circular import marked
from auctor.models.model import DrugModel
from auctor.predictor import Draws, Predictor

TITLES = {"a_priori": "A priori", "map": "MAP", "posterior": "Posterior", "ml": "Machine learning", "amortised": "Amortised"}
HOW = {
    "a_priori": "Covariates only, no sample used: the spread is the published variability between patients.",
    "map": "Mode of the individual posterior (MAP-Bayes); the interval and the shares come from the Laplace approximation around the mode.",
    "posterior": "Draws of the whole individual posterior by importance resampling.",
    "ml": "Gradient-boosted trees trained on profiles simulated from the population model; the interval is conformal.",
    "amortised": "Draws of model and parameters by a network trained on several models of the drug, weighed by prior and likelihood.",
}
_NO_SAMPLE = "no usable sample: the a-priori column is all that can be said"


class SupportsPredictor(Protocol):
    """A trained learner, as `auctor.learn.Learner`: it answers for one patient or raises OutOfDomain."""

    @property
    def plan(self) -> Any:
        """The plan it was trained from, with `name` and `sha256`."""
        ...

    def predictor(self, case: Case, model: DrugModel) -> Predictor:
        """This patient's exposure by the learner."""
        ...


class SupportsEstimate(Protocol):
    """A trained amortised posterior, as `auctor.learn.amortised.Amortised`: it answers for one patient or raises OutOfDomain."""

    @property
    def plan(self) -> Any:
        """The plan it was trained from, with `name`, `sha256` and `role`."""
        ...

    def estimate(self, case: Case, n_draws: int = 2000, seed: int = 0) -> Predictor:
        """Draws of this patient's model and parameters."""
        ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """What every method is asked: the patient, the model, the target, the candidates, and how many draws.

    `ready` has patient and model as the estimators take them: covariates between their values as asked for, and occasions.
    `prior_weight` (one number, or eta -> weight, 1 where not named) holds for MAP and posterior; the a-priori column is always the
    published prior.
    """

    case: Case
    model: DrugModel
    ready: Prepared
    target: Target
    options: tuple[Option, ...]
    n_draws: int
    seed: int
    prior_weight: float | Mapping[str, float] = 1.0

    @property
    def sampled(self) -> bool:
        """Whether any sample can be used."""
        return any(self.case.counts(s) for s in self.case.samples)


Attempt = Predictor | str  # the predictor, or why there is none


def predictors(question: Question, learner: SupportsPredictor | None) -> dict[str, Attempt]:
    """Each method's predictor, or the reason why it abstains; keys and order as in `TITLES`."""
    from auctor.estimate import patient
    from auctor.estimate.flatten import flattened

    case, model = question.ready.case, question.ready.model
    before, learned = patient.a_priori(model, case, question.n_draws, question.seed), _learned(question, learner)
    if not question.sampled:
        return {"a_priori": before, "map": _NO_SAMPLE, "posterior": _NO_SAMPLE, "ml": learned}
    weighted = flattened(model, question.prior_weight)
    try:
        modes = patient.fit(weighted, case)
    except EstimationError as failed:
        return {"a_priori": before, "map": _why(failed), "posterior": _why(failed), "ml": learned}
    return {
        "a_priori": before,
        "map": _attempt(lambda: patient.laplace_estimate(weighted, case, question.n_draws, question.seed, found=modes)),
        "posterior": _attempt(lambda: patient.posterior_estimate(weighted, case, question.n_draws, question.seed, found=modes)),
        "ml": learned,
    }


def several_models(question: Question, amortised: SupportsEstimate, also_known: Covariates | None) -> Attempt:
    """The amortised posterior of the patient, who is told with the covariates of its other models too; or why it abstains."""
    own = question.case.covariates
    known = own if also_known is None else replace(own, series={**also_known.series, **own.series})
    try:
        return amortised.estimate(replace(question.case, covariates=known), question.n_draws, question.seed)
    except OutOfDomain as abstains:
        return _why(abstains)


def answer(key: str, attempt: Attempt, question: Question) -> MethodResult:
    """One method's column; a method that abstains keeps its reason."""
    title = marked(TITLES[key], circular=bool(getattr(attempt, "circular", False)))
    blank = MethodResult(key=key, title=title, how=HOW[key])
    if isinstance(attempt, str):
        return replace(blank, abstained=attempt)
    try:
        found = recommend(attempt, target=question.target, candidates=question.options, method=title)
    except OutOfDomain as abstains:
        return replace(blank, abstained=_why(abstains), notices=attempt.notices)
    ess = getattr(attempt, "ess", None)
    params: Mapping[str, float] = getattr(attempt, "params_point", {})
    return replace(
        blank,
        recommendation=found,
        reference=reference(found),
        sampled=_sampled(key, attempt, found.current, question),
        ess=None if ess is None else float(ess),
        explained=str(getattr(attempt, "explained", "")),
        params={name: float(value) for name, value in params.items()},
        notices=(*attempt.notices, *_modes(key, attempt, found, question), *found.notices),
    )


def _modes(key: str, attempt: Predictor, found: Recommendation, question: Question) -> tuple[Notice, ...]:
    """What further parameter sets that fit the samples would mean."""
    from auctor.analysis.modes import mode_notices
    from auctor.estimate.patient import Estimate

    if key != "map" or not isinstance(attempt, Estimate):
        return ()
    return mode_notices(attempt, found, target=question.target, options=question.options, seed=question.seed)


def _sampled(key: str, attempt: Predictor, current: Forecast | None, question: Question) -> Draws | None:
    """Exposure under the current regimen with the last occasion's kappas, of a method that estimated them."""
    from auctor.estimate.patient import Estimate

    spans = question.ready.spans
    if key not in ("map", "posterior") or current is None or not spans or not isinstance(attempt, Estimate):
        return None
    return expose(attempt.during(spans[-1].number), current.option, question.target)


def reference(found: Recommendation) -> Forecast | None:
    """The forecast on which methods are compared: the current regimen, else the first offered one with an answer."""
    offered = (f for f in found.forecasts if f.option.kind is OptionKind.OFFERED and f.exposure is not None)
    return found.current or next(offered, None)


def views(methods: Sequence[MethodResult]) -> list[View]:
    """What concordance compares: every method that looked at the samples, or was asked to and abstained."""
    return [_view(m) for m in methods if m.key != "a_priori" and m.abstained not in (_NO_SAMPLE, NO_LEARNER)]


def _view(method: MethodResult) -> View:
    forecast, found = method.reference, method.recommendation
    point = forecast.exposure.point if forecast is not None and forecast.exposure is not None else None
    best = None if found is None else found.best or found.favoured
    return View(
        method=method.title,
        exposure=point,
        action=None if found is None else found.action,
        option=None if best is None else best.option,
        doubt=f"abstains ({method.abstained})" if method.abstained else method.doubt,
    )


NO_LEARNER = "no trained learner was asked"


def _learned(question: Question, learner: SupportsPredictor | None) -> Attempt:
    if learner is None:
        return NO_LEARNER
    try:
        return learner.predictor(question.case, question.model)
    except OutOfDomain as abstains:
        return _why(abstains)


def _attempt(estimate: Callable[[], Predictor]) -> Attempt:
    try:
        return estimate()
    except EstimationError as failed:
        return _why(failed)


def _why(error: AuctorError) -> str:
    return f"{error.where}: {error.what}"
