"""The runner of a study file: every design, noise regime and world, each method on the same virtual patients.

Under the training models: covariates only, MAP with the published residual error and with that of the data, averaging by marginal
likelihood, and the learners. Under the model that made each patient: the posterior mean, which is the limit when that model is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.learn.amortised.store import Amortised, amortised_for
from auctor.learn.observed import Observed, of_profiles
from auctor.learn.scales import truth
from auctor.learn.subgroups import coverage_table
from auctor.learn.train import Material, prepare
from auctor.models.model import DrugModel, Residual
from auctor.population.plan import Plan
from auctor.population.virtual import Profiles, Progress
from auctor.validate.comparators import (
    NOISELESS_SD,
    Drawn,
    Estimates,
    Patients,
    Posterior,
    a_priori,
    drawn,
    fitted,
    map_estimates,
    matched_error,
    patients,
    summarised,
    with_error,
)
from auctor.validate.metrics import accuracy, error_ratio, explained
from auctor.validate.study_amortised import amortised_row
from auctor.validate.study_file import SAME, Design, Sizes, StudyFile
from auctor.validate.study_learners import Answer, alone, trained
from auctor.validate.study_result import Covered, StudyCoverage, StudyResult, StudyTable
from auctor.validate.study_rows import AVERAGED, KNOWN, KNOWN_LEAST, MATCHED, PUBLISHED, UNKNOWN, UNKNOWN_LEAST
from auctor.validate.worlds import more_patients, other_world, possible, training_plan

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
# a posterior from almost noise-free levels is thin and curved: its proposals are used less well
NOISELESS_DRAWS = 3


@dataclass(frozen=True, kw_only=True)
class World:
    """One set of patients with everything that is needed to judge on them."""

    design: Design
    name: str
    plan: Plan
    profiles: Profiles
    rows: Rows
    draws: int

    @property
    def truth(self) -> Array:
        """F/CL in h/L, or the target."""
        return truth(self.profiles)[self.rows]

    def seen(self, plan: Plan) -> Observed:
        """Its patients as a learner of that plan sees them."""
        return of_profiles(replace(self.profiles, plan=plan)).rows(self.rows)

    def unknown_to(self, amortised: Amortised) -> bool:
        """Whether none of its patients come from a model of that posterior."""
        return {m.name for m in self.profiles.plan.models}.isdisjoint(m.name for m in amortised.plan.models)

    @property
    def single(self) -> DrugModel | None:
        """The one model that made all patients; None where several did."""
        models = self.profiles.plan.models
        return models[0] if len(models) == 1 else None


def run_study(study: StudyFile, *, quick: bool = False, progress: Progress | None = None) -> StudyResult:
    """Every table of the study; `quick` takes the small sizes and the designs marked for it. Same file, same numbers."""
    sizes = study.quick if quick else study.full
    designs = [design for design in study.designs if (design.quick if quick else design.full)]
    steps = [(design, noise) for design in designs for noise in design.noise]
    tables: list[StudyTable] = []
    for k, (design, noise) in enumerate(steps):
        tables += _judged(study, design, noise, sizes)
        if progress:
            progress(f"{design.name}, noise {noise}", (k + 1) / len(steps))
    return StudyResult(study=study, quick=quick, tables=tuple(tables))


def study_coverage(study: StudyFile, *, quick: bool = False, progress: Progress | None = None) -> StudyCoverage:
    """What the learners' 90 % intervals cover in every design and noise regime, and nothing else: no comparator is computed."""
    sizes = study.quick if quick else study.full
    steps = [(d, noise) for d in study.designs if (d.quick if quick else d.full) for noise in d.noise]
    found: dict[tuple[str, str], Mapping[str, tuple[Covered, ...]]] = {}
    for k, (design, noise) in enumerate(steps):
        made = _living(prepare(training_plan(study, design, noise, sizes)))
        found[design.name, noise] = _held(made, trained(study.learners, made), sizes)
        if progress:
            progress(f"{design.name}, noise {noise}", (k + 1) / len(steps))
    return StudyCoverage(study=study, quick=quick, held=found)


