"""`auctor silent`: score the levels that came, and show the running prospective error of this installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auctor.cli.command import AsJson
from auctor.cli.serve import ConfigFile, installation
from auctor.cli.terminal import out, put_json, put_table

if TYPE_CHECKING:
    from auctor.web.accounts.actor import Actor
    from auctor.web.service.clinic import Clinic
    from auctor.web.service.track_record import Track


def score_levels(*, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Foretell and score the levels that wait for it; `auctor serve` does so by itself."""
    from auctor.web.service.silent import follow

    with clinic_of(config) as clinic:
        done = follow(clinic)
    if as_json:
        put_json({"scored": done})
    else:
        out().print(f"{done} level(s) scored", markup=False)


def report_silent(*, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the error, bias, coverage and calibration of what was foretold, by drug, model and method, with control limits."""
    from auctor.web.service.track_record import as_data, track_record

    with clinic_of(config) as clinic:
        record = track_record(clinic, administrator())
    if as_json:
        put_json(as_data(record))
        return
    said = as_data(record)["counts"]
    assert isinstance(said, dict)
    out().print(", ".join(f"{n} {name.replace('_', ' ')}" for name, n in said.items()), markup=False)
    _table(record.tracks)


def _table(tracks: tuple[Track, ...]) -> None:
    from rich.table import Table

    heads = ("drug", "model", "method", "levels", "mean error %", "RMS error %", "inside 50 %", "inside 90 %", "bias chart SD", "signals")
    table = Table(*heads)
    for t in tracks:
        errors = [f"{100 * t.mean_error:.1f}", f"{100 * t.root_mean_square_error:.1f}"]
        inside = [f"{c.found}/{c.n} ({c.low}-{c.high})" for c in (t.inside50, t.inside90)]
        chart = f"{t.chart.values[-1]:.2f} (limit {t.chart.limit:.2f})"
        table.add_row(t.drug, t.model, t.method, str(t.n), *errors, *inside, chart, ", ".join(t.signals) or "none")
    put_table(table)


def administrator() -> Actor:
    """Whoever types the command, as an administrator of every ward."""
    from getpass import getuser

    from auctor.web.accounts.actor import EVERY_WARD, Actor, Role

    roles, wards = frozenset({Role.ADMINISTRATOR}), frozenset({EVERY_WARD})
    return Actor(account_id=None, login=f"system:{getuser()}", roles=roles, wards=wards, channel="cli")


@contextmanager
def clinic_of(config: Path | None) -> Iterator[Clinic]:
    """The clinic of this installation, its store let go afterwards."""
    settings = installation(config)
    from auctor.web.app import open_store
    from auctor.web.service.clinic import Clinic

    store = open_store(settings)
    try:
        yield Clinic(store=store)
    finally:
        store.close()
