"""From what was typed to an `Analysis`: which model, which case, which target, which learner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auctor.case import Blq, FutureIov, Interpolation, Occasions
from auctor.cli import quantities
from auctor.errors import CaseError, PlanError

if TYPE_CHECKING:
    from auctor.analysis import Analysis
    from auctor.case import Case, Covariates, Target
    from auctor.learn.amortised.store import Amortised
    from auctor.learn.learner import Learner
    from auctor.models.model import DrugModel

Progress = Callable[[str, float], None]
TABLES = (".csv", ".dat", ".dta", ".tab", ".tsv", ".txt")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was asked, as typed; an empty text means that the default applies."""

    case: Path
    patient: str = ""
    drug: str = ""
    model: str = ""
    target: str = ""
    ml: bool = True
    amortised: bool = False
    occasions: str = ""
    future_iov: FutureIov = FutureIov.DRAW
    draws: int = 2000
    seed: int = 0
    blq: Blq = Blq.M3
    prior_weight: float | Mapping[str, float] = 1.0
    interpolation: Interpolation = Interpolation.LOCF

    @property
    def is_table(self) -> bool:
        """Whether CASE is a NONMEM-style table instead of a case file."""
        return self.case.suffix.lower() in TABLES


def answer(question: Question, *, tell: Callable[[str], None], progress: Progress) -> Analysis:
    """Run the question. `tell` gets a line for each choice made, `progress` what is being computed.

    Raises the typed errors of the readers, CaseError where a choice is the user's to make.
    """
    model, why = choose_model(question)
    tell(f"model {model.name}: {why}")
    several = choose_amortised(model, progress) if question.amortised else None
    case, also_known = (read(question, model), None) if several is None else read_with_others(question, model, several.plan.models)
    goal = target(question, case, model)
    learner = choose_learner(model, goal, progress) if question.ml else None
    if question.ml and learner is None:
        tell(f"machine learning: no plan is shipped for {goal.metric.name} under {model.name}")
    from auctor.analysis import analyse

    progress("estimating", 0.5)
    return analyse(
        case,
        model,
        target=goal,
        learner=learner,
        amortised=several,
        also_known=also_known,
        occasions=Occasions.read(question.occasions, where="--occasions") if question.occasions else None,
        future_iov=question.future_iov,
        n_draws=question.draws,
        seed=question.seed,
        blq=question.blq,
        prior_weight=question.prior_weight,
        interpolation=question.interpolation,
    )


def choose_model(question: Question) -> tuple[DrugModel, str]:
    """The model and why: the one asked for, the one the case names, else the drug's in the library.

    With several for a drug the only validated one is taken; where that does not settle it, CaseError asks.
    """
    from auctor.models.reader import model_path, read_model

    named, drug = ("", question.drug) if question.is_table else _header(question)
    if question.model:
        model, why = read_model(question.model), "asked for"
    elif named:
        file, _ = model_path(near := question.case.parent / named)
        model, why = read_model(near if file.suffix == ".toml" and file.exists() else named), "named in the case"
    else:
        model, why = _of_drug(drug)
    if drug and drug.casefold() != model.drug.casefold():
        raise CaseError(where="--drug", what=f"{model.name} is a model of {model.drug}", remedy="correct the drug, or choose another model")
    return model, why


def _header(question: Question) -> tuple[str, str]:
    """(model, drug) that a case file names; the drug asked for must be the same."""
    from auctor.data.casefile import read_header

    header = read_header(question.case)
    if question.drug and question.drug.casefold() != header.drug.casefold():
        raise CaseError(where="--drug", what="not the drug of the case", remedy="leave --drug out, or correct the case")
    return header.model, header.drug


def _of_drug(drug: str) -> tuple[DrugModel, str]:
    from auctor.models.reader import list_models, read_model

    if not drug:
        raise CaseError(where="--drug", what="a table does not say which drug it is about", remedy="add --drug or --model")
    every = [read_model(name) for name in list_models()]
    found = [model for model in every if model.drug.casefold() == drug.casefold()]
    if not found:
        known = ", ".join(sorted({model.drug for model in every}))
        raise CaseError(where="drug", what="no model of it in the library", remedy=f"known: {known}; or give --model FILE.toml")
    validated = [model for model in found if model.status == "validated"]
    if len(found) == 1:
        return found[0], f"the only one for {found[0].drug} in the library"
    if len(validated) == 1:
        return validated[0], f"the only validated one for {drug} in the library"
    names = " or ".join(f"--model {model.name}" for model in found)
    raise CaseError(where="--model", what=f"{len(found)} models of {found[0].drug} in the library", remedy=f"choose {names}")


def several_models(words: Sequence[str], *, one_drug: bool = True) -> tuple[list[DrugModel], str]:
    """Every model named, a drug standing for all of its models in the library; and the drug. CaseError for models of several drugs."""
    from auctor.models.reader import list_models, read_model

    library = {name: read_model(name) for name in list_models()}
    found: dict[str, DrugModel] = {}
    for word in words:
        of_drug = {name: m for name, m in library.items() if m.drug.casefold() == word.casefold()}
        found |= of_drug or {m.name: m for m in (library.get(word) or read_model(word),)}
    drugs = {m.drug.casefold() for m in found.values()}
    if len(drugs) > 1 and one_drug:
        raise CaseError(where="models", what=f"of several drugs: {', '.join(sorted(drugs))}", remedy="name models of one drug")
    return list(found.values()), " and ".join(sorted(drugs))


def read(question: Question, model: DrugModel) -> Case:
    """The case: a case file, or one subject of a table."""
    if question.is_table:
        from auctor.data.subject import read_subject

        if not question.patient:
            raise CaseError(where="--id", what="missing", remedy="say which ID of the table, for example --id 1")
        return read_subject(question.case, question.patient, model)
    if question.patient:
        raise CaseError(where="--id", what="given for a case file, which holds one patient", remedy="leave it out")
    from auctor.data.casefile import read_case

    return read_case(question.case, model)


def read_with_others(question: Question, model: DrugModel, others: Iterable[DrugModel]) -> tuple[Case, Covariates | None]:
    """The case as the model reads it, and of a case file the covariates that only other models of the drug ask for."""
    if question.is_table or question.patient:
        return read(question, model), None
    from auctor.data.casefile import with_others
    from auctor.data.document import read_document

    return with_others(read_document(question.case), model, others)


def target(question: Question, case: Case, model: DrugModel) -> Target:
    """The target asked for, else the case's, else the model's first."""
    if question.target:
        return quantities.target(question.target, molar_mass=model.molar_mass)
    found = case.target or (model.targets[0] if model.targets else None)
    if found is None:
        raise CaseError(where="--target", what=f"neither the case nor {model.name} has one", remedy="add --target 'AUC0-24:400-600 mg*h/L'")
    return found


def choose_learner(model: DrugModel, goal: Target, progress: Progress) -> Learner | None:
    """The learner of the first shipped plan that answers this metric under this model, trained when the cache lacks it."""
    from auctor.learn.store import learner_for, plans_for

    plans = plans_for(model.name, goal.metric)
    return learner_for(plans[0], progress=progress) if plans else None


def choose_amortised(model: DrugModel, progress: Progress) -> Amortised:
    """The amortised posterior of the shipped plan with this model, trained when the cache lacks it. PlanError where there is no plan."""
    from auctor.learn.amortised.store import amortised_for, amortised_plan_of

    name = amortised_plan_of(model.name)
    if name is None:
        raise PlanError(
            where="--amortised", what=f"no plan is shipped with {model.name} among its models", remedy="leave it out, or choose its models"
        )
    return amortised_for(name, progress=progress)
