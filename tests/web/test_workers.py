"""Jobs in threads and in processes: the same answer and typed refusal; a process that dies is replaced, none outlives the server."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from auctor.errors import AuctorError
from auctor.models.reader import read_model
from auctor.web.middleware.refusal import status_of
from auctor.web.pages.pdf import as_pdf
from auctor.web.service import engine, workers
from auctor.web.service.workers import Workers, WorkerStopped

PARENT = """
import os, sys
from auctor.web.service.workers import Workers
if __name__ == "__main__":
    found = Workers(processes=1)
    print(found.run(os.getpid), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def far() -> Iterator[Workers]:
    """One process for all tests here."""
    found = Workers(processes=1)
    yield found
    found.stop()


def test_a_job_runs_in_another_process_and_gives_way(far: Workers) -> None:
    assert far.run(os.getpid) != os.getpid()
    assert far.run(os.nice, 0) == min(19, os.nice(0) + workers.POLITE)
    assert Workers().run(os.getpid) == os.getpid()


def test_an_answer_is_the_same_from_a_thread_and_a_process(far: Workers) -> None:
    page = "<!doctype html><title>Report</title><p>Dose 5 mg every 12 h"
    assert far.run(as_pdf, page) == Workers().run(as_pdf, page)
    assert far.run(engine.read, "phenobarbital_grasela_1985").sha256 == read_model("phenobarbital_grasela_1985").sha256


def test_a_typed_refusal_travels_whole(far: Workers) -> None:
    found = []
    for here in (far, Workers()):
        with pytest.raises(AuctorError) as met:
            here.run(engine.read, "no_such_model")
        found.append((type(met.value), str(met.value), vars(met.value)))
    assert found[0] == found[1]
    again = pickle.loads(pickle.dumps(WorkerStopped()))  # its beginning takes no argument
    assert (type(again), vars(again)) == (WorkerStopped, vars(WorkerStopped()))


def test_a_killed_process_is_a_503_and_another_takes_over(far: Workers) -> None:
    first = far.run(os.getpid)
    waiting = far.submit(time.sleep, 60)
    while not waiting.running():
        time.sleep(0.01)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(WorkerStopped) as told:
        workers.answer(waiting)
    assert status_of(told.value) == 503
    assert far.run(os.getpid) not in (first, os.getpid())


def test_no_process_outlives_a_killed_server(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    program.write_text(PARENT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        worker = Path("/proc") / server.stdout.readline().strip()
        assert worker.exists()
        server.kill()
        until = time.monotonic() + 30
        while _lives(worker) and time.monotonic() < until:
            time.sleep(0.05)
    assert not _lives(worker)


def _lives(process: Path) -> bool:
    """Whether it runs; one that ended and that nobody waited for is no longer alive."""
    try:
        return (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
