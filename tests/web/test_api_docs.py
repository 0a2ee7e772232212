"""The client in docs/api.md, run as it stands against a server on loopback."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from web_api import entries_of, program
from web_site import Site, make_site

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


@pytest.fixture
def served(quick_folder: Path) -> Iterator[Site]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    site = make_site(quick_folder, port=port)
    server = uvicorn.Server(uvicorn.Config(site.app, host="127.0.0.1", port=port, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield site
    server.should_exit = True
    thread.join()


def test_the_client_of_the_documentation_runs(
    served: Site, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "api.md").read_text(), re.S)
    monkeypatch.setenv("AUCTOR_URL", served.settings.origin.replace("localhost", "127.0.0.1"))
    monkeypatch.setenv("AUCTOR_KEY", program(served).key)
    names: dict[str, object] = {}
    exec(compile(block, "docs/api.md", "exec"), names)
    names["auctor"].close()  # type: ignore[attr-defined]
    said = capsys.readouterr().out
    assert "posterior" in said and "'unit': '1'" in said
    assert bytes(names["report"]).startswith(b"%PDF-")  # type: ignore[arg-type]
    assert [entry.action for entry in entries_of(served.app.state.store)].count("patient.register") == 1
