"""A published study as one TOML file: the paper's design and numbers, the simulators that train and those that judge, the noise regimes.

The format is documented in docs/study-file.md. Reading is strict: a key that is not known is refused (PlanError).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from auctor.errors import AuctorError, PlanError
from auctor.learn.amortised.store import open_amortised_plan
from auctor.models.expressions import parse
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.variants import split_name
from auctor.population.plan import NOISE
from auctor.population.reading import Table

FOLDER = Path(__file__).parent / "studies"
FLAGS = ("ABS", "FULL", "CODE", "SEED")
SAME = "same"  # the world of the training simulators
SHARED = (
    "train",
    "noise",
    "regimen",
    "sampling",
    "seen",
    "features",
    "target",
    "groups",
    "amortised",
)  # what a design may take from the top of the file


class StudyTable(Table):
    """A table of a study file: the plan's strict reader with remedies that name the study's page."""

    def refuse(self, key: str, what: str, remedy: str) -> PlanError:
        """The typed error for a key of this table."""
        return PlanError(
            where=f"{self.where}.{key}", what=what.replace("of a plan", "of a study"), remedy=remedy.replace("plan-file", "study-file")
        )

    def table(self, key: str, *, optional: bool = False) -> StudyTable:
        """A sub-table with its own path."""
        found = super().table(key, optional=optional)
        return StudyTable(found.left, where=found.where)

    def tables(self, key: str, *, optional: bool = False) -> list[StudyTable]:
        """A list of tables, `[[key]]`; none where it is optional and absent."""
        rows = [] if optional and not self.has(key) else self.any(key)
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise self.refuse(key, "is not a list of tables", f"write [[{key}]] for each")
        return [StudyTable(row, where=f"{self.where}.{key}[{k}]") for k, row in enumerate(rows)]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One figure of the paper: `percent` of a `measure`, how much of the source was read (`flag`), and which of ours stands beside it.

    `design`, `noise` and `world` name our table; an empty design says that no table of ours corresponds.
    """

    what: str
    measure: str
    percent: float
    flag: str
    source: str
    design: str = ""
    noise: str = ""
    world: str = SAME


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Virtual patients that train, calibrate and test, those of every other world, posterior draws, and tuning configurations.

    `coverage` further patients show what the learners' intervals cover, subgroup by subgroup; 0: those that test.
    """

    train: int
    calibration: int
    test: int
    other: int
    draws: int
    configurations: int
    coverage: int = 0


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another simulator: the model that makes the truth, and samples drawn at another time than the one told (name -> h)."""

    name: str
    models: tuple[str, ...]
    drawn_at_h: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Design:
    """One arm: the training models, the noise regimes and other worlds it is judged in, and its part of a plan file.

    `plan` holds the tables regimen and sampling (empty: no samples); `target` that of a plan where it is no F/CL; `covariates` replaces
    distributions of the study's; `groups` are subgroups as in a plan's [interval]; `seen` are the covariates among the features,
    and `features` further ones. `amortised` names a shipped plan, or the path of one beside the study, whose posterior is a row ("": none).
    `quick`, `full`: the forms that it is part of.
    """

    name: str
    train: tuple[str, ...]
    noise: tuple[str, ...]
    others: tuple[str, ...]
    covariates: Mapping[str, Mapping[str, Any]]
    plan: Mapping[str, Any]
    target: Mapping[str, Any]
    groups: tuple[Mapping[str, Any], ...]
    seen: tuple[str, ...]
    features: tuple[str, ...]
    amortised: str
    quick: bool
    full: bool


@dataclass(frozen=True, kw_only=True)
class StudyTexts:
    """What the page of any study says of the paper, and of the study itself; `slug` names the page."""

    name: str
    slug: str
    title: str
    cite: str
    doi: str
    paper: tuple[str, ...]
    missing: tuple[str, ...]
    differs: tuple[str, ...]
    decides: tuple[str, ...]


def texts_of(top: StudyTable, slug: str) -> dict[str, Any]:
    """The fields of `StudyTexts` out of a study's file."""
    found: dict[str, Any] = {key: top.text(key) for key in ("name", "title", "cite")}
    found |= {key: top.texts(key) for key in ("paper", "missing", "differs", "decides")}
    return found | {"slug": slug, "doi": top.text("doi", default="")}


