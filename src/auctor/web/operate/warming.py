"""Warming up: what the first pages would wait for is read in the background as soon as the server listens."""

from __future__ import annotations

from threading import Thread

from auctor.web.service.models import drugs
from auctor.web.service.workers import ENGINE as HEAVY
from auctor.web.service.workers import import_ahead


def warm() -> Thread:
    """Begin to read the library and to import the engine, for what-ifs; the thread that does it, which ends with the process.

    What is printed is printed by the workers, which import the PDF writer themselves.
    """
    thread = Thread(target=_warm, name="auctor-warming", daemon=True)
    thread.start()
    return thread


def _warm() -> None:
    drugs()
    import_ahead(HEAVY)