def _judged(study: StudyFile, design: Design, noise: str, sizes: Sizes) -> Iterator[StudyTable]:
    made = _living(prepare(training_plan(study, design, noise, sizes)))
    answers = trained(study.learners, made)
    asked = design.amortised if noise == "full" and sizes == study.full else ""
    amortised = amortised_for(asked) if asked else None
    single = _alone(study, design, noise, sizes) if amortised is not None else {}
    held = _held(made, answers, sizes)
    for world in _worlds(study, design, made, sizes):
        found = _table(world, answers, single, amortised)
        yield replace(found, held=held) if world.name == SAME else found


def _alone(study: StudyFile, design: Design, noise: str, sizes: Sizes) -> dict[str, tuple[Plan, Answer]]:
    """The learners, trained anew on each model of a design alone, with the plan each has; nothing where it has but one."""
    found: dict[str, tuple[Plan, Answer]] = {}
    for label in design.train if len(design.train) > 1 else ():
        plan = training_plan(study, replace(design, train=(label,)), noise, sizes)
        answers = trained(study.learners, _living(prepare(plan)))
        found |= {alone(name, plan.model.name): (plan, answer) for name, answer in answers.items()}
    return found


def _held(made: Material, answers: Mapping[str, Answer], sizes: Sizes) -> Mapping[str, tuple[Covered, ...]]:
    """What share of patients each learner's 90 % interval holds: all, and by subgroup."""
    plan = made.profiles.plan
    more = more_patients(plan, sizes.coverage) if sizes.coverage else made.profiles
    rows = np.flatnonzero(possible(more)) if sizes.coverage else made.parts["test"]
    shown, true = of_profiles(replace(more, plan=plan)).rows(rows), truth(more)[rows]
    found: dict[str, tuple[Covered, ...]] = {}
    for name, answer in answers.items():
        said = answer(shown)
        found[name] = tuple(Covered(**row) for row in coverage_table(shown, (said.low <= true) & (true <= said.high)))
    return found


def _living(made: Material) -> Material:
    """The material without patients who cannot exist."""
    kept = possible(made.profiles)
    return replace(made, parts={name: rows[kept[rows]] for name, rows in made.parts.items()})


def _worlds(study: StudyFile, design: Design, made: Material, sizes: Sizes) -> Iterator[World]:
    plan = made.profiles.plan
    draws = sizes.draws * (NOISELESS_DRAWS if plan.noise == "none" else 1)
    yield World(design=design, name=SAME, plan=plan, profiles=made.profiles, rows=made.parts["test"], draws=draws)
    for other in (o for o in study.others if o.name in design.others):
        profiles = other_world(study, design, plan, other, sizes.other)
        yield World(design=design, name=other.name, plan=plan, profiles=profiles, rows=np.flatnonzero(possible(profiles)), draws=draws)


def _table(
    world: World, answers: Mapping[str, Answer], single: Mapping[str, tuple[Plan, Answer]], amortised: Amortised | None
) -> StudyTable:
    found, ess = _comparators(world)
    shown = world.seen(world.plan)
    found |= {name: answer(shown) for name, answer in answers.items()}
    found |= {name: answer(world.seen(plan)) for name, (plan, answer) in single.items()}
    seed, true, spread = world.plan.seed, world.truth, not world.plan.target.proportional
    scores = {m: accuracy(e.point, true, interval=(e.low, e.high), seed=seed) for m, e in found.items()}
    if spread:
        scores = {m: s | {"R2": explained(found[m].point, true, seed=seed)} for m, s in scores.items()}
    best = min(answers, key=lambda name: scores[name]["rRMSE"].value)
    limit, least = (UNKNOWN, UNKNOWN_LEAST) if UNKNOWN in found else (KNOWN, KNOWN_LEAST)
    ratios = [error_ratio(found[best].point, found[row].point, true, seed=seed) for row in (limit, least)]
    several, beside = None, {}
    if amortised is not None:
        row = amortised_row(amortised, replace(world.profiles, plan=world.plan), world.rows, draws=world.draws)
        scores |= row.scores(true, seed=seed)
        several = row.ratio(found[limit], true, seed=seed)
        if world.unknown_to(amortised):
            beside = row.beside(_knowing_one(found, single or answers), true, seed=seed)
        refused = len(row.kept) - int(row.kept.sum())
    return StudyTable(
        design=world.design.name,
        noise=world.plan.noise,
        world=world.name,
        truth=tuple(m.name for m in world.profiles.plan.models),
        train=tuple(m.name for m in world.plan.models),
        patients=len(world.rows),
        rows=scores,
        learned=tuple(answers),
        limit=limit,
        least=least,
        ratio=ratios[0],
        ratio_least=ratios[1],
        ratio_amortised=several,
        beside=beside,
        ess_p05=ess,
        notes=(*_notes(world), *([_asked(amortised, refused)] if amortised is not None else [])),
    )


