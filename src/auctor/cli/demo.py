"""`auctor demo`: three patients from file to report, two at a time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.analyse import write
from auctor.cli.command import AsJson, FileError
from auctor.cli.question import Question, answer
from auctor.cli.terminal import Gauges, out, put_json, put_table, working_on
from auctor.errors import AuctorError

if TYPE_CHECKING:
    from rich.table import Table

CASES = ("phenobarbital_neonate", "tacrolimus_kidney", "vancomycin_two_levels")
LONGEST_FIRST = ("tacrolimus_kidney", "vancomycin_two_levels", "phenobarbital_neonate")
CLINIC = "clinic"
WORKERS = 2  # each holds JAX and a learner's training data: 1 GB


@dataclass(frozen=True, kw_only=True)
class Done:
    """One analysed example: its label, its short table and the files written, or the refusal that came instead."""

    name: str
    label: str = ""
    table: Table | None = None
    files: tuple[Path, ...] = ()
    refusal: tuple[type[AuctorError], dict[str, str]] | None = None


def demo(
    *,
    examples: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the example cases are; default: ./examples.")] = None,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the reports go, one folder a patient.")] = Path("demo-output"),
    as_json: AsJson = False,
) -> None:
    """Analyse three example patients; write report.html and result.json for each, and put them into a training store.

    The first run trains three learners (about a minute on two cores); later ones take them from the cache. The store is under DIR/clinic,
    made anew each time, with a demo account whose password is shown; `auctor serve --data DIR/clinic` opens the application with it.
    """
    start = time.monotonic()
    source = _source(examples)
    done = _analysed(source, folder)
    training = _training(source, folder / CLINIC)
    seconds = round(time.monotonic() - start, 1)
    if as_json:
        put_json(
            {
                "cases": [{"name": d.name, "label": d.label, "files": [str(path) for path in d.files]} for d in done],
                "clinic": None if training is None else str(folder / CLINIC),
                "seconds": seconds,
            }
        )
        return
    for one in done:
        if one.table is not None:
            put_table(one.table)
    console = out()
    console.print(f"Three patients in {seconds} s. Reports and results:")
    for path in (path for one in done for path in one.files):
        console.print(f"  {path}", markup=False, soft_wrap=True)

    if training is not None:
        password, file = training
        console.print(f"Training patients: auctor serve --data {folder / CLINIC}", markup=False, soft_wrap=True)
        console.print(f"  sign in as demo with {password} (also in {file})", markup=False, soft_wrap=True)


def _training(source: Path, folder: Path) -> tuple[str, Path] | None:
    """The examples in a store of their own: the demo account's password and its file; None without auctor's web part."""
    if any(find_spec(name) is None for name in ("fastapi", "sqlalchemy", "argon2")):
        return None
    from auctor.web.service.clinic import Clinic
    from auctor.web.service.training import PASSWORD_FILE, install
    from auctor.web.settings import read_settings
    from auctor.web.store import Store

    if (folder / PASSWORD_FILE).exists():  # only a folder that this command made
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = read_settings({}, data_folder=folder)
    store = Store.open(settings.database, secret=settings.key("store"), checkpoints=settings.data_folder / "auctor.checkpoints")
    try:
        return install(Clinic(store=store), folder, source), folder / PASSWORD_FILE
    finally:
        store.close()


def _source(asked: Path | None) -> Path:
    """The folder of the examples: the one asked for, ./examples, or that of the checkout auctor runs from."""
    places = [asked] if asked else [Path("examples"), Path(__file__).resolve().parents[3] / "examples"]
    for place in places:
        if all((place / f"{name}.toml").is_file() for name in CASES):
            return place
    raise FileError(
        where="--examples", what="the example cases are not there", remedy="run in auctor's checkout, or name its examples folder"
    )


def _analysed(source: Path, folder: Path) -> list[Done]:
    """The examples in the order of `CASES`, analysed in two processes: the patients do not depend on each other."""
    context = get_context("spawn")  # a forked child would share JAX's threads and hang
    reports: Any = context.Queue()
    with (
        working_on(CASES) as gauges,
        ProcessPoolExecutor(min(WORKERS, os.cpu_count() or 1), mp_context=context, initializer=_connect, initargs=(reports,)) as pool,
    ):
        jobs = {name: pool.submit(_work, name, source / f"{name}.toml", folder / name) for name in LONGEST_FIRST}
        _watch(list(jobs.values()), reports, gauges)
        done = [jobs[name].result() for name in CASES]
    for one in done:
        if one.refusal is not None:
            kind, fields = one.refusal
            raise kind(**fields)
    return done


def _watch(jobs: Sequence[Future[Done]], reports: Any, gauges: Gauges) -> None:
    """Move the bars by what the workers report until all are done."""
    while wait(jobs, timeout=0.0).not_done:
        try:
            name, stage, share = reports.get(timeout=0.2)
        except Empty:
            continue
        gauges(name, stage, share)


_reports: Any = None


def _connect(reports: Any) -> None:
    """In a worker: remember where to report."""
    global _reports
    _reports = reports


def _work(name: str, case: Path, folder: Path) -> Done:
    """In a worker: analyse one example and write its files. A typed error comes back as data, because it does not pickle."""
    from auctor.report.table import summary_table

    try:
        found = answer(Question(case=case), tell=lambda text: None, progress=_reporter(name))
        files = write(found, folder=folder)
    except AuctorError as error:
        return Done(name=name, refusal=(type(error), {"where": error.where, "what": error.what, "remedy": error.remedy}))
    _reports.put((name, "done", 1.0))
    return Done(name=name, label=found.case.label, table=summary_table(found), files=files)


def _reporter(name: str) -> Callable[[str, float], None]:
    return lambda stage, share: _reports.put((name, stage, share))
