"""Options that several subcommands share, so that they mean and say the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auctor.case import Blq, Interpolation

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A library name or a TOML file of your own.", show_default=False)]
DataFile = Annotated[
    Path,
    typer.Argument(
        metavar="DATA.csv", help="ID TIME AMT RATE EVID MDV CMT SS II ADDL DV, limits, DVWT and covariates.", show_default=False
    ),
]
BlqMethod = Annotated[Blq, typer.Option(help="Levels below the LLOQ: left out (M1), their probability (M3), given a level above 0 (M4).")]
TableCovariates = Annotated[
    Interpolation,
    typer.Option("--covariates", help="Between records: the next value (nocb, NONMEM's), the last (locf), or a line (linear)."),
]
CaseCovariates = Annotated[
    Interpolation, typer.Option("--covariates", help="Between two values: the last (locf), the next (nocb), or a line (linear).")
]
PriorWeight = Annotated[
    str, typer.Option(metavar="W", help="Trust the published prior so many times: 0.5 for all, or CL=0.2,V1=1 by eta.", show_default="1")
]
