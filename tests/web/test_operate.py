"""Running it: health, figures, logs without a patient in them, where it may listen, an orderly stop, accounts by command."""

from __future__ import annotations

import io
import json
import logging
import os
import platform
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from auctor.cli import app as command
from auctor.web.operate.logs import LOG, Lines, told
from auctor.web.operate.serving import _config, check_exposure
from auctor.web.settings import SettingsError, read_settings
from auctor.web.store import StoreUnavailable
from auctor.web.store.tables import Account
from certificates import made_certificate
from clinic import MACHINE, Clinic

NAME, NUMBER = "Zsuzsanna-Q", "MRN-77-4711"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as `auctor serve` would write it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines())
    root, ours = logging.getLogger(), logging.getLogger(LOG)
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before[0])
    ours.setLevel(before[1])


def test_ready_says_which_part_is_not(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    client = clinic.browser().client
    assert client.get("/health/live").json() == {"status": "ok"}
    answer = client.get("/health/ready")
    assert (answer.status_code, set(answer.json()["checks"].values())) == (200, {"ok"})

    def down(self: Any) -> None:
        raise StoreUnavailable(where="database", what="does not answer", remedy="see the server")

    monkeypatch.setattr(type(clinic.store), "ping", down)
    monkeypatch.setattr("auctor.web.operate.readiness.ROOM_BYTES", 10**18)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["checks"]) == (
        503,
        {"database": "failing", "migrations": "ok", "models": "ok", "disk": "failing"},
    )


