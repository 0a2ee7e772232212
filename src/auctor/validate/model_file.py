"""A model file judged: its equations by their units, its numbers against plausible ranges and the whole domain, and its own checks run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auctor.errors import AuctorError
from auctor.models.checks import CheckResult, read_checks
from auctor.models.dimensions import dimension_findings
from auctor.models.domain_grid import domain_findings
from auctor.models.findings import SEVERITIES, Finding
from auctor.models.model import DrugModel
from auctor.models.plausible_ranges import range_findings
from auctor.models.reader import model_path, read_model
from auctor.models.words import word_findings

# a refusal of the reader -> the code of its finding
_REFUSALS = (
    ("not positive definite", "omega"),
    ("neither a covariate, a parameter nor a constant", "undeclared"),
    ("is used and not known", "undeclared"),
    ("not above zero at the reference covariates", "domain"),
    ("not known", "unit-unknown"),
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings on one model or variant, gravest first, and how many of its checks ran and passed."""

    name: str
    findings: tuple[Finding, ...]
    checks: int = 0
    passed: int = 0

    @property
    def usable(self) -> bool:
        """Whether nothing is an error."""
        return all(finding.severity != "error" for finding in self.findings)


def check_file(name_or_path: str | Path) -> tuple[Report, ...]:
    """Judge a library model or a file, and each of its variants; a variant's report holds only what its file's does not.

    A file that cannot be read is a finding like any other. Every model compiles once or twice.

    >>> [(report.name, report.usable) for report in check_file("phenobarbital_grasela_1985")]
    [('phenobarbital_grasela_1985', True)...]
    """
    try:
        model = read_model(name_or_path)
    except AuctorError as error:
        return (Report(name=str(name_or_path), findings=(refusal(error),)),)
    first = check_model(model)
    path, asked = model_path(name_or_path)
    variants = () if asked else tuple(_variant(path, name, first) for name in model.variants)
    return first, *variants


def _variant(path: Path, name: str, first: Report) -> Report:
    try:
        found = check_model(read_model(Path(f"{path}@{name}")))
    except AuctorError as error:
        return Report(name=f"{first.name}@{name}", findings=(refusal(error),))
    new = tuple(finding for finding in found.findings if finding not in first.findings)
    return Report(name=found.name, findings=new, checks=found.checks, passed=found.passed)


def check_model(model: DrugModel) -> Report:
    """Judge one model as it was read."""
    results, failures = _run(model)
    found = (*word_findings(model), *dimension_findings(model), *range_findings(model), *domain_findings(model), *failures)
    ordered = sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(name=model.name, findings=tuple(ordered), checks=len(results), passed=sum(r.passed for r in results))


def refusal(error: AuctorError) -> Finding:
    """The reader's refusal as a finding."""
    code = next((code for words, code in _REFUSALS if words in error.what), "unreadable")
    code = "source" if error.where.endswith(".source") else code
    return Finding(code=code, severity="error", where=error.where, what=error.what, remedy=error.remedy)


def _run(model: DrugModel) -> tuple[list[CheckResult], list[Finding]]:
    from auctor.pk.checks import run_check

    results: list[CheckResult] = []
    failures: list[Finding] = []
    try:
        checks = read_checks(model)
    except AuctorError:  # word_findings says so
        return results, failures
    for check in checks:
        try:
            own = run_check(model, check)
        except AuctorError as error:
            failures.append(Finding(code="check-not-run", severity="error", where=check.where, what=error.what, remedy=error.remedy))
        else:
            results += own
            failures += _failed(own, meant=check.variant == model.variant)
    return results, failures


def _failed(results: tuple[CheckResult, ...], *, meant: bool) -> Iterator[Finding]:
    """An error; a warning where a variant does not meet what was worked out for the file as it stands. An invariant holds for both."""
    for r in (result for result in results if not result.passed):
        own = meant or r.kind == "invariant"
        what = f"{r.quantity} is {r.found:.10g}, the file expects {r.expected:.10g} (rtol {r.rtol:g})"
        remedy = "work it out again by hand, from the source" if own else "give the variant checks of its own: variant = its name"
        code, severity = ("check-failed", "error") if own else ("check-of-file", "warning")
        yield Finding(code=code, severity=severity, where=r.where.rpartition(": ")[2], what=what, remedy=remedy)
