"""A hash of what a model's course depends on: models that differ only in variability or size of error share compiled code."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from auctor.models.model import DrugModel, Parameter, Residual


def mechanism(model: DrugModel) -> str:
    """A hash of the model without its words, its omega, and the numbers of a residual error that all outputs share.

    Everything else counts, whatever is added to `DrugModel` later, so that a shared trace is never the wrong one.

    >>> from auctor.models.reader import read_model
    >>> model = read_model("vancomycin_goti_2018")
    >>> mechanism(replace(model, omega=4 * model.omega)) == mechanism(model)
    True
    """
    blank: dict[str, Any] = dict.fromkeys(("name", "drug", "title", "status", "population", "matrix", "sha256", "variant"), "")
    blank |= dict.fromkeys(("targets", "checks", "notes", "questions", "warnings"), ())
    blank["covariates"] = dict.fromkeys(model.covariates)
    blank |= {"reference": {}, "units": {}, "dosing": None, "molar_mass": None, "omega": None, "variants": {}, "exempt": {}}
    if len(model.residuals) < 2:
        blank |= {"residual": Residual(proportional=0.0, additive=0.0, kind=model.residual.kind), "residuals": {}}
    bare = replace(model, parameters={name: _bare(p) for name, p in model.parameters.items()}, **blank)
    return hashlib.sha256(repr(bare).encode()).hexdigest()


def _bare(parameter: Parameter) -> Parameter:
    return replace(parameter, omega=None, iov=None, printed=0.0, unit="", source="")
