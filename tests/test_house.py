"""The rules of the house: floors, declared dependencies, locks that plain pip installs, nothing generated in the tree."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
IMPORT_NAME = {
    "scikit-learn": "sklearn", "xgboost-cpu": "xgboost", "pharmpy-core": "pharmpy", "py-earth2": "pyearth",
    "argon2-cffi": "argon2", "prometheus-client": "prometheus_client",
}  # fmt: skip
# the other halves of pydantic, FastAPI and Jinja2: pinned by them to the versions that fit
BROUGHT_ALONG = {"pydantic_core", "starlette", "markupsafe"}


def _run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def _tracked() -> list[Path]:
    listed = _run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_imports_only_point_down_the_floors() -> None:
    done = _run("env", f"PYTHONPATH={ROOT / 'src'}", str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert done.returncode == 0, done.stdout


def test_shape_of_the_code() -> None:
    shape = ROOT.parent / "shared" / "checks" / "shape"
    if not shape.exists():
        pytest.skip("needs ../shared/checks/shape, which only the developers' machines have")
    done = _run(sys.executable, str(shape))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__init__.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_file_holds_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "util", "common", "core", "helpers", "misc"}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _project() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _import_name(requirement: str) -> str:
    name = Requirement(requirement).name
    return IMPORT_NAME.get(name, name)


def test_every_import_is_a_declared_dependency() -> None:
    project = _project()
    declared = {
        _import_name(r)
        for r in [
            *project["dependencies"],
            *(r for extra in ("nonmem", "learn", "catboost", "web") for r in project["optional-dependencies"][extra]),
        ]
    }
    imported = {name for path in SOURCES for name in _imported(path)}
    assert imported - declared - set(sys.stdlib_module_names) - BROUGHT_ALONG - {"auctor"} == set()


def _pins(lock: str) -> dict[str, str]:
    lines = re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text(), flags=re.MULTILINE)
    return dict(lines)


def test_locks_hold_every_dependency_once_with_hashes_and_without_an_index() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text, pins = (ROOT / lock).read_text(), _pins(lock)
        entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        repeated = [entry for entry in entries if sum(other.startswith(entry.split("==")[0] + "==") for other in entries) > 1]
        assert len(entries) - len(repeated) + len({entry.split("==")[0] for entry in repeated}) == len(pins)
        assert all(" ; " in entry.splitlines()[0] for entry in repeated)  # another version for another machine, never for the same one
        assert all("--hash=sha256:" in entry for entry in entries)
        assert "://" not in text
    assert _pins("requirements.lock").items() <= _pins("requirements-dev.lock").items()


DEVELOPMENT = ["build", "dev", "docs", "nonmem", "learn", "catboost", "web"]


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", ["build", "web"]), ("requirements-dev.lock", DEVELOPMENT)])
def test_locks_agree_with_the_project(lock: str, extras: list[str]) -> None:
    project, pins = _project(), _pins(lock)
    wanted = [Requirement(r) for r in [*project["dependencies"], *(r for e in extras for r in project["optional-dependencies"][e])]]
    assert [r.name for r in wanted if (name := canonicalize_name(r.name)) not in pins or not r.specifier.contains(pins[name])] == []


def test_no_path_of_a_machine_in_the_tree() -> None:
    homes = re.compile(rb"/(?:work|root|home|Users)/[A-Za-z0-9_.-]+/")
    named = {str(p.relative_to(ROOT)): homes.search(p.read_bytes()) for p in _tracked() if p.suffix != ".png"}
    assert {name: hit[0] for name, hit in named.items() if hit} == {}


def test_nothing_generated_in_the_tree() -> None:
    generated = re.compile(r"(^|/)(\.venv|__pycache__|site|demo-output|build|dist)/|\.(pyc|pkl|pickle|joblib|so|log|egg-info)$")
    names = [str(p.relative_to(ROOT)) for p in _tracked()]
    assert [name for name in names if generated.search(name)] == []
    assert [name for name in names if (ROOT / name).stat().st_size > 1_500_000] == []


def test_no_file_of_the_reference_folder_is_copied_here() -> None:
    shared = ROOT.parent / "shared"
    if not shared.is_dir():
        pytest.skip("needs ../shared, which only the developers' machines have")
    theirs = {_digest(p): p for p in shared.rglob("*") if p.is_file() and p.stat().st_size > 200}
    assert [str(p.relative_to(ROOT)) for p in _tracked() if _digest(p) in theirs] == []


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_version_everywhere() -> None:
    import auctor

    assert _project()["version"] == auctor.__version__
    assert f"## [{auctor.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
