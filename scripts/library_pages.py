"""A hook of mkdocs: the pages of the model library, made from the model files while the site is built and never written into the tree.

AUCTOR_PAGES=all also draws the curves of models that need the compiled engine (minutes the first time).
"""

from __future__ import annotations

import os
from typing import Any

from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add one file a page and picture under models/."""
    from auctor.report.library_pages import library_pages

    for name, text in library_pages(compiled=os.environ.get("AUCTOR_PAGES") == "all").items():
        files.append(File.generated(config, f"models/{name}", content=text))
    return files
