"""The NumPy network against finite differences and against torch, before it judges medimg."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from oracles.numpy_network import LOSSES, SGD, Adam, AdamW, Array, NumpyNetwork, one_hot

ACTIVATIONS = ["sigmoid", "tanh", "relu"]
SIZES = [(3, 2), (4, 5, 3), (6, 5, 4, 3)]
ONE_OUTPUT = {"binary_cross_entropy", "sigmoid_mse"}

TORCH_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": lambda z, y: F.cross_entropy(z, y.argmax(1)),
    "softmax_mse": lambda z, y: (z.softmax(1) - y).square().sum(1).mean(),
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "sigmoid_mse": lambda z, y: (z.sigmoid() - y).square().sum(1).mean(),
}


def make_weights(sizes: tuple[int, ...], seed: int = 0) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(n, m)), rng.normal(size=n)) for m, n in pairwise(sizes)]


def make_flat(weights: list[tuple[Array, Array]]) -> list[Array]:
    return [array for layer in weights for array in layer]


def make_batch(sizes: tuple[int, ...], cases: int = 7, seed: int = 1) -> tuple[Array, Array]:
    """Inputs (B, D) and targets (B, K): one-hot, or a column of 0 and 1 where K = 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(cases, sizes[0]))
    if sizes[-1] == 1:
        return x, rng.integers(0, 2, size=(cases, 1)).astype(np.float64)
    return x, one_hot(rng.integers(0, sizes[-1], size=cases), sizes[-1])


def sizes_for(sizes: tuple[int, ...], loss: str) -> tuple[int, ...]:
    return (*sizes[:-1], 1) if loss in ONE_OUTPUT else sizes


def make_torch(weights: list[tuple[Array, Array]], activation: str) -> torch.nn.Sequential:
    act = {"sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[activation]
    modules: list[torch.nn.Module] = []
    for w, b in weights:
        linear = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        linear.load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
        modules += [linear, act()]
    return torch.nn.Sequential(*modules[:-1])


def finite_differences(network: NumpyNetwork, x: Array, y: Array, h: float = 1e-6) -> list[Array]:
    """(L(p + h) - L(p - h)) / 2h for every single parameter."""
    slopes = [np.empty_like(p) for p in network.params]
    for p, slope in zip(network.params, slopes, strict=True):
        for i in np.ndindex(p.shape):
            kept = p[i]
            p[i] = kept + h
            above = network.loss(x, y)
            p[i] = kept - h
            below = network.loss(x, y)
            p[i] = kept
            slope[i] = (above - below) / (2 * h)
    return slopes


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_equal_finite_differences(
    sizes: tuple[int, ...], activation: str, loss: str
) -> None:
    sizes = sizes_for(sizes, loss)
    x, y = make_batch(sizes)
    network = NumpyNetwork(make_weights(sizes), activation, loss)
    measured = finite_differences(network, x, y)
    for by_hand, slope in zip(network.gradients(x, y), measured, strict=True):
        np.testing.assert_allclose(by_hand, slope, rtol=0, atol=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_loss_and_gradients_equal_autograd(
    sizes: tuple[int, ...], activation: str, loss: str
) -> None:
    sizes = sizes_for(sizes, loss)
    x, y = make_batch(sizes)
    weights = make_weights(sizes)
    network, twin = NumpyNetwork(weights, activation, loss), make_torch(weights, activation)
    value = TORCH_LOSSES[loss](twin(torch.tensor(x)), torch.tensor(y))
    value.backward()
    assert network.loss(x, y) == pytest.approx(value.item(), abs=1e-12)
    for by_hand, p in zip(network.gradients(x, y), twin.parameters(), strict=True):
        np.testing.assert_allclose(by_hand, p.grad, rtol=0, atol=1e-12)


OPTIMIZERS = [
    (SGD, torch.optim.SGD, {"lr": 0.3}),
    (SGD, torch.optim.SGD, {"lr": 0.3, "weight_decay": 0.02}),
    (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02}),
    (Adam, torch.optim.Adam, {"lr": 0.01}),
    (Adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.02}),
    (AdamW, torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.02}),
]


