"""Covariates against the model they are meant for: words to codes, and who was in the source population."""

from __future__ import annotations

from collections.abc import Mapping

from auctor.errors import CaseError, Notice
from auctor.models.model import Covariate, DrugModel
from auctor.models.table import suggestion


def encode(covariate: Covariate, value: str | float) -> float:
    """The number the model computes with: a word of a categorical covariate becomes its code. CaseError otherwise.

    >>> from auctor.models.reader import read_model
    >>> encode(read_model("tacrolimus_woillard_2011").covariates["CYP3A5"], "expresser")
    1.0
    """
    where, levels = f"covariates.{covariate.name}", covariate.levels
    if levels is None and isinstance(value, str):
        raise CaseError(where=where, what="a word where a number is needed", remedy=f"give a number in {covariate.unit}")
    if levels is not None and value not in levels and value not in levels.values():
        hint = suggestion(value, levels) if isinstance(value, str) else f"known here: {', '.join(levels)}"
        raise CaseError(where=where, what="not one of the levels", remedy=hint)
    return levels[value] if levels is not None and isinstance(value, str) else float(value)


def domain_notices(model: DrugModel, covariates_at_time: Mapping[str, float]) -> tuple[Notice, ...]:
    """One `outside-domain` notice for each covariate outside the source population of the model.

    `covariates_at_time` holds codes and numbers in the model's units, as `Covariates.at` gives them; names the model
    does not know are passed over. The notices carry the domain, never the patient's value.

    >>> from auctor.models.reader import read_model
    >>> [n.where for n in domain_notices(read_model("vancomycin_goti_2018"), {"WT": 12.0, "CRCL": 60.0, "DIAL": 0.0})]
    ['covariates.WT']
    """
    known = [c for name, c in model.covariates.items() if name in covariates_at_time]
    return tuple(_notice(model, c) for c in known if not inside(c, covariates_at_time[c.name]))


def inside(covariate: Covariate, value: float) -> bool:
    """Whether a value lies in the source population: one of the codes, or within low..high (either may be open)."""
    if covariate.levels is not None:
        return value in covariate.levels.values()
    above = covariate.low is None or value >= covariate.low
    return above and (covariate.high is None or value <= covariate.high)


def domain_text(covariate: Covariate) -> str:
    """The domain in words: `20.9 to 46.6 %`, `nonexpresser or expresser`.

    >>> domain_text(Covariate(name="WT", unit="kg", label="Weight", reference=70, low=33, high=255))
    '33 to 255 kg'
    """
    if covariate.levels is not None:
        return " or ".join(covariate.levels)
    unit = "" if covariate.unit in ("", "1") else f" {covariate.unit}"
    match covariate.low, covariate.high:
        case None, None:
            return "not reported"
        case low, None:
            return f"at least {low:g}{unit}"
        case None, high:
            return f"at most {high:g}{unit}"
    return f"{covariate.low:g} to {covariate.high:g}{unit}"


def _notice(model: DrugModel, covariate: Covariate) -> Notice:
    return Notice(
        code="outside-domain",
        where=f"covariates.{covariate.name}",
        what=f"{covariate.label} is outside the population of {model.name} ({domain_text(covariate)})",
        remedy="check the value and its unit; prefer a model built in such patients",
    )
