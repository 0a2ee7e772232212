"""`auctor analyse`: one patient's file to exposure and the next dose, the methods side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.case import Blq, FutureIov, Interpolation
from auctor.cli.command import AsJson
from auctor.cli.options import BlqMethod, CaseCovariates, PriorWeight
from auctor.cli.quantities import prior_weight as weight_of
from auctor.cli.question import Question, answer
from auctor.cli.terminal import put_table, put_text, say, working
from auctor.errors import AuctorError, EstimationError, OutOfDomain

if TYPE_CHECKING:
    from auctor.analysis import Analysis

REPORT, RESULT = "report.html", "result.json"


def analyse(
    case: Annotated[Path, typer.Argument(metavar="CASE", help="A case (.json, .toml), or a table (.csv) with --id.", show_default=False)],
    *,
    patient: Annotated[str, typer.Option("--id", help="Which ID of the table.")] = "",
    drug: Annotated[str, typer.Option(help="The drug, when CASE is a table.")] = "",
    model: Annotated[str, typer.Option(help="A library name or a TOML file; default: the case's, else the drug's.")] = "",
    target: Annotated[str, typer.Option(help="For example 'AUC0-24:400-600 mg*h/L'; default: the case's, else the model's.")] = "",
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the self-contained HTML report here.")] = None,
    folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write report.html and result.json here.")] = None,
    ml: Annotated[
        bool | None,
        typer.Option(
            "--ml/--no-ml", help="Insist on the machine-learning answer (4 when it abstains), or leave it out.", show_default=False
        ),
    ] = None,
    amortised: Annotated[
        bool, typer.Option("--amortised", help="Also by the amortised posterior over several models of the drug (4 when it abstains).")
    ] = False,
    occasions: Annotated[
        str, typer.Option(help="visit, interval, none, or hours at which one starts (0,168); default: the case's, else visit.")
    ] = "",
    future_iov: Annotated[
        FutureIov, typer.Option("--forecast-iov", help="Inter-occasion variability of forecasts: drawn, or zero.")
    ] = FutureIov.DRAW,
    blq: BlqMethod = Blq.M3,
    prior_weight: PriorWeight = "",
    covariates: CaseCovariates = Interpolation.LOCF,
    draws: Annotated[int, typer.Option(min=100, max=1_000_000, help="Draws of each distribution.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws; same input and seed, same bytes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Exposure and the next dose of one patient: a priori, MAP, posterior and machine learning side by side.

    A learner that the cache does not hold is trained first, once. Leaves with 3 when there are samples and no method
    could use them, with 4 when no method answers; what there is to say is written before.
    """
    asked = Question(
        case=case, patient=patient, drug=drug, model=model, target=target, ml=ml is not False, draws=draws, seed=seed,
        amortised=amortised, occasions=occasions, future_iov=future_iov, blq=blq, prior_weight=weight_of(prior_weight),
        interpolation=covariates,
    )  # fmt: skip
    with working(f"analysing {case.name}") as steps:
        found = answer(asked, tell=say, progress=steps)
    for path in write(found, folder=folder, report=report):
        say(f"written: {path}")
    show(found, as_json=as_json)
    problem = shortfall(found, insist_on_ml=ml is True, insist_on_amortised=amortised)
    if problem is not None:
        raise problem


def write(analysis: Analysis, *, folder: Path | None = None, report: Path | None = None) -> tuple[Path, ...]:
    """Write what was asked for, making folders; the paths written."""
    from auctor.report.html import write_html
    from auctor.report.result import write_json

    written = []
    for path in [*([folder / REPORT] if folder else []), *([report] if report else [])]:
        path.parent.mkdir(parents=True, exist_ok=True)
        written.append(write_html(analysis, path))
    if folder:
        written.append(write_json(analysis, folder / RESULT))
    return tuple(written)


def show(analysis: Analysis, *, as_json: bool) -> None:
    """The short table, or the text of result.json."""
    if as_json:
        from auctor.report.result import to_json

        put_text(to_json(analysis))
        return
    from auctor.report.table import summary_table

    put_table(summary_table(analysis))


def shortfall(analysis: Analysis, *, insist_on_ml: bool, insist_on_amortised: bool = False) -> AuctorError | None:
    """Why the answer is not what was asked for: nobody, or not whom was insisted on (4), or samples that no method could use (3)."""
    answered = {m.key for m in analysis.methods if m.recommendation is not None}
    ml = analysis.method("ml")
    if insist_on_ml and ml.abstained:
        return OutOfDomain(where="ml", what=ml.abstained, remedy="read the other methods, or leave --ml out")
    if insist_on_amortised and (several := analysis.method("amortised")).abstained:
        return OutOfDomain(where="amortised", what=several.abstained, remedy="read the other methods, or leave --amortised out")
    if not answered:
        return OutOfDomain(where="case", what="every method abstains", remedy="see the reasons in the result")
    if any(analysis.case.counts(s) for s in analysis.case.samples) and not answered & {"map", "posterior", "ml", "amortised"}:
        return EstimationError(where="samples", what="no method could use them", remedy="check times, units and doses")
    return None
