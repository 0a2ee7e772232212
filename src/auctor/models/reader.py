"""read_model: one TOML file to one DrugModel, every number converted and every name checked."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auctor.errors import ModelError
from auctor.models.checks import CHECK_KEYS
from auctor.models.effects import check_units, fill_typical, read_covariates, read_effects
from auctor.models.expressions import Expression
from auctor.models.model import Covariate, DrugModel, Effect, Parameter, System
from auctor.models.practice import read_dosing, read_residuals, read_targets
from auctor.models.quantities import CONCENTRATION, MASS, TIME, factor
from auctor.models.structures import read_structure
from auctor.models.systems import read_formulas, read_system, system_structure
from auctor.models.table import Table, suggestion
from auctor.models.variability import check_occasions, read_omega, read_parameters
from auctor.models.variants import identity, read_variants, split_name, varied

SCHEMA = 1
STATUSES = ("draft", "reviewed", "validated")
LIBRARY = Path(__file__).parent / "library"
_REQUIRED = ("schema", "drug", "reference", "status", "population", "units", "structure", "parameters", "residual")
_OPTIONAL = (
    *("title", "matrix", "molar_mass", "variability", "covariates", "effects", "correlations", "omega"),
    *("targets", "dosing", "checks", "exempt", "notes", "questions", "individual", "odes", "outputs", "doses", "variants"),
)
_REFERENCE = ("doi", "cite", "pmid", "url", "verified_by", "confidence")


def list_models() -> tuple[str, ...]:
    """Names of the library's models, in alphabetical order."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.toml")))


def library_path(name: str) -> Path:
    """The file of a library model; ModelError with a did-you-mean when there is none.

    The spelling of the literature records, `author2018` for `author_2018`, is accepted.

    >>> library_path("vancomycin_goti2018").name
    'vancomycin_goti_2018.toml'
    """
    stem = re.sub(r"(?<=[A-Za-z])(?=\d{4}(?:_|$))", "_", name)
    if stem not in list_models():
        remedy = f"{suggestion(stem, list_models())}; or give the path of a .toml file"
        raise ModelError(where="model", what=f"no library model {name!r}", remedy=remedy)
    return LIBRARY / f"{stem}.toml"


def model_path(name_or_path: str | Path) -> tuple[Path, str]:
    """The file of what `read_model` is given, and the variant asked for ("" for none)."""
    text, variant = split_name(str(name_or_path))
    path = Path(text)
    named_file = isinstance(name_or_path, Path) or path.suffix == ".toml" or len(path.parts) > 1
    return path if named_file else library_path(text), variant


def read_model(name_or_path: str | Path) -> DrugModel:
    """Read a library model by name, or any model file by its path (a `.toml` suffix or a folder in it).

    `name@variant` and `path.toml@variant` read a variant that the file offers. The result is in engine units (h, mg, L, mg/L) and
    carries the SHA-256 of the file's bytes and the variant. ModelError names the file and the key of whatever is missing, misspelt,
    unknown or impossible.

    >>> model = read_model("tacrolimus_woillard_2011")
    >>> round(model.typical({"HCT": 32.3, "CYP3A5": 0.0, "FORM": 1.0})["CL"], 2)
    23.23
    """
    path, variant = model_path(name_or_path)
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = "check the path; `auctor models list` names the library"
        raise ModelError(where=str(name_or_path), what="this file cannot be read", remedy=remedy) from error
    top, asked = _top(content, path.name), f"@{variant}" if variant else ""
    offered = read_variants(top)
    model = _model(Table(varied(top, variant), path.name + asked), name=path.stem + asked, sha256=identity(content, variant))
    return replace(model, variant=variant, variants=offered)


def read_every_variant(name_or_path: str | Path) -> tuple[DrugModel, ...]:
    """The file as it stands and each variant it offers, in file order.

    >>> [model.name for model in read_every_variant("vancomycin_goti_2018")]
    ['vancomycin_goti_2018'...]
    """
    model = read_model(name_or_path)
    path, _ = model_path(name_or_path)
    return model, *(read_model(Path(f"{path}@{name}")) for name in model.variants)


def _top(content: bytes, name: str) -> Table:
    try:
        data = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(where=name, what=f"not TOML in UTF-8 ({error})", remedy="correct the syntax, see docs/model-file.md") from error
    top = Table(data, name)
    if data.get("schema") != SCHEMA:
        raise top.fault("schema", f"not schema {SCHEMA}", f"write schema = {SCHEMA} at the top of a model file")
    return top.only(required=_REQUIRED, optional=_OPTIONAL)


