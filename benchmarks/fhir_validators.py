"""Everything that auctor sends of a result, before the validators that can be had here; with `--node` also npm's `fhir` 4.12.

    PYTHONPATH=src:tests python benchmarks/fhir_validators.py [--node] [--json]

The vancomycin example in each standing (preliminary, final, amended, corrected), as a Bundle and resource by resource. Printed: how
many were given to each validator and how many it accepted, with what it says against the others. `--node` fetches the package into a
folder that is thrown away; `make test` needs no Node.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from auctor.fhir.report_bundle import result_bundle
from auctor.fhir.returned import Standing
from emr.results import real_result, sent
from emr.validators import VALIDATORS

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import pkg from 'fhir'; import fs from 'fs';
const validator = new pkg.Fhir();
const found = JSON.parse(fs.readFileSync(0)).map(r => validator.validate(r, { errorOnUnexpected: true }))
  .map(v => v.messages.filter(m => m.severity === 'error' || m.severity === 'fatal').map(m => m.location + ': ' + m.message));
console.log(JSON.stringify(found));
"""


def node(resources: list[dict[str, Any]]) -> list[list[str]]:
    with TemporaryDirectory() as folder:
        subprocess.run(["npm", "install", "fhir@4.12.0", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=120)
        (Path(folder) / "validate.mjs").write_text(SCRIPT)
        done = subprocess.run(
            ["node", "validate.mjs"], cwd=folder, input=json.dumps(resources), capture_output=True, text=True, check=True, timeout=120
        )
    found: list[list[str]] = json.loads(done.stdout)
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--node", action="store_true")
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    result = real_result(ROOT)
    bundles = [result_bundle(result, sent(standing)) for standing in Standing]
    given = [resource for bundle in bundles for resource in (bundle, *(entry["resource"] for entry in bundle["entry"]))]
    answers = {name: [validate(resource) for resource in given] for name, validate in VALIDATORS.items()}
    if options.node:
        answers["npm fhir"] = node(given)
    found = {
        name: {"given": len(given), "accepted": sum(not c for c in several), "against": sorted({text for c in several for text in c})}
        for name, several in answers.items()
    }
    if options.json:
        print(json.dumps(found))
        return
    for name, row in found.items():
        print(f"{name:15} {row['accepted']} of {row['given']}")
        for text in row["against"]:
            print(f"    {text}")


if __name__ == "__main__":
    main()
