"""What-if: one regimen typed by hand, judged by every method that an analysis asked, within the caps of the dosing table.

The estimates are made once for a case (`WhatIf.of`); each regimen after that costs a forecast, so that a page can answer while one types.
"""

from __future__ import annotations

from dataclasses import dataclass

from auctor.analysis.methods import Question, SupportsPredictor, predictors
from auctor.analysis.run import WEIGHT, lay_out
from auctor.case import Case, Target
from auctor.dosing.candidates import Option, OptionKind, typed_option
from auctor.dosing.recommend import Forecast, forecast
from auctor.errors import CaseError
from auctor.models.model import DrugModel
from auctor.predictor import Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class WhatIf:
    """The methods that answer for one case, ready to judge any regimen. `weight_kg` is None where it was not given."""

    question: Question
    methods: dict[str, Predictor]
    weight_kg: float | None

    @classmethod
    def of(
        cls,
        case: Case,
        model: DrugModel,
        *,
        target: Target | None = None,
        learner: SupportsPredictor | None = None,
        n_draws: int = 2000,
        seed: int = 0,
    ) -> WhatIf:
        """The estimates of `analyse` with the same arguments; CaseError as there."""
        laid = lay_out(case, model, target=target, n_draws=n_draws, seed=seed)
        attempts = predictors(laid.question, learner)
        points = laid.question.case.covariates
        last = points.at(max((t for series in points.series.values() for t, _ in series), default=0.0))
        return cls(
            question=laid.question,
            methods={key: found for key, found in attempts.items() if not isinstance(found, str)},
            weight_kg=None if WEIGHT in laid.defaults else last.get(WEIGHT),
        )

    def option(self, *, dose_mg: float, every_h: float, duration_h: float = 0.0) -> Option:
        """The typed regimen within the caps; CaseError beyond them, and where the model has no dosing table to give caps."""
        dosing = self.question.model.dosing
        if dosing is None:
            what = f"{self.question.model.name} has no dosing table, so no caps are known"
            raise CaseError(where="dose", what=what, remedy="only the current regimen and hold are compared")
        return typed_option(dosing, dose_mg=dose_mg, every_h=every_h, duration_h=duration_h, weight_kg=self.weight_kg)

    def judge(self, option: Option) -> dict[str, Forecast]:
        """The forecast of an option at steady state by each method, mg*h/L or mg/L, in the order of the analysis."""
        going_on = next((o for o in self.question.options if o.kind is OptionKind.CURRENT), None)
        return {key: forecast(found, option, going_on, self.question.target) for key, found in self.methods.items()}
