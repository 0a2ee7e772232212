"""Who computes: the threads of this process, or processes of their own, so that pages do not wait for Python's one lock.

A job is a function of a module with arguments that can be pickled; so is its answer, or the typed error that it raises.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context, parent_process
from threading import Lock, Thread
from typing import ParamSpec, TypeVar

from auctor.errors import AuctorError

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
ENGINE = ("auctor.analysis", "auctor.report.result")
HEAVY = (*ENGINE, "weasyprint")  # what jobs need
POLITE = 5  # what the operating system takes from a worker's priority: a page goes first
THREADS = 2  # more would only share the cores


class WorkerStopped(AuctorError):
    """The process that computed ended before it answered, most often for want of memory."""

    status = 503

    def __init__(self) -> None:
        super().__init__(where="engine", what="the process that computed has stopped", remedy="try again; nothing was kept")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where jobs run. `processes` 0: threads of this process. The processes start with the first job, or with `begin`."""

    processes: int = 0

    _pools: list[Executor] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def begin(self) -> None:
        """Import where jobs run what they need, before the first one comes; the processes start now."""
        for _ in range(self.processes or 1):  # a process comes with each job that finds none idle, and has imported all by then
            self.submit(import_ahead, HEAVY)

    def submit(self, job: Callable[Given, Answer], *args: Given.args, **named: Given.kwargs) -> Future[Answer]:
        """Queue a job. Where a process had died, new ones take over."""
        with self._lock:
            try:
                return self._pool().submit(job, *args, **named)
            except BrokenExecutor:
                self._pools.clear()
                return self._pool().submit(job, *args, **named)

    def run(self, job: Callable[Given, Answer], *args: Given.args, **named: Given.kwargs) -> Answer:
        """The job's answer. Raises what it raises, and WorkerStopped."""
        return answer(self.submit(job, *args, **named))

    def stop(self) -> None:
        """End when the running jobs have ended; the others are not begun."""
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> Executor:
        if not self._pools:
            self._pools.append(_processes(self.processes) if self.processes else ThreadPoolExecutor(THREADS, "auctor-engine"))
        return self._pools[0]


def answer(running: Future[Answer]) -> Answer:
    """What a job answers or raises; WorkerStopped where its process ended."""
    try:
        return running.result()
    except BrokenExecutor:
        raise WorkerStopped from None


def _processes(count: int) -> ProcessPoolExecutor:
    """Fresh interpreters: a copy of a process that has threads is not safe."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_enter)


def _enter() -> None:
    """In a new process: give way to the pages, leave signals to the server, end when it ends, and import what every job needs."""
    if hasattr(os, "nice"):
        os.nice(POLITE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_follow, name="auctor-parent", daemon=True).start()
    import_ahead(HEAVY)


def import_ahead(names: Iterable[str]) -> None:
    """Import what will be needed, so that nobody waits for it then."""
    for name in names:
        with suppress(ImportError, OSError):  # whoever needs it says so
            import_module(name)


def _follow() -> None:
    """End with the server, however it ended: nobody would read an answer."""
    server = parent_process()
    if server is not None:
        server.join()
        sys.stderr.flush()
        os._exit(0)
