"""A report's HTML to PDF by WeasyPrint: the one sheet of the report, and nothing fetched from anywhere."""

from __future__ import annotations

from pathlib import Path
from threading import local
from typing import Any

SHEET = Path(__file__).parent / "static" / "report.css"
BASE = "https://report.invalid"


def as_pdf(html: str) -> bytes:
    """The PDF of a report. Raises ValueError for a page that asks for anything but its sheet."""
    from weasyprint import HTML

    made = HTML(string=html, base_url=BASE, url_fetcher=_sheet_only).write_pdf(font_config=_fonts())
    assert isinstance(made, bytes)
    return made


def _fonts() -> Any:
    """The machine's fonts, looked up once a thread: each look-up keeps memory for good, and two threads may not share one."""
    from weasyprint.text.fonts import FontConfiguration

    if not hasattr(_OWN, "fonts"):
        _OWN.fonts = FontConfiguration()
    return _OWN.fonts


_OWN = local()


def _sheet_only(url: str, *_: Any, **__: Any) -> Any:
    from weasyprint.urls import URLFetcherResponse

    if url != f"{BASE}/static/report.css":
        raise ValueError("a report asks for nothing but its own sheet")
    return URLFetcherResponse(url, SHEET.read_bytes(), {"Content-Type": "text/css"})
