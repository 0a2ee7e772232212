"""A hook of mkdocs: the overview of the studies, made from their pages while the site is built and never written into the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add studies/index.md."""
    from auctor.report.study_index import pages_of, study_index

    files.append(File.generated(config, "studies/index.md", content=study_index(pages_of(Path(config["docs_dir"]) / "studies"))))
    return files
