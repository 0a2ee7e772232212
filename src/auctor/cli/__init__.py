"""The `auctor` command: one file a subcommand, heavy imports inside the functions, so `--help` answers at once.

Exit codes: 0 done, 2 the input cannot be used, 3 the estimation failed, 4 the method abstains (outside its domain),
1 a bug in auctor, 130 interrupted. With `--json` stdout carries one JSON document and nothing else.
"""

from __future__ import annotations

from typing import Annotated

import typer

from auctor import __version__
from auctor.cli.accounts import add_account, add_ward, disable_account, list_accounts, list_wards, reseal_accounts, reset_account
from auctor.cli.amortise import amortise
from auctor.cli.analyse import analyse
from auctor.cli.average import average
from auctor.cli.cds import acceptance
from auctor.cli.check import check_models
from auctor.cli.command import Command, Group
from auctor.cli.compare import compare_models
from auctor.cli.demo import demo
from auctor.cli.drug import show_drug
from auctor.cli.estimate import estimate
from auctor.cli.explain import explain
from auctor.cli.fhir import export_result, import_bundle, list_codes
from auctor.cli.first_dose import first_dose
from auctor.cli.hl7 import dead_letters, listen, parse, receive
from auctor.cli.learning_curve import learning_curve
from auctor.cli.models import export_model, import_model, list_models, show_model, write_library
from auctor.cli.npag import npag
from auctor.cli.plausible import plausible
from auctor.cli.population import fit_copula
from auctor.cli.refit import refit
from auctor.cli.reproduce import reproduce
from auctor.cli.serve import serve
from auctor.cli.silent import report_silent, score_levels
from auctor.cli.simulate import simulate
from auctor.cli.store import backup_store, migrate_store, restore_store, verify_store
from auctor.cli.train import train
from auctor.cli.validate import validate

# Plain help: typer's rich help costs 0.35 s of imports on a two-core machine, the plain one 0.1 s.
_PLAIN = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "no_args_is_help": True}

app = typer.Typer(name="auctor", cls=Group, add_completion=False, **_PLAIN)  # type: ignore[arg-type]
models = typer.Typer(cls=Group, help="The published models: list, show, compare, check, pages, import, export.", **_PLAIN)  # type: ignore[arg-type]

account = typer.Typer(cls=Group, help="Who may sign in to the clinical application: add, list, disable, reset.", **_PLAIN)  # type: ignore[arg-type]
silent = typer.Typer(cls=Group, help="Silent mode: levels foretold and scored: report, score.", **_PLAIN)  # type: ignore[arg-type]
ward = typer.Typer(cls=Group, help="The wards of the clinical application: add, list.", **_PLAIN)  # type: ignore[arg-type]
population = typer.Typer(cls=Group, help="Virtual patients: fit a copula to a table of people.", **_PLAIN)  # type: ignore[arg-type]
store = typer.Typer(cls=Group, help="The store of the clinical application: migrate, verify, backup, restore.", **_PLAIN)  # type: ignore[arg-type]
fhir = typer.Typer(cls=Group, help="The hospital's record: a FHIR R4 Bundle to a case, a result to FHIR, the codes.", **_PLAIN)  # type: ignore[arg-type]
cds = typer.Typer(cls=Group, help="CDS Hooks: how the cards were answered.", **_PLAIN)  # type: ignore[arg-type]
hl7 = typer.Typer(cls=Group, help="HL7 v2 messages over MLLP: listen, receive a file, parse, dead letters.", **_PLAIN)  # type: ignore[arg-type]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"auctor {__version__}")
        raise typer.Exit


@app.callback()
def _auctor(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    """Drug exposure from a few samples, and the next dose, four ways side by side. Research software, not a medical device."""


for _command in (
    analyse,
    plausible,
    first_dose,
    average,
    estimate,
    npag,
    refit,
    validate,
    simulate,
    train,
    amortise,
    explain,
    reproduce,
    demo,
    serve,
):
    app.command(cls=Command)(_command)
app.command("learning-curve", cls=Command)(learning_curve)
models.command("list", cls=Command)(list_models)
models.command("show", cls=Command)(show_model)
models.command("check", cls=Command)(check_models)
models.command("import", cls=Command)(import_model)
models.command("export", cls=Command)(export_model)
models.command("drug", cls=Command)(show_drug)
models.command("compare", cls=Command)(compare_models)
models.command("pages", cls=Command)(write_library)
app.add_typer(models, name="models")
population.command("fit", cls=Command)(fit_copula)
app.add_typer(population, name="population")
hl7.command("listen", cls=Command)(listen)
hl7.command("receive", cls=Command)(receive)
hl7.command("parse", cls=Command)(parse)
hl7.command("dead-letters", cls=Command)(dead_letters)
app.add_typer(hl7, name="hl7")
cds.command("acceptance", cls=Command)(acceptance)
app.add_typer(cds, name="cds")
account.command("add", cls=Command)(add_account)
account.command("list", cls=Command)(list_accounts)
account.command("disable", cls=Command)(disable_account)
account.command("reset", cls=Command)(reset_account)
account.command("reseal", cls=Command)(reseal_accounts)
app.add_typer(account, name="account")
ward.command("add", cls=Command)(add_ward)
ward.command("list", cls=Command)(list_wards)
app.add_typer(ward, name="ward")
silent.command("report", cls=Command)(report_silent)
silent.command("score", cls=Command)(score_levels)
app.add_typer(silent, name="silent")
store.command("migrate", cls=Command)(migrate_store)
store.command("verify", cls=Command)(verify_store)
store.command("backup", cls=Command)(backup_store)
store.command("restore", cls=Command)(restore_store)
app.add_typer(store, name="store")
fhir.command("import", cls=Command)(import_bundle)
fhir.command("export", cls=Command)(export_result)
fhir.command("codes", cls=Command)(list_codes)
app.add_typer(fhir, name="fhir")


def main() -> None:
    """Run the command line and leave with its exit code."""
    app()
