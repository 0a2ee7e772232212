r"""Doses that arrive by a gamma density (Savic's transit chain with any number of compartments, sums of gammas), in closed form.

A dose given at s sends g(u) = k^a u^(a-1) e^{-k u} / Gamma(a) of itself per hour, u hours later. What a mode of rate l holds of it at u is

    J(u) = int_0^u g(v) e^{-l (u-v)} dv = (k u)^a / Gamma(a) * G_a(k u, l u),
    G_a(alpha, beta) = int_0^1 x^(a-1) exp(-alpha x - beta (1-x)) dx

(G of `auctor.pk.erlang` for any a > 0), and what arrives over a step from u to u + h is J(u + h) - e^{-l h} J(u). Up to a = `MANY` G is
summed as a series; beyond, where sums would need ever more terms and overflow, J is integrated in logarithms around its peak.
Reference: Savic RM et al., J Pharmacokinet Pharmacodyn 2007;34:711-726.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

SERIES, ASYMPTOTIC, FAR = 300, 40, 60.0
MANY = 20.0  # the shape beyond which the integral is taken by quadrature
NODES, DROP = 32, 40.0  # of Gauss and Legendre on either side of the peak; it is followed down to e^-DROP of it


class Pulses(NamedTuple):
    """Doses that arrive by gamma densities, each array with doses on axis 0: time given, mg arriving, shape a, rate k (1/h)."""

    time: Any
    amount: Any
    shape: Any
    rate: Any


def arriving(
    pulses: Pulses, span: tuple[Any, Any], modes: Sequence[Any], through: Any | None, xp: ModuleType
) -> tuple[Any, list[Any], Any]:
    """(what a depot of rate `through` gains, what each mode gains, what arrives in all) over `span` = (start, length h), mg.

    Without a depot the doses enter the modes directly and the first is 0.
    """
    start, length = span
    before = xp.maximum(start - pulses.time, 0.0)
    after = xp.maximum(start + length - pulses.time, 0.0)

    def gained(rate: Any) -> Any:
        kept = xp.exp(-rate * (after - before))
        return xp.sum(pulses.amount * (held(pulses, rate, after, xp) - kept * held(pulses, rate, before, xp)), axis=0)

    total = gained(xp.zeros_like(pulses.rate))
    if through is None:
        return 0.0, [gained(rate) for rate in modes], total
    return gained(through), [_through(gained, through, rate, xp) for rate in modes], total


def _through(gained: Any, depot: Any, rate: Any, xp: ModuleType) -> Any:
    """What the mode gains behind a depot: depot * (J_mode - J_depot) / (depot - mode), equal rates held a little apart."""
    middle, apart = (depot + rate) / 2, (depot - rate) / 2
    floor = 2e-4 * middle
    held_apart = xp.where(xp.abs(apart) < floor, xp.where(apart < 0, -floor, floor), apart)
    return depot * (gained(middle - held_apart) - gained(middle + held_apart)) / (2 * held_apart)


def held(pulses: Pulses, rate: Any, u: Any, xp: ModuleType) -> Any:
    """J: the share of a dose that a mode of `rate` holds `u` hours after it was given; for rate 0 what has arrived.

    >>> one = Pulses(np.zeros(1), np.ones(1), np.ones(1), np.full(1, 2.0))
    >>> bool(np.allclose(held(one, np.zeros(1), np.ones(1), np), 1 - np.exp(-2.0)))
    True
    """
    given = u > 0
    safe = xp.where(given, u, 1.0)
    alpha, beta = pulses.rate * safe, rate * safe
    many = pulses.shape > MANY
    few = xp.where(many, MANY, pulses.shape)
    share = xp.exp(few * xp.log(alpha) - _log_gamma(few, xp)) * real_integral(few, alpha, beta, xp)
    if xp is not np or many.any():
        peaked = _held_by_quadrature(xp.where(many, pulses.shape, MANY), alpha, beta, xp)
        share = xp.where(many, peaked, share)
    return xp.where(given, share, 0.0)


def _held_by_quadrature(a: Any, alpha: Any, beta: Any, xp: ModuleType) -> Any:
    """J for a shape of `MANY` or more: alpha^a / Gamma(a) e^-beta int_0^inf exp(-f(w)) dw, f(w) = a w + x e^-w, x = alpha - beta.

    f is convex, least at `peak`, and followed from there to either side until it has risen by DROP: at most as far as `left` and `right`,
    by bounds on e^-d - 1 + d.
    """
    x = alpha - beta
    rising = x > a
    peak = xp.where(rising, xp.log(xp.where(rising, x, a) / a), 0.0)
    least = xp.where(rising, a + a * peak, x)
    c = DROP / a
    left = xp.minimum(xp.sqrt(2 * c), peak)
    steep = a - xp.where(x < 0, 0.56 * x, xp.minimum(x, a))  # how fast f rises at least where it has no minimum, 1/h
    right = xp.minimum((c + xp.sqrt(c * c + 8 * c)) / 2, DROP / xp.maximum(steep, DROP / 100))
    nodes, weights = (v.reshape(-1, *[1] * x.ndim) for v in np.polynomial.legendre.leggauss(NODES))
    total = xp.zeros_like(x)
    for low, width in ((peak - left, left), (peak, right)):
        w = low + width * (0.5 + 0.5 * nodes)
        total = total + 0.5 * width * xp.sum(weights * xp.exp(least - a * w - x * xp.exp(-w)), axis=0)
    return xp.exp(a * xp.log(alpha) - _log_gamma(a, xp) - beta - least) * total


def real_integral(a: Any, alpha: Any, beta: Any, xp: ModuleType) -> Any:
    """G_a(alpha, beta) for any a > 0; arrays of one shape.

    With x = alpha - beta: e^-alpha sum_k x^k / (a)_(k+1) for x >= 0, e^-beta sum_k |x|^k / (k! (a + k)) for x < 0 (every term positive),
    and beyond |x| = FAR + 3 a the complement by Stirling's side: Gamma(a) / x^a, and the asymptotic series of the exponential end.
    """
    x = alpha - beta
    far = xp.abs(x) > FAR + 3 * a
    y = xp.where(far, 0.0, x)
    rising, falling = xp.maximum(y, 0.0), xp.maximum(-y, 0.0)

    terms = _terms(y, a, xp)

    def once(i: Any, sums: tuple[Any, Any]) -> tuple[Any, Any]:
        k = terms - i
        return 1.0 + sums[0] * rising / (a + k), 1.0 / (a + k - 1) + sums[1] * falling / k

    up, down = _repeated(terms, once, (xp.ones_like(y), xp.ones_like(y) / (a + terms)), xp)
    near = xp.where(y >= 0, xp.exp(-alpha) * up / a, xp.exp(-beta) * down)
    return xp.where(far, _far_integral(a, (alpha, beta), xp.where(far, x, FAR), xp), near)


def _terms(y: Any, a: Any, xp: ModuleType) -> int:
    """Terms that both series need: all of them where the arguments are not known yet."""
    if xp is not np:
        return SERIES
    most = float(np.max(np.abs(y), initial=0.0))
    return min(SERIES, int(most + 12 * np.sqrt(most + 1) + 30))


def _far_integral(a: Any, ends: tuple[Any, Any], x: Any, xp: ModuleType) -> Any:
    """One end of the interval carries everything: e^-beta Gamma(a) / x^a less e^-alpha times the series, or e^-alpha times it alone."""
    alpha, beta = ends

    def once(k: Any, sums: tuple[Any, Any]) -> tuple[Any, Any]:
        series, term = sums
        return series + term, term * (a - (k + 1)) / x

    series, _ = _repeated(ASYMPTOTIC - 1, once, (xp.zeros_like(x), 1.0 / x), xp)
    start = xp.exp(-beta + _log_gamma(a, xp) - a * xp.log(xp.abs(x)))
    return xp.where(x > 0, start - xp.exp(-alpha) * series, -xp.exp(-alpha) * series)


def _repeated(count: int, once: Callable[[Any, Any], Any], start: Any, xp: ModuleType) -> Any:
    """`once` over 0 .. count - 1: a Python loop in NumPy, one compiled loop in JAX."""
    if xp is np:
        for i in range(count):
            start = once(i, start)
        return start
    from auctor.pk.engine import jax

    return jax.lax.fori_loop(0, count, once, start)


def _log_gamma(a: Any, xp: ModuleType) -> Any:
    if xp is np:
        from scipy.special import gammaln

        return gammaln(a)
    from jax.scipy.special import gammaln as traced

    return traced(a)


def density_at(pulses: Pulses, time: Any, xp: ModuleType) -> Any:
    """What arrives of each dose at `time`, mg/h: amount * k^a u^(a-1) e^(-k u) / Gamma(a), u hours after it; 0 before."""
    u = time - pulses.time
    given = u > 0
    safe = xp.where(given, u, 1.0)
    log = pulses.shape * xp.log(pulses.rate) + (pulses.shape - 1) * xp.log(safe) - pulses.rate * safe - _log_gamma(pulses.shape, xp)
    return xp.where(given, pulses.amount * xp.exp(log), 0.0)
