"""A multilayer perceptron in NumPy, float64, every gradient derived by hand.

It is the reference that medimg's MLP is tested against: give it the weights of a network of
`torch.nn.Linear` layers, feed both the same batches, and the parameters stay equal.

    B batch    D inputs    H hidden units    K outputs

Layer l holds W_l (outputs, inputs) and b_l (outputs,), the layout of `torch.nn.Linear`:

    z_l = a_{l-1} W_l^T + b_l      a_l = activation(z_l)      a_0 = x

The last layer has no activation: it gives the logits, and the loss turns them into probabilities.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Loss = Callable[[Array, Array], tuple[float, Array]]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written so that no finite z overflows."""
    return np.exp(-np.logaddexp(0.0, -z))


def log_softmax(logits_BK: Array) -> Array:
    """Log-probabilities, (B, K). Taking the row maximum off first keeps exp within range."""
    shifted_BK = logits_BK - logits_BK.max(axis=1, keepdims=True)
    return shifted_BK - np.log(np.exp(shifted_BK).sum(axis=1, keepdims=True))


def one_hot(labels_B: ArrayLike, classes: int) -> Array:
    """Class numbers 0 .. K-1, (B,), as rows of the identity, (B, K)."""
    return np.eye(classes)[np.asarray(labels_B, dtype=np.int64)]


# name: (activation of z, its derivative written in terms of z and a = activation(z))
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "sigmoid": (sigmoid, lambda z, a: a * (1.0 - a)),
    "tanh": (np.tanh, lambda z, a: 1.0 - a**2),
    # At z = 0 the derivative does not exist; 0 is torch's choice.
    "relu": (lambda z: np.maximum(z, 0.0), lambda z, a: (z > 0.0).astype(np.float64)),
}


def cross_entropy(logits_BK: Array, targets_BK: Array) -> tuple[float, Array]:
    """Cross-entropy of the softmax, mean over the cases; targets are one-hot.

    L = -1/B sum_bk y log p, so dL/dz = (p - y) / B where every row of y sums to 1.
    """
    log_p_BK = log_softmax(logits_BK)
    loss = -float((targets_BK * log_p_BK).sum(axis=1).mean())
    return loss, (np.exp(log_p_BK) - targets_BK) / len(logits_BK)


def softmax_mse(logits_BK: Array, targets_BK: Array) -> tuple[float, Array]:
    """Squared error of the softmax against one-hot targets: summed over classes, mean over cases.

    With g = dL/dp = 2 (p - y) / B and dp_j/dz_k = p_j (1[j = k] - p_k):
    dL/dz_k = p_k (g_k - sum_j g_j p_j).
    """
    p_BK = np.exp(log_softmax(logits_BK))
    error_BK = p_BK - targets_BK
    g_BK = 2.0 * error_BK / len(logits_BK)
    loss = float((error_BK**2).sum(axis=1).mean())
    return loss, p_BK * (g_BK - (g_BK * p_BK).sum(axis=1, keepdims=True))


def binary_cross_entropy(logits_B1: Array, targets_B1: Array) -> tuple[float, Array]:
    """Binary cross-entropy of one output z, mean over the cases; targets 0 or 1.

    Equal to `cross_entropy` on the logits (0, z). L = 1/B sum_b log(1 + e^z) - y z, so
    dL/dz = (sigmoid(z) - y) / B.
    """
    if logits_B1.shape[1] != 1:
        raise ValueError(f"binary cross-entropy takes one output, not {logits_B1.shape[1]}")
    loss = float((np.logaddexp(0.0, logits_B1) - targets_B1 * logits_B1).mean())
    return loss, (sigmoid(logits_B1) - targets_B1) / len(logits_B1)


def sigmoid_mse(logits_BK: Array, targets_BK: Array) -> tuple[float, Array]:
    """Squared error of sigmoid outputs: summed over outputs, mean over cases.

    dL/dz = 2 (p - y) p (1 - p) / B.
    """
    p_BK = sigmoid(logits_BK)
    error_BK = p_BK - targets_BK
    loss = float((error_BK**2).sum(axis=1).mean())
    return loss, 2.0 * error_BK * p_BK * (1.0 - p_BK) / len(logits_BK)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "softmax_mse": softmax_mse,
    "binary_cross_entropy": binary_cross_entropy,
    "sigmoid_mse": sigmoid_mse,
}


