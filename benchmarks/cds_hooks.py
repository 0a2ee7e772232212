"""CDS Hooks under load: p50, p95 and the longest answer at so many requests a second, engine warm, over a real socket on this machine.

    python benchmarks/cds_hooks.py [--rate 10] [--seconds 60] [--quick] [--json]

A uvicorn process of its own serves one open vancomycin course; the calls are order-sign with a different dose each time, order-select and
patient-view in the proportion 3:1:1. Calls are sent on the clock, whether or not earlier ones were answered, so waiting is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from emr.hospital import ROOT, Hospital, call, draft, make_hospital

PORT = 8599
SERVE = """
import sys, uvicorn
from pathlib import Path
from auctor.web.app import application
from auctor.web.settings import read_settings
folder, port = Path(sys.argv[1]), int(sys.argv[2])
settings = read_settings({}, data_folder=folder, port=port, partners_file=str(folder / "partners.toml"))
uvicorn.run(application(settings), host="127.0.0.1", port=port, log_level="warning")
"""
HOOKS = ("order-sign", "order-sign", "order-sign", "order-select", "patient-view")


@contextlib.contextmanager
def serving() -> Iterator[Hospital]:
    """A hospital in a folder in memory, and a server process over it."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        hospital = make_hospital(Path(folder), port=PORT)
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        with subprocess.Popen([sys.executable, "-c", SERVE, folder, str(PORT)], env=environment) as server:
            try:
                _wait()
                yield hospital
            finally:
                server.terminate()


def _wait() -> None:
    import httpx

    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://localhost:{PORT}/cds-services", trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise TimeoutError("the server did not start")


def body(k: int) -> tuple[str, dict[str, Any]]:
    """The k-th call: its path and body."""
    hook = HOOKS[k % len(HOOKS)]
    return f"/cds-services/tdm-{hook}", call(hook, draft(250.0 + 25 * (k % 200)))


async def load(hospital: Hospital, *, rate: float, seconds: float) -> dict[str, float]:
    """Send the calls on the clock and gather the times of their answers, ms."""
    import httpx

    async with httpx.AsyncClient(base_url=f"http://localhost:{PORT}", timeout=30, trust_env=False) as client:

        async def one(k: int) -> tuple[float, int]:
            path, said = body(k)
            headers = {"authorization": f"Bearer {hospital.token(path)}"}
            begun = time.perf_counter()
            answer = await client.post(path, json=said, headers=headers)
            return 1000 * (time.perf_counter() - begun), answer.status_code

        for k in range(len(HOOKS)):  # the engine warm: one call of each kind before
            await one(k)
        begun, tasks = time.perf_counter(), []
        for k in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + k / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(k)))
        answers = await asyncio.gather(*tasks)
    times = sorted(ms for ms, _ in answers)
    return {
        "calls": len(times),
        "not_200": sum(status != 200 for _, status in answers),
        "p50_ms": round(times[len(times) // 2], 1),
        "p95_ms": round(times[int(0.95 * len(times))], 1),
        "longest_ms": round(times[-1], 1),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=float, default=10.0)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--quick", action="store_true", help="five seconds")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    with serving() as hospital:
        found = asyncio.run(load(hospital, rate=asked.rate, seconds=5.0 if asked.quick else asked.seconds))
    print(json.dumps(found) if asked.json else "\n".join(f"{name:12} {value:g}" for name, value in found.items()))
    sys.exit(bool(found["not_200"]))


if __name__ == "__main__":
    main()
