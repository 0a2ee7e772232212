"""Three independent validators of FHIR R4, each as a function from a resource to its complaints."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Complaints = list[str]


def fhirkit(resource: dict[str, Any]) -> Complaints:
    """fhirkit-rs: structure, data types, required elements."""
    import fhirkit as kit

    try:
        return [str(issue) for issue in kit.validate(json.dumps(resource)) if issue.severity == "error"]
    except ValueError as error:
        return [str(error)]


def fhir_resources(resource: dict[str, Any]) -> Complaints:
    """fhir.resources, R4B: pydantic models of the structure."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except (ValidationError, KeyError, LookupError, TypeError) as error:
        return [str(error)]
    return []


def pyfhircheck(resource: dict[str, Any]) -> Complaints:
    """pyfhircheck: invariants and required bindings too."""
    from pyfhircheck import Validator
    from pyfhircheck.models import Severity

    if "validator" not in _KEPT:
        _KEPT["validator"] = Validator()
    report = _KEPT["validator"].validate_resource(resource)
    return [f"{issue.path}: {issue.message}" for issue in report.issues if issue.severity is Severity.ERROR]


_KEPT: dict[str, Any] = {}
VALIDATORS: dict[str, Callable[[dict[str, Any]], Complaints]] = {
    "fhirkit-rs": fhirkit, "fhir.resources": fhir_resources, "pyfhircheck": pyfhircheck,
}  # fmt: skip
