"""One analysis as JSON, a short table and a self-contained HTML page."""

from auctor.report.html import to_html, write_html
from auctor.report.result import as_dict, to_json, write_json
from auctor.report.table import summary_table

__all__ = ["as_dict", "summary_table", "to_html", "to_json", "write_html", "write_json"]
