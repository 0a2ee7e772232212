"""Every page of the model library as files by name: an index by drug, a page a drug, a page and a picture a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from auctor.analysis.comparison import compare
from auctor.analysis.typical_patient import typical_patients
from auctor.models.model import DrugModel
from auctor.models.reader import list_models, read_model
from auctor.report.drug_page import drug_page
from auctor.report.forest_svg import forest_svg
from auctor.report.markdown import plain, table
from auctor.report.model_page import model_page
from auctor.report.typical_svg import scene, typical_svg

DRAWS = 2000  # as `auctor models compare` has it, so that the numbers are the same
Progress = Callable[[str, float], None]


def library_pages(*, compiled: bool = False, progress: Progress = lambda stage, share: None) -> dict[str, str]:
    """File name -> text, Markdown and SVG. Without `compiled` models that need the compiled engine have no curve, and say so."""
    by_drug: dict[str, list[DrugModel]] = {}
    for name in list_models():
        model = read_model(name)
        by_drug.setdefault(model.drug, []).append(model)
    pages = {"index.md": _index(by_drug)}
    for k, (drug, models) in enumerate(sorted(by_drug.items())):
        progress(drug, k / len(by_drug))
        pages |= _of_drug(drug, models, compiled=compiled)
    return pages


def write_pages(folder: Path, *, compiled: bool = False, progress: Progress = lambda stage, share: None) -> tuple[Path, ...]:
    """Write them into a folder, made if missing; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = library_pages(compiled=compiled, progress=progress)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return tuple(folder / name for name in pages)


def page_of_drug(drug: str) -> str:
    """The file of a drug's page.

    >>> page_of_drug("docetaxel neutrophils")
    'docetaxel-neutrophils.md'
    """
    return re.sub(r"[^a-z0-9]+", "-", drug.casefold()).strip("-") + ".md"


def _of_drug(drug: str, models: Sequence[DrugModel], *, compiled: bool) -> dict[str, str]:
    pages: dict[str, str] = {}
    compared = []
    for patient in typical_patients(drug) if len(models) > 1 else ():
        found = compare(models, patient.cases(models), compiled=compiled, n_draws=DRAWS)
        name, picture = f"{page_of_drug(drug).removesuffix('.md')}{f'-{patient.word}' if patient.word else ''}.svg", forest_svg(found)
        pages |= {name: picture} if picture else {}
        compared.append((patient, found, name if picture else None))
    pages[page_of_drug(drug)] = drug_page(drug, models, compared)
    for model in models:
        seen = scene(model)
        drawn = None if seen is None else typical_svg(model, seen, compiled=compiled)
        pages |= {f"{model.name}.svg": drawn} if drawn else {}
        pages[f"{model.name}.md"] = model_page(model, drug_page=page_of_drug(drug), picture=f"{model.name}.svg" if drawn else None)
    return pages


def _index(by_drug: dict[str, list[DrugModel]]) -> str:
    rows = []
    for drug, models in sorted(by_drug.items()):
        links = ", ".join(f"[{model.name}]({model.name}.md)" for model in models)
        states = ", ".join(
            f"{sum(m.status == s for m in models)} {s}" for s in ("draft", "reviewed", "validated") if any(m.status == s for m in models)
        )
        rows.append((f"[{plain(drug)}]({page_of_drug(drug)})", str(len(models)), states, links))
    total = sum(len(models) for models in by_drug.values())
    return (
        "# Model library\n\n"
        f"{total} published models of {len(by_drug)} drugs. A drug's page puts its models side by side for one typical patient:\n"
        "whom they were built in, what each predicts, and how far they are apart. A model's page has everything needed to redo\n"
        "its arithmetic by hand. These pages are made from the model files by `auctor models pages`.\n\n"
        f"{table(('drug', 'models', 'status', 'which'), rows)}\n"
    )
