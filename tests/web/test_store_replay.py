"""A result of the real engine, kept, restored from a backup and computed again by `auctor store verify --replay`: the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from auctor.cli import app
from auctor.web.service.engine import Engine
from auctor.web.settings import read_settings
from auctor.web.store import Store, documents
from auctor.web.store.verify import AUDITOR
from web_kept import Answer, keep
from web_people import correct, know, open_course

AT = "2026-03-01T{:02d}:00:00+01:00"


def verified(code: int) -> Any:
    done = CliRunner().invoke(app, ["store", "verify", "--replay", "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_a_kept_result_comes_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUCTOR_DATA_FOLDER", str(tmp_path))
    settings = read_settings()
    store = Store.open(settings.database, secret=settings.key("store"), checkpoints=tmp_path / "auctor.checkpoints")
    course = open_course(store, model="vancomycin_goti_2018")
    know(
        store, course, "dose", {"amount": "1000 mg", "route": "iv", "duration": "1 h", "every": "12 h", "additional": 2, "at": AT.format(8)}
    )
    sample = know(store, course, "sample", {"value": "12.1 mg/L", "at": AT.format(19), "matrix": "serum"})
    for name, value in (("WT", "82 kg"), ("CRCL", "65 mL/min"), ("DIAL", "no")):
        know(store, course, "covariate", {"name": name, "value": value})
    with store.read(AUDITOR) as reading:
        document = documents.document(reading, course).document
    found = Engine().compute(document, ml=False)
    answer = Answer(found.result, found.model, found.model_sha256, found.engine, found.seed, found.settings)
    result = keep(store, course, answer, now=None)
    correct(store, sample, {"value": "99 mg/L", "at": AT.format(19)}, made_from=1, reason="later facts do not touch what was kept")
    assert verified(0)["replayed"] == [{"result": result, "identical": True, "why": ""}]
    changed = Answer(found.result.replace('"seed": 0', '"seed": 1'), found.model, found.model_sha256, found.engine)
    other = keep(store, course, changed, now=None)
    store.close()
    replayed = {one["result"]: one["identical"] for one in verified(3)["replayed"]}
    assert replayed == {result: True, other: False}
