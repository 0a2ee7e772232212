"""`auctor population fit`: a table of people to a copula, a small file of facts that plans draw virtual patients from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import put_json, say, working
from auctor.errors import PlanError


def fit_copula(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or Parquet, one row a person.", show_default=False)],
    *,
    column: Annotated[list[str], typer.Option(help="COVARIATE=COLUMN:UNIT, for example AGE=Age:a; repeat it.", show_default=False)],
    code: Annotated[list[str] | None, typer.Option(help="COVARIATE=COLUMN:WORD=NUMBER,... for a column of words.")] = None,
    by: Annotated[str, typer.Option(help="A covariate of codes: one copula for each of its values.")] = "",
    where: Annotated[str, typer.Option(help="Which people, for example 'AGE >= 18'.")] = "",
    weight: Annotated[str, typer.Option(help="The column of survey weights.")] = "",
    vine: Annotated[bool, typer.Option("--vine", help="A vine of pair copulas instead of one correlation: tails may depend.")] = False,
    title: Annotated[str, typer.Option(help="Who these people are.", show_default=False)],
    source: Annotated[str, typer.Option(help="Where the table comes from.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.toml", help="The copula.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Fit a copula to a table: quantiles of each covariate, and the correlation of their normal scores or a vine of pairs.

    The file holds no row of the table. A plan draws from it with [covariates.copula].
    """
    from auctor.population.copula import fit_table

    asked = _asked(column, code or [], where=where, weight=weight)
    with working(f"copula of {table.name}") as steps:
        text, rows = fit_table(table, asked, by=by, name=out.stem, title=title, source=source, vine=vine)
        steps("fit", 1.0)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    if as_json:
        put_json({"file": str(out), "rows": rows})
    else:
        say(f"written: {out}")
        typer.echo(f"copula of {rows} people in {out}")


def _asked(columns: list[str], codes: list[str], *, where: str, weight: str) -> dict[str, Any]:
    """The options as the table `[covariates.table]` of a plan writes them."""
    found: dict[str, Any] = {"columns": {}, "units": {}, "codes": {}}
    for text in columns:
        name, column, unit = _parts(text, "--column", "AGE=Age:a")
        found["columns"][name], found["units"][name] = column, unit
    for text in codes:
        name, column, words = _parts(text, "--code", "SEX=Gender:male=0,female=1")
        found["columns"][name] = column
        found["codes"][column] = dict(_word(pair) for pair in words.split(","))
    return found | ({"where": where} if where else {}) | ({"weight": weight} if weight else {})


def _parts(text: str, option: str, example: str) -> tuple[str, str, str]:
    name, _, rest = text.partition("=")
    column, _, last = rest.partition(":")
    if not (name and column and last):
        raise PlanError(where=option, what=f"{text!r} is not complete", remedy=f"write for example {option} {example}")
    return name, column, last


def _word(pair: str) -> tuple[str, float]:
    word, _, number = pair.partition("=")
    try:
        return word, float(number)
    except ValueError as error:
        raise PlanError(where="--code", what=f"{pair!r} is not a word and its number", remedy="write for example male=0") from error
