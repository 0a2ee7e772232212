"""Does the plausibility check find what is wrong, and leave alone what is right: clean and corrupted virtual cases of five drugs.

    python benchmarks/plausibility.py [--quick] [--calibrate] [--only NAME ...] [--clean 2000] [--corrupted 2000] [--seed 2026]
        [--calibration 2000] [--json]
    python benchmarks/plausibility.py --from-kept        # tables and figures again from scores kept before

Seven designs of five drugs (`auctor.validate.injected.DESIGNS`), each with one slip of one kind in every corrupted case. Printed per design
and kind: sensitivity at the shipped thresholds (any flag, and a flag of the kind's own family), sensitivity of the kind's own
likelihood-ratio test at 5 % false alarms (by Neyman and Pearson the most that any test can reach), and the area under its ROC curve.
`--calibrate` first simulates other clean cases of each design and writes thresholds.toml. ROC curves go to docs/img/plausibility/, scores
to the cache folder. `--quick` checks 40 + 60 cases a design and writes nothing to the repository.
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from scipy.stats import kstest

from auctor.cache import cache_dir
from auctor.data.plausibility import thresholds as shipped
from auctor.data.plausibility.finding import Family
from auctor.validate.injected import DESIGNS, KINDS, Design
from auctor.validate.plausibility_study import (
    CLEAN,
    Roc,
    Scored,
    calibrated,
    family_scores,
    flagged,
    interval,
    kind_scores,
    margin,
    plan,
    roc,
    scores,
    sensitivity_at,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs/img/plausibility"
COLOURS = ("#0b3d91", "#b3261e", "#1b7837", "#8a5a00", "#6a1b9a", "#00707a")


def main() -> None:
    asked = _asked()
    designs = [d for d in DESIGNS if not asked.only or any(word in d.name for word in asked.only)]
    kept = cache_dir("plausibility")
    if asked.calibrate:
        _calibrate(designs, asked, kept)
    document = []
    for design in designs:
        cases = _scored(design, asked, kept, "judged")
        document.append(_judged(design, cases))
        if not asked.quick:
            _figure(design, cases)
    if asked.json:
        print(json.dumps(document, indent=2))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--from-kept", action="store_true")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--clean", type=int, default=2000)
    parser.add_argument("--corrupted", type=int, default=2000)
    parser.add_argument("--calibration", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.quick:
        asked.clean, asked.corrupted, asked.calibration = 40, 60, 40
    return asked


def _scored(design: Design, asked: argparse.Namespace, kept: Path, what: str) -> list[Scored]:
    """Scores of clean and corrupted cases (`judged`), or of other clean ones (`calibration`), computed or kept."""
    judged = what == "judged"
    n_clean, n_corrupted = (asked.clean, asked.corrupted) if judged else (asked.calibration, 0)
    path = kept / f"{design.name.replace(' ', '_').replace(',', '')}-{what}-{asked.seed}-{n_clean}-{n_corrupted}.pickle"
    if asked.from_kept and path.exists():
        return list(pickle.loads(path.read_bytes()))
    began = time.process_time()
    injected = plan(design, n_clean=n_clean, n_corrupted=n_corrupted)
    found = scores(design, injected, seed=asked.seed if judged else asked.seed + 1)
    each = 1000 * (time.process_time() - began) / len(found)
    print(f"{design.name}: {what}, {len(found)} cases, {each:.0f} ms of processor time each", flush=True)
    path.write_bytes(pickle.dumps(found))
    return found


def _calibrate(designs: Sequence[Design], asked: argparse.Namespace, kept: Path) -> None:
    """Thresholds of each model, the largest that any of its designs needs, from clean cases not judged later; to thresholds.toml."""
    models: dict[str, list[dict[Family, float]]] = {}
    for design in designs:
        limits = calibrated(_scored(design, asked, kept, "calibration"))
        print(f"{design.name}: " + ", ".join(f"{f.value} {limit:.3f}" for f, limit in limits.items()), flush=True)
        models.setdefault(design.model, []).append(limits)
    for name, several in models.items():
        if not asked.quick:
            largest = {f: max(one[f] for one in several if f in one) for f in Family if any(f in one for one in several)}
            _write(name, largest, len(several), asked)


def _write(model: str, limits: Mapping[Family, float], designs: int, asked: argparse.Namespace) -> None:
    path = ROOT / "src/auctor/data/plausibility/thresholds.toml"
    head, *tables = path.read_text(encoding="utf-8").split("[models.")
    kept = {table.split("]")[0]: table for table in tables}
    command = (
        f"# {designs} design(s), {asked.calibration} clean cases each: python benchmarks/plausibility.py --calibrate"
        f" --calibration {asked.calibration} --seed {asked.seed}\n"
    )
    kept[model] = f"{model}]\n{command}" + "".join(f"{family.value} = {limit:.3f}\n" for family, limit in limits.items()) + "\n"
    path.write_text(
        head.rstrip("\n") + "\n\n" + "".join(f"[models.{kept[name]}" for name in sorted(kept)).rstrip("\n") + "\n", encoding="utf-8"
    )
    shipped._calibrated.cache_clear()


def _judged(design: Design, cases: Sequence[Scored]) -> dict[str, object]:
    """One design's table, printed in Markdown and returned."""
    limits, known = shipped.log_thresholds(design.model)
    clean = [c for c in cases if c.injected == CLEAN]
    alarms = {f.value: float(np.mean(family_scores(clean, f) >= limits[f])) for f in Family}
    every = float(np.mean(flagged(clean, limits)))
    low, high = interval(every, len(clean))
    uniform = float(kstest([p / 100 for c in clean for p in c.percentiles[-1:]], "uniform").pvalue)
    how = "calibrated" if known else "by the bound"
    print(f"\n### {design.name}\n\nThresholds {how}. False alarms, {len(clean)} clean cases: {every:.1%} ({low:.1%} to {high:.1%}); "
          + ", ".join(f"{name} {share:.1%}" for name, share in alarms.items())
          + f". Leave-one-out percentiles of the last sample, uniform? p = {uniform:.2f}\n")  # fmt: skip
    print("| slip | cases | any flag | (95 % CI) | own family | leads | best test at 5 % | AUROC, best test | AUROC, as shipped |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = [_row(kind, cases, clean, limits) for kind in KINDS if any(c.injected == kind for c in cases)]
    return {"design": design.name, "calibrated": known, "clean": len(clean), "false_alarms": every, "by_family": alarms, "slips": rows}


def _row(kind: str, cases: Sequence[Scored], clean: Sequence[Scored], limits: Mapping[Family, float]) -> dict[str, object]:
    own = [c for c in cases if c.injected == kind]
    family = KINDS[kind][0].family
    best, as_shipped = roc(kind_scores(clean, kind), kind_scores(own, kind)), roc(margin(clean, limits), margin(own, limits))
    hits, of_family = float(np.mean(flagged(own, limits))), float(np.mean(flagged(own, limits, [family])))
    leads = float(np.mean([c.leading in KINDS[kind] for c in own]))
    low, high = interval(hits, len(own))
    most = sensitivity_at(best, 0.05)
    print(f"| {kind} | {len(own)} | {hits:.1%} | {low:.1%} to {high:.1%} | {of_family:.1%} | {leads:.1%} | {most:.1%} | {best.area:.3f} | "
          f"{as_shipped.area:.3f} |")  # fmt: skip
    return {"slip": kind, "cases": len(own), "any_flag": hits, "interval": [low, high], "own_family": of_family, "leads": leads,
            "best_at_5": most, "auroc_best": best.area, "auroc_shipped": as_shipped.area}  # fmt: skip


def _figure(design: Design, cases: Sequence[Scored]) -> None:
    """Two panels: timing and identity slips, and slips of number and unit, each kind's own likelihood-ratio test."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    clean = [c for c in cases if c.injected == CLEAN]
    curves = {
        k: roc(kind_scores(clean, k), kind_scores([c for c in cases if c.injected == k], k))
        for k in KINDS
        if any(c.injected == k for c in cases)
    }
    timing = [k for k in curves if KINDS[k][0].family in (Family.TIMING, Family.IDENTITY)]
    panels = [("Times and identity", timing), ("Numbers and units", [k for k in curves if k not in timing])]
    path = FIGURES / f"{design.name.replace(', ', '_').replace(' ', '_')}.svg"
    path.write_text(_svg(design.name, [(title, {k: curves[k] for k in kinds}) for title, kinds in panels]), encoding="utf-8")


def _svg(title: str, panels: Sequence[tuple[str, Mapping[str, Roc]]]) -> str:
    width, height = 380 * len(panels), 430
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="#1a1d21"><title>ROC curves: {escape(title)}</title>'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/><text x="12" y="18" font-size="14">{escape(title)}</text>'
    ]
    for k, (name, curves) in enumerate(panels):
        parts.append(f'<g transform="translate({380 * k},0)">{_panel(name, curves)}</g>')
    return "".join(parts) + "</svg>\n"


SIDE, LEFT, TOP = 300, 56, 40


def _panel(name: str, curves: Mapping[str, Roc]) -> str:
    """False-alarm rate to the right on a square-root scale, which opens the left end; sensitivity upwards."""
    frame = f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#4a5260"/>'
    parts = [f'<text x="{LEFT}" y="{TOP - 6}">{escape(name)}</text>{frame}', *_grid()]
    for k, (kind, curve) in enumerate(curves.items()):
        look = f'stroke="{COLOURS[k % len(COLOURS)]}" stroke-width="2"' + (' stroke-dasharray="6 3"' if k % 2 else "")
        rates = np.unique(np.concatenate([np.linspace(0, 1, 201) ** 2, [0.05]]))
        points = " ".join(f"{_right(x):.1f},{_up(sensitivity_at(curve, x)):.1f}" for x in rates)
        y = TOP + SIDE - 14 * (len(curves) - k) + 4
        parts.append(
            f'<polyline points="{points}" fill="none" {look}/><line x1="{LEFT + 130}" x2="{LEFT + 152}" y1="{y - 4}" y2="{y - 4}" {look}/>'
        )
        parts.append(f'<text x="{LEFT + 157}" y="{y}" font-size="11">{escape(kind)} {curve.area:.2f}</text>')
    below = f'<text x="{LEFT + SIDE / 2}" y="{TOP + SIDE + 36}" text-anchor="middle">False alarms, % (square-root scale)</text>'
    beside = f'<text transform="translate(16,{TOP + SIDE / 2}) rotate(-90)" text-anchor="middle">Sensitivity, %</text>'
    return "".join((*parts, below, beside))


def _grid() -> list[str]:
    line = 'stroke="#d9dde3"'
    across = [
        f'<line x1="{_right(x):.1f}" x2="{_right(x):.1f}" y1="{TOP}" y2="{TOP + SIDE}" {line}/>'
        f'<text x="{_right(x):.1f}" y="{TOP + SIDE + 16}" text-anchor="middle">{100 * x:g}</text>'
        for x in (0, 0.01, 0.05, 0.2, 0.5, 1)
    ]
    up = [
        f'<line x1="{LEFT}" x2="{LEFT + SIDE}" y1="{_up(y):.1f}" y2="{_up(y):.1f}" {line}/>'
        f'<text x="{LEFT - 6}" y="{_up(y) + 4:.1f}" text-anchor="end">{100 * y:g}</text>'
        for y in (0, 0.5, 0.8, 1)
    ]
    return [*across, *up]


def _right(rate: float) -> float:
    return LEFT + SIDE * float(np.sqrt(rate))


def _up(share: float) -> float:
    return TOP + SIDE * (1 - share)


if __name__ == "__main__":
    main()
