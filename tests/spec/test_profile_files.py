"""`auctor simulate PLAN` writes Parquet: the plan's hash in the file, the same content however it is cut, every column what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from auctor.cli import app
from auctor.models.writing import toml_text
from auctor.population.profile_files import write_parquet
from auctor.population.virtual import Profiles, simulate
from plans import START, STEADY, plan_of


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return simulate(
        plan_of(
            START,
            noise="full",
            assay={"lloq": 20, "unit": "mg/L"},
            adherence={"miss_after_taken": 0.1, "miss_after_missed": 0.5, "reported": "true"},
            paths=[{"covariate": "WT", "from_h": {"kind": "constant", "value": 24}, "factor": {"kind": "constant", "value": 1.1}}],
        )
    )


def test_the_same_plan_has_the_same_content_however_many_rows_a_group_has(profiles: Profiles, tmp_path: Path) -> None:
    tables = []
    for rows in (7, 60, 1000):
        write_parquet(profiles, tmp_path / f"{rows}.parquet", rows=rows)
        tables.append(parquet.read_table(tmp_path / f"{rows}.parquet"))
    assert parquet.ParquetFile(tmp_path / "7.parquet").num_row_groups == 9
    assert tables[0].equals(tables[1], check_metadata=True) and tables[0].equals(tables[2], check_metadata=True)
    again = tmp_path / "again.parquet"
    write_parquet(simulate(profiles.plan), again, rows=60)
    assert again.read_bytes() == (tmp_path / "60.parquet").read_bytes()
    assert {p.suffix for p in tmp_path.iterdir()} == {".parquet"}, "nothing half-written is left"


def test_every_column_is_what_it_says(profiles: Profiles, tmp_path: Path) -> None:
    write_parquet(profiles, tmp_path / "all.parquet")
    table = parquet.read_table(tmp_path / "all.parquet")
    found = {name: table.column(name).to_numpy() for name in table.column_names if ":" in name or name in ("dose_mg", "target", "WT")}
    for j, name in enumerate(profiles.plan.sample_names):
        np.testing.assert_array_equal(found[f"observed:{name}"], profiles.observed[:, j])  # NaN stands for null
        np.testing.assert_array_equal(found[f"time_h:{name}"], profiles.sample_h[:, j])
        np.testing.assert_array_equal(found[f"below:{name}"], profiles.below[:, j])
    assert table.column("observed:L2").null_count == np.isnan(profiles.observed[:, 1]).sum() > 0
    np.testing.assert_array_equal(found["target"], profiles.target)
    np.testing.assert_array_equal(found["eta:CL"], profiles.eta[:, 0])
    assert profiles.taken is not None and profiles.changes is not None
    assert table.column("taken").to_pylist()[3] == profiles.taken.taken[3].tolist()
    assert table.column("changed:WT").to_pylist()[3][0] == pytest.approx(1.1 * profiles.covariates["WT"][3])
    kept = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert kept["auctor.plan_sha256"] == profiles.plan.sha256
    assert kept["auctor.plan_toml"] == profiles.plan.text
    assert json.loads(kept["auctor.units"])["target"] == "mg/L*h"


def test_the_command_writes_parquet_or_csv_and_sums_up(tmp_path: Path) -> None:
    plan = tmp_path / "small.toml"
    content: dict[str, Any] = STEADY | {"target": {"metric": "Cmax0-12", "scale": "log", "trim": [0.1, 1.0]}}
    plan.write_text(toml_text(content))
    for name in ("a.parquet", "a.csv"):
        done = CliRunner().invoke(app, ["simulate", str(plan), "--out", str(tmp_path / name), "--rows", "10", "--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert (told["patients"], told["left_out"]) == (54, 6)
        assert told["target"]["name"] == "Cmax0-12" and told["target"]["unit"] == "ng/mL"
        assert 1 < told["target"]["p5"] < told["target"]["p50"] < told["target"]["p95"] < 500
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 6
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 2 * 54
    refused = CliRunner().invoke(app, ["simulate", str(plan), "--out", str(tmp_path / "a.xlsx")])
    assert refused.exit_code == 2


def test_the_command_fits_a_copula_that_a_plan_can_draw_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = "\n".join(
        f"{a:.1f},{w:.1f},{'f' if a % 2 > 1 else 'm'}" for a, w in zip(rng.uniform(20, 80, 200), rng.uniform(50, 90, 200), strict=True)
    )
    (tmp_path / "t.csv").write_text(f"age,weight,sex\n{rows}\n")
    command = ["population", "fit", str(tmp_path / "t.csv"), "--column", "AGE=age:a", "--column", "WT=weight:kg"]
    command += ["--code", "SEX=sex:m=0,f=1", "--by", "SEX", "--title", "t", "--source", "s", "--out", str(tmp_path / "c.toml"), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 200
    import hashlib

    digest = hashlib.sha256((tmp_path / "c.toml").read_bytes()).hexdigest()
    copula = {"file": "c.toml", "sha256": digest, "units": {"AGE": "a", "WT": "kg", "SEX": "1"}}
    drawn = plan_of(STEADY, tmp_path, covariates=STEADY["covariates"] | {"copula": copula}).people.draw(500, seed=1)
    assert drawn["AGE"].min() >= 20 and drawn["AGE"].max() <= 80 and set(drawn["SEX"]) == {0.0, 1.0}
    for wrong in (["--by", "AGE"], ["--by", ""], ["--column", "HT=height:cm"], ["--column", "HT"], ["--code", "X=sex:m=zero"]):
        assert CliRunner().invoke(app, [*command, *wrong]).exit_code == 2