def test_a_database_that_is_down_is_a_503_not_a_crash(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(self: Any, *given: Any) -> None:
        raise StoreUnavailable(where="database", what="does not answer", remedy="see the server")

    monkeypatch.setattr(type(clinic.store), "read", down)
    browser = clinic.browser()
    browser.get("/sign-in")
    assert browser.post("/sign-in", {"login": "ada", "password": "any password at all"}).status_code == 503


def test_figures_need_the_token_and_hold_patterns_only(clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, metrics_token="token of the tests")
    client = clinic.browser().client
    assert client.get("/metrics").status_code == 303
    assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    client.get(f"/patients/{NUMBER}")
    client.get(f"/admin/accounts/{NUMBER}")
    text = client.get("/metrics", headers={"authorization": "Bearer token of the tests"}).text
    assert 'auctor_requests_total{method="GET",route="/admin/accounts/{account_id}",status="303"} 1.0' in text
    assert "process_resident_memory_bytes" in text and NUMBER not in text


def test_what_is_sent_to_any_route_is_not_in_the_log(clinic: Clinic, log: io.StringIO) -> None:
    """A patient's name and number as path, query, form, JSON, header and user agent of every route that there is."""
    clinic.person("boss", roles=("administrator", "signer"), wards=("icu",))
    browser = clinic.signed_in("boss")
    for route in clinic.routes():
        path = re.sub(r"{[^}]*}", NUMBER, route.path)
        for method in route.methods:
            headers = {"origin": clinic.settings.origin, "x-csrf-token": browser.token, "user-agent": NAME, "x-patient": NUMBER}
            fields = {"name": NAME, "family": NAME, "identifier": NUMBER, "login": NAME, "password": NUMBER, "answer": NUMBER}
            bodies: list[dict[str, Any]] = [{"data": fields}, {"json": fields}] if method == "POST" else [{}]
            for body in bodies if path != "/sign-out" else ():
                browser.client.request(method, path, params={"q": NAME, NAME: NUMBER}, headers=headers, **body)
    browser.client.get(f"/{NAME}/{NUMBER}")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len([line for line in lines if line.get("event") == "request"]) > 100
    bare = r"(?<![0-9a-f.])4711(?![0-9a-f])"  # not within a request's random number or a time
    assert not re.search(f"{NAME}|{NUMBER}|{bare}", log.getvalue(), re.IGNORECASE)


def test_refusals_and_forgeries_are_logged(clinic: Clinic, log: io.StringIO) -> None:
    clinic.person("ada")
    browser = clinic.signed_in("ada")
    browser.get("/admin/accounts")
    browser.client.post("/account/password", data={})
    browser.client.post("/account/password", data={}, headers={"origin": clinic.settings.origin})
    clinic.browser().sign_in("ada", "wrong horse battery")
    clinic.browser().sign_in(NAME, "wrong horse battery")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    events = [{name: line[name] for name in ("event", "kind", "why", "factor", "route") if name in line} for line in lines]
    assert {"event": "refused", "kind": "Forbidden", "route": "/admin/accounts"} in events
    assert [line["why"] for line in lines if line["event"] == "forged"] == ["origin", "token"]
    refused = [line["account"] for line in lines if line["event"] == "sign-in.refused"]
    assert len(refused) == 2 and refused[0] != refused[1] == "unknown"


def test_an_error_is_logged_by_its_type_and_place_alone(clinic: Clinic, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise ValueError(f"{NAME}: 12.5 mg/L")

    monkeypatch.setattr(type(clinic.app.state.reception.setup), "check", fail)
    number = clinic.browser().get("/setup").headers["x-request-id"]
    [line] = [json.loads(line) for line in log.getvalue().splitlines() if '"event": "error"' in line]
    assert (line["request"], line["error"], line["route"]) == (number, "ValueError", "/setup")
    logging.getLogger("some.library").warning("about %s", NAME, exc_info=ValueError(NAME))
    assert NAME not in log.getvalue() and '"event": "library"' in log.getvalue()
    assert told(ValueError(NAME)) == {"error": "ValueError", "place": "?"}


@pytest.mark.parametrize(
    ("settings", "plain", "fine"),
    [
        ({}, False, True),
        ({"host": "::1"}, False, True),
        ({"host": "0.0.0.0"}, False, False),
        ({"host": "10.0.0.7"}, False, False),
        ({"host": "0.0.0.0"}, True, True),
        ({"host": "0.0.0.0", "tls_certificate": "c.pem"}, False, True),
        ({"host": "0.0.0.0", "public_url": "https://a.example", "proxy_addresses": ("10.0.0.1",)}, False, True),
        ({"host": "0.0.0.0", "public_url": "https://a.example"}, False, False),
        ({"host": "0.0.0.0", "public_url": "http://a.example", "proxy_addresses": ("10.0.0.1",)}, False, False),
    ],
)
def test_passwords_do_not_travel_in_the_clear_unasked(tmp_path: Path, settings: dict[str, Any], plain: bool, fine: bool) -> None:
    found = read_settings({}, data_folder=tmp_path, **settings)
    if fine:
        check_exposure(found, plain=plain)
    else:
        with pytest.raises(SettingsError, match="in the clear"):
            check_exposure(found, plain=plain)


@pytest.mark.parametrize(
    ("database", "fine"),
    [
        ("", True),
        ("postgresql://auctor_login@/auctor?host=/run/postgresql", True),
        ("postgresql://auctor_login@127.0.0.1/auctor", True),
        ("postgresql://auctor_login@db/auctor", False),
        ("postgresql://auctor_login@db/auctor?sslmode=require", False),
        ("postgresql://auctor_login@/auctor?host=127.0.0.1&host=db", False),
        ("postgresql://auctor_login@127.0.0.1,db/auctor", False),
        ("postgresql://auctor_login@db/auctor?sslmode=verify-full", True),
    ],
)
def test_a_database_elsewhere_has_to_prove_itself(tmp_path: Path, database: str, fine: bool) -> None:
    found = read_settings({}, data_folder=tmp_path, database_url=database)
    check_exposure(found, plain=True)
    if fine:
        check_exposure(found, plain=False)
    else:
        with pytest.raises(SettingsError, match="another machine unproven"):
            check_exposure(found, plain=False)


def test_tls_is_of_today_and_the_client_takes_the_newest(tmp_path: Path) -> None:
    """What uvicorn makes of our configuration: no version below 1.2, no cipher without forward secrecy and authenticated encryption."""
    certificate, key = made_certificate(tmp_path)
    found = read_settings({}, data_folder=tmp_path, tls_certificate=str(certificate), tls_key=str(key))
    config = _config(lambda: None, found)
    config.load()
    assert config.ssl is not None and config.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2
    ciphers = config.ssl.get_ciphers()
    assert ciphers[0]["protocol"] == "TLSv1.3"
    assert all(one["aead"] and (one["protocol"] == "TLSv1.3" or "ECDHE" in one["name"] or "DHE" in one["name"]) for one in ciphers)


def test_serve_starts_prints_the_set_up_address_and_stops_in_order(clinic_folder: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"AUCTOR_DATA_FOLDER": str(clinic_folder), "AUCTOR_PORT": str(port), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-m", "auctor", "serve"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        [(address, token)] = re.findall(rf"(http://localhost:{port}/setup) with the token (\S+)", said)
        _until(f"http://localhost:{port}/health/live")
        assert httpx.get(address).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    lines = [json.loads(line) for line in rest.splitlines() if line.startswith("{")]
    assert lines[-1]["event"] == "stop"
    assert process.returncode in {0, -signal.SIGTERM}
    assert not any(token in json.dumps(line) for line in lines)


def _until(address: str) -> None:
    for _ in range(600):
        try:
            httpx.get(address)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("did not start")


def test_accounts_and_wards_by_command(clinic_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUCTOR_DATA_FOLDER", str(clinic_folder))

    def run(*words: str) -> Any:
        done = CliRunner().invoke(command, [*words, "--json"])
        return done.exit_code, json.loads(done.stdout)

    assert run("ward", "add", "icu", "--name", "Intensive care") == (0, {"id": "icu", "name": "Intensive care"})
    assert run("ward", "list")[1] == [{"id": "icu", "name": "Intensive care", "active": True}]
    code, made = run("account", "add", "Ada", "--role", "author", "--ward", "icu")
    assert code == 0
    assert run("account", "add", "ada")[0] == 2  # the login is taken
    assert run("account", "add", "eve", "--role", "king")[0] == 2
    assert [one["login"] for one in run("account", "list")[1]] == ["ada"]
    clinic = Clinic.opened(clinic_folder)
    assert clinic.browser().sign_in("ada", made["first_password"]).status_code == 303
    again = run("account", "reset", "ada", "--reason", "forgotten")[1]
    assert clinic.browser().sign_in("ada", again["first_password"]).status_code == 303
    assert run("account", "disable", "ada") == (0, {"id": made["id"], "login": "ada", "active": False})
    assert clinic.browser().sign_in("ada", again["first_password"]).status_code == 401
    assert run("account", "disable", "nobody")[0] == 2
    from auctor.web.store.tables import Audit

    with clinic.store.read(MACHINE) as reading:
        entries = reading.session.query(Audit).filter(Audit.channel == "cli").order_by(Audit.sequence).all()
    assert [row.action for row in entries] == ["ward.add", "account.add", "account.reset", "account.disable"]
    assert entries[2].reason == "forgotten" and entries[2].login.startswith("system:")


def test_second_factors_are_sealed_anew_under_a_new_secret(clinic_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUCTOR_DATA_FOLDER", str(clinic_folder))
    clinic = Clinic.opened(clinic_folder)
    people = {login: clinic.person(login) for login in ("ada", "bob")}
    for account in people.values():
        with clinic.store.work(MACHINE) as work:
            work.get(Account, account).totp_sealed = clinic.store.seal("A" * 32, purpose=f"totp:{account}")
            work.record("account.totp", "account", account)
    clinic.store.close()
    old, marks = tmp_path / "old", clinic_folder / "auctor.checkpoints"
    (clinic_folder / "secret").rename(old)
    marks.rename(tmp_path / "old.checkpoints")
    done = [CliRunner().invoke(command, ["account", "reseal", str(old), "--json"]) for _ in range(2)]
    assert [json.loads(one.stdout) for one in done] == [{"resealed": 2}, {"resealed": 0}]
    again = Clinic.opened(clinic_folder)
    with again.store.read(MACHINE) as reading:
        for account in people.values():
            assert again.store.unseal(str(reading.get(Account, account).totp_sealed), purpose=f"totp:{account}") == "A" * 32
    again.store.close()
    (clinic_folder / "secret").write_text("c" * 64)
    (tmp_path / "other").write_text("d" * 64)
    wrong = CliRunner().invoke(command, ["account", "reseal", str(tmp_path / "other"), "--json"])
    assert wrong.exit_code == 2 and "does not open" in wrong.output


def test_the_library_is_read_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page of many people at once does not read it once for each of them."""
    from concurrent.futures import ThreadPoolExecutor

    from auctor.web.service import models

    asked: list[str] = []

    def slow(name: str) -> Any:
        asked.append(name)
        time.sleep(0.01)
        return read(name)

    read = models.read
    monkeypatch.setattr(models, "read", slow)
    monkeypatch.setattr(models, "list_models", lambda: ["vancomycin_goti_2018", "tacrolimus_woillard_2011"])
    for clear in (models._library.cache_clear, models.drugs.cache_clear):
        clear()
    try:
        with ThreadPoolExecutor(4) as pool:
            found = [job.result() for job in [pool.submit(models.drugs) for _ in range(4)]]
    finally:
        for clear in (models._library.cache_clear, models.drugs.cache_clear):
            clear()
    assert found == [("tacrolimus", "vancomycin")] * 4 and len(asked) == 2


def test_warming_reads_the_library_and_imports_what_is_heavy() -> None:
    """In a thread that a stop does not wait for."""
    from auctor.web.operate.warming import HEAVY, warm

    thread = warm()
    assert thread.daemon
    thread.join(120)
    assert not thread.is_alive() and set(HEAVY[:2]) <= set(sys.modules)


HEAPS = """
import ctypes, re, sys, threading
if sys.argv[2] == "few":
    from auctor.web.operate.memory import few_heaps
    few_heaps()
together = threading.Barrier(12)
def work():
    together.wait()
    kept = [bytes(2000) for _ in range(2000)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.fclose.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
out = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, out)
libc.fclose(out)
print(len(re.findall("<heap nr=", open(sys.argv[1]).read())))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc for its heaps")
def test_threads_share_a_few_heaps_unless_the_installation_has_its_own_number(tmp_path: Path) -> None:
    def heaps(how: str, **own: str) -> int:
        ours = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | own
        ran = subprocess.run(
            [sys.executable, "-c", HEAPS, str(tmp_path / "info"), how], env=ours, capture_output=True, text=True, check=True
        )
        return int(ran.stdout)

    assert heaps("as it is") > 2, "a heap for every thread that asks while others do"
    assert heaps("few") <= 2
    assert heaps("few", MALLOC_ARENA_MAX="5") > 2
