"""A model as mrgsolve code: time in h, amounts in mg, DV in the model's concentration unit."""

from __future__ import annotations

from auctor.models.exchange.heading import ascii_text, heading
from auctor.models.exchange.names import Namer
from auctor.models.exchange.program import Array, Program, Spelling, program_of, residual_sd
from auctor.models.exchange.text import CPP, written
from auctor.models.model import DrugModel

INPUTS = {"F": "F_A{}", "lag": "ALAG_A{}", "duration": "D_A{}", "rate": "R_A{}"}
_WORDS = """
ID TIME EVID CMT AMT RATE II SS ADDL NEWIND SOLVERTIME DV IPRED W ETA EPS THETA amt cmt rate ii ss addl time evid id self
pred mod exp log sqrt fabs pow double int float bool if else for while return const static new delete this class auto true
false and or not do case long short char void T t dxdt end F D R E PI M_PI
"""


def mrgsolve_text(model: DrugModel) -> str:
    """The model specification; the etas are ETA(1) .. and one EPS(1) of variance 1. ModelError where it cannot be one.

    >>> from auctor.models.reader import read_model
    >>> text = mrgsolve_text(read_model("phenobarbital_grasela1985"))
    >>> [line for line in text.splitlines() if "dxdt" in line]
    ['dxdt_A1 = -CL/V*A1;']
    """
    return _render(mrgsolve_program(model))


def mrgsolve_program(model: DrugModel) -> Program:
    """The program in mrgsolve's symbols: parameters THETA1 .., compartments A1 .."""
    namer = Namer(reserved=_WORDS.split(), pattern=r"(A|THETA|dxdt_A|F_A|ALAG_A|D_A|R_A|CP|DV|IPRED|W|ETA|EPS)\d+")
    spelling = Spelling(
        namer=namer,
        theta=lambda k, _: f"THETA{k}",
        eta=lambda k, _: f"ETA({k})",
        time="SOLVERTIME",
        amount=lambda k: f"A{k}",
    )
    return program_of(model, spelling)


def _render(program: Program) -> str:
    model, course = program.model, program.course
    covariates = [f"{program.names[n]} = {c.reference!r} // {ascii_text(c.label)}" for n, c in model.covariates.items()]
    parts = [
        "$PROB",
        *(f"// {row}" for row in heading(program)),
        "$PARAM",
        *(f"{t.symbol} = {t.value!r} // {ascii_text(t.label)}" for t in program.thetas),
        *(["$PARAM @covariates", *covariates] if covariates else []),
        f"$CMT {' '.join(f'A{k}' for k in range(1, len(course.compartments) + 1))}",
        "$MAIN",
        *_statements(program),
        *(f"{INPUTS[key].format(cmt)} = {written(tree, CPP)};" for key, table in program.inputs.items() for cmt, tree in table.items()),
        "$ODE",
        *(f"dxdt_A{k} = {written(tree, CPP)};" for k, tree in enumerate(program.derivatives, 1)),
        *_omega(program),
        "$SIGMA 1",
        "$TABLE",
        *_table(program),
    ]
    return "\n".join(parts) + "\n"


def _statements(program: Program) -> list[str]:
    """Each name declared where it first stands."""
    known: set[str] = set()
    rows = []
    for name, tree in program.statements:
        rows.append(f"{'' if name in known else 'double '}{name} = {written(tree, CPP)};")
        known.add(name)
    return rows


def _omega(program: Program) -> list[str]:
    """One $OMEGA a block, so that ETA(1) .. follow in order."""
    rows, first = [], 0
    for block in program.blocks:
        labels = ", ".join(ascii_text(program.etas[first + k]) for k in range(len(block)))
        rows += [f"// {labels}", f"$OMEGA{' @block' if len(block) > 1 else ''}", *_rows(block)]
        first += len(block)
    return rows


def _rows(block: Array) -> list[str]:
    return [" ".join(repr(float(v)) for v in row[: k + 1]) for k, row in enumerate(block)]


def _table(program: Program) -> list[str]:
    """IPRED and DV; with several outputs IPRED2, DV2 and so on by compartment number."""
    rows, captured = [], []
    for cmt, tree in program.outputs.items():
        tail = str(cmt) if len(program.outputs) > 1 else ""
        prediction, error = f"IPRED{tail}", program.errors[cmt]
        sd = written(residual_sd(error, prediction), CPP)
        noisy = f"{prediction}*exp(W{tail}*EPS(1))" if error.kind == "log" else f"{prediction} + W{tail}*EPS(1)"
        rows += [f"double {prediction} = {written(tree, CPP)};", f"double W{tail} = {sd};", f"double DV{tail} = {noisy};"]
        captured += [prediction, f"DV{tail}"]
    return [*rows, f"$CAPTURE {' '.join(captured)}"]
