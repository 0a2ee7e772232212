"""Settings: nothing is needed on one machine; a variable wins over the file; what is unknown, unsafe or unreadable is refused."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from auctor.web.settings import Settings, SettingsError, is_loopback, kept_secret, read_settings


def test_without_configuration_a_store_and_a_secret_of_the_users_own(tmp_path: Path) -> None:
    settings = read_settings({}, data_folder=tmp_path / "data")
    assert settings.host == "127.0.0.1"
    assert settings.database == f"sqlite:///{tmp_path}/data/auctor.sqlite"
    assert stat.S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_secret_stays_and_gives_each_purpose_its_own_key(tmp_path: Path) -> None:
    first, again = (read_settings({}, data_folder=tmp_path) for _ in range(2))
    assert first.secret == again.secret
    assert first.key("audit") != first.key("sealing")
    assert len(first.key("audit")) == 32


def test_starts_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        seen = set(pool.map(lambda _: kept_secret(tmp_path / "secret"), range(64)))
    assert len(seen) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    read_settings({}, data_folder=tmp_path)
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(SettingsError, match="read by others"):
        read_settings({}, data_folder=tmp_path)


def test_a_credential_of_systemd_is_read_above_the_file_and_below_a_variable(tmp_path: Path) -> None:
    file, credentials = tmp_path / "auctor.toml", tmp_path / "credentials"
    credentials.mkdir()
    file.write_text(f'secret = "{"a" * 64}"\nmetrics_token = "of the file"\noidc_name = "kept"\n')
    (credentials / "auctor.secret").write_text("b" * 64 + "\n")
    (credentials / "auctor.metrics_token").write_text("of systemd")
    environment = {"AUCTOR_CONFIG": str(file), "CREDENTIALS_DIRECTORY": str(credentials), "AUCTOR_METRICS_TOKEN": "of the variable"}
    settings = read_settings(environment, data_folder=tmp_path)
    assert (settings.secret, settings.metrics_token, settings.oidc_name) == ("b" * 64, "of the variable", "kept")
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, False),
        ({"AUCTOR_HOST": "0.0.0.0"}, True),
        ({"AUCTOR_PUBLIC_URL": "https://auctor.example"}, True),
        ({"AUCTOR_PUBLIC_URL": "https://auctor.example", "AUCTOR_SECOND_FACTOR_REQUIRED": "false"}, False),
        ({"AUCTOR_SECOND_FACTOR_REQUIRED": "true"}, True),
    ],
)
def test_a_second_factor_is_asked_for_wherever_others_can_reach_it(given: dict[str, str], asked: bool, tmp_path: Path) -> None:
    assert read_settings(given, data_folder=tmp_path).asks_second_factor is asked


def test_secrets_are_not_in_the_representation(tmp_path: Path) -> None:
    settings = read_settings({"AUCTOR_METRICS_TOKEN": "tok-7", "AUCTOR_DATABASE_URL": "postgresql://u:pw@h/d"}, data_folder=tmp_path)
    assert not any(word in repr(settings) for word in (settings.secret, "tok-7", "pw@h"))


def test_a_variable_wins_over_the_file_and_an_option_over_both(tmp_path: Path) -> None:
    file = tmp_path / "auctor.toml"
    file.write_text('port = 1\nhost = "10.0.0.1"\nframe_ancestors = ["https://ehr"]\nsession_idle_minutes = 5\n')
    environment = {"AUCTOR_CONFIG": str(file), "AUCTOR_PORT": "2", "AUCTOR_SESSION_IDLE_MINUTES": "6", "AUCTOR_CACHE": "elsewhere"}
    settings = read_settings(environment, data_folder=tmp_path, port=3)
    assert (settings.port, settings.host, settings.session_idle_minutes) == (3, "10.0.0.1", 6)
    assert settings.frame_ancestors == ("https://ehr",)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("pört = 1", "auctor.toml"),
        ("prot = 1", "prot"),
        ('port = "x"', "port"),
        ("port = -1", "port"),
        ("port = 1.5", "port"),
        ("port = true", "port"),
        ('secret = "short"', "secret"),
        ('public_url = "auctor.example"', "public_url"),
        ('oidc_issuer = "https://id"', "oidc_client_id"),
        ('second_factor_required = "perhaps"', "second_factor_required"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_key(text: str, where: str, tmp_path: Path) -> None:
    file = tmp_path / "auctor.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        read_settings({}, config=file, data_folder=tmp_path)
    assert where in refused.value.where


@pytest.mark.parametrize(
    ("given", "origin", "https"),
    [
        ({}, "http://localhost:8571", False),
        ({"AUCTOR_PUBLIC_URL": "https://auctor.example/"}, "https://auctor.example", True),
        ({"AUCTOR_HOST": "10.0.0.7", "AUCTOR_TLS_CERTIFICATE": "c.pem"}, "https://10.0.0.7:8571", True),
    ],
)
def test_origin(given: dict[str, str], origin: str, https: bool, tmp_path: Path) -> None:
    settings = read_settings(given, data_folder=tmp_path)
    assert (settings.origin, settings.https) == (origin, https)


def test_the_language_is_one_that_there_is(tmp_path: Path) -> None:
    assert read_settings({}, data_folder=tmp_path).language == "en"
    assert read_settings({"AUCTOR_LANGUAGE": "fr"}, data_folder=tmp_path).language == "fr"
    with pytest.raises(SettingsError, match="not a language of auctor; one of en, fr"):
        read_settings({"AUCTOR_LANGUAGE": "de"}, data_folder=tmp_path)


def test_every_setting_is_in_the_documentation_and_nothing_else(root: Path) -> None:
    table = (root / "docs" / "serve.md").read_text().split("| Key | Default | Means |")[1].split("\n\n")[0]
    shown = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")}
    assert shown == {field.name for field in fields(Settings)}


def test_only_loopback_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil", "")))
