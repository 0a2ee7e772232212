"""Damaged records: never a crash, only typed errors. `benchmarks/fhir_mutations.py` runs as many as one likes."""

from __future__ import annotations

from collections import Counter

import pytest

from auctor.errors import RecordError
from auctor.fhir.node import parse_resource
from emr.mutations import TYPES, damaged, outcome, whole_record


def test_the_record_is_whole_before_it_is_damaged() -> None:
    import json

    assert outcome(json.dumps(whole_record())) == "case"


@pytest.mark.parametrize("kind", TYPES)
def test_forty_damaged_records_of_each_type(kind: str) -> None:
    found = Counter(outcome(damaged(kind, seed)) for seed in range(40))
    assert sum(found.values()) == 40 and len(found) > 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', '{"a": 1, "a": 2}', "", "null", "[]", b"\xff\xfe", '{"a": 1e400}', "{"])
def test_text_that_is_no_resource(text: str | bytes) -> None:
    if text == '{"a": 1e400}':
        assert parse_resource(text, "record") == {"a": float("inf")}  # Node.number refuses it where it is read
        return
    with pytest.raises(RecordError):
        parse_resource(text, "record")
