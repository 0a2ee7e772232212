"""What the server does by itself while it runs: a thread that scores the levels that came and checks the records that wait for it, every
few minutes, and never stops anything else.
"""

from __future__ import annotations

import logging
import threading

from auctor.web.operate.logs import event, told
from auctor.web.service import findings
from auctor.web.service.clinic import Clinic
from auctor.web.service.silent import Follower

AT_ONCE = 50  # levels and records at a time, so that a large import does not hold the engine


class Following:
    """The thread of one server process; `minutes` 0 starts none."""

    def __init__(self, clinic: Clinic, *, minutes: int) -> None:
        self._clinic, self._seconds = clinic, 60.0 * minutes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="auctor-silent", daemon=True)
        if minutes:
            self._thread.start()

    def stop(self) -> None:
        """Let what is under way be finished, then end."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        tasks = {"silent": ("scored", Follower().follow), "plausibility": ("checked", findings.follow)}
        while not self._stop.wait(self._seconds):
            for name, (what, follow) in tasks.items():
                try:
                    done = follow(self._clinic, most=AT_ONCE)
                except Exception as error:  # whatever it is, patients' pages go on; it stands in the log
                    event(name, level=logging.ERROR, **told(error))
                else:
                    event(name, **{what: done})
