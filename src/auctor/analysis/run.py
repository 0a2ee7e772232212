"""`analyse`: one patient through every method, with the notices, the curve, the sample table and the concordance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from auctor.analysis.course import curve
from auctor.analysis.methods import Attempt, Question, SupportsEstimate, SupportsPredictor, answer, predictors, several_models, views
from auctor.analysis.result import Analysis, MethodResult, SampleRow
from auctor.analysis.samples import fit_notices, sample_rows
from auctor.case import Blq, Case, Covariates, FutureIov, Interpolation, Occasions, Regimen, Target
from auctor.data.interpolation import interpolated
from auctor.dosing.candidates import Option, OptionKind, candidate_regimens, current_option
from auctor.dosing.concordance import Concordance, State, concordance
from auctor.dosing.current import current_regimen
from auctor.errors import CaseError, Notice
from auctor.estimate.flatten import changed_weights
from auctor.estimate.occasions import Prepared, prepared
from auctor.models.domain import domain_notices
from auctor.models.model import DrugModel
from auctor.predictor import Predictor

WEIGHT = "WT"  # the covariate that per-kg dosing tables multiply, in kg


def analyse(
    case: Case,
    model: DrugModel,
    *,
    target: Target | None = None,
    learner: SupportsPredictor | None = None,
    amortised: SupportsEstimate | None = None,
    also_known: Covariates | None = None,
    occasions: Occasions | None = None,
    future_iov: FutureIov = FutureIov.DRAW,
    n_draws: int = 2000,
    seed: int = 0,
    blq: Blq | None = None,
    prior_weight: float | Mapping[str, float] = 1.0,
    interpolation: Interpolation = Interpolation.LOCF,
) -> Analysis:
    """Exposure and the next dose of one patient, by every method that can answer.

    `target` defaults to the case's, then to the model's first. `learner` is a trained `auctor.learn.Learner`; without one
    the machine-learning column says so. `amortised` adds a column; `also_known` are covariates that its other models ask for.
    `occasions` (default: the case's, then by sampling visit) divides the history where the
    model has inter-occasion variability, `future_iov` says what forecasts do with the next occasion's. `blq` is what a level below
    its LLOQ tells (default: as the case says), `prior_weight` how far MAP and posterior trust the population, for all etas or by
    name, `interpolation` which value of a covariate holds between two. Exposures are (n_draws,) in mg*h/L or mg/L. The same arguments
    give the same result. Raises CaseError when there is no target, or when the model cannot take this case.
    """
    laid = lay_out(
        case,
        model,
        target=target,
        occasions=occasions,
        future_iov=future_iov,
        n_draws=n_draws,
        seed=seed,
        blq=blq,
        prior_weight=prior_weight,
        interpolation=interpolation,
    )
    case, ready, question, options = laid.question.case, laid.question.ready, laid.question, laid.question.options
    attempts = predictors(question, learner)
    if amortised is not None:
        attempts["amortised"] = several_models(question, amortised, also_known)
    evidence = _evidence(case, ready, attempts)
    outside = _outside(case, model)
    methods = tuple(_doubted(answer(key, attempt, question), outside, evidence) for key, attempt in attempts.items())
    going_on = next((o for o in options if o.kind is OptionKind.CURRENT), None)
    agreement = concordance(views(methods), options=options)
    notices = (
        *_disagreement(agreement),
        *_prior_weight(laid.changed, model),
        *_blq(case),
        *case.notices,
        *laid.notices,
        *outside,
        *evidence.notices,
        *_model_notices(model),
        *_learned_notices(ready, methods),
        *(() if amortised is None else _role(str(amortised.plan.name), str(amortised.plan.role))),
    )
    return Analysis(
        case=case,
        model=model,
        target=question.target,
        current=going_on,
        options=options,
        methods=methods,
        concordance=agreement,
        curve=curve(case, current=going_on, prior=evidence.prior, posterior=evidence.posterior, residual=ready.model.residual),
        samples=evidence.rows,
        notices=_distinct(*notices, *(n for m in methods for n in m.notices)),
        defaults=laid.defaults,
        learner=None if learner is None else (str(learner.plan.name), str(learner.plan.sha256)),
        amortised=None if amortised is None else (str(amortised.plan.name), str(amortised.plan.sha256)),
        occasions=ready.spans,
        future_iov=ready.future,
        n_draws=n_draws,
        seed=seed,
        prior_weight=laid.changed,
        interpolation=interpolation.value,
    )


@dataclass(frozen=True, kw_only=True)
class Laid:
    """An analysis laid out before any estimation: the question, the covariates a reference stands in for, the changed weights of the prior
    and what there is to say about them.
    """

    question: Question
    defaults: tuple[str, ...]
    changed: Mapping[str, float]
    notices: tuple[Notice, ...]


def lay_out(
    case: Case,
    model: DrugModel,
    *,
    target: Target | None = None,
    occasions: Occasions | None = None,
    future_iov: FutureIov = FutureIov.DRAW,
    n_draws: int = 2000,
    seed: int = 0,
    blq: Blq | None = None,
    prior_weight: float | Mapping[str, float] = 1.0,
    interpolation: Interpolation = Interpolation.LOCF,
) -> Laid:
    """What `analyse` asks its methods, from the same arguments; CaseError as there. Nothing is estimated."""
    case = case if blq is None else replace(case, blq=blq)
    case, defaults, filled = _complete(case, model)
    current, derived = current_regimen(case, intervals_h=model.dosing.intervals_h if model.dosing else ())
    weight = None if WEIGHT in defaults else _latest(case.covariates).get(WEIGHT)
    options, listed = _options(model, current, weight)
    known = interpolated(replace(case, current=current), model, interpolation)
    ready = prepared(model, known, occasions=occasions, future=future_iov)
    question = Question(
        case=case,
        model=model,
        ready=ready,
        target=_target(case, model, target),
        options=options,
        n_draws=n_draws,
        seed=seed,
        prior_weight=prior_weight,
    )
    changed = changed_weights(ready.model, prior_weight)
    return Laid(question=question, defaults=defaults, changed=changed, notices=(*filled, *derived, *listed))


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """What the samples say about the model's fit, with the predictors that the curve is drawn from."""

    prior: Predictor
    posterior: Predictor | None
    rows: tuple[SampleRow, ...]
    notices: tuple[Notice, ...]


def _evidence(case: Case, ready: Prepared, attempts: dict[str, Attempt]) -> _Evidence:
    usable: dict[str, Predictor] = {key: found for key, found in attempts.items() if not isinstance(found, str)}
    rows = sample_rows(ready, case, prior=usable["a_priori"], individual=usable.get("map"))
    drawn = usable.get("posterior", usable.get("map"))
    return _Evidence(prior=usable["a_priori"], posterior=drawn, rows=rows, notices=fit_notices(rows))


def _doubted(method: MethodResult, outside: tuple[Notice, ...], evidence: _Evidence) -> MethodResult:
    """The column with the reasons against trusting it; a bad fit of the model concerns the two methods that rest on it."""
    reasons = [f"outside the domain ({n.where})" for n in outside]
    if method.key in ("map", "posterior"):
        reasons += [f"bad fit ({n.where})" for n in evidence.notices if n.code == "bad-fit"]
    return replace(method, doubt="; ".join(reasons))


def _complete(case: Case, model: DrugModel) -> tuple[Case, tuple[str, ...], tuple[Notice, ...]]:
    """The case with the model's reference for every covariate that is not given, which ones, and a notice for each."""
    absent = [c for name, c in model.covariates.items() if name not in case.covariates.series]
    told = [n.where for n in case.notices if n.code == "default-used"]
    series = {**case.covariates.series, **{c.name: ((0.0, c.reference),) for c in absent}}
    named = tuple(name for name in model.covariates if any(where.split(".")[-1].split(" ")[-1] == name for where in told))
    notices = tuple(_default_used(c.name, c.label) for c in absent)
    return replace(case, covariates=Covariates(series=series)), (*named, *(c.name for c in absent)), notices


def _latest(covariates: Covariates) -> dict[str, float]:
    return covariates.at(max((t for points in covariates.series.values() for t, _ in points), default=0.0))


def _options(model: DrugModel, current: Regimen | None, weight: float | None) -> tuple[tuple[Option, ...], tuple[Notice, ...]]:
    """The candidates; without a usable dosing table, or a measured weight where it is per kg, only current and hold."""
    kept = () if current is None else (current_option(current),)
    if model.dosing is None:
        return (*kept, Option.hold()), (_no_table(f"{model.name} has no dosing table"),)
    try:
        options = candidate_regimens(model.dosing, current=current, weight_kg=weight)
    except CaseError as refused:
        return (*kept, Option.hold()), (_no_table(refused.what),)
    over = [o for o in options if o.over_cap]
    return options, tuple(_over_cap() for _ in over)


def _target(case: Case, model: DrugModel, target: Target | None) -> Target:
    found = target or case.target or (model.targets[0] if model.targets else None)
    if found is None:
        what = f"neither the case nor {model.name} has a target"
        raise CaseError(where="target", what=what, remedy="give one, for example AUC0-24:400-600 mg*h/L")
    return found


def _outside(case: Case, model: DrugModel) -> tuple[Notice, ...]:
    times = sorted({t for points in case.covariates.series.values() for t, _ in points})
    return _distinct(*(n for t in times for n in domain_notices(model, case.covariates.at(t))))


def _distinct(*notices: Notice) -> tuple[Notice, ...]:
    return tuple(dict.fromkeys(notices))


def _model_notices(model: DrugModel) -> tuple[Notice, ...]:
    found = [_warning(model, text) for text in model.warnings]
    if model.status != "validated":
        found.append(_not_validated(model))
    return tuple(found)


def _learned_notices(ready: Prepared, methods: tuple[MethodResult, ...]) -> tuple[Notice, ...]:
    """A learner knows the occasion that was sampled; the other methods answer for the next one."""
    learned = [m.key for m in methods if m.key in ("ml", "amortised") and m.recommendation is not None]
    if ready.future is None or not learned:
        return ()
    what = "its profiles had no inter-occasion variability: its interval is that of the sampled occasion, not of the next one"
    remedy = "compare it with the exposure at the last sampled occasion"
    return tuple(Notice(code="iov-not-learned", where=key, what=what, remedy=remedy) for key in learned)


def _role(name: str, role: str) -> tuple[Notice, ...]:
    if role == "clinic":
        return ()
    remedy = "read it beside the others; its effective sample size says how far its weights carry"
    return (Notice(code="plan-role", where="amortised", what=f"the plan {name} is for {role}, not for the clinic", remedy=remedy),)


def _disagreement(found: Concordance) -> tuple[Notice, ...]:
    if found.state is not State.DISAGREE:
        return ()
    what = "the methods disagree, or one of them cannot be trusted here"
    remedy = "read the reasons beside the state; signing needs a reason of one's own"
    return (Notice(code="methods-disagree", where="concordance", what=what, remedy=remedy, blocks_signing=True),)


def _prior_weight(changed: Mapping[str, float], model: DrugModel) -> tuple[Notice, ...]:
    if not changed:
        return ()
    what = f"the published prior counts {', '.join(f'{w:g} times on {name}' for name, w in changed.items())} in MAP and posterior"
    remedy = "sign only where the patient is unlike the model's population, and say so"
    return (Notice(code="prior-weight", where=f"model.{model.name}", what=what, remedy=remedy, blocks_signing=True),)


def _blq(case: Case) -> tuple[Notice, ...]:
    if case.blq is not Blq.M1:
        return ()
    what = "below the LLOQ and left out of the estimation (method M1)"
    remedy = "M3 uses what such a level tells"
    left_out = [k for k, s in enumerate(case.samples) if s.used and s.below_lloq]
    return tuple(Notice(code="sample-excluded", where=f"samples[{k}]", what=what, remedy=remedy) for k in left_out)


def _warning(model: DrugModel, text: str) -> Notice:
    return Notice(code="model-warning", where=f"model.{model.name}", what=text, remedy="see the model's file")


def _default_used(name: str, label: str) -> Notice:
    return Notice(
        code="default-used",
        where=f"covariates.{name}",
        what=f"{label} was not given: set to the model's reference",
        remedy="measure it and analyse again",
        blocks_signing=True,
    )


def _no_table(what: str) -> Notice:
    remedy = "only the current regimen and hold are compared"
    return Notice(code="no-candidates", where="dosing", what=what, remedy=remedy, blocks_signing=True)


def _over_cap() -> Notice:
    return Notice(
        code="current-over-cap",
        where="current",
        what="the current regimen exceeds a cap of the dosing table",
        remedy="check the dose; it is shown and never selected",
        blocks_signing=True,
    )


def _not_validated(model: DrugModel) -> Notice:
    return Notice(
        code="model-status",
        where=f"model.{model.name}",
        what=f"the model file has status {model.status} and {len(model.questions)} open question(s)",
        remedy="read the questions at the end of the report before relying on a number",
        blocks_signing=True,
    )
