"""What the tests of FHIR share: one analysis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.remote import Server
from emr.bundles import transaction, vancomycin_record
from emr.results import real_result
from emr.servers import CLIENT, new_key, sekmet


@pytest.fixture(scope="session")
def result(root: Path) -> dict[str, Any]:
    """A result.json as a dict; tests that change it copy it first."""
    return real_result(root)


@pytest.fixture(scope="session")
def key() -> tuple[str, dict[str, Any]]:
    return new_key()


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory, key: tuple[str, dict[str, Any]]) -> Iterator[Server]:
    """sekmet-fhir with SMART backend tokens, holding one patient's record."""
    with sekmet(tmp_path_factory.mktemp("sekmet"), key[1]) as base:
        server = Server(
            base_url=base,
            allowed=(base,),
            client_id=CLIENT,
            private_key=key[0],
            key_id="k1",
            algorithm="ES384",
            scope="system/*.cruds",
            page_size=3,
        )
        with FhirClient(server) as client:
            client.write(transaction(*(e["resource"] for e in vancomycin_record()["entry"])))
        yield server
