"""Two streams kept apart: the answer on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from auctor.errors import Notice

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table


answered = ContextVar("answered", default=False)  # stdout has the document of the running command
WIDE = 120  # columns where nobody watches: a file or a pipe


def out() -> Console:
    """The console of the answer: stdout, as wide as the terminal, 120 columns without one."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def put_table(table: Table) -> None:
    """A table on stdout; without rules where the terminal is narrow, and never with a number cut short."""
    console = out()
    for column in table.columns:
        column.overflow = "fold"
    if console.width < WIDE:
        table.box, table.padding, table.pad_edge = None, (0, 1, 0, 0), False
    console.print(table)


def err() -> Console:
    """The console of the talk: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def put_json(document: Any) -> None:
    """One JSON document on stdout: keys in their own order, full precision, no NaN (a ValueError says where one came from)."""
    put_text(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def put_text(text: str) -> None:
    """The one JSON document of a command, as text; a refusal that comes after it then goes to stderr alone."""
    sys.stdout.write(text)
    answered.set(True)


def complain(kind: str, *, where: str, what: str, remedy: str) -> None:
    """A refusal in three lines on stderr."""
    from rich.markup import escape

    lines = (("where", where), ("what", what), ("remedy", remedy))
    text = "\n".join(f"  [bold]{name:<7}[/bold]{escape(line)}" for name, line in lines)
    err().print(f"[bold red]auctor: {kind}[/bold red]\n{text}")


def warn(notices: Iterable[Notice]) -> None:
    """Carried warnings on stderr, one line each."""
    from rich.markup import escape

    for notice in notices:
        err().print(f"[yellow]warning[/yellow] {escape(str(notice))}")


def say(text: str) -> None:
    """One line of talk on stderr."""
    err().print(text, markup=False)


class Gauges:
    """Progress bars by name: `gauges(name, stage, share)` names the stage and moves that bar to share in [0, 1]."""

    def __init__(self, progress: Progress | None, names: Iterable[str]) -> None:
        self._progress = progress
        self._tasks = {name: progress.add_task(name, total=None) for name in names} if progress else {}

    def __call__(self, name: str, stage: str, share: float) -> None:
        """The stage of that task is done by `share`."""
        if self._progress is not None:
            self._progress.update(self._tasks[name], description=f"{name}: {stage}", completed=share, total=1.0)


@contextmanager
def working_on(names: Iterable[str]) -> Iterator[Gauges]:
    """Progress bars with the elapsed time on stderr; where stderr is no terminal, one line at the start and one at the end."""
    console, named = err(), tuple(names)
    if console.is_terminal:
        with _bars(console) as progress:
            yield Gauges(progress, named)
        return
    start, what = time.monotonic(), ", ".join(named)
    say(f"{what} ...")
    yield Gauges(None, named)
    say(f"{what}: {time.monotonic() - start:.1f} s")


@contextmanager
def working(label: str) -> Iterator[Callable[[str, float], None]]:
    """One such bar: call what it yields with the stage and the share of it that is done."""
    with working_on([label]) as gauges:
        yield lambda stage, share: gauges(label, stage, share)


def _bars(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)
