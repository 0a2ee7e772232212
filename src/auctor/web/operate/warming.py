"""Warming up: what the first pages would wait for is read in the background as soon as the server listens."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from threading import Thread

from auctor.web.service.models import drugs

HEAVY = ("auctor.analysis", "auctor.report.result", "weasyprint")


def warm() -> Thread:
    """Begin to read the library and to import the engine and the PDF writer; the thread that does it, which ends with the process."""
    thread = Thread(target=_warm, name="auctor-warming", daemon=True)
    thread.start()
    return thread


def _warm() -> None:
    drugs()
    for name in HEAVY:
        with suppress(ImportError, OSError):  # whoever needs it says so
            import_module(name)