@dataclass(frozen=True, kw_only=True)
class StudyFile(StudyTexts):
    """A whole study. `sha256` covers its content and that of its models, and of amortised plans beside it."""

    drug: str
    published: tuple[Published, ...]
    seed: int
    scale: str
    assay_cv: float
    learners: tuple[str, ...]
    learner: Mapping[str, Any]
    full: Sizes
    quick: Sizes
    models: Mapping[str, DrugModel]
    covariates: Mapping[str, Mapping[str, Any]]
    designs: tuple[Design, ...]
    others: tuple[Other, ...]
    sha256: str


def shipped_studies() -> dict[str, Path]:
    """Name -> file of the studies that auctor ships, by name.

    >>> "E4" in shipped_studies()
    True
    """
    found = {path.stem.partition("_")[0].upper(): path for path in FOLDER.glob("*.toml")}
    return dict(sorted(found.items()))


@lru_cache(maxsize=32)
def open_study(name: str) -> StudyFile:
    """A shipped study by name. Raises PlanError."""
    if name not in shipped_studies():
        raise PlanError(where=name, what="is not a study that auctor ships", remedy=f"choose one of {', '.join(shipped_studies())}")
    return read_study(shipped_studies()[name])


def read_study(path: Path, *, text: str | None = None) -> StudyFile:
    """Read a study file, or `text` as if it stood at `path`. Errors: PlanError naming the key and the remedy."""
    content = study_content(path, text)
    top = StudyTable(content, where=path.stem)
    if top.integer("schema") != 1:
        raise top.refuse("schema", "is not a known version of the study format", "write schema = 1")
    models = _models(top, path.parent)
    covariates = _covariates(top.table("covariates"))
    others = tuple(_other(row, models) for row in top.tables("other", optional=True))
    designs = tuple(_design(row, top, (models, others), path.parent) for row in top.tables("design"))
    study = StudyFile(
        **texts_of(top, path.stem),
        drug=top.text("drug"),
        published=tuple(_published(row) for row in top.tables("published")),
        seed=top.integer("seed", high=2**63),
        scale=top.text("scale", default="dose_rate"),
        assay_cv=top.number("assay_cv", low=0, high=1, default=0.05),
        learners=top.texts("learners"),
        learner=top.table("learner").left,
        full=_sizes(top.table("full")),
        quick=_sizes(top.table("quick")),
        models=models,
        covariates=covariates,
        designs=designs,
        others=others,
        sha256=_digest(content, models, designs),
    )
    for key in SHARED:
        top.left.pop(key, None)
    top.done()
    _check(study)
    return study


