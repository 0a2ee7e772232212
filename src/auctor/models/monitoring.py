"""By when a level of a drug is due: the hospital's own file before the drug file, and of that only what was read in its source.

```toml
schema = 1

[[monitoring]]
drug = "tacrolimus"
after_change_within_h = 96
at_least_every_h = 720
verified = true
source = "pharmacy committee, 2026-03-01"
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from auctor.errors import ModelError
from auctor.models.drug_file import MONITORING, SCHEMA, Monitoring, monitoring_of, read_drug
from auctor.models.table import Table


def read_intervals(path: Path) -> dict[str, Monitoring]:
    """A hospital's own intervals by drug; ModelError names the entry that cannot be used. A row without any interval says: no rule."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(where=path.name, what="cannot be read as TOML in UTF-8", remedy="check the path and the syntax") from error
    top = Table.of(data, path.name, required=("schema",), optional=("monitoring",))
    if data.get("schema") != SCHEMA:
        raise top.fault("schema", f"not schema {SCHEMA}", f"write schema = {SCHEMA} at the top")
    found: dict[str, Monitoring] = {}
    for row in top.rows("monitoring"):
        table = row.only(required=("drug", *MONITORING["required"]), optional=MONITORING["optional"])
        drug = table.text("drug").strip().lower()
        if drug in found:
            raise table.fault("drug", "twice", "keep one row a drug")
        found[drug] = monitoring_of(table)
    return found


def intervals_of(drug: str, own: Mapping[str, Monitoring]) -> Monitoring | None:
    """The intervals that hold for a drug here; None where nobody declared any, or nobody verified those of the drug file.

    >>> intervals_of("vancomycin", {}).at_least_every_h, intervals_of("examplin", {})
    (168.0, None)
    """
    name = drug.strip().lower()
    rule = own.get(name)
    if rule is None:
        try:
            rule = read_drug(name).monitoring
        except ModelError:
            return None
    return rule if rule is not None and rule.verified else None
