"""A result's report as text and as PDF, in a language, for whoever may read it: a browser, or the hospital's record."""

from __future__ import annotations

from auctor.web.accounts.actor import Actor
from auctor.web.pages.language import Language
from auctor.web.pages.rendering import text
from auctor.web.pages.views.report import report_view
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile
from auctor.web.service.signing import result_file


def report_of(clinic: Clinic, actor: Actor, result_id: str, language: Language) -> tuple[CourseFile, str]:
    """The file of the course and the report's HTML; the view is audited."""
    file, result = result_file(clinic, actor, result_id, audited=True)
    return file, text("report.html", language, report_view(file, result, language))


def pdf_of(clinic: Clinic, actor: Actor, result_id: str, language: Language) -> tuple[CourseFile, bytes]:
    """The same as a PDF, made by a worker."""
    from auctor.web.pages.pdf import as_pdf

    file, written = report_of(clinic, actor, result_id, language)
    return file, clinic.engine.workers.run(as_pdf, written)