def _knowing_one(found: Mapping[str, Estimates], learned: Mapping[str, object]) -> dict[str, Estimates]:
    """MAP with the published residual error and the learners: the methods that know one model alone."""
    return {name: one for name, one in found.items() if name in learned or (name.startswith("MAP, ") and name.endswith(PUBLISHED))}


def _comparators(world: World) -> tuple[dict[str, Estimates], float]:
    """Rows of every method that is no learner, and the 5th percentile of the limit's effective sample size."""
    found: dict[str, Estimates] = {}
    published: list[Drawn] = []
    matched: list[Drawn] = []
    for model in world.plan.models:
        own = patients(world.profiles, world.rows, model)
        found |= _single(world, own, published, matched)
    several = len(world.plan.models) > 1
    if several:
        found[AVERAGED] = summarised(published).mean
    if several and world.name != SAME:
        found[MATCHED] = summarised(matched).mean
    limit = _known(world, matched)
    found |= {KNOWN: limit.mean, KNOWN_LEAST: limit.least}
    if several and world.name == SAME:
        mixed = summarised(matched)
        found |= {UNKNOWN: mixed.mean, UNKNOWN_LEAST: mixed.least}
    return found, float(np.quantile(limit.ess, 0.05))


def _single(world: World, who: Patients, published: list[Drawn], matched: list[Drawn]) -> dict[str, Estimates]:
    """The rows of one training model; its draws under both residual errors are added to the lists."""
    name, fit = who.model.name, fitted(who)
    found = {f"covariates only, {name}": a_priori(who)}
    if who.sampled:
        found[f"MAP, {name}, {PUBLISHED}"] = map_estimates(who, fit)
    several = len(world.plan.models) > 1
    residual = _data_error(world, who.model)
    if residual == who.model.residual or not who.sampled:
        own = drawn(who, fit, world.draws)
        published.append(own)
        matched.append(own)
        return found
    if several:
        published.append(drawn(who, fit, world.draws))
    told = replace(who, model=with_error(who.model, residual))
    fit = fitted(told)
    found[f"MAP, {name}, residual error as in the data"] = map_estimates(told, fit)
    if several or world.single == who.model:
        matched.append(drawn(told, fit, world.draws))
    return found


def _data_error(world: World, model: DrugModel) -> Residual:
    """The residual error that is in the data: the plan's, or with full noise that of the one model that made the patients.

    Where several models made them each has its own, and `model` keeps the one it was published with.
    """
    if world.plan.noise == "full":
        return world.single.residual if world.single is not None else model.residual
    return matched_error(world.plan, model)


def _known(world: World, matched: list[Drawn]) -> Posterior:
    """The posterior under the model that made each patient, told the residual error of the data."""
    truth = world.profiles.plan.models
    if truth == world.plan.models:
        index = world.profiles.model_index[world.rows]
        return summarised([_picked(matched, index)])
    own = patients(world.profiles, world.rows, truth[0])
    told = replace(own, model=with_error(own.model, _data_error(world, own.model)))
    return summarised([drawn(told, fitted(told), world.draws)])


def _picked(found: list[Drawn], index: Rows) -> Drawn:
    """Each patient's draws under the model of that number."""
    rows = np.arange(len(index))
    value, weight, marginal = (
        np.stack([getattr(one, name) for one in found])[index, rows] for name in ("value", "log_weight", "log_marginal")
    )
    return Drawn(value=value, log_weight=weight, log_marginal=marginal)


def _asked(amortised: Amortised, refused: int) -> str:
    models = ", ".join(m.name for m in amortised.plan.models)
    return f"the amortised posterior is that of {amortised.plan.name} ({models}), which refused {refused} patients"


def _notes(world: World) -> tuple[str, ...]:
    notes = []
    if world.plan.noise == "none":
        notes.append(f"levels carry no noise: what is called the residual error of the data is a floor of {100 * NOISELESS_SD:g} %")
    if world.name != SAME:
        notes.append("the methods know only the training models; the limit is that of the model that made the patients")
    return tuple(notes)
