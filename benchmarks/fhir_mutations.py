"""Damaged FHIR records: does any of them crash the reader, leak a name, or put a number into a case that is none?

    PYTHONPATH=src:tests python benchmarks/fhir_mutations.py [--n 10000] [--quick] [--json]

`--n` records a resource type, each with one to four faults by a seed (tests/emr/mutations.py). Printed: how many were refused, led to
questions, or became a case. Leaves with 1 after the first crash and prints the seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

from emr.mutations import TYPES, damaged, outcome


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--n", type=int, default=10_000)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    n = 100 if options.quick else options.n
    found: dict[str, dict[str, int]] = {}
    for kind in TYPES:
        counts: Counter[str] = Counter()
        for seed in range(n):
            try:
                counts[outcome(damaged(kind, seed))] += 1
            except Exception as error:
                print(f"{kind} {seed}: {type(error).__name__}: {error}", file=sys.stderr)
                return 1
        found[kind] = dict(sorted(counts.items()))
    print(json.dumps({"n": n, "outcomes": found}) if options.json else "\n".join(f"{kind:25} {counts}" for kind, counts in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
