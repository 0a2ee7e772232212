"""What the command line promises: help at once, errors as where / what / remedy, exit codes, JSON alone on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from auctor import __version__
from auctor.cli import app
from auctor.cli.command import AsJson, Command, Group
from auctor.errors import AuctorError, CaseError, EstimationError, ModelError, OutOfDomain, PlanError, TableError, UnitError

RUNNER = CliRunner()
COMMANDS = [[], ["analyse"], ["estimate"], ["simulate"], ["train"], ["reproduce"], ["demo"], ["models"], ["models", "list"], ["models", "show"]]


def run(*words: str) -> Any:
    return RUNNER.invoke(app, list(words))


def shell(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auctor", *words], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}, check=False
    )


# --- help and version ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "auctor")
def test_help_names_every_option_and_leaves_with_0(words: list[str]) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert words[-1:] in ([], ["models"]) or "--json" in result.stdout


HEAVY = ("jax", "numpy", "scipy", "sklearn", "xgboost", "pandas", "pydantic", "pint", "jinja2", "rich")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "auctor")
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    # Time depends on how busy the machine is; what is loaded does not.
    code = f"""
import sys
sys.argv = ["auctor", *{words!r}, "--help"]
from auctor.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_the_fastest_of_five_helps_takes_under_0_3_s() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        shell("analyse", "--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


def test_version() -> None:
    assert run("--version").stdout == f"auctor {__version__}\n"
    assert shell("--version").stdout == f"auctor {__version__}\n"


# --- errors -------------------------------------------------------------------------------------------------------------

WORDS = {"where": "samples[0].unit", "what": "no unit", "remedy": "write for example 'ng/mL'"}


def failing(error: Exception) -> typer.Typer:
    """An application with the real Command class and one subcommand that raises."""
    application = typer.Typer(cls=Group, rich_markup_mode=None, pretty_exceptions_enable=False)

    @application.command(cls=Command)
    def fail(*, as_json: AsJson = False) -> None:
        raise error

    @application.command(cls=Command)
    def other() -> None:
        """A second one, so that the first keeps its name."""

    return application


TYPED = [(CaseError, 2), (TableError, 2), (UnitError, 2), (ModelError, 2), (PlanError, 2), (EstimationError, 3), (OutOfDomain, 4)]


@pytest.mark.parametrize(("kind", "code"), TYPED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_typed_error_is_where_what_remedy_and_its_exit_code(kind: type[AuctorError], code: int) -> None:
    result = RUNNER.invoke(failing(kind(**WORDS)), ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert all(line in result.stderr for line in WORDS.values())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("kind", "code"), TYPED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_under_json_a_typed_error_is_one_document_on_stdout(kind: type[AuctorError], code: int) -> None:
    result = RUNNER.invoke(failing(kind(**WORDS)), ["fail", "--json"])
    assert json.loads(result.stdout) == {"error": {"kind": kind.__name__, **WORDS, "exit_code": code}}
    assert result.exit_code == code


def test_an_unforeseen_error_is_called_a_bug_and_its_message_is_not_printed() -> None:
    result = RUNNER.invoke(failing(ValueError("creatinine 812 of patient 7")), ["fail", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["kind"] == "Bug"
    assert "812" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_bad_input() -> None:
    result = RUNNER.invoke(failing(FileNotFoundError(2, "No such file or directory", "case.toml")), ["fail", "--json"])
    assert json.loads(result.stdout)["error"] | {"remedy": ""} == {
        "kind": "FileError",
        "where": "case.toml",
        "what": "no such file or directory",
        "remedy": "",
        "exit_code": 2,
    }


@pytest.mark.parametrize("words", [["nonsense"], ["analyse"], ["analyse", "x", "--draws", "many"], ["reproduce", "E99"], ["models", "draw"]])
def test_a_wrong_command_line_leaves_with_2(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr
