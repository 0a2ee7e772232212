"""`auctor demo`: three patients from file to report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auctor.cli.command import AsJson


def demo(
    *,
    examples: Annotated[Path, typer.Option(metavar="DIR", help="Where the example cases are.")] = Path("examples"),
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the reports go, one folder a patient.")] = Path("demo"),
    as_json: AsJson = False,
) -> None:
    """Analyse three example patients; write report.html and result.json for each."""