def _model(top: Table, *, name: str, sha256: str) -> DrugModel:
    molar_mass = top.positive("molar_mass") if "molar_mass" in top.data else None
    printed, units = read_parameters(top)
    covariates = read_covariates(top)
    check_occasions(top, printed, covariates)
    effects = read_effects(top, printed, covariates)
    check_units(top, effects, units)
    known = fill_typical(top, printed, effects, at={n: c.reference for n, c in covariates.items()})
    parameters, eta_names, omega = read_omega(top, known)
    formulas = read_formulas(top, parameters, covariates)
    system = read_system(top, {*parameters, *covariates, *formulas})
    residuals = read_residuals(top, molar_mass, tuple(system.outputs) if system else ())
    model = DrugModel(
        name=name,
        sha256=sha256,
        molar_mass=molar_mass,
        structure=read_structure(top, units) if system is None else system_structure(top, system),
        formulas=formulas,
        system=system,
        residuals=residuals,
        covariates=covariates,
        parameters=parameters,
        effects=effects,
        eta_names=eta_names,
        omega=omega,
        residual=next(iter(residuals.values())),
        targets=read_targets(top, molar_mass),
        dosing=read_dosing(top),
        checks=tuple(row.only(required=CHECK_KEYS[:2], optional=CHECK_KEYS).data for row in top.rows("checks")),
        exempt=_exempt(top),
        warnings=_unused(covariates, _formulas(parameters, effects, formulas, system)),
        **_words(top),
        **_units(top, molar_mass),
    )
    _check_typical(top, model)
    return model


def _formulas(
    parameters: Mapping[str, Parameter], effects: Sequence[Effect], formulas: Mapping[str, Expression], system: System | None
) -> list[Expression]:
    """Every formula that may read a covariate."""
    conditions = [p.iov_when for p in parameters.values() if p.iov_when is not None]
    return [*conditions, *(e.expr for e in effects), *formulas.values(), *(_everything(system) if system else ())]


def _check_typical(top: Table, model: DrugModel) -> None:
    """Every structural parameter must be above zero for the typical patient, and a logit-normal one within its range."""
    values = model.typical({name: c.reference for name, c in model.covariates.items()}, math)
    for p in (p for p in model.parameters.values() if p.distribution == "logitnormal" and not p.low < values[p.name] < p.high):
        raise top.fault(f"parameters.{p.name}", f"not between {p.low:g} and {p.high:g}, its range", "check its value, low and high")
    if model.system is not None:
        return
    s = model.structure
    for name in (s.clearance, s.central, s.distribution, s.peripheral, s.rate, s.duration, s.bioavailability):
        if name is not None and not 0 < values[name] < math.inf:
            raise top.fault(f"parameters.{name}", "not above zero at the reference covariates", "check its value and effects")


def _words(top: Table) -> dict[str, Any]:
    reference = top.table("reference", required=("cite",), optional=_REFERENCE)
    return {
        "drug": top.text("drug"),
        "title": top.text("title", top.text("drug")),
        "reference": {key: reference.text(key) for key in reference.data},
        "status": top.choice("status", STATUSES),
        "population": top.text("population"),
        "matrix": top.text("matrix", ""),
        "notes": top.texts("notes"),
        "questions": top.texts("questions"),
    }


def _exempt(top: Table) -> dict[str, str]:
    """`[exempt]`: a kind of check that the model cannot have -> why."""
    if "exempt" not in top.data:
        return {}
    table = top.table("exempt", required=("invariant",))
    return {key: table.text(key) for key in table.data}


def _units(top: Table, molar_mass: float | None) -> dict[str, Any]:
    table = top.table("units", required=("time", "dose", "concentration"))
    for key, dimension in (("time", TIME), ("dose", MASS)):
        factor(table.text(key), dimension, where=table.at(key), molar_mass=molar_mass)
    shown = factor(table.text("concentration"), CONCENTRATION, where=table.at("concentration"), molar_mass=molar_mass)
    return {"units": {key: table.text(key) for key in table.data}, "scale": float(f"{1.0 / shown:.15g}")}


def _everything(system: System) -> tuple[Expression, ...]:
    carried = (formula for table in system.inputs.values() for formula in table.values())
    return (*system.derivatives, *system.outputs.values(), *carried)


def _unused(covariates: Mapping[str, Covariate], formulas: Sequence[Expression]) -> tuple[str, ...]:
    used = {name for formula in formulas for name in formula.names}
    return tuple(f"covariate {name} is declared and no effect uses it" for name in covariates if name not in used)
