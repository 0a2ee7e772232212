"""`auctor amortise`: a plan of several models to one trained amortised posterior with its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import out, put_json, working

if TYPE_CHECKING:
    from auctor.learn.amortised.store import Amortised


def amortise(
    plan: Annotated[str, typer.Argument(metavar="PLAN.toml|NAME", help="A plan file, or the name of a shipped one.", show_default=False)],
    *,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: the cache folder, keyed by content.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train one posterior over several models of a drug at once: simulate, fit the network, store; print its card.

    Without --out a plan that the cache already holds is not trained again.
    """
    from auctor.learn.amortised.store import amortised_for, open_amortised_plan

    read = open_amortised_plan(plan)
    with working(f"amortised posterior {read.name}") as steps:
        if folder is None:
            found = amortised_for(read, progress=steps)
        else:
            from auctor.learn.amortised.train import train_amortised

            found = train_amortised(read, folder, progress=steps)
    if as_json:
        put_json({"folder": str(found.folder), "card": found.card})
    else:
        _print_card(found)


def _print_card(found: Amortised) -> None:
    card, console = found.card, out()
    patients = ", ".join(f"{n} {part}" for part, n in card["data"]["patients"].items())
    console.print(f"[bold]{card['name']}[/bold]: {card['title']}", highlight=False)
    console.print(f"models: {', '.join(m['name'] for m in card['models'])}; simulated patients: {patients}", markup=False)
    for measure, values in card["metrics"].items():
        console.print(f"{measure}: " + ", ".join(f"{name} {value:.3f}" for name, value in values.items()), markup=False)
    console.print(f"plan {card['plan']['sha256'][:12]}; stored in {found.folder}", markup=False)