@pytest.mark.parametrize(
    ("ours", "theirs", "options"), OPTIMIZERS, ids=lambda v: getattr(v, "__name__", None)
)
@pytest.mark.parametrize("loss", LOSSES)
def test_twenty_steps_equal_torch(ours: type, theirs: type, options: dict, loss: str) -> None:
    sizes = sizes_for((6, 5, 4, 3), loss)
    weights = make_weights(sizes)
    network, twin = NumpyNetwork(weights, "relu", loss), make_torch(weights, "relu")
    optimizer, torch_optimizer = ours(**options), theirs(twin.parameters(), **options)
    for k in range(20):
        x, y = make_batch(sizes, seed=k)
        optimizer.step(network.params, network.gradients(x, y))
        torch_optimizer.zero_grad()
        TORCH_LOSSES[loss](twin(torch.tensor(x)), torch.tensor(y)).backward()
        torch_optimizer.step()
    for p, q, start in zip(network.params, twin.parameters(), make_flat(weights), strict=True):
        np.testing.assert_allclose(p, q.detach(), rtol=0, atol=1e-10)
        assert np.abs(p - start).max() > 1e-3  # it moved: equality is not that of standing still


def test_one_output_equals_two_logits_of_which_one_is_zero() -> None:
    x, y_B1 = make_batch((4, 5, 1))
    (w1, b1), (w2, b2) = make_weights((4, 5, 1))
    one = NumpyNetwork([(w1, b1), (w2, b2)], "relu", "binary_cross_entropy")
    padded = (np.vstack([np.zeros_like(w2), w2]), np.concatenate([np.zeros_like(b2), b2]))
    two = NumpyNetwork([(w1, b1), padded], "relu", "cross_entropy")
    y_B2 = one_hot(y_B1[:, 0], 2)
    assert one.loss(x, y_B1) == pytest.approx(two.loss(x, y_B2), abs=1e-14)
    for left, right in zip(one.gradients(x, y_B1)[:2], two.gradients(x, y_B2)[:2], strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-14)


def test_worked_by_hand() -> None:
    """One case, x = 1, one sigmoid unit, one output: every number follows on paper."""
    network = NumpyNetwork([([[0.0]], [0.0]), ([[2.0]], [-1.0])], "sigmoid", "binary_cross_entropy")
    assert network.forward([[1.0]]) == pytest.approx(0.0)  # 2 * sigmoid(0) - 1
    assert network.loss([[1.0]], [[1.0]]) == pytest.approx(np.log(2.0))
    w1, b1, w2, b2 = (float(g.squeeze()) for g in network.gradients([[1.0]], [[1.0]]))
    # delta_2 = 1/2 - 1; W_2: delta_2 * a = -1/2 * 1/2; delta_1 = -1/2 * 2 * 1/4
    assert (w1, b1, w2, b2) == pytest.approx((-0.25, -0.25, -0.25, -0.5))


@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_logits_stay_finite(loss: str) -> None:
    sizes = sizes_for((1, 3), loss)
    _, y = make_batch(sizes, cases=2)
    network = NumpyNetwork([(np.full(sizes[::-1], 1.0), np.zeros(sizes[-1]))], "relu", loss)
    x = np.array([[-2000.0], [2000.0]])
    assert np.isfinite(network.loss(x, y))
    assert all(np.isfinite(g).all() for g in network.gradients(x, y))


def test_weights_are_copied() -> None:
    weights = make_weights((4, 5, 3))
    x, y = make_batch((4, 5, 3))
    network = NumpyNetwork(weights, "tanh", "cross_entropy")
    SGD(lr=1.0).step(network.params, network.gradients(x, y))
    for kept, start in zip(make_flat(weights), make_flat(make_weights((4, 5, 3))), strict=True):
        np.testing.assert_array_equal(kept, start)


def test_images_are_flattened_as_torch_flattens_them() -> None:
    network = NumpyNetwork(make_weights((12, 3)), "relu", "cross_entropy")
    x = np.random.default_rng(0).normal(size=(2, 1, 3, 4))
    flat = torch.tensor(x).flatten(1).numpy()
    np.testing.assert_array_equal(network.forward(x), network.forward(flat))


def test_targets_of_another_shape_are_refused() -> None:
    network = NumpyNetwork(make_weights((4, 5, 1)), "relu", "sigmoid_mse")
    x, y = make_batch((4, 5, 1))
    with pytest.raises(ValueError, match=r"targets \(7,\) do not fit logits \(7, 1\)"):
        network.gradients(x, y[:, 0])


def test_binary_cross_entropy_of_two_outputs_is_refused() -> None:
    network = NumpyNetwork(make_weights((4, 2)), "relu", "binary_cross_entropy")
    with pytest.raises(ValueError, match="one output, not 2"):
        network.loss(*make_batch((4, 2)))