class NumpyNetwork:
    """A perceptron of any depth.

    Parameters
    ----------
    weights : pairs (W, b), first layer first
        W (outputs, inputs) and b (outputs,), as in `torch.nn.Linear`; copied to float64.
    activation : "sigmoid", "tanh" or "relu"
        After every layer but the last.
    loss : a name in `LOSSES`
    """

    def __init__(
        self, weights: Sequence[tuple[ArrayLike, ArrayLike]], activation: str, loss: str
    ) -> None:
        self.layers = [(_copied(w), _copied(b)) for w, b in weights]
        self.activate, self.slope = ACTIVATIONS[activation]
        self.criterion = LOSSES[loss]

    @property
    def params(self) -> list[Array]:
        """[W_1, b_1, W_2, b_2, ...]: the arrays themselves, for an optimizer to change in place."""
        return [array for layer in self.layers for array in layer]

    def forward(self, x: ArrayLike) -> Array:
        """Logits, (B, K). Images (B, C, H, W) are flattened to (B, C*H*W)."""
        return self._activations(x)[0][-1]

    def loss(self, x: ArrayLike, targets: ArrayLike) -> float:
        """The loss; targets (B, K) one-hot, or (B, 1) of 0 and 1 for the losses on a sigmoid."""
        return self._criterion(self.forward(x), targets)[0]

    def gradients(self, x: ArrayLike, targets: ArrayLike) -> list[Array]:
        """The derivative of the loss by each of `params`, in their order and shapes."""
        z, a = self._activations(x)
        delta = self._criterion(z[-1], targets)[1]  # dL/dz of the layer at hand, (B, outputs)
        grads: list[Array] = []
        for layer in reversed(range(len(self.layers))):
            grads = [delta.T @ a[layer], delta.sum(axis=0), *grads]
            if layer > 0:
                w = self.layers[layer][0]
                delta = (delta @ w) * self.slope(z[layer - 1], a[layer])
        return grads

    def _activations(self, x: ArrayLike) -> tuple[list[Array], list[Array]]:
        """z_1 .. z_L and a_0 .. a_{L-1}: what the backward pass needs of the forward pass."""
        inputs = np.asarray(x, dtype=np.float64)
        z: list[Array] = []
        a: list[Array] = [inputs.reshape(len(inputs), -1)]
        for w, b in self.layers:
            if z:
                a.append(self.activate(z[-1]))
            z.append(a[-1] @ w.T + b)
        return z, a

    def _criterion(self, logits_BK: Array, targets: ArrayLike) -> tuple[float, Array]:
        targets_BK = np.asarray(targets, dtype=np.float64)
        if targets_BK.shape != logits_BK.shape:  # (B,) against (B, 1) would broadcast to (B, B)
            raise ValueError(f"targets {targets_BK.shape} do not fit logits {logits_BK.shape}")
        return self.criterion(logits_BK, targets_BK)


class SGD:
    """Gradient descent, `torch.optim.SGD`'s way: v <- momentum v + g; p <- p - lr v.

    With `momentum=0` it is plain gradient descent: batch gradient descent where a batch is the
    whole set. `weight_decay` adds weight_decay * p to g (L2, biases included). `lr` may be changed
    between steps.
    """

    def __init__(self, *, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocity: list[Array] = []

    def step(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Change `params` in place."""
        self.velocity = self.velocity or [np.zeros_like(p) for p in params]
        for p, g, v in zip(params, grads, self.velocity, strict=True):
            v *= self.momentum
            v += g + self.weight_decay * p
            p -= self.lr * v


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), `torch.optim.Adam`'s way.

    m and v are moving means of g and g^2, divided by 1 - beta^t because they start at 0;
    p <- p - lr m / (sqrt(v) + eps), eps outside the root. `weight_decay` adds weight_decay * p to g
    (L2, before the moments).
    """

    decoupled = False

    def __init__(
        self,
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.steps = 0
        self.moments: list[tuple[Array, Array]] = []

    def step(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Change `params` in place."""
        self.moments = self.moments or [(np.zeros_like(p), np.zeros_like(p)) for p in params]
        self.steps += 1
        for p, g, (m, v) in zip(params, grads, self.moments, strict=True):
            if self.decoupled:
                p *= 1.0 - self.lr * self.weight_decay
            else:
                g = g + self.weight_decay * p
            self._update(p, g, m, v)

    def _update(self, p: Array, g: Array, m: Array, v: Array) -> None:
        beta1, beta2 = self.betas
        m += (1.0 - beta1) * (g - m)
        v += (1.0 - beta2) * (g**2 - v)
        m_hat = m / (1.0 - beta1**self.steps)
        v_hat = v / (1.0 - beta2**self.steps)
        p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov and Hutter 2019): p shrinks by lr * weight_decay."""

    decoupled = True


def _copied(array: ArrayLike) -> Array:
    return np.array(array, dtype=np.float64)
