"""Processor time of one analysis as a worker of `auctor serve` makes it, once everything is loaded, for each example patient.

    python benchmarks/analysis.py [--repeats 9] [--beside CHECKOUT] [--json]

The document to the text of result.json, with the learner where the cache holds one; the shortest of `--repeats`, as other work on the
machine can only lengthen it. `--beside` names another checkout of auctor, whose code is timed in a process of its own, turn by turn with
this one's, and whether both texts are the same, byte by byte; exit code 1 where they are not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TURNS = 3


def measured(repeats: int) -> dict[str, dict[str, Any]]:
    """Milliseconds and the SHA-256 of the text, by example."""
    from auctor.web.service.engine import _compute

    found = {}
    for path in sorted((ROOT / "examples").glob("*.toml")):
        document = json.loads(json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), default=str))
        text, times = _compute(document, True).result, []
        for _ in range(repeats):
            begun = time.process_time()
            _compute(document, True)
            times.append(time.process_time() - begun)
        found[path.stem] = {"ms": round(1000 * min(times), 1), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return found


def apart(checkout: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """The same with the code of a checkout, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--repeats", str(repeats), "--json"]
    environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    found: dict[str, dict[str, Any]] = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    return found


def compared(checkout: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """This checkout beside another, in turns: the shortest time of each, their ratio, and whether the texts are the same."""
    turns = [(apart(checkout, repeats), apart(ROOT, repeats)) for _ in range(TURNS)]
    found = {}
    for name in turns[0][1]:
        before, now = (min(turn[k][name]["ms"] for turn in turns) for k in (0, 1))
        same = turns[0][0][name]["sha256"] == turns[0][1][name]["sha256"]
        found[name] = {"beside_ms": before, "ms": now, "ratio": round(now / before, 2), "same": same}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--beside", type=Path, help="another checkout of auctor")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measured(asked.repeats) if asked.beside is None else compared(asked.beside, asked.repeats)
    if asked.json:
        print(json.dumps(found, indent=1))
    else:
        for name, row in found.items():
            beside = (
                "" if asked.beside is None else f", beside {row['beside_ms']} ms: {row['ratio']}, {'same' if row['same'] else 'OTHER'} text"
            )
            print(f"{name:26}{row['ms']:8.1f} ms{beside}")
    sys.exit(not all(row.get("same", True) for row in found.values()))


if __name__ == "__main__":
    main()
