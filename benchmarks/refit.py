"""Population estimates beside NONMEM's and nlmixr2's: phenobarbital and theophylline, FOCEI and SAEM.

    python benchmarks/refit.py [--oracles ../shared/oracles] [--json]

Reference figures: phenobarbital by NONMEM 7 FOCE-I (Pharmpy's test data); theophylline by nlmixr2 FOCEI (its theo_sd example).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import tempfile
import time
from pathlib import Path

from auctor.data.nonmem import read_table
from auctor.estimate.refit import Refit, refit
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.records import Records

THEOPHYLLINE = """
schema = 1
drug = "theophylline"
status = "draft"
population = "12 volunteers"
reference = { cite = "Boeckmann, Sheiner, Beal, NONMEM Users Guide V, 1994" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "variance" }
[structure]
absorption = { kind = "first_order", rate = "KA" }
disposition = { kind = "one_compartment", CL = "CL", V1 = "V" }
cmt = { depot = 1, central = 2 }
[parameters]
KA = { value = 1.57, unit = "1/h", iiv = 0.6, source = "nlmixr2's starting value" }
CL = { value = 2.72, unit = "L/h", iiv = 0.3, source = "nlmixr2's starting value" }
V = { value = 31.5, unit = "L", iiv = 0.1, source = "nlmixr2's starting value" }
[residual]
concentration = { additive = 0.7, unit = "mg/L", source = "nlmixr2's starting value" }
"""
# nlmixr2 prints logarithms of the thetas to three digits: 0.464, 1.01, 3.46
THEOPHYLLINE_FIGURES = {"KA": math.exp(0.464), "CL": math.exp(1.01), "V": math.exp(3.46), "sigma.additive": 0.69, "OFV": 116.8}
PHENO_FIGURES = {
    "CL": 0.00469555,
    "V": 0.984258,
    "V.apgr_v": 0.15892,
    "omega.CL": 0.0293508,
    "omega.V": 0.027906,
    "sigma.proportional": math.sqrt(0.013241),
    "OFV": 586.276056,
}


def phenobarbital(oracles: Path) -> tuple[DrugModel, tuple[Records, ...]]:
    model = read_model("phenobarbital_pheno_nonmem")
    return model, read_table(oracles / "pharmpy_nonmem" / "pheno_data.csv", model)


def theophylline(oracles: Path) -> tuple[DrugModel, tuple[Records, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        path, table = Path(folder) / "theophylline.toml", Path(folder) / "theo.csv"
        path.write_text(THEOPHYLLINE)
        model = read_model(path)
        rows = list(csv.DictReader((oracles / "nlmixr2_wang2007" / "theo_sd.csv").read_text().splitlines()))
        with table.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["ID", "TIME", "AMT", "EVID", "CMT", "DV"])
            out.writerows([r["ID"], r["TIME"], r["AMT"], int(r["EVID"] != "0"), r["CMT"], r["DV"]] for r in rows)
        return model, read_table(table, model)


def lines(found: Refit, figures: dict[str, float], seconds: float) -> list[dict[str, object]]:
    rows = [{"name": n.name, "auctor": n.after, "se": n.se, "reference": figures.get(n.name)} for n in found.numbers]
    return [*rows, {"name": "OFV", "auctor": found.ofv, "se": None, "reference": figures["OFV"]}, {"name": "seconds", "auctor": seconds}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracles", type=Path, default=Path("../shared/oracles"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = {}
    for name, read, figures in (("phenobarbital", phenobarbital, PHENO_FIGURES), ("theophylline", theophylline, THEOPHYLLINE_FIGURES)):
        model, records = read(args.oracles)
        for method in ("focei", "saem"):
            began = time.perf_counter()
            found = refit(model, records, method=method, seed=1)
            result[f"{name} {method}"] = lines(found, figures, time.perf_counter() - began)
    if args.json:
        print(json.dumps(result, indent=1))
        return
    for title, rows in result.items():
        print(title)
        for row in rows:
            cells = [f"{row[key]:12.5g}" if row.get(key) is not None else " " * 12 for key in ("auctor", "se", "reference")]
            print(f"  {row['name']:20s}", *cells)


if __name__ == "__main__":
    main()
