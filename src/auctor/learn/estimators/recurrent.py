"""A gated recurrent network over the events of a history, for levels taken at any time after any doses.

h_t = (1 - u) n + u h_(t-1), u and r = sigmoid(W z + U h + b), n = tanh(W z + r (U h) + b) (Cho 2014, EMNLP); an event that did not happen
leaves h as it was. Trained in JAX (Adam, cosine learning rate), read in NumPy: one patient needs no compilation.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from auctor.learn.estimators.registry import settings

Array = NDArray[np.float64]
Weights = dict[str, Any]
DEFAULTS = {"steps": 1, "hidden": 24, "updates": 1500, "learning_rate": 1e-2, "weight_decay": 1e-3, "batch": 128}


class _Recurrent(BaseEstimator):  # type: ignore[misc]
    """Rows of X are `steps` events of p / steps channels, earliest first; NaN in all channels: no event."""

    def __init__(
        self,
        *,
        steps: int = 1,
        hidden: int = 24,
        updates: int = 1500,
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-3,
        batch: int = 128,
        seed: int = 0,
    ) -> None:
        self.steps, self.hidden, self.updates, self.seed = steps, hidden, updates, seed
        self.learning_rate, self.weight_decay, self.batch = learning_rate, weight_decay, batch

    def _learn(self, x: Array, target: Array, outputs: int) -> Self:
        if x.shape[1] % self.steps:
            raise ValueError(f"{x.shape[1]} columns are not {self.steps} steps of equal width")
        events = x.reshape(len(x), self.steps, -1)
        there = ~np.isnan(events)
        count = np.maximum(there.sum(axis=(0, 1)), 1)
        self.mean_ = np.where(there, events, 0).sum(axis=(0, 1)) / count
        spread = np.sqrt((np.where(there, events - self.mean_, 0) ** 2).sum(axis=(0, 1)) / count)
        self.sd_ = np.where(spread > 1e-12, spread, 1.0)
        self.weights_ = _trained(self, *self._inputs(x), target, outputs)
        return self

    def _inputs(self, x: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Standardised channels with their presence (n, steps, 2 channels), and whether the event happened (n, steps)."""
        events = x.reshape(len(x), self.steps, -1)
        there = ~np.isnan(events)
        z = np.where(there, (events - self.mean_) / self.sd_, 0.0)
        return np.concatenate([z, there], axis=2), np.asarray(there.any(axis=2))

    def _outputs(self, x: Array) -> Array:
        check_is_fitted(self, "weights_")
        x = validate_data(self, x, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        return np.asarray(forward(self.weights_, *self._inputs(x), np))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def forward(w: Weights, z: Any, happened: Any, xp: Any) -> Any:
    """Outputs (n, k) of the network for inputs (n, steps, c), in NumPy or JAX (`xp`)."""
    h = xp.zeros((z.shape[0], w["U"].shape[0]))
    for t in range(z.shape[1]):
        h = step(w, h, (z[:, t], happened[:, t]), xp)
    return h @ w["V"] + w["c"]


def step(w: Weights, h: Any, event: tuple[Any, Any], xp: Any) -> Any:
    """The state after one event; patients without it keep theirs."""
    z, happened = event
    u, r, n = xp.split(z @ w["W"] + w["b"], 3, axis=1)
    a, b, c = xp.split(h @ w["U"], 3, axis=1)
    gate, reset = 0.5 + 0.5 * xp.tanh((u + a) / 2), 0.5 + 0.5 * xp.tanh((r + b) / 2)
    moved = (1 - gate) * xp.tanh(n + reset * c) + gate * h
    return xp.where(happened[:, None], moved, h)


def _start(settings: Any, channels: int, outputs: int) -> Weights:
    rng, width = np.random.Generator(np.random.PCG64(settings.seed)), settings.hidden
    return {
        "W": rng.normal(size=(channels, 3 * width)) / np.sqrt(channels),
        "U": rng.normal(size=(width, 3 * width)) / np.sqrt(width),
        "b": np.zeros(3 * width),
        "V": rng.normal(size=(width, outputs)) / np.sqrt(width),
        "c": np.zeros(outputs),
    }


def _trained(settings: Any, z: Array, happened: NDArray[np.bool_], target: Array, outputs: int) -> Weights:
    """Weights after `updates` batches of Adam; squared error of one output, log loss of several; same seed, same weights."""
    import jax
    import jax.numpy as jnp

    size = min(settings.batch, len(z))
    rng = np.random.Generator(np.random.PCG64(settings.seed + 1))
    rounds = -(-settings.updates // (len(z) // size))
    order = np.concatenate([rng.permutation(len(z))[: len(z) // size * size] for _ in range(rounds)]).reshape(-1, size)[: settings.updates]
    zs, seen, goal = jnp.asarray(z), jnp.asarray(happened), jnp.asarray(target)

    def loss(w: Weights, rows: Any) -> Any:
        h = jnp.zeros((size, w["U"].shape[0]))
        events = (jnp.swapaxes(zs[rows], 0, 1), jnp.swapaxes(seen[rows], 0, 1))
        h, _ = jax.lax.scan(lambda h, event: (step(w, h, event, jnp), None), h, events)
        found = h @ w["V"] + w["c"]
        if outputs == 1:
            return jnp.mean((found[:, 0] - goal[rows]) ** 2)
        return -jnp.mean(jax.nn.log_softmax(found)[jnp.arange(size), goal[rows].astype(int)])

    update = _adam(jax.grad(loss), settings.learning_rate, settings.weight_decay, len(order))
    first = jax.tree.map(jnp.asarray, _start(settings, z.shape[2], outputs))
    still = jax.tree.map(jnp.zeros_like, first)
    (last, _, _), _ = jax.jit(lambda state: jax.lax.scan(update, state, (jnp.arange(len(order)), jnp.asarray(order))))(
        (first, still, still)
    )
    return {name: np.asarray(value, dtype=np.float64) for name, value in last.items()}


def _adam(gradient: Any, rate: float, decay: float, updates: int) -> Any:
    """One update of Adam with decoupled weight decay (Loshchilov 2019), the rate falling to zero along a cosine."""
    import jax
    import jax.numpy as jnp

    def update(state: Any, inputs: Any) -> Any:
        (w, mean, square), (k, rows) = state, inputs
        g = gradient(w, rows)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, g)
        square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, g)
        now = rate * 0.5 * (1 + jnp.cos(jnp.pi * k / updates))
        fixed = (1 - 0.9 ** (k + 1.0), 1 - 0.999 ** (k + 1.0))
        w = jax.tree.map(lambda w, m, s: w - now * (m / fixed[0] / (jnp.sqrt(s / fixed[1]) + 1e-8) + decay * w), w, mean, square)
        return (w, mean, square), None

    return update


class RecurrentRegressor(RegressorMixin, _Recurrent):  # type: ignore[misc]
    """A recurrent network for a number."""

    def fit(self, x: Array, y: Array) -> RecurrentRegressor:
        """Train on the standardised target."""
        x, y = validate_data(self, x, y, y_numeric=True, dtype=np.float64, ensure_all_finite="allow-nan")
        self.level_, self.scale_ = float(np.mean(y)), float(np.std(y)) or 1.0
        return self._learn(x, (y - self.level_) / self.scale_, 1)

    def predict(self, x: Array) -> Array:
        """Predictions (n,)."""
        return np.asarray(self._outputs(x)[:, 0] * self.scale_ + self.level_)


class RecurrentClassifier(ClassifierMixin, _Recurrent):  # type: ignore[misc]
    """A recurrent network for a class."""

    def fit(self, x: Array, y: Array) -> RecurrentClassifier:
        """Train by logarithmic loss."""
        x, y = validate_data(self, x, y, dtype=np.float64, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError("RecurrentClassifier needs two classes, there is 1 class")
        return self._learn(x, np.searchsorted(self.classes_, y).astype(np.float64), len(self.classes_))

    def predict_proba(self, x: Array) -> Array:
        """Probability of each class (n, classes)."""
        found = self._outputs(x)
        found = np.exp(found - found.max(axis=1, keepdims=True))
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def predict(self, x: Array) -> Array:
        """The likeliest class (n,)."""
        found = self.predict_proba(x)
        return np.asarray(self.classes_[np.argmax(found, axis=1)])


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`steps` of a history, `hidden` units, `updates`, `learning_rate`, `weight_decay`, `batch`."""
    found = settings("recurrent", configuration, DEFAULTS)
    return (RecurrentRegressor if task == "regression" else RecurrentClassifier)(**found, seed=seed)
