"""`auctor models check [FILE ...]`: judge model files, or the whole library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auctor.cli.command import BAD_INPUT, AsJson
from auctor.cli.terminal import out, put_json, working

if TYPE_CHECKING:
    from auctor.validate.model_file import Report

_COLOURS = {"error": "red", "warning": "yellow", "info": "dim"}


def check_models(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE ...]", help="TOML files or library names; none: the library.", show_default=False)
    ] = None,
    *,
    quiet: Annotated[bool, typer.Option("--quiet", help="Errors and warnings only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge model files: units of every equation, ranges, domain of validity, sources, and their own checks. Leaves with 2 on an error."""
    from auctor.models.reader import list_models
    from auctor.validate.model_file import check_file

    names = list(files or list_models())
    reports: list[Report] = []
    with working(f"{len(names)} model files") as steps:
        for k, name in enumerate(names):
            reports += check_file(name)
            steps(name, (k + 1) / len(names))
    if as_json:
        put_json({"models": [_document(report) for report in reports]})
    else:
        _print(reports, quiet=quiet)
    if not all(report.usable for report in reports):
        raise typer.Exit(BAD_INPUT)


def _document(report: Report) -> dict[str, object]:
    findings = [dict(vars(finding)) for finding in report.findings]
    return {"name": report.name, "usable": report.usable, "checks": report.checks, "passed": report.passed, "findings": findings}


def _print(reports: list[Report], *, quiet: bool) -> None:
    from rich.markup import escape

    console = out()
    for report in reports:
        word = "ok" if report.usable else "[red]not usable[/red]"
        console.print(f"[bold]{escape(report.name)}[/bold]: {word}, {report.passed} of {report.checks} checks passed")
        for finding in report.findings:
            if not quiet or finding.severity != "info":
                colour = _COLOURS[finding.severity]
                console.print(f"  [{colour}]{finding.severity}[/{colour}] {finding.code}  {escape(finding.where)}", soft_wrap=True)
                console.print(f"    {escape(finding.what)}; {escape(finding.remedy)}", soft_wrap=True, style="dim")
    worst = sum(not report.usable for report in reports)
    console.print(f"{len(reports)} models and variants, {worst} not usable")
