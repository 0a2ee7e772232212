"""A model as an nlmixr2 function: time in h, amounts in mg, DV in the model's concentration unit."""

from __future__ import annotations

from auctor.models.exchange.heading import ascii_text, heading
from auctor.models.exchange.names import Namer
from auctor.models.exchange.program import Error, Program, Spelling, program_of
from auctor.models.exchange.text import R, written
from auctor.models.model import DrugModel

INPUTS = {"F": "f", "lag": "alag", "duration": "dur", "rate": "rate"}
_WORDS = """
ini model exp log sqrt abs ifelse if else for while function TRUE FALSE NULL NA NaN t time TIME podo tad tafd dose newind
NEWIND pi f F alag lag dur rate add prop lnorm pow id ID cmt CMT dvid DVID evid EVID amt AMT dv DV rxLinCmt linCmt T c d dt
Inf next break repeat in min max label fix fixed combined1 combined2 gamma beta sum M_PI
"""


def nlmixr2_text(model: DrugModel) -> str:
    """The model function, named after the model. ModelError where it cannot be one.

    >>> from auctor.models.reader import read_model
    >>> text = nlmixr2_text(read_model("phenobarbital_grasela1985"))
    >>> [line.strip() for line in text.splitlines() if "d/dt" in line or "~" in line]
    ['eta_CL ~ 0.0354...', 'eta_V ~ 0.0252...', 'd/dt(A1) <- -CL/V*A1', 'cp ~ prop(residual_proportional)']
    """
    return _render(nlmixr2_program(model))


def nlmixr2_program(model: DrugModel) -> Program:
    """The program in rxode2's symbols: thetas pop_CL, effects' constants CL_name, etas eta_CL."""
    namer = Namer(reserved=_WORDS.split(), pattern=r"(A|cp|cp_|ETA|THETA)\d*")
    spelling = Spelling(
        namer=namer,
        theta=lambda _, label: namer(label.replace(".", "_") if "." in label or " " in label else f"pop_{label}"),
        eta=lambda _, label: namer(f"eta_{label}"),
        time="t",
        amount=lambda k: f"A{k}",
    )
    return program_of(model, spelling)


def _render(program: Program) -> str:
    name = Namer()(program.model.name)
    inputs = [(INPUTS[key], cmt, tree) for key, table in program.inputs.items() for cmt, tree in table.items()]
    ini = [*(f"{t.symbol} <- {_initial(t.value)} # {ascii_text(t.label)}" for t in program.thetas), *_omega(program)]
    rows = [
        *(f"{target} <- {written(tree, R)}" for target, tree in program.statements),
        *(f"d/dt(A{k}) <- {written(tree, R)}" for k, tree in enumerate(program.derivatives, 1)),
        *(f"{word}(A{cmt}) <- {written(tree, R)}" for word, cmt, tree in inputs),
        *_outputs(program),
    ]
    parts = [
        *(f"# {row}" for row in heading(program)),
        f"{name} <- function() {{",
        "  ini({",
        *(f"    {row}" for row in ini),
        "  })",
        "  model({",
        *(f"    {row}" for row in rows),
        "  })",
        "}",
    ]
    return "\n".join(parts) + "\n"


def _initial(value: float) -> str:
    return f"fix({value!r})" if value == 0 else repr(value)


def _omega(program: Program) -> list[str]:
    """One line an eta or block; a block lists the lower triangle by rows."""
    symbols = iter(program.eta_symbols)
    rows = []
    for block in program.blocks:
        own = [next(symbols) for _ in range(len(block))]
        numbers = ", ".join(repr(float(block[i, j])) for i in range(len(block)) for j in range(i + 1))
        rows.append(f"{' + '.join(own)} ~ {numbers if len(block) == 1 else f'c({numbers})'}")
    return rows


def _outputs(program: Program) -> list[str]:
    """The concentration and its residual error; with several outputs cp2, cp3 and so on by compartment number."""
    rows = []
    for cmt, tree in program.outputs.items():
        several = len(program.outputs) > 1
        name = f"cp{cmt}" if several else "cp"
        rows += [f"{name} <- {written(tree, R)}", f"{name} ~ {_error(program.errors[cmt])}"]
    return rows


def _error(error: Error) -> str:
    if error.kind == "log":
        return f"lnorm({error.proportional})"
    parts = [f"add({error.additive})"] if error.additive else []
    if error.proportional and error.kind == "power":
        parts.append(f"pow({error.proportional}, {error.power})")
    elif error.proportional:
        parts.append(f"prop({error.proportional})")
    if len(parts) == 2:
        parts.append("combined2()" if error.kind == "combined" else "combined1()")
    return " + ".join(parts)
