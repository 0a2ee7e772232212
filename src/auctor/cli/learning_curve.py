"""`auctor learning-curve`: a plan's error against the number of training patients, with the limit as the floor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import put_json, put_table, say, working
from auctor.errors import PlanError


def learning_curve(
    plan: Annotated[str, typer.Argument(metavar="PLAN.toml|NAME", help="A plan file, or the name of a shipped one.", show_default=False)],
    *,
    sizes: Annotated[str, typer.Option(metavar="N,N,...", help="Training patients; default: halves of the plan's training part.")] = "",
    picture: Annotated[Path | None, typer.Option("--out", metavar="FILE.svg", help="Write the curve as a picture.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a plan on more and more patients; error, bias and coverage on the same held-out ones, beside the posterior mean.

    Every size is tuned and calibrated as `auctor train` does it; intervals are bootstrap 95 %.
    """
    from auctor.learn.store import open_plan
    from auctor.validate.learning_curve import curve_of

    read, wanted = open_plan(plan), _sizes(sizes)
    with working(f"learning curve of {read.name}") as steps:
        found = curve_of(read, wanted, progress=steps)
    if picture is not None:
        from auctor.report.learning_curve_svg import learning_curve_svg

        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(learning_curve_svg(found), encoding="utf-8")
        say(f"written: {picture}")
    if as_json:
        put_json(found.as_dict())
    else:
        put_table(found.table())


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise PlanError(where="--sizes", what="is not a list of whole numbers", remedy="write for example --sizes 250,500,1000") from error