def study_content(path: Path, text: str | None) -> dict[str, Any]:
    """The content of a study's TOML: `text`, or what is at `path`. Raises PlanError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8") if text is None else text)
    except OSError as error:
        raise PlanError(where=path.name, what="cannot be read", remedy="check the path of the study") from error
    except ValueError as error:
        raise PlanError(where=path.name, what=f"is not TOML: {error}", remedy="see docs/study-file.md") from error


def _digest(content: Mapping[str, Any], models: Mapping[str, DrugModel], designs: tuple[Design, ...]) -> str:
    covered: dict[str, Any] = {"study": content, "models": {name: model.sha256 for name, model in models.items()}}
    if beside := sorted({one.amortised for one in designs if one.amortised.endswith(".toml")}):
        covered["amortised"] = ",".join(open_amortised_plan(path).sha256 for path in beside)
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def _amortised(row: StudyTable, folder: Path) -> str:
    """A shipped plan by name, or the path of one given relative to the study."""
    name = row.text("amortised", default="")
    return str(folder / name) if name.endswith(".toml") else name


def _models(top: StudyTable, folder: Path) -> dict[str, DrugModel]:
    table = top.table("models")
    found = {}
    for label in tuple(table.left):
        name = table.text(label)
        try:
            found[label] = read_model(folder / name if split_name(name)[0].endswith(".toml") else name)
        except AuctorError as error:
            raise table.refuse(label, f"{name!r} cannot be loaded ({error.what})", error.remedy) from error
    return found


def _covariates(table: StudyTable) -> dict[str, Mapping[str, Any]]:
    """Distributions as a plan has them, `formula` of the ones before, or `by` an age in whole years from 1 on."""
    return {name: table.table(name).left for name in tuple(table.left)}


def _other(row: StudyTable, models: Mapping[str, DrugModel]) -> Other:
    drawn = row.table("drawn_at_h", optional=True)
    found = Other(
        name=row.text("name"),
        models=_labels(row, "models", models),
        drawn_at_h={name: drawn.number(name, low=0) for name in tuple(drawn.left)},
    )
    row.left.pop("drawn_at_h", None)
    row.done()
    return found


def _labels(row: StudyTable, key: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    labels = () if row.left.get(key) == [] and row.left.pop(key) == [] else row.texts(key)
    for label in labels:
        if label not in known:
            raise row.refuse(key, f"names {label!r}, which the study does not have", f"choose from {', '.join(known)}")
    return labels


def _published(row: StudyTable) -> Published:
    found = Published(
        what=row.text("what"),
        measure=row.text("measure", choices=("rMPE", "rRMSE", "out20", "R2", "other")),
        percent=row.number("percent"),
        flag=row.text("flag", choices=FLAGS),
        source=row.text("source"),
        design=row.text("design", default=""),
        noise=row.text("noise", default="", choices=(*NOISE, "")),
        world=row.text("world", default=SAME),
    )
    row.done()
    return found


def _sizes(table: StudyTable) -> Sizes:
    names = ("train", "calibration", "test", "other", "draws", "configurations")
    found = {name: table.integer(name, low=1) for name in names}
    if table.has("coverage"):
        found["coverage"] = table.integer("coverage", low=1)
    table.done()
    return Sizes(**found)


def _design(row: StudyTable, top: StudyTable, named: tuple[Mapping[str, DrugModel], tuple[Other, ...]], folder: Path) -> Design:
    """An arm; what it does not say itself it takes from the top of the file."""
    for key in SHARED:
        if not row.has(key) and top.has(key):
            row.left[key] = top.left[key]
    models, others = named
    known = {other.name: other for other in others}
    form = row.text("form", default="both", choices=("both", "full", "quick"))
    found = Design(
        name=row.text("name"),
        train=_labels(row, "train", models),
        noise=row.texts("noise"),
        others=_labels(row, "others", known) if row.has("others") else tuple(known),
        covariates=_covariates(row.table("covariates", optional=True)),
        plan={key: row.table(key).left for key in ("regimen", "sampling")},
        target=row.table("target", optional=True).left,
        groups=tuple(one.left for one in row.tables("groups", optional=True)),
        seen=row.texts("seen"),
        features=row.texts("features") if row.has("features") else (),
        amortised=_amortised(row, folder),
        quick=form != "full",
        full=form != "quick",
    )
    for key in ("covariates", "target", "groups"):
        row.left.pop(key, None)
    row.done()
    return found


def _check(study: StudyFile) -> None:
    """Noise regimes are known, figures refer to tables that exist, formulas parse."""
    for design in study.designs:
        for noise in design.noise:
            if noise not in NOISE:
                raise PlanError(where=f"{study.slug}.noise", what=f"{noise!r} is not a regime", remedy=f"write {', '.join(NOISE)}")
    for figure in study.published:
        if figure.design and not any(_judged(d, figure) for d in study.designs):
            raise PlanError(
                where=f"{study.slug}.published", what=f"{figure.what!r} names a table there is not", remedy="check design, noise and world"
            )
    for name in study.covariates:
        _formula(study, name)


def _judged(design: Design, figure: Published) -> bool:
    return design.name == figure.design and figure.noise in design.noise and figure.world in (SAME, *design.others)


def _formula(study: StudyFile, name: str) -> None:
    """Refuse a formula that does not parse (ModelError)."""
    text = study.covariates[name].get("formula")
    if text is not None:
        parse(str(text), where=f"{study.slug}.covariates.{name}")
