"""The mark of a learner that was trained to give an individual estimate of the same model; on its own, since every analysis needs it."""

from __future__ import annotations

CIRCULAR = "circular label"


def marked(name: str, *, circular: bool) -> str:
    """A learner's name as tables show it.

    >>> marked("XGBoost", circular=True)
    'XGBoost (circular label)'
    """
    return f"{name} ({CIRCULAR})" if circular else name
