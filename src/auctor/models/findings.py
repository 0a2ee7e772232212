"""What the linter of model files finds: a code, how grave it is, where, what, and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding. `error`: do not use the file as it stands; `warning`: look at it; `info`: what could not be judged, or was assumed.

    >>> str(Finding(code="omega", severity="error", where="omega", what="not positive definite", remedy="check the variances"))
    'error omega at omega: not positive definite; check the variances'
    """

    code: str
    severity: str
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity} {self.code} at {self.where}: {self.what}; {self.remedy}"
