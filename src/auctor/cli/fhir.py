"""`auctor fhir import | export | codes`: a hospital's FHIR R4 record to a case, a result to FHIR, and what codes are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, say, warn

if TYPE_CHECKING:
    from auctor.fhir.found import Imported
    from auctor.fhir.returned import Signed

BundleFile = Annotated[Path, typer.Argument(metavar="BUNDLE.json", help="A FHIR R4 Bundle with one Patient.", show_default=False)]
ResultFile = Annotated[Path, typer.Argument(metavar="RESULT", help="A result.json, or the folder it is in.", show_default=False)]
SiteCodes = Annotated[Path | None, typer.Option("--codes", metavar="FILE.toml", help="The hospital's own codes, see docs/fhir.md.")]


def import_bundle(
    bundle: BundleFile,
    *,
    drug: Annotated[str, typer.Option(help="The drug of the course.", show_default=False)],
    model: Annotated[list[str], typer.Option("--model", help="Whose covariates are wanted; default: all of the drug's.")] = [],  # noqa: B006
    label: Annotated[str, typer.Option(help="The case's label; no name.")] = "imported",
    time_zone: Annotated[str, typer.Option(help="The site's zone, for times sent without an offset; they are refused without it.")] = "",
    now: Annotated[str, typer.Option(metavar="TIME", help="Where the data end, 2026-03-03T08:00:00+01:00.")] = "",
    infusion: Annotated[
        list[str], typer.Option("--infusion", metavar="[REF=]LENGTH", help="'60 min' or bolus, for doses whose record does not say.")
    ] = [],  # noqa: B006
    formula: Annotated[str, typer.Option(help="By which creatinine becomes a filtration rate, 'cockcroft-gault'.")] = "",
    leave: Annotated[list[str], typer.Option("--leave", metavar="REF", help="A resource to leave out, 'Observation/7'.")] = [],  # noqa: B006
    codes: SiteCodes = None,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="CASE.toml", help="Write the case here (.toml or .json).")] = None,
    as_json: AsJson = False,
) -> None:
    """Doses, levels and covariates of one patient as a case: what was taken, what was left out and why, what has to be answered first.

    Leaves with 2 while a question is open; no case is written then.
    """
    from auctor.fhir.document import as_dict, case_document
    from auctor.fhir.node import parse_resource
    from auctor.fhir.read import read_bundle
    from auctor.fhir.reading import Wanted

    wanted = Wanted(
        drug=drug, label=label, models=tuple(model), time_zone=time_zone, now=now, infusions=_answers(infusion), formula=formula,
        site_codes=codes, leave=frozenset(leave),
    )  # fmt: skip
    found = read_bundle(parse_resource(bundle.read_bytes(), bundle.name), wanted)
    if as_json:
        put_json(as_dict(found) | {"case": None if found.questions else case_document(found, wanted)})
    else:
        _show(found)
    _write_case(case_document(found, wanted), out_file)


def _answers(infusion: list[str]) -> dict[str, str]:
    """`MedicationAdministration/7=60 min` for one resource, `60 min` for all."""
    pairs = (text.rpartition("=")[::2] for text in infusion)
    return {reference.strip() or "*": length.strip() for reference, length in pairs}


def _show(found: Imported) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title_justify="left", title="Taken")
    for name in ("kind", "entry", "from"):
        table.add_column(name, overflow="fold")
    for fact in found.facts:
        words = ", ".join(f"{key} {value}" for key, value in fact.body.items())
        table.add_row(fact.kind, f"{words}{f' ({fact.label})' if fact.label else ''}", ", ".join(s.reference for s in fact.sources))
    out().print(table)
    for entry in found.left:
        typer.echo(f"left out  {entry.source}: {entry.what} [{entry.code}]")
    for question in found.questions:
        typer.echo(f"question  {question.notice}  [{question.notice.code}]")
    warn(found.notices)


def _write_case(document: dict[str, Any], path: Path | None) -> None:
    if path is None:
        return
    from auctor.data.document import check_document
    from auctor.models.writing import toml_text

    check_document(document)
    as_toml = path.suffix.lower() == ".toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(toml_text(document) if as_toml else json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say(f"written: {path}")


def export_result(
    result: ResultFile,
    *,
    patient: Annotated[str, typer.Option(metavar="REF", help="The patient on the hospital's server, 'Patient/7'.", show_default=False)],
    at: Annotated[str, typer.Option(metavar="TIME", help="When it was computed, 2026-03-03T08:00:00+01:00.", show_default=False)],
    identifier: Annotated[str, typer.Option("--id", help="Our identifier of the result; default: from its SHA-256.")] = "",
    signed_by: Annotated[str, typer.Option(metavar="NAME", help="Who signed; without it the result is preliminary.")] = "",
    signed_at: Annotated[str, typer.Option(metavar="TIME", help="When; default: as --at.")] = "",
    regimen: Annotated[str, typer.Option(metavar="LABEL", help="The candidate that was chosen, as result.json calls it.")] = "",
    replaces: Annotated[str, typer.Option(metavar="ID", help="The result whose place it takes.")] = "",
    error: Annotated[bool, typer.Option("--error", help="It replaces because of an error (corrected), not of new data (amended).")] = False,
    source: Annotated[list[str], typer.Option("--source", metavar="REF", help="A resource it was computed from.")] = [],  # noqa: B006
    pdf: Annotated[Path | None, typer.Option(metavar="FILE.pdf", help="The report, sent as a DocumentReference.")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE.json", help="Where to write it; without it, to stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """A result as a FHIR R4 transaction: DiagnosticReport, Observations, PDF, Provenance, Device. Sent twice, it is there once."""
    from hashlib import sha256

    from auctor.fhir.node import parse_resource
    from auctor.fhir.report_bundle import result_bundle
    from auctor.fhir.returned import Return, Standing

    path = result / "result.json" if result.is_dir() else result
    content = path.read_bytes()
    signed = _signed(signed_by, signed_at or at, regimen)
    replacing = Standing.CORRECTED if error else Standing.AMENDED
    sent = Return(
        patient=patient, identifier=identifier or sha256(content).hexdigest()[:32], at=at, signed=signed, replaces=replaces,
        standing=Standing.PRELIMINARY if signed is None else replacing if replaces else Standing.FINAL,
        sources=tuple(source), pdf=pdf.read_bytes() if pdf else b"",
    )  # fmt: skip
    found = result_bundle(parse_resource(content, path.name), sent)
    if out_file is not None:
        out_file.parent.mkdir(parents=True, exist_ok=True)
        out_file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        say(f"written: {out_file}")
    if as_json or out_file is None:
        put_json(found)


def _signed(by: str, at: str, regimen: str) -> Signed | None:
    from auctor.errors import RecordError
    from auctor.fhir.returned import Signed

    if not by and regimen:
        raise RecordError(where="--regimen", what="a chosen regimen without a signature", remedy="give --signed-by, or leave it out")
    return Signed(by=by, at=at, regimen=regimen) if by else None


def list_codes(
    drug: Annotated[str, typer.Argument(metavar="[DRUG]", help="Only this drug's; default: everything.", show_default=False)] = "",
    *,
    codes: SiteCodes = None,
    as_json: AsJson = False,
) -> None:
    """The codes that are read: what each means, whether it was verified and where, and which one is written for a level."""
    from auctor.fhir.codebook import codebook
    from auctor.models.drug_file import read_drug

    book = codebook(codes)
    name = read_drug(drug).drug if drug else ""
    rows = [m for several in book.meanings.values() for m in several if not name or m.name == name]
    if as_json:
        fields = ("system", "code", "kind", "name", "meaning", "label", "verified", "source")
        emitted = {name: m.code for name in sorted({m.name for m in rows if m.kind == "level"}) if (m := book.emitted(name))}
        put_json({"codes": [{field: getattr(m, field) for field in fields} for m in rows], "emitted": emitted})
        return
    for m in rows:
        typer.echo(f"{m.kind:10} {m.name:14} {m.code:12} {m.meaning}  [{m.source}]")
