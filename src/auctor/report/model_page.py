"""One model as a page of the documentation: what is doubtful first, then everything needed to redo its arithmetic by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from auctor.models.checks import read_checks
from auctor.models.domain import domain_text
from auctor.models.equations import Equation, course_equations, parameter_equations, residual_text
from auctor.models.hand import exposure_steps, parameter_steps
from auctor.models.model import Covariate, DrugModel, Parameter
from auctor.models.show import as_dict, structure_text, target_text
from auctor.report.markdown import admonition, bullets, plain, table
from auctor.report.shown import covariate_value
from auctor.report.typical_svg import Scene, scene

NO_CURVE = (
    "This model has no quick closed form: its curve takes the compiled engine, and is not drawn here. `auctor models pages --all` draws it."
)


def model_page(model: DrugModel, *, drug_page: str, picture: str | None) -> str:
    """The page as Markdown; `drug_page` is the link back, `picture` the name of its SVG file (None where there is none)."""
    found = scene(model)
    sections = (
        ("", f"# {plain(model.title)}\n\n`{model.name}` · [other models of {plain(model.drug)}]({drug_page})\n\n{_doubts(model)}"),
        ("Population", _population(model)),
        ("Typical course", _course(model, found, picture)),
        ("Parameters", _parameters(model)),
        ("Equations", _equations(model)),
        ("Residual error", f"{plain(residual_text(model))}. Source: {plain(model.residual.source)}."),
        ("Targets", bullets(plain(target_text(model, t)) for t in model.targets)),
        ("The arithmetic, for one patient", _by_hand(model, found)),
        ("Checks", _checks(model)),
        ("Variants", _variants(model)),
        ("Notes", bullets(plain(text) for text in model.notes)),
        ("Citation", _citation(model)),
    )
    return "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in sections if body) + "\n"


def _doubts(model: DrugModel) -> str:
    """Status, confidence and open questions: never folded away."""
    said = model.reference
    lines = [f"**Status: {model.status}** (draft, reviewed, validated)."]
    lines += [f"Confidence of the transcription: **{plain(said['confidence'])}**."] if "confidence" in said else ["Confidence: not stated."]
    lines += [f"Verified by: {plain(said['verified_by'])}."] if "verified_by" in said else []
    questions = [*model.questions, *model.warnings]
    body = "  \n".join(lines)
    body += f"\n\nOpen questions:\n\n{bullets(plain(q) for q in questions)}" if questions else "\n\nNo open question is recorded."
    return admonition("info" if model.status == "validated" else "warning", "Before you rely on a number", body)


def _population(model: DrugModel) -> str:
    measured = f" Levels in {plain(model.units['concentration'])}, {plain(model.matrix)}." if model.matrix else ""
    head = f"{plain(model.population)}.{measured}"
    if not model.covariates:
        return f"{head}\n\nThe model reads no covariate."
    rows = [_covariate(c) for c in model.covariates.values()]
    return f"{head}\n\n{table(('covariate', 'what it is', 'reference', 'domain', 'source'), rows)}"


def _covariate(c: Covariate) -> Sequence[str]:
    codes = f" ({', '.join(f'{w} = {code:g}' for w, code in c.levels.items())})" if c.levels else ""
    return (f"`{c.name}`", plain(c.label + codes), plain(covariate_value(c, c.reference)), plain(domain_text(c)), plain(c.note))


def _course(model: DrugModel, found: Scene | None, picture: str | None) -> str:
    if found is None:
        return "No check of the file gives a dose: there is no curve."
    words = plain(found.words(model))
    if picture is None:
        return f"{NO_CURVE}\n\nThe file's own regimen: {words}."
    within = "bands: 50 and 90 % of patients with these covariates (variability between patients only)"
    said = within if len(model.eta_names) else "the source prints no variability between patients that could be drawn"
    return f"![Concentration over time under {model.name}]({picture})\n\n{words}. Line: the typical patient; {said}; no measurement error."


def _parameters(model: DrugModel) -> str:
    rows = [_parameter(p, as_printed) for p, as_printed in zip(model.parameters.values(), as_dict(model)["parameters"], strict=True)]
    head = ("parameter", "value as printed", "IIV", "IOV", "source")
    fixed = [(f"`{e.parameter}`", f"`{n}`", f"{v:g}", plain(e.source)) for e in model.effects for n, v in e.constants.items()]
    parts = [f"Structure: {plain(structure_text(model.structure))}.", table(head, rows)]
    parts += [f"Constants of the covariate effects:\n\n{table(('effect on', 'name', 'value', 'source'), fixed)}"] if fixed else []
    parts += [f"Correlations of the etas:\n\n{bullets(_correlations(model))}"] if list(_correlations(model)) else []
    return "\n\n".join(parts)


def _parameter(p: Parameter, shown: dict[str, object]) -> Sequence[str]:
    spreads = (_spread(p, p.omega, shown["iiv_cv_percent"]), _spread(p, p.iov, shown["iov_cv_percent"]))
    unit = "" if p.unit in ("", "1") else f" {plain(p.unit)}"
    return (f"`{p.name}`", f"{p.printed:.8g}{unit}", *spreads, plain(p.source))


def _spread(p: Parameter, sd: float | None, cv: object) -> str:
    """`39.8 % CV (SD 0.3835, lognormal)`; the scale is that of the eta."""
    if sd is None:
        return "–"
    return f"{cv:.3g} % CV (SD {sd:.4g}, {p.distribution})" if isinstance(cv, float) else f"SD {sd:.4g}, {p.distribution}"


def _correlations(model: DrugModel) -> Iterator[str]:
    names, omega = model.eta_names, model.omega
    for i in range(len(names)):
        for j in (j for j in range(i) if omega[i, j] != 0):
            yield f"`{names[j]}`, `{names[i]}`: {omega[i, j] / (omega[i, i] * omega[j, j]) ** 0.5:.4g}"


def _equations(model: DrugModel) -> str:
    parameters, course = parameter_equations(model).values(), course_equations(model)
    said = "η is the deviation of a patient, κ that of an occasion; formulas work in h, mg and L unless a unit stands beside them."
    return f"{said}\n\n{_shown(parameters)}\n\nCourse:\n\n{_shown(course)}"


def _shown(equations: Iterable[Equation]) -> str:
    """MathML, which browsers draw by themselves, and the same as text for whoever copies it."""
    rows = tuple(equations)
    drawn = "".join(f'<div class="equation">{e.mathml}<span class="unit">{plain(e.unit)}</span></div>' for e in rows)
    listed = "\n".join(f"    {e.text}" for e in rows)
    return f'<div class="equations">{drawn}</div>\n\n??? note "As text"\n\n    ```text\n{listed}\n    ```'


def _by_hand(model: DrugModel, found: Scene | None) -> str:
    patient = dict(found.check.patient) if found else {name: c.reference for name, c in model.covariates.items()}
    steps = (*parameter_steps(model, patient), *exposure_steps(model, patient, found.dose if found else None))
    typed = ",".join(f"{c.name}={_typed(c, patient[c.name])}" for c in model.covariates.values())
    lines = "\n".join(step.text for step in steps)
    asked = f"For another patient: `auctor models show {model.name} --patient '{typed}'`." if typed else ""
    return f"The patient and the dose of the curve above, every η zero. {asked}\n\n```text\n{lines}\n```"


def _typed(c: Covariate, value: float) -> str:
    return covariate_value(c, value) if c.levels is not None else f"{value:g}"


def _checks(model: DrugModel) -> str:
    head = "What the test suite holds this file against. A figure is read off the simulated course, the others are arithmetic."
    rows = []
    for check in read_checks(model):
        patient = ", ".join(f"{c.name} {covariate_value(c, check.patient[c.name])}" for c in model.covariates.values())
        expected = ", ".join(f"{name} = {value:.8g}" for name, value in check.expect.items())
        expected = "; ".join(part for part in (expected, f"invariant `{check.invariant}`" if check.invariant else "") if part)
        rows.append((plain(patient) or "–", expected.replace("_", "\\_").replace("`" + "\\_", "`_"), f"{check.rtol:g}", plain(check.how)))
    return (
        f"{head}\n\n{table(('patient', 'expected (h, mg, L; levels in the unit of the model)', 'tolerance', 'how'), rows)}" if rows else ""
    )


def _variants(model: DrugModel) -> str:
    rows = []
    for name, variant in model.variants.items():
        changes = ", ".join(f"{path} = {value}" for path, value in variant.changes.items())
        rows.append((f"`{model.name}@{name}`", plain(variant.about), plain(changes)))
    return (
        f"Alternatives that the source leaves open; none is taken silently.\n\n{table(('name', 'what differs', 'changes'), rows)}"
        if rows
        else ""
    )


def _citation(model: DrugModel) -> str:
    said = model.reference
    links = [f"doi [{said['doi']}](https://doi.org/{said['doi']})"] if "doi" in said else ["no doi in the file"]
    links += [f"PubMed {plain(said['pmid'])}"] if "pmid" in said else []
    links += [f"transcription: {plain(said['url'])}"] if "url" in said else []
    return f"{plain(said['cite'])}\n\n{'; '.join(links)}\n\nSHA-256 of the model file: `{model.sha256}`"
