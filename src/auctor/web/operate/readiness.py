"""Whether the application can do its work: the database answers, its tables are this version's, the models read, the disk has room."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache

from auctor.errors import AuctorError
from auctor.web.settings import Settings
from auctor.web.store import Store

ROOM_BYTES = 200_000_000


def checks(settings: Settings, store: Store) -> dict[str, bool]:
    """Each check by name; all of them have to hold."""
    parts: dict[str, Callable[[], bool]] = {
        "database": lambda: _answers(store),
        "migrations": lambda: _current(store),
        "models": models_read,
        "disk": lambda: shutil.disk_usage(settings.data_folder).free > ROOM_BYTES,
    }
    return {name: _holds(check) for name, check in parts.items()}


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (AuctorError, OSError):
        return False


def _answers(store: Store) -> bool:
    store.ping()
    return True


def _current(store: Store) -> bool:
    from sqlalchemy.exc import SQLAlchemyError

    from auctor.web.store import migrate

    try:
        with store.engine.connect() as connection:
            return migrate.current(connection) == migrate.head()
    except SQLAlchemyError:
        return False


@cache
def models_read() -> bool:
    """Whether the library is there and every file of it whole; looked at once, as the files come with the program."""
    import tomllib

    from auctor.models.reader import library_path, list_models

    names = list_models()
    try:
        return all(tomllib.loads(library_path(name).read_text(encoding="utf-8")) for name in names) and bool(names)
    except ValueError:
        return False
