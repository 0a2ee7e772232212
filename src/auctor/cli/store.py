"""`auctor store`: migrate, verify, back up and restore the store of the clinical application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auctor.cli.command import AsJson
from auctor.cli.terminal import put_json, say, working

if TYPE_CHECKING:
    from auctor.web.store import Store

Database = Annotated[str, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://...; default: the installation's.")]
Data = Annotated[Path | None, typer.Option(metavar="DIR", help="The installation's data folder.", show_default=False)]


def migrate_store(*, database: Database = "", data: Data = None, as_json: AsJson = False) -> None:
    """Bring the tables to this version of auctor, in one transaction. On PostgreSQL the owner of the tables does this."""
    from auctor.web.store import migrate
    from auctor.web.store.engine import make_engine
    from auctor.web.store.store import typed

    with typed():
        before, after = migrate.upgrade(make_engine(_settings(database, data).database))
    _answer({"before": before or None, "after": after}, as_json, f"tables: {before or 'none'} -> {after}")


def verify_store(
    *,
    replay: Annotated[bool, typer.Option("--replay", help="Compute every kept result again and compare its bytes.")] = False,
    database: Database = "",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Check the audit trail, its checkpoints and every row that is written once; leaves with 3 where something was changed."""
    from dataclasses import asdict

    from auctor.web.store.errors import Tampered
    from auctor.web.store.verify import verify

    store = _open(database, data)
    verdict = verify(store)
    said = asdict(verdict) | {"replayed": _replayed(store) if replay else None}
    store.close()
    for finding in verdict.findings:
        say(f"{finding.where}: {finding.what}")
    for one in said["replayed"] or ():
        if not one["identical"]:
            say(f"result {one['result']}: {one['why']}")
    text = f"{verdict.entries} audit entries, {verdict.rows} rows, {verdict.checkpoints} checkpoints: {len(verdict.findings)} findings"
    _answer(said, as_json, text)
    differing = sum(not one["identical"] for one in said["replayed"] or ())
    if differing or not verdict.whole:
        what = f"{len(verdict.findings)} findings, {differing} results that come out differently"
        raise Tampered(where="store", what=what, remedy="see the lines above; compare with a backup (docs/store.md)")


def backup_store(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)],
    *,
    database: Database = "",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Write the whole store to one file, while the application runs. It holds patients' data: keep it as the database is kept."""
    from auctor.web.store.backup import backup

    store = _open(database, data)
    found = backup(store, file)
    store.close()
    said = {"file": str(file), "revision": found.revision, "rows": found.rows, "hmac": found.hmac}
    _answer(said, as_json, f"{sum(found.rows.values())} rows in {file}")


def restore_store(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.", show_default=False)],
    *,
    database: Database = "",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Fill an empty database from a backup of this or an earlier version; the secret must be the one the backup was made with."""
    from auctor.web.store.backup import restore

    settings = _settings(database, data)
    found = restore(settings.database, file, secret=settings.key("store"), checkpoints=settings.data_folder / "auctor.checkpoints")
    said = {"file": str(file), "revision": found.revision, "rows": found.rows, "hmac": found.hmac}
    _answer(said, as_json, f"{sum(found.rows.values())} rows from {file}")


def _settings(database: str, data: Path | None) -> Any:
    from auctor.web.settings import read_settings

    return read_settings(database_url=database or None, data_folder=data)


def _open(database: str, data: Path | None) -> Store:
    from auctor.web.store import Store

    settings = _settings(database, data)
    return Store.open(settings.database, secret=settings.key("store"), checkpoints=settings.data_folder / "auctor.checkpoints")


def _replayed(store: Store) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from auctor.web.service.engine import Engine
    from auctor.web.store.replay import replay_all

    engine = Engine()
    with working("computing kept results again"):
        again = replay_all(store, lambda document, settings: engine.compute(document, ml=settings.get("learner") is not None))
        return [asdict(one) for one in again]


def _answer(said: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        put_json(said)
    else:
        typer.echo(text)
