"""Plausibility limits: what is refused as impossible, what is kept but carried as a warning, and why.

The refusals are meant to catch slips (a unit, a decimal point, a swapped field), not unusual patients: they lie outside what is
compatible with life or with the definition of the quantity. The warnings are wide clinical ranges. They are the house's own,
recalled from general knowledge and not taken from one source, so each says its reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Bounds of one quantity in `unit`: below `low` or above `high` it is refused, outside `usual` it is carried as a warning.

    `hint` is the slip that a refused value most often is. `molar_mass` (g/mol) lets moles be given for mass.
    """

    unit: str
    low: float
    high: float
    usual: tuple[float, float]
    reason: str
    hint: str = "check the number and its unit"
    molar_mass: float | None = None


COVARIATES: dict[str, Limit] = {
    "WT": Limit(
        unit="kg",
        low=0.2,
        high=650,
        usual=(0.4, 300),
        reason="the smallest surviving newborns weigh about 0.2 kg, the heaviest recorded adult about 635 kg",
        hint="check for grams or pounds, and for a decimal point",
    ),
    "HT": Limit(
        unit="cm",
        low=20,
        high=275,
        usual=(30, 215),
        reason="the shortest newborns measure more than 20 cm, the tallest recorded adult 272 cm",
        hint="is it in metres? write '1.75 m' or '175 cm'",
    ),
    "BSA": Limit(unit="m2", low=0.04, high=5, usual=(0.06, 3), reason="that of the weights and heights above"),
    "BMI": Limit(unit="kg/m2", low=5, high=220, usual=(10, 70), reason="that of the weights and heights above"),
    "AGE": Limit(
        unit="a", low=0, high=123, usual=(0, 105), reason="the oldest recorded person lived 122 years", hint="check for months or days"
    ),
    "GA": Limit(unit="wk", low=20, high=46, usual=(22, 43), reason="birth before 20 weeks is not survived; after 46 the dates are wrong"),
    "PMA": Limit(unit="wk", low=20, high=7000, usual=(22, 6000), reason="gestational plus postnatal age"),
    "PNA": Limit(unit="d", low=0, high=45000, usual=(0, 40000), reason="days since birth"),
    "APGR": Limit(unit="1", low=0, high=10, usual=(0, 10), reason="the Apgar score runs from 0 to 10 by definition"),
    "HCT": Limit(
        unit="%",
        low=5,
        high=80,
        usual=(15, 65),
        reason="below 5 % is not compatible with life, above 80 % blood does not flow",
        hint="is it a fraction? write '35 %' or '0.35 1'",
    ),
    "HGB": Limit(
        unit="g/L",
        low=10,
        high=300,
        usual=(40, 220),
        reason="below 10 g/L is not compatible with life",
        hint="is it in g/dL? write '12 g/dL'",
    ),
    "ALB": Limit(
        unit="g/L", low=3, high=90, usual=(10, 60), reason="wider than any reported serum albumin", hint="is it in g/dL? write '4 g/dL'"
    ),
    "SCR": Limit(
        unit="mg/dL",
        low=0.03,
        high=75,
        usual=(0.1, 15),
        molar_mass=113.12,
        reason="wider than any reported serum creatinine; creatinine is 113.12 g/mol, 1 mg/dL = 88.4 umol/L",
        hint="is it in the other unit? 1 mg/dL is 88.4 umol/L",
    ),
    "CRCL": Limit(
        unit="mL/min",
        low=0,
        high=500,
        usual=(2, 250),
        reason="no filtration above 500 mL/min has been reported",
        hint="check the number, its unit and the creatinine it was computed from",
    ),
    "EGFR": Limit(unit="mL/min/1.73m2", low=0, high=500, usual=(2, 250), reason="as for creatinine clearance"),
}

# Total concentration in blood, plasma or serum, mg/L.
CONCENTRATIONS: dict[str, Limit] = {
    "tacrolimus": Limit(
        unit="mg/L",
        low=0,
        high=1.0,
        usual=(0.0003, 0.1),
        reason="usual 2-40 ng/mL; overdoses reach some 100-400 ng/mL",
        hint="is it in ng/mL?",
    ),
    "vancomycin": Limit(
        unit="mg/L", low=0, high=1500, usual=(0.5, 120), reason="usual 5-60 mg/L; overdoses reach some hundred mg/L", hint="is it in ng/mL?"
    ),
    "phenobarbital": Limit(
        unit="mg/L", low=0, high=1000, usual=(1, 150), reason="usual 10-60 mg/L; fatal above some 100 mg/L", hint="is it in ug/L?"
    ),
}
ANY_CONCENTRATION = Limit(unit="mg/L", low=0, high=20_000, usual=(0, 5_000), reason="more than any drug reaches in blood")

# One dose of any drug, mg: 100 g is beyond the largest single doses given (some 20-50 g, e.g. high-dose methotrexate).
MAX_DOSE_MG = 100_000.0
MAX_HISTORY_H = 24.0 * 366 * 20  # 20 years: a longer one is a slip in a date
MAX_ADDITIONAL = 10_000  # doses of one series: more is a slip in the interval or the end
MAX_INTERVAL_H = 24.0 * 366  # a year
MIN_INTERVAL_H = 0.25  # a shorter one is a slip, and a regimen that goes on would have doses without number
MAX_INFUSION_H = 24.0 * 30
