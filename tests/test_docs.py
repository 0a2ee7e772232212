"""The documentation runs: Python blocks, `console` blocks, and every `auctor` command line that a page shows.

A page is README.md or docs/**/*.md. In a page,
- a `python` block runs, all blocks of a page in one namespace and in order; lines with `>>>` are checked as doctests;
- a `console` block runs its `$ ` lines; the output below each must match, `...` standing for any text;
  a line without output must only succeed;
- a block with `title="NAME"` is first written to that file, so that the commands of the page can read it;
- a block after the line `<!-- not run: REASON -->` is shown only; the command lines in it are still held against
  the command line's options.
Blocks run in an empty folder with a copy of `examples/` in it.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"""
    (?: <!--\ not\ run:\ (?P<reason>[^>]+)\ -->\n+ )?
    ^(?P<fence>`{3,}) (?P<language>\w+) (?: \ title="(?P<title>[^"]+)" )? [^\n]*\n
    (?P<body>.*?)
    ^(?P=fence)$
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
COMMANDS = {"console", "bash", "sh"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    language: str
    body: str
    line: int
    fence: str
    reason: str | None
    title: str | None


def _blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(line=text.count("\n", 0, m.start("body")) + 1, **m.groupdict()) for m in BLOCK.finditer(text)]


def _pages_with(*languages: str) -> list[Path]:
    return [page for page in PAGES if any(b.language in languages and not b.reason for b in _blocks(page))]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the examples in it, as the current one."""
    if (ROOT / "examples").is_dir():
        shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.mark.parametrize("page", _pages_with("python"), ids=_name)
def test_python_blocks_run(page: Path, desk: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in _blocks(page):
        if block.language != "python" or block.reason:
            continue
        if ">>>" in block.body:
            _doctest(block, page, namespace)
        else:
            # padded, so that a traceback names the page's own line
            exec(compile("\n" * (block.line - 1) + block.body, str(page), "exec"), namespace)


def _doctest(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    example = doctest.DocTestParser().get_doctest(block.body, namespace, _name(page), str(page), block.line - 1)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(example, out=said.append, clear_globs=False)
    namespace.update(example.globs)
    assert not runner.failures, "".join(said)


@pytest.mark.parametrize("page", _pages_with("console"), ids=_name)
def test_console_blocks_run(page: Path, desk: Path) -> None:
    for block in _blocks(page):
        if block.title:
            (desk / block.title).write_text(block.body)
    for block in _blocks(page):
        if block.language == "console" and not block.reason:
            for command, expected in _commands(block.body):
                _run(command, expected)


def _run(command: str, expected: str) -> None:
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    if expected.strip():
        matches = doctest.OutputChecker().check_output(expected, done.stdout, FLAGS)
        assert matches, f"$ {command}\nshown:\n{expected}\nprinted:\n{done.stdout}{done.stderr}"


def _commands(body: str) -> Iterator[tuple[str, str]]:
    """The (command, output) pairs of a block; a trailing backslash continues a command.

    >>> list(_commands("$ a \\\\\\n  b\\nout\\n$ c\\n"))
    [('a  b', 'out\\n'), ('c', '')]
    """
    for part in re.split(r"^\$ ", body.replace("\\\n ", ""), flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def _shown_commands(page: Path) -> Iterator[str]:
    for block in _blocks(page):
        if block.language in COMMANDS:
            for line in block.body.replace("\\\n", " ").splitlines():
                if re.match(r"(\$ )?auctor ", line):
                    yield re.sub(r"\s+# .*", "", line.removeprefix("$ "))


@pytest.mark.parametrize("command", sorted({c for page in PAGES for c in _shown_commands(page)}))
def test_command_lines_in_the_pages_exist(command: str) -> None:
    import typer.main

    from auctor.cli import app

    words = shlex.split(command)[1:]
    node: Any = typer.main.get_command(app)
    while words and not words[0].startswith("-") and hasattr(node, "commands"):
        assert words[0] in node.commands, f"no command {words[0]!r}"
        node = node.commands[words.pop(0)]
    known = {name for parameter in node.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in known] == []


def test_links_between_files_lead_somewhere() -> None:
    found = [(page, target) for page in [*PAGES, *ROOT.glob("*.md")] for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text())]
    broken = [(_name(page), target) for page, target in found if "://" not in target and not (page.parent / target).exists()]
    assert broken == []


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text()
    docs = ROOT / "docs"
    assert [name for page in docs.rglob("*.md") if (name := str(page.relative_to(docs))) not in menu] == []


def test_blocks_that_are_not_run_say_why() -> None:
    silent = [f"{_name(page)}:{b.line}" for page in PAGES for b in _blocks(page) if b.reason is not None and len(b.reason.strip()) < 10]
    assert silent == []
