"""Do sekmet-fhir's own hospital scenarios still pass on a server that auctor reads from and writes to at the same time?

    PYTHONPATH=src:tests python benchmarks/sekmet_scenarios.py [--only NAME ...] [--json]

One sekmet-fhir on loopback. While its command runs its scenarios against it (all, or those named), auctor's client reads a patient's whole
record, writes a result and reads it back, over and over. Printed: scenarios passed, how often auctor read and wrote, and what it was
refused. Leaves with 1 unless every scenario passed and nothing was refused.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from auctor.errors import AuctorError
from auctor.fhir.report_bundle import result_bundle
from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.remote import Server
from emr.bundles import vancomycin_record
from emr.results import real_result, sent
from emr.servers import sekmet

ROOT = Path(__file__).resolve().parents[1]


def beside(base: str, done: threading.Event, counts: Counter[str]) -> None:
    resources = [entry["resource"] for entry in vancomycin_record()["entry"]]
    entries = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources]
    result, k = real_result(ROOT), 0
    with FhirClient(Server(base_url=base, allowed=(base,))) as client:
        client.write({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        while not done.is_set():
            k += 1
            try:
                client.patient_record("p1")
                counts["read"] += 1
                client.write(result_bundle(result, sent(identifier=f"run-{k}")))
                counts["written"] += 1
            except AuctorError as refused:
                counts[f"refused: {refused}"] += 1
            done.wait(0.2)


def scenarios(folder: Path, names: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """The command's exit code, and its report of each scenario."""
    program = str(Path(sys.executable).with_name("sekmet"))
    command = [program, "scenario", "run", *names, "--peer", "self", "--no-serve", "--config", str(folder / "settings.yaml")]
    finished = subprocess.run([*command, "--report-dir", str(folder / "reports")], cwd=folder, capture_output=True, text=True, timeout=600)
    return finished.returncode, [one for path in sorted((folder / "reports").rglob("*.json")) for one in json.loads(path.read_text())]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", nargs="+", default=["all"])
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    counts: Counter[str] = Counter()
    done = threading.Event()
    with TemporaryDirectory() as name, sekmet(Path(name), None, simulator=True) as base:
        worker = threading.Thread(target=beside, args=(base, done, counts))
        worker.start()
        code, reports = scenarios(Path(name), options.only)
        done.set()
        worker.join()
    passed = sum(report["status"] in ("passed", "warning") for report in reports)
    found = {"scenarios": len(reports), "passed": passed, "exit_code": code, "auctor": dict(counts)}
    print(json.dumps(found, indent=None if options.json else 1))
    return int(code != 0 or passed != len(reports) or set(counts) != {"read", "written"})


if __name__ == "__main__":
    sys.exit(main())
