"""`auctor cds acceptance`: how the cards of CDS Hooks were answered, by service and kind, over a period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auctor.cli.command import AsJson
from auctor.cli.serve import ConfigFile
from auctor.cli.silent import administrator, clinic_of
from auctor.cli.terminal import put_json, put_table

if TYPE_CHECKING:
    from auctor.web.service.feedback import Acceptance


def acceptance(
    *,
    since: Annotated[str, typer.Option(metavar="DAY", help="The first day, for example 2026-03-01; default: the beginning.")] = "",
    until: Annotated[str, typer.Option(metavar="DAY", help="The last day; default: today.")] = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Count the cards that were shown, accepted and overridden, with the reasons, by service, kind and indicator. No patient is named."""
    from auctor.web.service import feedback

    with clinic_of(config) as clinic:
        rows = feedback.acceptance(clinic, administrator(), feedback.Period.read(since, until, zone=clinic.zone))
    if as_json:
        put_json({"since": since or None, "until": until or None, "cards": feedback.as_data(rows)})
    else:
        _table(rows)


def _table(rows: tuple[Acceptance, ...]) -> None:
    from rich.table import Table

    table = Table("service", "kind", "indicator", "shown", "accepted", "overridden", "unanswered", "reasons")
    for row in rows:
        counts = (row.shown, row.accepted, row.overridden, row.unanswered)
        reasons = ", ".join(f"{name} {n}" for name, n in row.reasons.items())
        table.add_row(row.service, row.kind, row.indicator, *map(str, counts), reasons)
    put_table(table)
