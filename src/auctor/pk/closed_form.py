"""The closed-form tier: a linear named structure advanced by a time step, and its steady state; no matrix exponential, no ODE solver.

The state is a tuple of amounts (mg) in the order of `auctor.models.spelled.compartments` and, last, the area under the central
concentration (mg*h/L). Every entry is an array of one common shape (a patient's scalar under `jax.vmap`, or all draws at once in NumPy);
sums are written out, because small dot products would become batched matrix calls that XLA does not fuse on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

from auctor.models.model import DrugModel
from auctor.models.spelled import chains, spelled
from auctor.pk.density import Pulses, arriving
from auctor.pk.disposition import Modes, modes
from auctor.pk.erlang import chain_decay, chain_to_mode, mean_decay, mode_integrals
from auctor.pk.events import Span, State


class Rates(NamedTuple):
    """What a step needs: each chain's rate (1/h), the disposition modes, clearance (L/h) and central volume (L)."""

    chains: tuple[Any, ...]
    body: Modes
    clearance: Any
    volume: Any


@dataclass(frozen=True)
class ClosedForm:
    """The tier of one model; `infused` is a bit mask of the compartments that infusions enter (others cost nothing)."""

    model: DrugModel
    xp: ModuleType
    infused: int = -1

    @property
    def cyclic(self) -> bool:
        """Steady states are closed forms."""
        return False

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """Stages of each chain."""
        return tuple(len(names) for names, _ in chains(self.model.structure))

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """The first compartment of each chain."""
        return tuple(sum(self.stages[:k]) for k in range(len(self.stages)))

    @cached_property
    def central(self) -> int:
        """The central compartment."""
        return sum(self.stages)

    @property
    def size(self) -> int:
        """Compartments."""
        return self.central + 1 + len(self.model.structure.peripherals)

    @cached_property
    def ports(self) -> tuple[int, ...]:
        """Compartments that a dose may enter."""
        return (*self.firsts, self.central)

    def rates(self, names: Mapping[str, Any]) -> Rates:
        """From individual parameters of any one shape."""
        s = self.model.structure
        assert s.clearance is not None
        speeds = tuple(names[rate] for _, rate in chains(s))
        return Rates(speeds, modes(s, names, self.xp), names[s.clearance], names[s.central])

    def advance(self, state: State, inflow: Sequence[Any], span: Span, rates: Rates, pulses: Pulses | None = None) -> State:
        """The state `span` = (start, length h, ..) later under constant `inflow` (mg/h, one per compartment) and arriving `pulses`."""
        xp, dt, modal = self.xp, span[1], rates.body
        beta = [rate * dt for rate in modal.rate]
        decay = [xp.exp(-b) for b in beta]
        arrived, given = [0.0] * len(beta), 0.0
        if self._is_infused(self.central):
            arrived = [inflow[self.central] * dt * mean_decay(b, d, xp) for b, d in zip(beta, decay, strict=True)]
            given = inflow[self.central] * dt
        chained: list[Any] = []
        for k, first in enumerate(self.firsts):
            rate = inflow[first] if self._is_infused(first) else None
            own, reached = self._chain(state[first : first + self.stages[k]], rate, (rates.chains[k], dt), beta, decay)
            chained += own
            arrived = [a + r for a, r in zip(arrived, reached, strict=True)]
            given = given if rate is None else given + rate * dt
        if pulses is not None:
            chained, arrived, given = self._pulsed(pulses, span, rates, (chained, arrived, given))
        body = self._body(state[self.central : -1], modal, decay, arrived)
        left = _total((*chained, *body))
        area = state[-1] + (given + _total(state[:-1]) - left) / rates.clearance
        return (*chained, *body, area)

    def through(self, state: State, phases: Sequence[tuple[Sequence[Any], Span]], rates: Rates, pulses: Pulses | None = None) -> State:
        """One step after another."""
        for inflow, span in phases:
            state = self.advance(state, inflow, span, rates, pulses)
        return state

    def _is_infused(self, place: int) -> bool:
        return bool(self.infused >> place & 1)

    def _chain(
        self, chain: State, rate: Any | None, speed: tuple[Any, Any], beta: list[Any], decay: list[Any]
    ) -> tuple[list[Any], list[Any]]:
        """A chain's amounts after the step, and what each mode has received from it; `rate` mg/h flows into its first stage."""
        xp, n, (k, dt) = self.xp, len(chain), speed
        alpha = k * dt
        share = chain_decay(n, alpha, xp)
        after = [_total([share[i - j] * chain[j] for j in range(i + 1)]) for i in range(n)]
        reached = [_total([f * c for f, c in zip(chain_to_mode(n, alpha, b, xp), chain[::-1], strict=True)]) for b in beta]
        if rate is None:
            return after, reached
        passed = [1.0 - _total(share[: i + 1]) for i in range(n)]
        after = [a + rate / k * p for a, p in zip(after, passed, strict=True)]
        for m, (b, d) in enumerate(zip(beta, decay, strict=True)):
            waiting, power = 0.0, 1.0
            for i, g in enumerate(mode_integrals(n, alpha, b, xp)):
                waiting, power = waiting + power * g, power * alpha / (i + 1)
            reached[m] = reached[m] + rate * dt * (mean_decay(b, d, xp) - waiting)
        return after, reached

    def _pulsed(self, pulses: Pulses, span: Span, rates: Rates, sums: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """With what arrives from doses of gamma density: into the central compartment, or through a depot of one step."""
        chained, arrived, given = sums
        targets = {density.into for door in spelled(self.model).densities.values() for density in door}
        for place in sorted(targets):
            depot = place != self.central
            through = rates.chains[0] if depot else None
            inside, reached, total = arriving(pulses, span[:2], rates.body.rate, through, self.xp)
            chained = [chained[0] + inside] if depot else chained
            arrived = [a + r for a, r in zip(arrived, reached, strict=True)]
            given = given + total
        return chained, arrived, given

    @staticmethod
    def _body(body: State, modal: Modes, decay: list[Any], arrived: list[Any]) -> list[Any]:
        found = []
        for i in range(len(body)):
            parts = []
            for m, projector in enumerate(modal.projector):
                kept = _total([projector[i][j] * body[j] for j in range(len(body))])
                parts += [decay[m] * kept, projector[i][0] * arrived[m]]
            found.append(_total(parts))
        return found

    def fixed_point(self, cycle: Callable[[State], State], span: Span, rates: Rates, given: Any = 0.0) -> State:
        """The state x = T x + gained, T the kept part over `span`: forward substitution down each chain, then mode by mode; area 0."""
        del given
        xp, every, modal = self.xp, span[1], rates.body
        gained = cycle(tuple(xp.zeros_like(every) for _ in range(self.size + 1)))
        beta = [rate * every for rate in modal.rate]
        arrived: list[Any] = [0.0] * len(beta)
        chained: list[Any] = []
        for k, first in enumerate(self.firsts):
            n, alpha = self.stages[k], rates.chains[k] * every
            share, left = chain_decay(n, alpha, xp), -xp.expm1(-alpha)
            own: list[Any] = []
            for i in range(n):
                own.append((gained[first + i] + _total([share[i - j] * own[j] for j in range(i)])) / left)
            for m, b in enumerate(beta):
                reached = chain_to_mode(n, alpha, b, xp)
                arrived[m] = arrived[m] + _total([f * c for f, c in zip(reached, own[::-1], strict=True)])
            chained += own
        left = [_inverse(-xp.expm1(-b), xp) for b in beta]
        body = self._body(gained[self.central : -1], modal, left, [a * f for a, f in zip(arrived, left, strict=True)])
        return (*chained, *body, xp.zeros_like(body[0]))

    def constant(self, inflow: Sequence[Any], span: Span, rates: Rates) -> State:
        """Where a constant `inflow` (mg/h) ends up; area 0."""
        del span
        chained: list[Any] = []
        total = inflow[self.central] if self._is_infused(self.central) else 0.0
        for k, first in enumerate(self.firsts):
            into = inflow[first] if self._is_infused(first) else 0.0
            chained += [into / rates.chains[k]] * self.stages[k]
            total = total + into
        arrived = [total * _inverse(rate, self.xp) for rate in rates.body.rate]
        nothing = tuple(self.xp.zeros_like(arrived[0]) for _ in range(self.size - self.central))
        body = self._body(nothing, rates.body, [0.0] * len(arrived), arrived)
        return (*(c + nothing[0] for c in chained), *body, nothing[0])

    def over(self, function: Callable[[Any, Any], State], single: bool) -> Callable[[Any, Any], State]:
        """Everything here is entry by entry: a further axis needs nothing."""
        del single
        return function

    def read(self, state: State, rates: Rates) -> tuple[Any, ...]:
        """The concentration, mg/L."""
        return (state[self.central] / rates.volume,)


def _inverse(value: Any, xp: ModuleType) -> Any:
    """1 / value, and 0 where it is 0: a mode of rate 0 belongs to a compartment that nothing enters."""
    empty = value == 0
    return xp.where(empty, 0.0, 1.0 / xp.where(empty, 1.0, value))


def _total(parts: Sequence[Any]) -> Any:
    """The sum of one or more arrays, 0 of none."""
    found: Any = 0.0
    for k, part in enumerate(parts):
        found = part if k == 0 else found + part
    return found
