"""The models of a drug side by side for its typical patient: which apply, what each predicts, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence

from auctor.analysis.comparison import Comparison, Fit, Row
from auctor.analysis.typical_patient import TypicalPatient
from auctor.models.model import DrugModel
from auctor.report.comparison import ONLY_COVARIATES, STATES, as_dict, short
from auctor.report.forest_svg import ordered
from auctor.report.markdown import bullets, plain, table

_MARKS = {"inside": "✓", "outside": "✗", "unlimited": "(✓)", "far": "(✗)", "missing": "?"}
_WIDE = "---\nhide: [toc]\n---\n\n"


def drug_page(drug: str, models: Sequence[DrugModel], compared: Sequence[tuple[TypicalPatient, Comparison, str | None]]) -> str:
    """The page as Markdown; `compared` holds each typical patient, the comparison, and the name of its picture (None without one)."""
    rows = [(f"[{model.name}]({model.name}.md)", plain(model.title), model.status, plain(model.population)) for model in models]
    listed = table(("model", "what it is", "status", "population"), rows)
    parts = [f"# {plain(drug)}", *(_patient(*one) for one in compared)]
    if not compared and len(models) > 1:
        parts.append("There is no typical patient for this drug yet: nothing is compared here.")
    return _WIDE + "\n\n".join([*parts, f"## The models\n\n{listed}"]) + "\n"


def _patient(patient: TypicalPatient, found: Comparison, picture: str | None) -> str:
    said = as_dict(found)
    shown = f"![{found.auc.name} by model]({picture})\n\n" if picture else ""
    word = f" --patient {patient.word}" if patient.word else ""
    goal = said["target"]
    aim = f" Target: {plain(goal['text'])} ({plain(goal['source'])})." if goal else ""
    return (
        f"## {plain(patient.title)}\n\n{plain(patient.why)}\n\n**{plain(said['regimen'])}.**{aim}\n\n"
        f"{_spread(found)}\n\n{shown}{_exposures(found)}\n\n{_refusals(found)}### Who is inside whose domain\n\n{_domains(found)}\n\n"
        f"With a patient of your own, samples included: `auctor models compare {found.drug} --case CASE`; these numbers: "
        f"`auctor models compare {found.drug}{word}`."
    )


def _spread(found: Comparison) -> str:
    """How far the models that apply are apart, which is what choosing one decides."""
    points = [row.prior.auc.point for row in found.rows if row.applicable and row.prior is not None]
    if len(points) < 2:
        return "Fewer than two models apply to this patient: the choice is not between equals."
    ratio = max(points) / min(points)
    apart = f"{len(points)} models apply to this patient; their {found.auc.name} of the same dose differ by a factor of **{ratio:.2f}**."
    return f"{apart} {ONLY_COVARIATES}"


def _exposures(found: Comparison) -> str:
    said = {row["name"]: row for row in as_dict(found)["models"]}
    units, goal = as_dict(found)["units"], found.target
    head = [
        "model",
        f"{found.auc.name}, {plain(units['auc'])}",
        "90 % interval",
        f"trough, {plain(units['trough'])}",
        "90 % interval",
        "applies",
    ]
    head += [f"in {plain(as_dict(found)['target']['text'])}"] if goal else []
    rows = []
    for row in ordered(found):
        prior = said[row.model.name]["prior"]
        cells = [_link(row.model)]
        for name in ("auc", "trough"):
            low, high = prior[name]["interval90"]
            cells += [short(prior[name]["point"]), f"{short(low)}–{short(high)}"]
        cells.append("yes" if row.applicable else f"no: {_why(row)}")
        cells += [f"{100 * prior['in_target']:.0f} %"] if goal else []
        rows.append(cells)
    return table(head, rows)


def _link(model: DrugModel) -> str:
    return f"[{plain(model.name.removeprefix(f'{model.drug}_'))}]({model.name}.md)"


def _why(row: Row) -> str:
    return ", ".join(f"{f.name} {f.state}" for f in row.fits if f.state in ("outside", "far", "missing"))


def _refusals(found: Comparison) -> str:
    rows = [f"[{row.model.name}]({row.model.name}.md): {plain(row.refused)}" for row in found.rows if row.refused]
    return f"Not in the table:\n\n{bullets(rows)}\n\n" if rows else ""


def _domains(found: Comparison) -> str:
    fits: dict[str, dict[str, Fit]] = {_link(row.model): {f.name: f for f in row.fits} for row in found.rows if row.fits}
    names = list(dict.fromkeys(name for one in fits.values() for name in one))
    rows = [(name, *(_MARKS[one[n].state] if n in one else "" for n in names)) for name, one in fits.items()]
    legend = bullets(f"{_MARKS[state]}: {words}" for state, words in STATES.items())
    return (
        f"{table(('model', *(f'`{n}`' for n in names)), rows)}\n\n{legend}\n- empty: the model does not read it"
        if rows
        else "No model reads a covariate."
    )
