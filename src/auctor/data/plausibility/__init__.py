"""Sample plausibility: how likely is each record as it stands, and what else would explain it? It flags and asks; it changes nothing.

`check(case, model)` is the one verb; `auctor.data.plausibility.finding` holds its nouns. Method and figures: docs/plausibility.md.
"""

from auctor.data.plausibility.check import check
from auctor.data.plausibility.finding import Facts, Family, Finding, Kind, Plausibility, SamplePlace

__all__ = ["Facts", "Family", "Finding", "Kind", "Plausibility", "SamplePlace", "check"]
