"""What a trained artefact is on disk: files, a manifest of their SHA-256 checked at load, and one rename that makes it appear whole."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import auctor
from auctor.errors import ModelError

Trained = TypeVar("Trained")
MANIFEST = "manifest.json"


def write(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write an artefact's files and the manifest of their SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in content.items():
        (folder / name).write_bytes(raw)
    digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in content.items()}
    (folder / MANIFEST).write_text(canonical({"sha256": digests}), encoding="utf-8")


def verified(folder: Path, always: Iterable[str], *, called: str, whole: Callable[[Iterable[str]], bool] = bool) -> dict[str, bytes]:
    """The files of the manifest and those that are `always` there; `whole` says whether their names make what is `called` so.

    Raises ModelError where a file is missing or differs from its recorded SHA-256.
    """
    try:
        recorded = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["sha256"]
        names = {*always, *(Path(name).name for name in recorded)}
        content = {name: (folder / name).read_bytes() for name in sorted(names)}
        if not whole(content):
            raise KeyError(called)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(where=folder.name, what=f"is not a complete {called}", remedy="train the plan again") from error
    for name, raw in content.items():
        if hashlib.sha256(raw).hexdigest() != recorded.get(name):
            remedy = "do not use it: train the plan again"
            raise ModelError(where=f"{folder.name}/{name}", what="differs from its recorded SHA-256", remedy=remedy)
    return content


def kept(folder: Path, load: Callable[[Path], Trained], train: Callable[[Path], object]) -> Trained:
    """Load what the folder holds, or train into a staging folder that takes its place by one rename: nothing half done is ever seen."""
    if folder.exists():
        try:
            return load(folder)
        except ModelError:
            shutil.rmtree(folder)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".training-"))
    try:
        train(staging)
        try:
            staging.replace(folder)
        except OSError:  # another process finished the same plan first: the content is the same
            if not folder.exists():
                raise
        return load(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@lru_cache(maxsize=8)
def code_hash(parts: tuple[str, ...]) -> str:
    """SHA-256 over the Python files of the package's folders `parts`."""
    root = Path(auctor.__file__).parent
    files = sorted(path for part in parts for path in (root / part).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def canonical(content: Any) -> str:
    """JSON with sorted keys and a last newline: the same content gives the same bytes."""
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
