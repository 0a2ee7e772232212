"""The IWPC warfarin data as a matrix of what is known before the first dose, and the two published dosing algorithms.

Source: International Warfarin Pharmacogenetics Consortium, N Engl J Med 2009;360:753-64 (algorithms and the rules that impute VKORC1
-1639 from its neighbours: its supplement, as in the check script beside the data). The data stay outside the repository.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auctor.errors import TableError

Array = NDArray[np.float64]
Rows = list[dict[str, str]]
FIXED_MG = 35.0  # a week: 5 mg a day
RACE, DOSE, SITE = "Race (OMB)", "Therapeutic Dose of Warfarin", "Project Site"
INDUCERS = ("Carbamazepine (Tegretol)", "Phenytoin (Dilantin)", "Rifampin or Rifampicin")
STATINS = (
    "Simvastatin (Zocor)",
    "Atorvastatin (Lipitor)",
    "Fluvastatin (Lescol)",
    "Lovastatin (Mevacor)",
    "Pravastatin (Pravachol)",
    "Rosuvastatin (Crestor)",
)
NEIGHBOURS = (("497", "G"), ("1173", "T"), ("1542", "C"), ("3730", "A"), ("2255", "T"))  # site, counted allele
CYP2C9 = ("*1/*2", "*1/*3", "*2/*2", "*2/*3", "*3/*3")
PUBLISHED = (
    "age",
    "height",
    "weight",
    "VKORC1 A/G",
    "VKORC1 A/A",
    "VKORC1 unknown",
    *(f"CYP2C9 {g}" for g in CYP2C9),
    "CYP2C9 unknown",
    "Asian",
    "Black",
    "race mixed or unknown",
    "inducer",
    "amiodarone",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Iwpc:
    """n patients with a stable weekly dose: `x` (n, p) with NaN where unknown, `names` of its columns, `dose` mg/week, `site`.

    `algorithms`: published algorithm -> predicted mg/week (n,), NaN where it needs something unknown. `complete` (n,): those that the
    pharmacogenetic algorithm can dose, on whom every method is judged.
    """

    x: Array
    names: tuple[str, ...]
    dose: Array
    site: NDArray[np.int64]
    algorithms: Mapping[str, Array]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Whether the published pharmacogenetic algorithm gives a dose."""
        return np.isfinite(self.algorithms["published pharmacogenetic"])

    def columns(self, names: Iterable[str]) -> list[int]:
        """Column numbers of features by name."""
        return [self.names.index(name) for name in names]


def read_iwpc(path: str | Path) -> Iwpc:
    """Read the data set's `data.csv`. TableError where a column is missing."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("PharmGKB Subject ID", "").startswith("PA")]
    if not rows or any(name not in rows[0] for name in (RACE, DOSE, SITE, "Age", "CYP2C9 consensus")):
        raise TableError(where=Path(path).name, what="not the IWPC data with project sites", remedy="see ../shared/data/warfarin_iwpc_dose")
    rows = [row for row in rows if np.isfinite(_number(row[DOSE]))]
    features = _features(rows)
    dose = np.asarray([_number(row[DOSE]) for row in rows])
    site = np.asarray([int(float(row[SITE])) for row in rows], dtype=np.int64)
    return Iwpc(x=np.column_stack(list(features.values())), names=tuple(features), dose=dose, site=site, algorithms=_algorithms(features))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _each(rows: Rows, function: Callable[[dict[str, str]], float]) -> Array:
    return np.asarray([function(row) for row in rows], dtype=np.float64)


def _said(rows: Rows, names: Iterable[str]) -> Array:
    """1 where any of these columns says yes; unknown counts as no, as the published algorithm has it."""
    return _each(rows, lambda row: float(any(_number(row[name]) == 1 for name in names)))


def _features(rows: Rows) -> dict[str, Array]:
    """Every feature (n,), NaN where unknown; the INR reached and anything else known only after dosing is not among them."""
    race = [row[RACE] or "Unknown" for row in rows]
    vkorc1 = [_vkorc1(row, r) for row, r in zip(rows, race, strict=True)]
    cyp = [row["CYP2C9 consensus"] for row in rows]
    found = {
        "age": _each(rows, lambda row: _number(row["Age"][:1])),  # decade
        "height": _each(rows, lambda row: _number(row["Height (cm)"])),
        "weight": _each(rows, lambda row: _number(row["Weight (kg)"])),
        **{f"VKORC1 {g}": _is(vkorc1, g) for g in ("A/G", "A/A")},
        "VKORC1 unknown": _is(vkorc1, ""),
        **{f"CYP2C9 {g}": _is(cyp, g) for g in CYP2C9},
        "CYP2C9 unknown": _is(cyp, ""),
        "Asian": _is(race, "Asian"),
        "Black": _is(race, "Black or African American"),
        "race mixed or unknown": np.asarray([float(r in ("Unknown", "Mixed or Missing")) for r in race]),
        "inducer": _said(rows, INDUCERS),
        "amiodarone": _said(rows, ("Amiodarone (Cordarone)",)),
    }
    return {**found, **_more(rows, found, cyp)}


def _more(rows: Rows, known: Mapping[str, Array], cyp: list[str]) -> dict[str, Array]:
    """What the published algorithm leaves out: sex, indication, smoking, other drugs, the rest of VKORC1, VKORC1 by race."""
    found = {"male": _each(rows, lambda row: {"male": 1.0, "female": 0.0}.get(row["Gender"], float("nan")))}
    found |= {f"CYP2C9 alleles *{k}": np.asarray([_count(g.replace("*", ""), k) for g in cyp]) for k in ("2", "3")}
    for k in ("1", "4", "6"):  # the others are the reference
        found[f"indication {k}"] = _each(rows, lambda row, k=k: float(k in row["Indication for Warfarin Treatment"]))  # type: ignore[misc]
    found["smoker"] = _said(rows, ("Current Smoker",))
    found["statin"] = _said(rows, STATINS)
    found["azole"] = _said(rows, ("Anti-fungal Azoles",))
    found["sulfonamide"] = _said(rows, ("Sulfonamide Antibiotics",))
    for position, allele in NEIGHBOURS:
        found[f"VKORC1 {position}"] = np.asarray([_count(row[f"VKORC1 {position} consensus"], allele) for row in rows])
    pairs = ((race, g) for race in ("Asian", "Black") for g in ("A/G", "A/A"))
    return found | {f"{race} x VKORC1 {g}": known[race] * known[f"VKORC1 {g}"] for race, g in pairs}


def _is(values: list[str], word: str) -> Array:
    return np.asarray([float(value == word) for value in values])


def _count(genotype: str, allele: str) -> float:
    """How often an allele stands in `A/G`; NaN where the genotype is unknown."""
    return float(genotype.split("/").count(allele)) if "/" in genotype else float("nan")


def _vkorc1(row: Mapping[str, str], race: str) -> str:
    """VKORC1 -1639, imputed from 2255, 1173 or 1542 by the published rules; "" where none is known."""
    own = row["VKORC1 -1639 consensus"]
    if own:
        return own
    by_t = {"C/C": "G/G", "T/T": "A/A", "C/T": "A/G"}
    linked = race not in ("Black or African American", "Unknown", "Mixed or Missing")
    found = by_t.get(row["VKORC1 2255 consensus"], "") if linked else ""
    found = found or by_t.get(row["VKORC1 1173 consensus"], "")
    return found or ({"G/G": "G/G", "C/C": "A/A", "C/G": "A/G"}.get(row["VKORC1 1542 consensus"], "") if linked else "")


def _algorithms(f: Mapping[str, Array]) -> dict[str, Array]:
    """mg/week by the published pharmacogenetic and clinical algorithms (square of a linear form), and the fixed dose."""
    genes = (-0.8677, -1.6974, -0.4854, -0.5211, -0.9357, -1.0616, -1.9206, -2.3312, -0.2188)
    weights = (-0.2614, 0.0087, 0.0128, *genes, -0.1092, -0.2760, -0.1032, 1.1816, -0.5503)
    full = 5.6044 + sum(w * f[name] for w, name in zip(weights, PUBLISHED, strict=True))
    plain = ("age", "height", "weight", "Asian", "Black", "race mixed or unknown", "inducer", "amiodarone")
    clinical = 4.0376 + sum(
        w * f[name] for w, name in zip((-0.2546, 0.0118, 0.0134, -0.6752, 0.4060, 0.0443, 1.2799, -0.5695), plain, strict=True)
    )
    return {
        "published pharmacogenetic": np.square(full),
        "published clinical": np.square(clinical),
        "fixed 35 mg/week": np.full(len(f["age"]), FIXED_MG),
    }
